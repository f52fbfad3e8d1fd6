# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# The exactness program in dom0, with a real guest.
# shellcheck source=tests/xen/dom0.sh
. ./dom0.sh
# shellcheck source=tests/xen/e2e/service.sh
. ./service.sh

guest=$(create_guest guest) || exit
start_service
./xenvram-exactness "$guest" $socket "$service" 1 60 || fail "the service said: $(cat /tmp/xenvramd.log)"
stop_service
destroy_domain "$guest"
