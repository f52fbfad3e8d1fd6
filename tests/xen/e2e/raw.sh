# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# What can be done without a region: memory types pinned, pages moved, any range tracked; and what is refused.
# shellcheck source=tests/xen/dom0.sh
. ./dom0.sh
# shellcheck source=tests/xen/e2e/service.sh
. ./service.sh

pages=600 # three chunks of a relocation
source=0x1000
hole=0xe0000

sum() {
	./xen-guest-sum "$guest" "$@" || fail "no sum of $*"
}

# refuse REASON COMMAND...: must fail for this reason, and change nothing.
refuse() {
	reason=$1
	shift
	xenvramctl "$@" 2>/tmp/refused && fail "not refused: $*"
	grep -q "$reason" /tmp/refused || fail "$* was refused for another reason: $(cat /tmp/refused)"
}

guest=$(create_guest guest) || exit
./xen-guest-tool "$guest" idle || exit
./xen-guest-tool "$guest" write $source $pages 0xabc00000 || exit
before=$(sum $source $pages)
around=$(sum 0xf00 0x100 && sum 0x1258 0x100)
start_service

xenvramctl pin --domid "$guest" --gfn $hole --pages 16 || exit
xenvramctl pins --domid "$guest" | grep -q "$hole" || fail "the pin is not listed"
refuse "overlap" pin --domid "$guest" --gfn $((hole + 8)) --pages 16
refuse "" unpin --domid "$guest" --gfn $hole --pages 15
xenvramctl unpin --domid "$guest" --gfn $hole --pages 16 || exit
refuse "" unpin --domid "$guest" --gfn $hole --pages 16
[ "$(xenvramctl pins --domid "$guest" | grep -c 0x)" = 0 ] || fail "the pin is still listed"
echo "ok: pins are set, listed, and taken away by their exact bounds"

refuse "populated" move-ram --domid "$guest" --from $source --to 0x2000 --pages $pages
refuse "hole" move-ram --domid "$guest" --from $hole --to 0xd0000 --pages $pages
[ "$(sum $source $pages)" = "$before" ] || fail "a refusal moved pages"
xenvramctl move-ram --domid "$guest" --from $source --to $hole --pages $pages || exit
[ "$(sum $hole $pages)" = "$before" ] || fail "other pages arrived"
xenvramctl move-ram --domid "$guest" --from $hole --to $source --pages $pages || exit
[ "$(sum $source $pages)" = "$before" ] || fail "other pages came back"
[ "$(sum 0xf00 0x100 && sum 0x1258 0x100)" = "$around" ] || fail "the pages beside them changed"
echo "ok: pages move there and back, and refusals move none"

cookie=$(xenvramctl create --domid "$guest" --vram-gfn $hole --backing-gfn $source --pages $pages) || exit
refuse "region" move-ram --domid "$guest" --from $hole --to 0xd0000 --pages 10
refuse "region" pin --domid "$guest" --gfn $hole --pages 10
# The backing by its old name is how a device model asks after its guest has moved the framebuffer.
xenvramctl move-ram --domid "$guest" --from $source --to 0xd0000 --pages $pages || exit
[ "$(sum 0xd0000 $pages)" = "$before" ] || fail "the region did not go along"
xenvramctl regions | grep -q 0xd0000 || fail "the region is not where its pages are"
xenvramctl destroy "$cookie" || exit
[ "$(sum $source $pages)" = "$before" ] || fail "the region's pages did not come back"
echo "ok: a region is left alone, but goes where its backing is sent"

xenvramctl dirty --domid "$guest" --gfn $source --pages $pages --interval 500 >/tmp/dirty || exit
grep -q "^0 of $pages pages dirty" /tmp/dirty || fail "a guest that sleeps writes: $(cat /tmp/dirty)"
./xen-guest-tool "$guest" paint $((source + 20)) 30 30 0 || exit
xenvramctl dirty --domid "$guest" --gfn $source --pages $pages >/tmp/dirty || exit
./xen-guest-tool "$guest" idle || exit
printf '30 of %s pages dirty within 1000 ms\n  gfn 0x1014 to 0x1031: 30\n' $pages >/tmp/expected
cmp -s /tmp/expected /tmp/dirty || fail "30 pages are drawn on; found: $(cat /tmp/dirty)"
echo "ok: any range is tracked, and exactly"

# All but what the kernel lets one call cover counts as dirty. Workers ask it how much that is.
long=40000
limit=/sys/module/xen_privcmd/parameters/dm_op_buf_max_size
as_it_was=$(cat $limit)
xenvramctl dirty --domid "$guest" --gfn $hole --pages $long --interval 500 >/tmp/dirty || exit
grep -q "^$((long - 8 * as_it_was)) of $long pages dirty" /tmp/dirty || fail "with $as_it_was bytes: $(cat /tmp/dirty)"
stop_service
echo $((2 * as_it_was)) >$limit
start_service
xenvramctl dirty --domid "$guest" --gfn $hole --pages $long --interval 500 >/tmp/dirty || exit
echo "$as_it_was" >$limit
grep -q "^0 of $long pages dirty" /tmp/dirty || fail "with twice as many bytes: $(cat /tmp/dirty)"
echo "ok: as many pages are tracked as the kernel allows"

stop_service
destroy_domain "$guest"
