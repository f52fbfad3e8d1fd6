# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# Device models as users of their own: each has its domain's region, and neither sees the other's.
# shellcheck source=tests/xen/dom0.sh
. ./dom0.sh
# shellcheck source=tests/xen/e2e/service.sh
. ./service.sh

base=200000
ctl=$(command -v xenvramctl)

# as_uid UID ARGUMENT...: xenvramctl as that user, who has no name and no group but his own.
as_uid() {
	grep -q "^u$1:" /etc/passwd || echo "u$1:x:$1:$1::/:/bin/sh" >>/etc/passwd
	as=$1
	shift
	su -s /bin/sh "u$as" -c "$ctl $*"
}

# refused UID WORDS ARGUMENT...: it fails, with these words.
refused() {
	who=$1
	words=$2
	shift 2
	as_uid "$who" "$@" >/tmp/refused 2>&1 && fail "uid $who could: $*"
	grep -q "$words" /tmp/refused || fail "uid $who, $*: refused for another reason: $(cat /tmp/refused)"
	echo "ok: uid $who may not: $*"
}

guest=$(create_guest guest) || exit
./xen-guest-tool "$guest" idle || exit
other=$(create_stopped other) || exit
mine=$((base + guest))
theirs=$((base + other))
printf '[access]\ndomain-uid-base = %s\n' $base >/tmp/identity.conf
start_service --config /tmp/identity.conf
# All pages of the region but those that the guest will write, and some behind it.
before=$(./xen-guest-sum "$guest" 0x1009 0x100)

cookie=$(as_uid $mine create --domid "$guest" --vram-gfn 0xf1000 --backing-gfn 0x1000 --pages 64) ||
	fail "a device model cannot create a region: $cookie"
keep_followed "$cookie"
as_uid $mine snapshot --sync "$cookie" >/tmp/first || fail "a device model cannot follow its region"
generation=$(sed -n 's/^generation \([0-9]*\):.*/\1/p' /tmp/first)
./xen-guest-tool "$guest" write 0xf1007 2 0xabc || exit
as_uid $mine snapshot --sync --since "$generation" "$cookie" >/tmp/second || exit
stop_following
[ "$(sed 1d /tmp/second | tr -s '\n ' ' ')" = " page 7 to 8: 2 " ] ||
	fail "dirty pages 7 and 8 expected: $(cat /tmp/second)"
echo "ok: uid $mine has the region of domain $guest, and sees what the guest writes"

refused $theirs "there is no region $cookie" destroy "$cookie"
refused $theirs "there is no region $cookie" snapshot "$cookie"
refused $theirs "bound to domain $other" create --domid "$guest" --vram-gfn 0xf2000 --backing-gfn 0x2000 --pages 4
refused $((base + 30000)) "does not exist" regions
refused 1234 "uid 1234 may not use $socket" regions
[ "$(as_uid $theirs regions | grep -c 0x)" = 0 ] || fail "a device model sees the regions of another domain"
[ "$(as_uid $mine regions | grep -c "$cookie")" = 1 ] || fail "a device model does not see its own region"
xenvramctl regions | grep -q "$cookie" || fail "root does not see the region"
for record in "uid=$theirs .*operation=DestroyRegion cookie=$cookie status=NOT_FOUND" \
	"uid=$theirs .*operation=CreateRegion domid=$guest .*status=PERMISSION_DENIED" \
	"uid=1234 .*operation=Connect status=PERMISSION_DENIED"; do
	grep -q "audit: .*$record" /tmp/xenvramd.log || fail "no record \"$record\": $(cat /tmp/xenvramd.log)"
done
echo "ok: what was refused is in the audit trail"

as_uid $mine destroy "$cookie" || fail "a device model cannot destroy its region"
[ "$(./xen-guest-sum "$guest" 0x1009 0x100)" = "$before" ] || fail "the guest's memory changed"
./handover $socket "$guest" "$other" 4321 0xf2000 0x2000 || fail "a connection cannot be handed over"
[ "$(xenvramctl regions | grep -c 0x)" = 0 ] || fail "a region is left: $(xenvramctl regions)"
echo "ok: a connection bound to domain $guest serves another user, for that domain alone"
stop_service
destroy_domain "$guest"
destroy_domain "$other"
