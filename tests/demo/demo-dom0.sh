# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# The demo in dom0: the installed xenvramd, a real guest, and the same checks.
# shellcheck source=tests/xen/dom0.sh
. ./dom0.sh
# shellcheck source=tests/xen/e2e/service.sh
. ./service.sh

guest=$(create_guest painter) || exit
start_service
./xenvram-demo "$guest" $socket 5 "$(command -v xenvramctl)" watch --seconds 5 ||
	fail "the service said: $(cat /tmp/xenvramd.log)"
stop_service
destroy_domain "$guest"
