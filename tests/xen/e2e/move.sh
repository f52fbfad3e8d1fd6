# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# A guest moves its framebuffer while it draws: the region goes along, its reader sees every page at the new place,
# and a part of it, and then the rest, go home again. Pages are compared by contents at each step.
# shellcheck source=tests/xen/dom0.sh
. ./dom0.sh
# shellcheck source=tests/xen/e2e/service.sh
. ./service.sh

pages=600 # three chunks of a relocation
backing=0x1000
old=0xf1000
new=0xe1000
all="$(seq -s ' ' 0 599) "

sum() {
	./xen-guest-sum "$guest" "$@" || fail "no sum of $*"
}

# is_hole GFN: the guest reads all ones where nothing is.
is_hole() {
	[ "$(./xen-guest-tool "$guest" read "$1" 1 | cut -d ' ' -f 2)" = 0xffffffff ]
}

# dirty SINCE: as "generation: runs", of what the hypervisor says now.
dirty() {
	xenvramctl snapshot --sync --since "$1" "$cookie" >/tmp/dirty || fail "no snapshot"
	sed -n 's/^generation \([0-9]*\):.*/\1/p' /tmp/dirty >/tmp/generation
	sed 1d /tmp/dirty | tr -s '\n ' ' '
}

# exact_since: a generation from which on bits are exact; soon after a change of place all is called dirty.
exact_since() {
	generation=0
	tries=0
	while [ -n "$(dirty "$generation")" ]; do
		generation=$(cat /tmp/generation)
		tries=$((tries + 1))
		[ $tries -lt 50 ] || fail "bits do not become exact: $(cat /tmp/dirty)"
		sleep 0.1
	done
	cat /tmp/generation
}

# await_seen LINE PAGES: after this line of its own the reader of the log reports these pages dirty, and no others.
await_seen() {
	tries=0
	while :; do
		seen=$(tail -n +$(($1 + 1)) /tmp/watch.json | sed 's/.*"runs"//; s/[^0-9][^0-9]*/ /g' | awk -v pages=$pages '
			{ for (i = 1; i < NF; i += 2) for (j = 0; j < $(i + 1); j++) seen[$i + j] = 1 }
			END { for (page = 0; page < pages; page++) if (page in seen) printf "%d ", page }')
		[ "$seen" != "$2" ] || return 0
		tries=$((tries + 1))
		[ $tries -lt 50 ] || fail "the reader of the log should see the pages $2: $seen"
		sleep 0.1
	done
}

guest=$(create_guest guest) || exit
./xen-guest-tool "$guest" idle || exit
./xen-guest-tool "$guest" write $backing $pages 0xabc00000 || exit
home=$(sum $backing $pages)
around=$(sum 0xf00 0x100 && sum 0x1258 0x100)
start_service
cookie=$(xenvramctl create --domid "$guest" --vram-gfn $old --backing-gfn $backing --pages $pages) || exit
[ "$(sum $old $pages)" = "$home" ] || fail "the region has other pages"
# A reader of the log follows all the time.
xenvramctl watch --json --interval 50 "$cookie" >/tmp/watch.json 2>/tmp/watch.err &
watch=$!

xenvramctl move "$cookie" --vram-gfn $((old + pages - 1)) 2>/tmp/refused && fail "moved onto itself"
xenvramctl move "$cookie" --vram-gfn 0x2000 2>/tmp/refused && fail "moved onto the guest's memory"
grep -q 'new vram gfn 0x2000 .* is populated' /tmp/refused || fail "refused for another reason: $(cat /tmp/refused)"
[ "$(sum $old $pages)" = "$home" ] || fail "a refusal changed the region"
echo "ok: refusals change nothing"

xenvramctl move "$cookie" --vram-gfn $new || exit
[ "$(sum $new $pages)" = "$home" ] || fail "other pages are at the new place"
is_hole $old && is_hole $((old + 255)) && is_hole $((old + 599)) || fail "pages are left at the old place"
[ "$(sum 0xf00 0x100 && sum 0x1258 0x100)" = "$around" ] || fail "pages that are not the region's changed"
echo "ok: every page is at the new place, and no other page changed"

since=$(exact_since) || exit
sleep 0.5 # the reader has read so far, too
lines=$(wc -l </tmp/watch.json)
./xen-guest-tool "$guest" write $((new + 5)) 2 0xdef || exit
./xen-guest-tool "$guest" write $((new + 599)) 1 0xdef || exit
found=$(dirty "$since")
[ "$found" = " page 5 to 6: 2 page 599 to 599: 1 " ] || fail "dirty pages 5, 6 and 599 expected: $found"
await_seen "$lines" "5 6 599 "
echo "ok: followed at the new place"

# While it draws, to and fro.
./xen-guest-tool "$guest" paint $new $pages 50 0 || exit
place=$new
for round in 1 2 3 4; do
	[ $place = $new ] && place=$old || place=$new
	./xen-guest-tool "$guest" rebase $place || exit
	xenvramctl move "$cookie" --vram-gfn $place || exit
	# Soon after the change of place all pages are called dirty.
	sleep 1
	generation=$(xenvramctl snapshot --sync "$cookie" | sed -n 's/^generation \([0-9]*\):.*/\1/p')
	lines=$(wc -l </tmp/watch.json)
	./xen-guest-tool "$guest" frames 30 || exit
	found=$(dirty "$generation")
	[ "$found" = " page 0 to 599: 600 " ] || fail "round $round: all pages expected after 30 frames: $found"
	await_seen "$lines" "$all"
	# And no other: it rests, writes to one, and draws on.
	./xen-guest-tool "$guest" idle || exit
	since=$(exact_since) || exit
	sleep 0.5
	lines=$(wc -l </tmp/watch.json)
	page=$((100 * round))
	./xen-guest-tool "$guest" write $((place + page)) 1 0xdef || exit
	found=$(dirty "$since")
	[ "$found" = " page $page to $page: 1 " ] || fail "round $round: dirty page $page expected: $found"
	await_seen "$lines" "$page "
	./xen-guest-tool "$guest" paint $place $pages 50 0 || exit
	echo "ok: round $round: drawing on at $place, every page is seen, and one that is written to alone"
done
./xen-guest-tool "$guest" idle || exit
kill -0 $watch || fail "the reader ended: $(cat /tmp/watch.err)"
[ "$(xenvramctl map "$cookie" | tr -s ' ')" = "page 0 to 599: 600 vram $place" ] || fail "$(xenvramctl map "$cookie")"
[ "$(./xen-guest-tool "$guest" drawn | awk '$2 == 0' | wc -l)" = 0 ] || fail "the guest has not drawn on every page"

# A part goes home, then the rest; page by page the same as before.
first=$(sum $place 100)
part=$(sum $((place + 100)) 300)
last=$(sum $((place + 400)) 200)
xenvramctl destroy "$cookie" --first 100 --pages 300 || exit
[ "$(sum $place 100) $(sum $((backing + 100)) 300) $(sum $((place + 400)) 200)" = "$first $part $last" ] ||
	fail "pages changed when a part was destroyed"
is_hole $((place + 100)) && is_hole $((place + 399)) || fail "pages of the part are left"
since=$(exact_since) || exit
./xen-guest-tool "$guest" write $((place + 99)) 1 0x11 || exit
./xen-guest-tool "$guest" write $((place + 400)) 1 0x22 || exit
./xen-guest-tool "$guest" write $((backing + 200)) 1 0x33 || exit
found=$(dirty "$since")
[ "$found" = " page 99 to 99: 1 page 400 to 400: 1 " ] || fail "dirty pages 99 and 400 expected: $found"
echo "ok: a part is home, the rest is followed"

other=$(xenvramctl create --domid "$guest" --vram-gfn $((place + 100)) --backing-gfn $((backing + 100)) --pages 300) ||
	fail "the frames of the part cannot be used"
xenvramctl destroy "$other" || exit
xenvramctl move "$cookie" --vram-gfn $new || exit
first=$(sum $new 100)
last=$(sum $((new + 400)) 200)
kill $watch || fail "the reader ended: $(cat /tmp/watch.err)"
xenvramctl destroy "$cookie" || exit
[ "$(sum $backing 100) $(sum $((backing + 400)) 200)" = "$first $last" ] || fail "pages changed on their way home"
[ "$(sum 0xf00 0x100 && sum 0x1258 0x100)" = "$around" ] || fail "pages that are not the region's changed"
[ "$(xenvramctl regions | grep -c 0x)" = 0 ] || fail "a region is left"
echo "ok: every page is home"
stop_service
destroy_domain "$guest"
