# After an upgrade the new daemon takes over. What does not run stays as it is.
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload >/dev/null 2>&1 || :
    if [ "$1" -ge 1 ]; then
        systemctl try-restart barepod.service barepod-bridge.service || :
    fi
fi
