#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Usage: run.sh SECONDS [BUILD_DIR]
# Builds the fuzz targets with clang and runs each for SECONDS, from generated seeds and what earlier runs
# found. A finding ends it with its input beside the target. Exit status 77: there is no clang.
set -euo pipefail

readonly seconds=${1:?usage: run.sh SECONDS [BUILD_DIR]}
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
readonly source_dir
readonly build_dir=${2:-$source_dir/build/fuzz}
readonly targets=(request internal journal config region_log)

if ! command -v clang >/dev/null; then
  echo "fuzz: there is no clang" >&2
  exit 77
fi
cmake -S "$source_dir" -B "$build_dir" -G Ninja -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=RelWithDebInfo \
  -DXENVRAM_FUZZ=ON -DXENVRAM_SANITIZE=address,undefined,fuzzer-no-link
cmake --build "$build_dir" --target fuzz

cd "$build_dir/tests/fuzz"
mkdir -p corpus
./fuzz-seeds corpus
mkdir -p corpus/config
sed 's/^#\([^ ]\)/\1/' "$source_dir/daemon/xenvramd.conf" >corpus/config/example
for target in "${targets[@]}"; do
  echo "fuzz-$target, $seconds s"
  # The sanitizers of clang 14 do not find room in an address space as random as newer kernels make it.
  setarch --addr-no-randomize "./fuzz-$target" -max_total_time="$seconds" -max_len=65536 -timeout=10 \
    -artifact_prefix="./fuzz-$target-" -error_exitcode=1 "corpus/$target"
done
