#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# steps-complete.sh XENVRAMD LIBSTEPS: are all calls by which the daemon acts on the world among the steps? One that is
# not is never killed at, and no test would miss it.
set -eu

symbols() { nm -D "$1" "$2" | sed 's/.* //; s/@.*//' | sort -u; }

# A write is only ever the wake-up of a reader, who comes again.
acting='^(send|sendto|sendmsg|sendmmsg|pwrite|pwrite64|pwritev|writev)$|^xendevicemodel_|^xenforeignmemory_map'
harmless='^xendevicemodel_(open|close)$'
found=$(symbols --undefined-only "$1" | grep -E "$acting" | grep -Ev "$harmless")
[ -n "$found" ] || { echo "$1 makes no such call at all"; exit 1; }
status=0
for call in $found; do
	symbols --defined-only "$2" | grep -qx "$call" || { echo "$call is no step"; status=1; }
done
exit $status
