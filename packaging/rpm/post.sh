# Nothing that runs is stopped: the daemon is replaced, its shims become the new ones in place, and services keep their processes.
systemd-sysusers barepod.conf || :
systemd-tmpfiles --create barepod.conf || :
if [ "$1" -eq 1 ]; then
    # By the distribution's presets, as Fedora's guidelines want it: `systemctl enable --now barepod barepod-shutdown`.
    systemctl --no-reload preset barepod.service barepod-shutdown.service barepod-bridge.service >/dev/null 2>&1 || :
fi
