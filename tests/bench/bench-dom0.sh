# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# The benchmarks in dom0: the direct call, the reader and the message side by side, on a guest that sleeps.
# shellcheck source=tests/xen/dom0.sh
. ./dom0.sh
# shellcheck source=tests/xen/e2e/service.sh
. ./service.sh

# 256 MiB, so that a framebuffer of 128 MiB can be taken out of it.
domid=$(create_domain bench 'type="pvh"' 'kernel="guest.elf"' 'memory=256' 'maxmem=256') || exit
for theme in reader rpc worker create; do
	start_service
	case $theme in
	worker) set -- --rounds 5 --batch-us 2000000 ;;
	create) set -- --rounds 5 ;;
	*) set -- --rounds 11 --batch-us 20000 ;;
	esac
	./bench-$theme --xen --socket $socket --daemon "$service" --domid "$domid" "$@" ||
		fail "$theme; the service said: $(cat /tmp/xenvramd.log)"
	stop_service
	rm -f $socket
done
destroy_domain "$domid"
