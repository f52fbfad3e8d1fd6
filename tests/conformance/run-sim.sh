#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# run-sim.sh VERSION SIMXEN CONFORMANCE: the conformance program on simulated Xen, whose libraries the caller has
# put into LD_LIBRARY_PATH.
set -euo pipefail

version=$1 simxen=$2 conformance=$3
work=$(mktemp -d)
guest=''

clean_up() {
	[ -z "$guest" ] || kill "$guest" 2>/dev/null || :
	wait
	rm -rf "$work"
}
trap clean_up EXIT

export SIMXEN_HOST=$work/host
"$simxen" create-host "$SIMXEN_HOST" --xen "$version"
for domid in 1 2 3 4; do
	"$simxen" create $domid
done
"$simxen" guest 1 &
guest=$!
"$simxen" create 5 --kind pv
"$conformance" --xen "$version" --destroy "$simxen destroy" 1 2 3 4 5
