#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# bench.sh BUILD_DIR [--brief | --xen [VERSION]]: measures, prints a table, and writes BUILD_DIR/../bench.json.
#   --brief  only shows that every benchmark works; nothing is written, and its figures mean nothing
#   --xen    in dom0 of a real Xen, under emulation, where only ratios mean something; added to bench.json
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$(cd "$1" && pwd)
world=${2-sim}
version=${3-4.17}
# shellcheck source=tests/serve.sh
. "$here/../serve.sh"

run=$(mktemp -d)
pids=()
stop_all() {
  local pid
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  pids=()
}
clean_up() {
  stop_all
  rm -rf "$run"
}
trap clean_up EXIT

figures=$run/figures
: >"$figures"

# bench THEME HOST_OPTIONS ARGUMENT...: one benchmark with a host and a service of its own.
bench() {
  local theme=$1 host_options=$2 domid=5
  shift 2
  rm -rf "$run/host" "$run/socket"
  # shellcheck disable=SC2086 # several words
  "$simxen" create-host "$SIMXEN_HOST" $host_options
  "$simxen" create "$domid" --ram-mib 200
  # Nothing may be held up for the sake of others here.
  printf '[tracking]\npoll-budget-percent = 400\n' >"$run/xenvramd.conf"
  serve "$run/socket" "$run/daemon.log" --config "$run/xenvramd.conf"
  echo "$theme..." >&2
  if ! "$build/tests/bench/bench-$theme" --socket "$run/socket/xenvram.sock" --daemon "$service" --domid "$domid" \
    "$@" >>"$figures"; then
    echo "bench: $theme failed; the daemon said:" >&2
    tail -n 20 "$run/daemon.log" >&2
    exit 1
  fi
  stop_all
}

run_simulated() {
  export SIMXEN_HOST=$run/host LD_LIBRARY_PATH=$build/tests/simxen/lib:$build/client/libxenvram
  simxen=$build/tests/simxen/simxen
  local few="--domains 4 --frames 80000"
  bench reader "$few" "${quick[@]}"
  bench rpc "$few" "${quick[@]}"
  bench worker "$few" "${slow[@]}"
  bench readers "$few" "${slow[@]}"
  bench create "$few" "${quick[@]}"
  bench latency "$few" --seconds "$seconds"
  bench idle "$few" --seconds "$idle_seconds"
  bench scale "--domains $((domains + 4)) --frames $((domains * 5300 + 80000))" --seconds "$seconds" --domains "$domains"
}

run_on_xen() {
  DESTDIR=$run/root cmake --install "$build" >/dev/null
  echo "Booting Xen $version with a Linux dom0 and a guest, under emulation." >&2
  local themes=()
  for theme in reader rpc worker create; do themes+=("$build/tests/bench/bench-$theme"); done
  "$here/../xen/boot" -r "$run/root" -t 400 "$version" "$here/bench-dom0.sh" "${themes[@]}" \
    "$build/tests/xen/guest.elf" "$build/tests/xen/pv.elf" "$build/tests/xen/xen-guest-tool" \
    "$here/../xen/e2e/service.sh" >"$run/output" || { cat "$run/output" >&2; exit 1; }
  sed -n 's/^.*\({"figure": "\)/\1Xen: /p' "$run/output" >"$figures"
}

quick=() slow=(--rounds 11 --batch-us 500000) seconds=10 idle_seconds=60 domains=1000
case $world in
  sim)
    run_simulated
    "$here/table.py" --write "$build/../bench.json" <"$figures"
    ;;
  --brief)
    quick=(--rounds 3 --batch-us 200) slow=(--rounds 1 --batch-us 200000) seconds=1 idle_seconds=1 domains=10
    run_simulated
    "$here/table.py" <"$figures"
    ;;
  --xen)
    run_on_xen
    "$here/table.py" --add "$build/../bench.json" <"$figures"
    ;;
  *)
    echo "bench.sh: \"$world\" is not understood" >&2
    exit 2
    ;;
esac
