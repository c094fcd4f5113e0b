#!/bin/sh
# Asks the server of this container whether it answers, at the port and socket that it itself wrote into postmaster.pid, so
# that no setting of the port can lead the probe astray.
#
# probe.sh ready    it takes connections
# probe.sh started  it answers, be it that it is still starting up
set -u

{
    read -r _pid && read -r _data && read -r _since && read -r port && read -r socket
} 2>/dev/null <"$PGDATA/postmaster.pid" || {
    echo "no server runs on $PGDATA yet"
    exit 2
}

case $socket in
    /*) pg_isready -q -t 4 -h "$socket" -p "$port" ;;
    *) pg_isready -q -t 4 -h localhost -p "$port" ;;
esac
answer=$?

case $1:$answer in
    *:0 | started:1) exit 0 ;;
    *:1) echo "the server is starting up or shutting down" ;;
    *:2) echo "the server does not answer" ;;
    *) echo "pg_isready could not ask" ;;
esac
exit "$answer"
