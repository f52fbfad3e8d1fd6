# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# The demo in dom0: the installed xenvramd, a real guest, and the same checks.
. ./dom0.sh

domid=$(create_guest painter) || exit 1
xenvramd --socket /run/xenvram 2>/tmp/daemon.log &
daemon=$!
i=0
while [ ! -S /run/xenvram/xenvram.sock ] && [ $i -lt 100 ]; do
	sleep 0.1
	i=$((i + 1))
done
status=0
./xenvram-demo "$domid" /run/xenvram/xenvram.sock 5 /usr/local/bin/xenvramctl watch --seconds 5 || status=1
kill $daemon
wait $daemon || { echo "xenvramd ended with an error"; status=1; }
[ $status = 0 ] || cat /tmp/daemon.log
destroy_domain "$domid"
exit $status
