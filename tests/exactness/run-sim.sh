#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# run-sim.sh BUILD_DIR hap|shadow SEED SECONDS: the exactness program on a simulated host.
set -euo pipefail

build=$1 mode=$2 seed=$3 seconds=$4
# shellcheck source=tests/serve.sh
. "$(dirname "$0")/../serve.sh"
work=$(mktemp -d)
pids=()

clean_up() {
	local pid
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || :; done
	wait
	rm -rf "$work"
}
trap clean_up EXIT

export SIMXEN_HOST=$work/host LD_LIBRARY_PATH=$build/tests/simxen/lib:$build/client/libxenvram
simxen=$build/tests/simxen/simxen
socket=$work/run/xenvram.sock

"$simxen" create-host "$SIMXEN_HOST" --mode "$mode"
"$simxen" create 5
"$simxen" guest 5 &
pids+=($!)
serve "$work/run" "$work/log"

if ! "$build/tests/exactness/xenvram-exactness" 5 "$socket" "$service" "$seed" "$seconds" \
	"$simxen fault track 5 1 kill after"; then
	echo "The service said:"
	tail -n 200 "$work/log"
	exit 1
fi
kill "$service"
wait "$service" || {
	echo "xenvramd ended with an error: $(cat "$work/log")"
	exit 1
}
"$simxen" stats
