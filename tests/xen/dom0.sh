# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
#
# Functions for scripts that run in dom0: `. ./dom0.sh`. They expect guest.elf, pv.elf and xen-guest-tool beside
# the script, and exit with a message when something fails.

fail() {
	echo "FAILED: $*" >&2
	exit 1
}

# await WHAT COMMAND...: until the command succeeds; a minute is more than anything takes.
await() {
	awaited=$1
	tries=0
	shift
	until "$@"; do
		tries=$((tries + 1))
		[ $tries -lt 600 ] || fail "not within a minute: $awaited"
		sleep 0.1
	done
}

# create_domain NAME LINE...: a domain with these lines in its configuration, not started. Prints its domid.
create_domain() {
	domain_name=$1
	shift
	{
		echo "name=\"$domain_name\""
		printf '%s\n' "$@" 'vcpus=1' 'on_crash="preserve"' 'on_poweroff="preserve"'
	} >"/tmp/$domain_name.cfg"
	xl create -q -p "/tmp/$domain_name.cfg" >&2 || fail "cannot create domain $domain_name"
	xl domid "$domain_name"
}

# create_stopped NAME: our guest in a PVH domain of 64 MiB, gfns 0 to 0x3fff, not started. Prints its domid.
create_stopped() {
	create_domain "$1" 'type="pvh"' 'kernel="guest.elf"' 'memory=64' 'maxmem=64'
}

# create_guest NAME: the same, running. It never sleeps: start no more guests than needed. Prints its domid.
create_guest() {
	domid=$(create_stopped "$1") || exit
	xl unpause "$domid" || fail "cannot start domain $1"
	./xen-guest-tool "$domid" wait || fail "the guest in $1 does not answer"
	echo "$domid"
}

# create_pv NAME: a PV domain, which never runs. Prints its domid.
create_pv() {
	create_domain "$1" 'type="pv"' 'kernel="pv.elf"' 'memory=8'
}

destroy_domain() {
	xl destroy "$1" || fail "cannot destroy domain $1"
}
