# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# Whoever parses a client's bytes holds no Xen handle; whoever holds one is no longer root.
# shellcheck source=tests/xen/dom0.sh
. ./dom0.sh
# shellcheck source=tests/xen/e2e/service.sh
. ./service.sh

# status_of PID FIELD: a line of /proc/PID/status, without its name, blanks made single.
status_of() {
	sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status" | tr -s '\t ' ' '
}

# expect WHAT EXPECTED FOUND
expect() {
	[ "$2" = "$3" ] || fail "$1: expected $2, found $3"
	echo "ok: $1 is $2"
}

# xen_handles PID: how many of its descriptors are Xen's devices.
xen_handles() {
	find "/proc/$1/fd" -type l -exec readlink {} \; | grep -cE '^/dev/xen/|^/proc/xen/'
}

guest=$(create_guest guest) || exit
start_service
cookie=$(xenvramctl create --domid "$guest" --vram-gfn 0xf1000 --backing-gfn 0x1000 --pages 64) || exit
broker=$(pid_of_role broker)
worker=$(pid_of_role worker)

expect "the broker's user" "$(id -u xenvram)" "$(status_of "$broker" Uid | cut -d ' ' -f 4)"
expect "the worker's user" "$(id -u xenvram-worker)" "$(status_of "$worker" Uid | cut -d ' ' -f 4)"
for pid in "$broker" "$worker"; do
	expect "$(cat "/proc/$pid/comm")'s capabilities" 0000000000000000 "$(status_of "$pid" CapEff)"
	expect "$(cat "/proc/$pid/comm")'s permitted capabilities" 0000000000000000 "$(status_of "$pid" CapPrm)"
	expect "$(cat "/proc/$pid/comm")'s no_new_privs" 1 "$(status_of "$pid" NoNewPrivs)"
	expect "$(cat "/proc/$pid/comm")'s seccomp mode" 2 "$(status_of "$pid" Seccomp)"
done
expect "Xen handles of the broker" 0 "$(xen_handles "$broker")"
[ "$(xen_handles "$worker")" -gt 0 ] || fail "the worker has no Xen handle: this test looks for the wrong thing"

xenvramctl destroy "$cookie" || exit
stop_service
destroy_domain "$guest"
