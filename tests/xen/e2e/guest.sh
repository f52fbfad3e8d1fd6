# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# What all other scripts build on: domains come and go, the guest obeys its control page.
# shellcheck source=tests/xen/dom0.sh
. ./dom0.sh

expect() {
	[ "$2" = "$3" ] || fail "$1: expected $2, found $3"
	echo "ok: $1"
}

tool() {
	./xen-guest-tool "$guest" "$@" || exit
}

guest=$(create_guest guest) || exit
pv=$(create_pv pv) || exit
expect "domains" 3 "$(xl list | grep -c '^[^N]')"

tool write 0x1000 3 0xabc
expect "words written are read" "0xabc 0xabd 0xabe 0" "$(tool read 0x1000 4 | cut -d ' ' -f 2 | xargs)"
expect "a hole" "0x80000 0xffffffff" "$(tool read 0x80000 1)"

tool paint 0x1000 64 5 0
tool frames 30
tool idle
expect "pages drawn in 30 frames of 5" 64 "$(tool drawn | grep -cv ' 0$')"
expect "a page that was drawn has another word" "" "$(tool read 0x1000 1 | grep abc)"
expect "idle, the guest draws no more" "$(tool drawn)" "$(tool drawn)"

tool sweep 0x1100 8 0
tool frames 2
tool idle
expect "pages swept twice" 8 "$(tool drawn | grep -cv ' [01]$')"

destroy_domain "$guest"
destroy_domain "$pv"
expect "domains left" 1 "$(xl list | grep -c '^[^N]')"
