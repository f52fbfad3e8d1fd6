# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# Functions for scripts that need the installed service in dom0. Sourced after dom0.sh.

socket=/run/xenvram/xenvram.sock

# start_service OPTION...: in the foreground of the developers, in the background of this script.
start_service() {
	: >/tmp/xenvramd.log # of an earlier one
	xenvramd --socket /run/xenvram "$@" 2>/tmp/xenvramd.log &
	service=$!
	await "xenvramd serves" grep -q ': serving$' /tmp/xenvramd.log
}

stop_service() {
	kill "$service"
	wait "$service" || fail "xenvramd ended with an error: $(cat /tmp/xenvramd.log)"
}

# keep_followed COOKIE: until stop_following, so that its bits are exact however long it takes to ask for them again.
keep_followed() {
	xenvramctl watch --json "$1" >/tmp/followed &
	follower=$!
	await "the region is followed" test -s /tmp/followed
}

stop_following() {
	kill $follower
	wait $follower
}

# pid_of_role ROLE: of the service's broker, or of one of its workers; nothing if there is none now.
pid_of_role() {
	ps -o pid,args | sed -n "s/^ *\([0-9]*\) .*[x]envramd --role=$1 .*/\1/p" | head -n 1
}
