# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# Each role is killed at each of its steps of a creation and of a destruction, the worker before and after it. After each
# the pages are all at vram or all at backing, with the contents that they had, and what was asked for can be done or
# undone.
# shellcheck source=tests/xen/dom0.sh
. ./dom0.sh
# shellcheck source=tests/xen/e2e/service.sh
. ./service.sh

vram=0x80000 backing=0x1000 pages=300
export XENVRAM_STEPS=/tmp/steps
# A child that keeps dying is started again ever later; a fresh service begins anew.
kills_a_service=6

start_fresh() {
	rm -rf /run/xenvram
	LD_PRELOAD=./libsteps.so start_service
	kills_left=$kills_a_service
}

xenvramctl_when_ready() {
	tries=0
	until xenvramctl "$@" 2>/tmp/said; do
		tries=$((tries + 1))
		[ $tries -lt 100 ] || fail "$point: xenvramctl $*: $(cat /tmp/said /tmp/xenvramd.log)"
		sleep 0.05
	done
}

# Sets $state: "none", or that of the region when nothing is being done to it, with $cookie.
settle() {
	settle_tries=0
	while :; do
		xenvramctl_when_ready regions >/tmp/regions
		# shellcheck disable=SC2046 # two words
		set -- $(sed -n 's/^\(0x[0-9a-f]*\) .* \(creating\|active\|destroying\|moving\|shrinking\|stuck\) .*/\1 \2/p' /tmp/regions)
		cookie=${1-} state=${2-none}
		case $state in none | active) return ;; esac
		settle_tries=$((settle_tries + 1))
		[ $settle_tries -lt 100 ] || fail "$point: the region is $state: $(cat /tmp/xenvramd.log)"
		sleep 0.05
	done
}

# The pages are where the region's state has them.
check() {
	place=$backing
	[ "$state" = none ] || place=$vram
	found=$(./xen-guest-sum "$guest" $place $pages) || fail "$point: state $state, but not all pages are there"
	[ "$found" = "$contents" ] || fail "$point: state $state, and the contents of pages changed"
}

create() {
	xenvramctl create --domid "$guest" --vram-gfn $vram --backing-gfn $backing --pages $pages
}

destroy() {
	xenvramctl destroy "$cookie"
}

# become STATE: by what is in nobody's way now.
become() {
	settle
	[ "$state" != "$1" ] || return 0
	if [ "$1" = active ]; then create >/tmp/cookie; else destroy; fi 2>/tmp/said ||
		fail "$point: then it should become $1: $(cat /tmp/said /tmp/xenvramd.log)"
	settle
	[ "$state" = "$1" ] || fail "$point: it became $state instead of $1"
	check
}

# kill_at OPERATION ROLE MOMENT N
kill_at() {
	point="$2 killed $3 step $4 of $1"
	if [ "$1" = create ]; then become none; else become active; fi
	./xen-steps arm "$2" "$3" "$4" || exit
	"$1" >/tmp/cookie 2>/tmp/said
	tries=0
	while ./xen-steps armed; do
		tries=$((tries + 1))
		[ $tries -lt 10 ] || return 0 # it made fewer steps this time
		sleep 0.05
	done
	kills=$((kills + 1)) kills_left=$((kills_left - 1))
	if [ "$2" = supervisor ]; then
		wait "$service"
		rm -f $socket
		LD_PRELOAD=./libsteps.so start_service
	fi
	settle
	check
	if [ $kills_left = 0 ]; then
		become none
		stop_service
		start_fresh
	fi
}

# count OPERATION: sets the numbers of steps that each role makes.
count() {
	# shellcheck disable=SC2046 # three words
	set -- "$1" $(./xen-steps counts)
	"$1" >/tmp/cookie || fail "$1, undisturbed: $(cat /tmp/xenvramd.log)"
	sleep 0.2
	# shellcheck disable=SC2046
	set -- "$2" "$3" "$4" $(./xen-steps counts)
	of_supervisor=$(($4 - $1)) of_broker=$(($5 - $2)) of_worker=$(($6 - $3))
	settle
	check
}

guest=$(create_guest guest) || exit
./xen-guest-tool "$guest" idle || exit
./xen-guest-tool "$guest" write $backing $pages 0xc0de0000 || exit
contents=$(./xen-guest-sum "$guest" $backing $pages) || exit
./xen-steps begin || exit
kills=0 point="at first"
start_fresh

for operation in create destroy; do
	count $operation
	for role in worker broker supervisor; do
		eval "steps=\$of_$role"
		n=1
		while [ $n -le "$steps" ]; do
			kill_at $operation $role before $n
			# What is before the next message is after this one.
			[ $role != worker ] || kill_at $operation $role after $n
			n=$((n + 1))
		done
		echo "ok: $operation: $steps steps of the $role"
	done
	point="at last" && become active
done
become none
[ $kills -ge 50 ] || fail "only $kills kills"
echo "ok: $kills kills, the contents of all pages compared after each"
stop_service
destroy_domain "$guest"
