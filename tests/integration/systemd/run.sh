#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Proves the installed service under a real systemd: boots a throw-away container over this machine's own
# root file system, in which systemd is PID 1 and check.sh runs as a unit. Its result is the exit status.
# Usage: run.sh BUILD_DIR STAND_IN_DIR SIMXEN   (77: skipped, because this takes root)
set -euo pipefail

readonly build=$1 stand_ins=$2 simxen=$3 time_limit_s=250
here=$(cd "$(dirname "$0")" && pwd)
readonly here

if [ "$(id -u)" != 0 ]; then
  echo "skipped: a container with its own systemd takes root"
  exit 77
fi

# A control group of its own: the container's systemd sees nothing above it, and what is left in it ends with it.
cgroup=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)/xenvram-test.$$
scratch=$(mktemp -d)
readonly cgroup scratch

# shellcheck disable=SC2317 # the trap calls it
clean_up() {
  if [ -d "$cgroup" ]; then
    echo 1 >"$cgroup/cgroup.kill"
    for _ in $(seq 50); do
      grep -q '^populated 0' "$cgroup/cgroup.events" && break
      sleep 0.1
    done
    find "$cgroup" -depth -type d -exec rmdir {} +
  fi
  rm -rf "$scratch"
}
trap clean_up EXIT

# What is laid over the root file system: xenvram as it is installed, and what checks it.
readonly layer=$scratch/layer
readonly tools=$layer/opt/xenvram-test units=$layer/etc/systemd/system
mkdir -p "$scratch/out" "$tools/lib" "$units"/xenvramd.{socket,service}.d
install_xenvram() {
  DESTDIR=$layer cmake --install "$build" >"$scratch/install.log" 2>&1 || { cat "$scratch/install.log"; exit 1; }
}
install_xenvram
echo "# An administrator was here." >>"$layer/etc/xenvram/xenvramd.conf"
install_xenvram
cp -a "$stand_ins"/*.so* "$tools/lib/"
cp "$simxen" "$here/check.sh" "$tools/"
cp "$here/check.service" "$units/xenvram-check.service"
cp "$here/sim.conf" "$units/xenvramd.service.d/"
sed '/^\[Service\]/,$d' "$here/sim.conf" >"$units/xenvramd.socket.d/sim.conf"

mkdir "$cgroup"
status=0
timeout --signal=KILL "$time_limit_s" unshare --mount --propagation private \
  "$here/container.sh" "$scratch" "$cgroup" </dev/null >"$scratch/console" 2>&1 || status=$?

cat "$scratch/out/check" 2>/dev/null || true
if [ "$status" != 0 ]; then
  echo "---- status $status (137: not done within $time_limit_s s); the container's console:"
  tail -n 40 "$scratch/console"
  echo "---- its journal:"
  tail -n 80 "$scratch/out/journal" 2>/dev/null || true
fi
exit "$status"
