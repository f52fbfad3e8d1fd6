# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# Functions for scripts that need the installed service in dom0. Sourced after dom0.sh.

socket=/run/xenvram/xenvram.sock

# start_service OPTION...: in the foreground of the developers, in the background of this script.
start_service() {
	xenvramd --socket /run/xenvram "$@" 2>/tmp/xenvramd.log &
	service=$!
	tries=0
	while [ ! -S $socket ]; do
		tries=$((tries + 1))
		[ $tries -lt 100 ] || fail "xenvramd does not listen: $(cat /tmp/xenvramd.log)"
		sleep 0.1
	done
}

stop_service() {
	kill "$service"
	wait "$service" || fail "xenvramd ended with an error: $(cat /tmp/xenvramd.log)"
}

# pid_of_role ROLE: of the service's broker, or of one of its workers; nothing if there is none now.
pid_of_role() {
	ps -o pid,args | sed -n "s/^ *\([0-9]*\) .*[x]envramd --role=$1 .*/\1/p" | head -n 1
}
