#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# demo.sh BUILD_DIR [--xen [VERSION]]: shows and checks the job of xenvram, and leaves nothing running.
# Exit status 0 only if all that was seen was right; the last line says so.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$(cd "$1" && pwd)
world=${2-sim}
version=${3-4.17}
seconds=${XENVRAM_DEMO_SECONDS-5}

if [ "$world" = --xen ]; then
  root=$(mktemp -d)
  trap 'rm -rf "$root"' EXIT
  DESTDIR=$root cmake --install "$build" >/dev/null
  echo "Booting Xen $version with a Linux dom0 and a guest, under emulation."
  if "$here/../xen/boot" -r "$root" -t 300 "$version" "$here/demo-dom0.sh" "$build/tests/demo/xenvram-demo" \
    "$build/tests/xen/guest.elf" "$build/tests/xen/xen-guest-tool" "$here/../xen/e2e/service.sh"; then
    echo "demo: on real Xen $version every page was seen by both readers and came back: all was right"
    exit 0
  fi
  echo "demo: on real Xen $version something was WRONG, see above" >&2
  exit 1
fi

if [ "$world" != sim ]; then
  echo "demo: \"$world\" is not understood; see ./dev help" >&2
  exit 2
fi

# shellcheck source=tests/serve.sh
. "$here/../serve.sh"

run=$(mktemp -d)
pids=()
clean_up() {
  local pid
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$run"
}
trap clean_up EXIT

export SIMXEN_HOST=$run/host LD_LIBRARY_PATH=$build/tests/simxen/lib:$build/client/libxenvram
simxen=$build/tests/simxen/simxen
domid=5

echo "Starting a simulated Xen host, a guest, and xenvramd."
"$simxen" create-host "$SIMXEN_HOST" --xen "$version"
"$simxen" create "$domid"
"$simxen" guest "$domid" &
pids+=($!)
serve "$run/socket" "$run/daemon.log"

live=("$build/client/xenvramctl/xenvramctl" --socket "$run/socket/xenvram.sock" watch --seconds "$seconds")
if "$build/tests/demo/xenvram-demo" "$domid" "$run/socket/xenvram.sock" "$seconds" "${live[@]}"; then
  "$simxen" stats
  echo "demo: every page was seen by both readers and came back: all was right"
else
  echo "The daemon said:" >&2
  cat "$run/daemon.log" >&2
  echo "demo: something was WRONG, see above" >&2
  exit 1
fi
