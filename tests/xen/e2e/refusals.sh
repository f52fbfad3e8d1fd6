# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# What must be refused is refused with a reason, before any page moves: the guest's memory is compared by
# contents after each.
# shellcheck source=tests/xen/dom0.sh
. ./dom0.sh
# shellcheck source=tests/xen/e2e/service.sh
. ./service.sh

# All of the guest's RAM but the pages through which it talks.
whole_sum() {
	./xen-guest-sum "$guest" 0 0x200 && ./xen-guest-sum "$guest" 0x209 0x3df7
}

# The pages that the requests below name, and their neighbours: all would take minutes under emulation.
memory_sum() {
	./xen-guest-sum "$guest" 0xf00 0x300 && ./xen-guest-sum "$guest" 0x1f00 0x200 &&
		./xen-guest-sum "$guest" 0x3f00 0x100
}

# refused REASON DOMID VRAM BACKING PAGES
refused() {
	if said=$(xenvramctl create --domid "$2" --vram-gfn "$3" --backing-gfn "$4" --pages "$5" 2>&1); then
		fail "not refused: $*"
	fi
	echo "$said" | grep -qE "$1" || fail "refused for another reason than \"$1\": $said"
	[ "$(memory_sum)" = "$before" ] || fail "the guest's memory changed: $*"
	echo "ok: $said"
}

guest=$(create_guest guest) || exit
pv=$(create_pv pv) || exit
./xen-guest-tool "$guest" idle || exit
./xen-guest-tool "$guest" write 0x1000 0x1000 0xc0de0000 || exit
before=$(memory_sum)
whole_before=$(whole_sum)
start_service

refused 'nr_pages 0 is not in' "$guest" 0x80000 0x1000 0
refused 'nr_pages 262145 is not in' "$guest" 0x80000 0x1000 262145
refused 'vram_gfn .* does not lie below' "$guest" 0xffffffffffffffff 0x1000 16
refused 'vram_gfn .* does not lie below' "$guest" 0xffffffff8 0x1000 16
refused 'vram_gfn .* does not lie below' "$guest" 0x1ffffffffff 0x1000 1
refused 'backing_gfn .* does not lie below' "$guest" 0x80000 0xfffffffffffffff8 16
refused 'overlap' "$guest" 0x1008 0x1000 16
refused 'vram gfn 0x2000 .* is populated' "$guest" 0x2000 0x1000 16
refused 'vram gfn 0x3fff .* is populated' "$guest" 0x3fff 0x1000 16
refused 'backing gfn 0x80100 .* is a hole' "$guest" 0x80000 0x80100 16
refused 'backing gfn 0x4000 .* is a hole' "$guest" 0x80000 0x3ff8 16
refused "domain $pv is a PV domain" "$pv" 0x80000 0x100 16
refused 'domain 99 does not exist' 99 0x80000 0x1000 16
refused "domain 0 is this host's own" 0 0x80000 0x1000 16

[ "$(whole_sum)" = "$whole_before" ] || fail "the guest's memory changed where no request pointed"

cookie=$(xenvramctl create --domid "$guest" --vram-gfn 0x80000 --backing-gfn 0x1000 --pages 16) || exit
before=$(./xen-guest-sum "$guest" 0x80000 16)
memory_sum() {
	./xen-guest-sum "$guest" 0x80000 16
}
refused 'overlaps the vram .* of region' "$guest" 0x8000f 0x1100 16
refused 'overlaps the backing .* of region' "$guest" 0x90000 0x1008 16
xenvramctl destroy "$cookie" || exit
[ "$(xenvramctl regions | grep -c 0x)" = 0 ] || fail "a region is left: $(xenvramctl regions)"

stop_service
destroy_domain "$guest"
destroy_domain "$pv"
