# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# Functions for scripts that need the installed service in dom0. Sourced after dom0.sh.

socket=/run/xenvram/xenvram.sock

# start_service: in the foreground of the developers, in the background of this script.
start_service() {
	xenvramd --socket /run/xenvram 2>/tmp/xenvramd.log &
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

# pid_of_role ROLE: of the service's broker, or of one of its workers.
pid_of_role() {
	for status in /proc/[0-9]*/cmdline; do
		if tr '\0' ' ' <"$status" 2>/dev/null | grep -q "^xenvramd --role=$1 "; then
			echo "$status" | cut -d / -f 3
			return
		fi
	done
}
