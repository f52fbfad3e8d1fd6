# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# Memory that is in place already becomes a region without a move; a dry run changes nothing.
# shellcheck source=tests/xen/dom0.sh
. ./dom0.sh
# shellcheck source=tests/xen/e2e/service.sh
. ./service.sh

memory_sum() {
	./xen-guest-sum "$guest" 0 0x200 && ./xen-guest-sum "$guest" 0x209 0x3df7
}

guest=$(create_guest guest) || exit
./xen-guest-tool "$guest" idle || exit
before=$(memory_sum)
start_service

xenvramctl create --domid "$guest" --vram-gfn 0x1000 --adopt --pages 64 --dry-run || fail "a dry run"
xenvramctl create --domid "$guest" --vram-gfn 0x80000 --backing-gfn 0x1000 --pages 64 --dry-run || fail "a dry run"
xenvramctl create --domid "$guest" --vram-gfn 0x80000 --adopt --pages 64 2>/tmp/refused && fail "holes are adopted"
grep -q 'gfn 0x80000 .* is a hole' /tmp/refused || fail "refused for another reason: $(cat /tmp/refused)"
[ "$(memory_sum)" = "$before" ] || fail "the guest's memory changed"
[ "$(xenvramctl regions | grep -c 0x)" = 0 ] || fail "a dry run left a region"
echo "ok: dry runs and refusals change nothing"

cookie=$(xenvramctl create --domid "$guest" --vram-gfn 0x1000 --adopt --pages 64) || exit
[ "$(memory_sum)" = "$before" ] || fail "adopting changed the guest's memory"
keep_followed "$cookie"
xenvramctl snapshot --sync "$cookie" >/tmp/first || exit
generation=$(sed -n 's/^generation \([0-9]*\):.*/\1/p' /tmp/first)
./xen-guest-tool "$guest" write 0x1005 2 0xabc || exit
./xen-guest-tool "$guest" write 0x103f 1 0xabc || exit
xenvramctl snapshot --sync --since "$generation" "$cookie" >/tmp/second || exit
stop_following
[ "$(sed 1d /tmp/second | tr -s '\n ' ' ')" = " page 5 to 6: 2 page 63 to 63: 1 " ] ||
	fail "dirty pages 5, 6 and 63 expected: $(cat /tmp/second)"
before=$(memory_sum)
xenvramctl destroy "$cookie" || exit
[ "$(memory_sum)" = "$before" ] || fail "destroying changed the guest's memory"
echo "ok: adopted, followed, and let go, and nothing moved"
stop_service
destroy_domain "$guest"
