# At the end: the agent's unit, no password for root on the console, and nothing that wakes up by itself during a test.
set -eu
root=$1
cat >"$root/etc/systemd/system/barepod-vm-agent.service" <<'UNIT'
[Unit]
Description=Does what the test harness asks
BindsTo=dev-virtio\x2dports-barepod.0.device
After=dev-virtio\x2dports-barepod.0.device

[Service]
ExecStartPre=/bin/sh -c 'cat /dev/vdb >/usr/local/sbin/barepod-vm-agent && chmod 755 /usr/local/sbin/barepod-vm-agent'
ExecStart=/usr/local/sbin/barepod-vm-agent /dev/virtio-ports/barepod.0
OOMScoreAdjust=-900
Environment=LANG=C.UTF-8

[Install]
WantedBy=multi-user.target
UNIT
systemctl --root="$root" --quiet enable barepod-vm-agent.service
systemctl --root="$root" --quiet mask apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service \
    fstrim.timer dpkg-db-backup.timer getty@tty1.service
echo guest >"$root/etc/hostname"
printf '127.0.0.1 localhost guest\n::1 localhost\n' >"$root/etc/hosts"
echo '/dev/vda / ext4 defaults 0 1' >"$root/etc/fstab"
chroot "$root" passwd --quiet --delete root
