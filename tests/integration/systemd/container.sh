#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The container: everything it writes goes to an overlay in memory. Runs in a mount namespace of its own, made by
# run.sh. SCRATCH/layer is laid over the root file system, SCRATCH/out is /out inside.
# Usage: container.sh SCRATCH CGROUP
set -euo pipefail

readonly scratch=$1 cgroup=$2 memory=/mnt

echo $$ >"$cgroup/cgroup.procs"
mount -t cgroup2 cgroup2 /sys/fs/cgroup
# Where nspawn keeps its own files.
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755 tmpfs "$memory"
mkdir "$memory/upper" "$memory/work" "$memory/root"
cp -a "$scratch/layer/." "$memory/upper/"
mount -t overlay -o "lowerdir=/,upperdir=$memory/upper,workdir=$memory/work" overlay "$memory/root"
mkdir "$memory/root/out"
chroot "$memory/root" /sbin/ldconfig

exec systemd-nspawn --quiet --directory="$memory/root" --bind="$scratch/out:/out" \
  --tmpfs=/tmp:mode=1777 --tmpfs=/var/tmp:mode=1777 --register=no --keep-unit --private-network \
  --link-journal=no --resolv-conf=off --timezone=off --machine=xenvram-test --boot -- --unit=xenvram-check.service
