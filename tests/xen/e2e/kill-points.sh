# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# Each role is killed at every third of its steps of a creation, a move, the destruction of a part and one of the whole,
# the worker before and after it. After each, all pages are where the region's state has them, with the contents that
# they had, and nowhere else; and what was asked for can be done or undone.
# shellcheck source=tests/xen/dom0.sh
. ./dom0.sh
# shellcheck source=tests/xen/e2e/service.sh
. ./service.sh

vram=0x80000 other_vram=0x90000 backing=0x1000 pages=300
part_first=100 part_pages=150 rest_first=250 rest_pages=50
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

# Sets $state: "none", or, when nothing is being done to the region $cookie at gfn $at, "whole" or "part", which lacks some.
settle() {
	settle_tries=0
	while :; do
		xenvramctl_when_ready regions >/tmp/regions
		# shellcheck disable=SC2046 # three words
		set -- $(sed -n 's/^\(0x[0-9a-f]*\) *[0-9]* *\(0x[0-9a-f]*\) .* \(creating\|active\|destroying\|moving\|shrinking\|stuck\) .*/\1 \2 \3/p' /tmp/regions)
		cookie=${1-} at=${2-} state=${3-none}
		case $state in
		none) return ;;
		active)
			if grep -q ' pages are left: ' /tmp/regions; then state=part; else state=whole; fi
			return
			;;
		esac
		settle_tries=$((settle_tries + 1))
		[ $settle_tries -lt 100 ] || fail "$point: the region is $state: $(cat /tmp/xenvramd.log)"
		sleep 0.05
	done
}

sum() {
	./xen-guest-sum "$guest" "$@" || fail "$point: state $state, but not all of $2 pages are at $1"
}

# check_pages PLACE FIRST PAGES SUM
check_pages() {
	[ "$(sum $(($1 + $2)) "$3")" = "$4" ] ||
		fail "$point: state $state, and the contents of some of page $2 + $3 pages changed"
}

# check_hole PLACE FIRST PAGES: the guest reads all ones where nothing is.
check_hole() {
	./xen-guest-tool "$guest" read $(($1 + $2)) "$3" >/tmp/words || exit
	[ "$(grep -c ' 0xffffffff$' /tmp/words)" = "$3" ] ||
		fail "$point: state $state, and there are pages: $(grep -v ' 0xffffffff$' /tmp/words | head -3)"
}

# The pages are where the region's state has them, and nowhere else.
check() {
	home=$backing part_home=$backing
	case $state in
	whole) home=$at part_home=$at ;;
	part) home=$at ;;
	esac
	check_pages $((home)) 0 $part_first "$sum_before"
	check_pages $((part_home)) $part_first $part_pages "$sum_part"
	check_pages $((home)) $rest_first $rest_pages "$sum_rest"
	for place in $vram $other_vram $backing; do
		[ $((place)) = $((home)) ] || check_hole $place 0 $part_first
		[ $((place)) = $((part_home)) ] || check_hole $place $part_first $part_pages
	done
	[ "$(sum $((backing - 16)) 16) $(sum $((backing + pages)) 16)" = "$around" ] || fail "$point: other pages changed"
}

create() {
	xenvramctl create --domid "$guest" --vram-gfn $vram --backing-gfn $backing --pages $pages
}

move() {
	if [ $((at)) = $((vram)) ]; then set -- $other_vram; else set -- $vram; fi
	xenvramctl move "$cookie" --vram-gfn "$1"
}

shrink() {
	xenvramctl destroy "$cookie" --first $part_first --pages $part_pages
}

destroy() {
	xenvramctl destroy "$cookie"
}

# become none|whole: by what is in nobody's way now.
become() {
	settle
	while [ "$state" != "$1" ]; do
		if [ $state = none ]; then create >/tmp/cookie; else destroy; fi 2>/tmp/said ||
			fail "$point: then it should become $1: $(cat /tmp/said /tmp/xenvramd.log)"
		settle
		check
	done
}

# kill_at OPERATION ROLE MOMENT N
kill_at() {
	point="$2 killed $3 step $4 of $1"
	if [ "$1" = create ]; then become none; else become whole; fi
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
	case $1-$state in
	move-none | shrink-none) fail "$point: the region is gone: $(cat /tmp/xenvramd.log)" ;;
	esac
	check
	if [ $kills_left = 0 ]; then
		become none
		stop_service
		start_fresh
	fi
}

# count OPERATION: sets the numbers of steps that each role makes.
count() {
	if [ "$1" = create ]; then become none; else become whole; fi
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
./xen-steps begin || exit
kills=0 point="at first" state=none
sum_before=$(sum $backing $part_first) || exit
sum_part=$(sum $((backing + part_first)) $part_pages) || exit
sum_rest=$(sum $((backing + rest_first)) $rest_pages) || exit
around="$(sum $((backing - 16)) 16) $(sum $((backing + pages)) 16)" || exit
start_fresh

for operation in create move shrink destroy; do
	count $operation
	for role in worker broker supervisor; do
		eval "steps=\$of_$role"
		n=1
		while [ $n -le "$steps" ]; do
			kill_at $operation $role before $n
			# What is before the next message is after this one.
			[ $role != worker ] || kill_at $operation $role after $n
			n=$((n + 3))
		done
		echo "ok: $operation: $steps steps of the $role, every third"
	done
done
point="at last" && become none
[ $kills -ge 50 ] || fail "only $kills kills"
echo "ok: $kills kills, the contents of all pages compared after each"
stop_service
destroy_domain "$guest"
