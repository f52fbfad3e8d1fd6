# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# In dom0: the conformance program on real Xen.
# shellcheck source=tests/xen/dom0.sh
. ./dom0.sh

version=$(xl info | sed -n 's/^xen_version *: \([0-9]*\.[0-9]*\).*/\1/p')
guest=$(create_guest guest) || exit
other=$(create_stopped other) || exit
victim=$(create_stopped victim) || exit
held_victim=$(create_stopped held) || exit
pv=$(create_pv pv) || exit
./xen-conformance --xen "$version" --destroy 'xl destroy' "$guest" "$other" "$victim" "$held_victim" "$pv"
