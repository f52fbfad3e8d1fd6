# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# A domain dies with a watched region: everything of it goes, and its domid is free for another domain.
# shellcheck source=tests/xen/dom0.sh
. ./dom0.sh
# shellcheck source=tests/xen/e2e/service.sh
. ./service.sh
export LIBXL_DOMID_REUSE_TIMEOUT=0

guest=$(create_guest guest) || exit
start_service
cookie=$(xenvramctl create --domid "$guest" --vram-gfn 0xf1000 --backing-gfn 0x1000 --pages 1024) || exit
xenvramctl watch --json "$cookie" >/tmp/watch.json 2>/tmp/watch.err &
watch=$!
await "the region is watched" test -s /tmp/watch.json
destroy_domain "$guest"

has_ended() {
	! kill -0 "$1" 2>/dev/null
}
await "the reader hears of the domain's end" has_ended $watch
wait $watch
[ $? = 1 ] || fail "the reader ended for another reason: $(cat /tmp/watch.err)"
echo "ok: the reader ended with the domain"
[ "$(xenvramctl regions | grep -c 0x)" = 0 ] || fail "the region outlives its domain: $(xenvramctl regions)"
xenvramctl snapshot "$cookie" 2>/dev/null && fail "the cookie still works"
has_no_worker() {
	[ -z "$(pid_of_role worker)" ]
}
await "the worker ends with its domain" has_no_worker
[ "$(xl list | grep -c null)" = 0 ] || fail "the dead domain lingers: $(xl list)"
echo "ok: region, cookie, worker and domain are gone"

again=$(create_domain again 'type="pvh"' 'kernel="guest.elf"' 'memory=64' 'maxmem=64') || exit
xl unpause "$again" || exit
./xen-guest-tool "$again" wait || fail "the new guest does not run"
cookie=$(xenvramctl create --domid "$again" --vram-gfn 0xf1000 --backing-gfn 0x1000 --pages 1024) || exit
xenvramctl destroy "$cookie" || exit
echo "ok: a new domain ($again, after $guest) is served"
stop_service
destroy_domain "$again"
