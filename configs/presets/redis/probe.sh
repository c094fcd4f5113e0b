#!/bin/sh
# probe.sh <client> <port> started|ready [<configuration>]
#
# started: it answers, whatever it says. ready: it takes commands.
client=$1 port=$2 question=$3 configuration=$4

if [ -r "$configuration" ]; then
    configured=$(sed -n 's/^[[:space:]]*port[[:space:]][[:space:]]*//p' "$configuration" | tail -n 1)
    port=${configured:-$port}
fi

answer=$("$client" -h 127.0.0.1 -p "$port" ping 2>&1)
case $answer in
    PONG | *NOAUTH*) exit 0 ;;
    *LOADING* | *MASTERDOWN* | *BUSY*) [ "$question" = started ] && exit 0 ;;
esac
printf '%s\n' "$answer"
exit 1
