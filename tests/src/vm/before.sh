# Before the packages are configured: no PostgreSQL cluster of Debian's own, and a small initrd for virtio alone.
set -eu
root=$1
mkdir -p "$root/etc/postgresql-common" "$root/etc/initramfs-tools/conf.d"
echo 'create_main_cluster = false' >"$root/etc/postgresql-common/createcluster.conf"
echo 'MODULES=list' >"$root/etc/initramfs-tools/conf.d/barepod"
printf '%s\n' virtio_pci virtio_blk >"$root/etc/initramfs-tools/modules"
