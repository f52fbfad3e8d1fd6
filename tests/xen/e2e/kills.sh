# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# Workers and brokers are killed while two readers follow a painting guest: no page may be lost.
# shellcheck source=tests/xen/dom0.sh
. ./dom0.sh
# shellcheck source=tests/xen/e2e/service.sh
. ./service.sh

guest=$(create_guest guest) || exit
start_service
./xenvram-demo --disturbed "$guest" $socket 12 &
demo=$!
while [ "$(xenvramctl regions 2>/dev/null | grep -c active)" != 1 ]; do
	kill -0 $demo || fail "the demo ended early: $(cat /tmp/xenvramd.log)"
	sleep 0.2
done
sleep 2

kills=0
while kill -0 $demo 2>/dev/null; do
	role=worker
	[ $((kills % 4)) != 3 ] || role=broker
	pid=$(pid_of_role $role)
	if [ -n "$pid" ] && kill -9 "$pid" 2>/dev/null; then
		kills=$((kills + 1))
	fi
	sleep "0.$((kills * 7 % 10))"
done
wait $demo || fail "pages were lost, or the service did not go on: $(cat /tmp/xenvramd.log)"
[ $kills -ge 4 ] || fail "only $kills kills"
echo "ok: $kills kills"
stop_service
destroy_domain "$guest"
