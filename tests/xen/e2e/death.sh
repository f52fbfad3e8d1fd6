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
xenvramctl watch --json --seconds 30 "$cookie" >/tmp/watch.json 2>/tmp/watch.err &
watch=$!
sleep 2
[ -s /tmp/watch.json ] || fail "nothing is watched: $(cat /tmp/watch.err)"
destroy_domain "$guest"

tries=0
while kill -0 $watch 2>/dev/null; do
	tries=$((tries + 1))
	[ $tries -lt 100 ] || fail "the reader does not hear of the domain's end"
	sleep 0.1
done
echo "ok: the reader ended within $((tries / 10 + 1)) s"
[ "$(xenvramctl regions | grep -c 0x)" = 0 ] || fail "the region outlives its domain: $(xenvramctl regions)"
xenvramctl snapshot "$cookie" 2>/dev/null && fail "the cookie still works"
tries=0
while [ -n "$(pid_of_role worker)" ]; do
	tries=$((tries + 1))
	[ $tries -lt 50 ] || fail "the worker outlives its domain"
	sleep 0.1
done
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
