# The daemon and the bridge end with their package; services do not.
if [ "$1" -eq 0 ] && [ -d /run/systemd/system ]; then
    systemctl --no-reload disable barepod.service barepod-shutdown.service barepod-bridge.service >/dev/null 2>&1 || :
    systemctl stop barepod-bridge.service barepod.service || :
fi
