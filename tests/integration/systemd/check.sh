#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Runs as a unit in the container, where xenvram is installed and nothing of it has been started. Ends at the
# first thing that is not as it should be.
set -euo pipefail

readonly tools=/opt/xenvram-test unit=xenvramd.service socket=/run/xenvram/xenvram.sock
readonly config=/etc/xenvram/xenvramd.conf uid_base=3000000
export SIMXEN_HOST=/dev/shm/simxen

fail() {
  echo "FAILED: $*"
  systemctl status --no-pager --full "$unit" || true
  exit 1
}

passed() {
  echo "ok: $*"
}

property() {
  systemctl show --property="$1" --value "${2-$unit}"
}

# eventually COMMAND...: within half a minute it succeeds.
eventually() {
  for _ in {1..300}; do
    "$@" && return
    sleep 0.1
  done
  fail "not within half a minute: $*"
}

# process ROLE: the process id of that role's process.
process() {
  pgrep --full "^xenvramd --role=$1 " || fail "there is no $1"
}

status_of() {
  sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status"
}

has_new_supervisor() {
  [ "$(property ActiveState)" = active ] && [ "$(property MainPID)" != "$1" ]
}

answers() {
  xenvramctl regions >/dev/null
}

lists_region() {
  xenvramctl regions | grep -q "^$cookie "
}

# as USER GROUPS COMMAND...
as() {
  setpriv --reuid="$1" --regid="$1" --groups="$2" "${@:3}"
}

# create_refused DOMID WORD: another region of the domain is refused, and told why.
create_refused() {
  answer=$(xenvramctl create --domid "$1" --vram-gfn 0xf1000 --backing-gfn 0x2000 --pages 16 2>&1) && return 1
  [[ $answer == *"$2"* ]]
}

# recorded FIELD=VALUE...: the service has written an entry with all of them to the journal.
recorded() {
  journalctl --sync
  [ -n "$(journalctl --quiet --output=cat "_SYSTEMD_UNIT=$unit" "$@")" ]
}

# said SENTENCE: the service has written it to the journal since the reload.
said() {
  journalctl --sync
  journalctl --quiet --output=cat --after-cursor="$cursor" --unit="$unit" | grep -F -- "$1" >/dev/null
}

# reload STATUS: with the standard input as the configuration file, the service gets there.
reload() {
  cat >"$config"
  journalctl --sync
  cursor=$(journalctl --quiet --lines=1 --show-cursor | sed -n 's/^-- cursor: //p')
  systemctl reload "$unit" || fail "systemctl reload: status $?"
  eventually said "$1"
  eventually is_serving
}

is_serving() {
  [ "$(property ActiveState)" = active ]
}

check_units() {
  systemd-analyze verify --man=no xenvramd.socket "$unit" || fail "systemd-analyze finds fault with the units"
  passed "systemd-analyze verify"
  systemd-analyze security --no-pager --offline=true --threshold=25 "$unit" >/tmp/security ||
    fail "exposed more than it should be: $(tail -n 1 /tmp/security)"
  passed "systemd-analyze security: $(tail -n 1 /tmp/security)"
}

check_activation() {
  systemctl start xenvramd.socket
  [ "$(property ActiveState)" = inactive ] || fail "the service runs before anyone has connected"
  answers || fail "xenvramctl regions: no answer"
  [ "$(property ActiveState)" = active ] || fail "the service is $(property ActiveState) after the first answer"
  [ -n "$(property StatusText)" ] || fail "the daemon has told systemd no status"
  passed "the first connection starts the service, which is ready: $(property StatusText)"
}

# is_powerless ROLE USER
is_powerless() {
  local process
  process=$(process "$1")
  [ "$(ps -o user:32= -p "$process")" = "$2" ] || fail "the $1 is user $(ps -o user:32= -p "$process"), not $2"
  [ "$(status_of "$process" CapPrm) $(status_of "$process" NoNewPrivs) $(status_of "$process" Seccomp)" = \
    "0000000000000000 1 2" ] || fail "the $1 has more than it needs"
}

check_region() {
  cookie=$(xenvramctl create --domid 1 --vram-gfn 0xf0000 --backing-gfn 0x1000 --pages 64)
  lists_region || fail "the new region $cookie is not listed"
  passed "region $cookie is created and listed"
}

check_reload() {
  local supervisor line usual
  usual=$(cat "$config")
  supervisor=$(property MainPID)
  create_refused 1 "at most 1 " && fail "the limit holds before it is set"
  xenvramctl destroy "$answer" >/dev/null || fail "a second region is not created: $answer"

  reload "the configuration was read anew" <<<$'[limits]\nregions-per-domain = 1'
  eventually create_refused 1 "at most 1 "
  [ "$(property StatusText)" = Serving ] || fail "the status after a reload: $(property StatusText)"
  passed "systemctl reload: the new limit holds"

  reload "was not read anew" <<<$'[limits]\nregions-per-domain = 2\nregions = lots\n\n[limit]\nconnections 9'
  for line in '3: regions is "lots"' '5: there is no section [limit]' '6: "connections 9" is no section'; do
    said "$config:$line" || fail "the journal does not have the fault of line $line"
  done
  [[ $(property StatusText) == *"has faults"* ]] || fail "the status does not tell: $(property StatusText)"
  create_refused 1 "at most 1 " || fail "a faulty file has changed the settings: $answer"
  lists_region || fail "the region is not listed after a faulty file"
  passed "systemctl reload with a faulty file: every fault is in the journal, and the old limit holds"

  reload "the configuration was read anew" <<<"$usual"
  [ "$(property MainPID)" = "$supervisor" ] || fail "a reload has started another supervisor"
}

check_people() {
  local asker mine
  reload "the configuration was read anew" <<<$'[access]\ndomain-uid-base = '"$uid_base"

  xenvramctl create --domid 2 --vram-gfn 0xf0000 --backing-gfn 0x1000 --pages 64 >/tmp/cookie &
  asker=$!
  wait "$asker" || fail "root's region is not created"
  recorded XENVRAM_OPERATION=CreateRegion XENVRAM_UID=0 XENVRAM_PID="$asker" XENVRAM_DOMID=2 XENVRAM_STATUS=OK \
    PRIORITY=5 XENVRAM_COOKIE="$(cat /tmp/cookie)" || fail "no record of the creation by root, pid $asker"
  recorded XENVRAM_OPERATION=CreateRegion XENVRAM_DOMID=2 XENVRAM_PID=1 && fail "init has created a region"
  passed "journalctl XENVRAM_OPERATION=CreateRegion tells who, for whom, and with what result"

  as 65534 65534 xenvramctl regions 2>/tmp/said && fail "a stranger is served"
  grep -q 'uid 65534' /tmp/said || fail "a stranger is not told why: $(cat /tmp/said)"
  recorded XENVRAM_OPERATION=Connect XENVRAM_UID=65534 XENVRAM_STATUS=PERMISSION_DENIED PRIORITY=4 ||
    fail "no record of the refused user"
  passed "a stranger is refused, and recorded"

  useradd --groups xenvram alice
  setpriv --reuid=alice --regid=alice --init-groups xenvramctl destroy "$(cat /tmp/cookie)" >/dev/null ||
    fail "a member of group xenvram is no administrator"
  recorded XENVRAM_OPERATION=DestroyRegion XENVRAM_UID="$(id -u alice)" XENVRAM_STATUS=OK ||
    fail "no record of what the administrator did"
  passed "a member of group xenvram administers"

  mine=$(as $((uid_base + 2)) $((uid_base + 2)) \
    xenvramctl create --domid 2 --vram-gfn 0xf0000 --backing-gfn 0x1000 --pages 64) ||
    fail "the device model of domain 2 cannot create a region"
  recorded XENVRAM_OPERATION=CreateRegion XENVRAM_UID=$((uid_base + 2)) XENVRAM_BOUND_DOMID=2 \
    XENVRAM_STATUS=OK || fail "no record of what the device model did"
  [ "$(as $((uid_base + 2)) $((uid_base + 2)) xenvramctl regions | grep -o '^0x[0-9a-f]*')" = "$mine" ] ||
    fail "the device model of domain 2 does not see its own region alone"
  as $((uid_base + 2)) $((uid_base + 2)) xenvramctl destroy "$cookie" >/dev/null 2>&1 &&
    fail "the device model of domain 2 destroys a region of domain 1"
  recorded XENVRAM_OPERATION=DestroyRegion XENVRAM_COOKIE="$cookie" XENVRAM_UID=$((uid_base + 2)) \
    XENVRAM_STATUS=NOT_FOUND || fail "no record of the attempt on domain 1"
  as $((uid_base + 2)) $((uid_base + 2)) xenvramctl destroy "$mine" >/dev/null
  passed "a device model's uid is bound to its domain"
}

check_privileges() {
  [ "$(stat -c '%U:%G %a' "$socket")" = "root:root 666" ] || fail "the socket's owner or mode"
  is_powerless broker xenvram
  is_powerless worker xenvram-worker
  passed "broker and worker run as users of their own, without capabilities"
}

check_restart() {
  local supervisor
  supervisor=$(property MainPID)
  kill -KILL "$supervisor"
  eventually has_new_supervisor "$supervisor"
  lists_region || fail "the region is not listed after the supervisor was killed"
  passed "a killed supervisor is started again, and its region is there"

  supervisor=$(property MainPID)
  kill -STOP "$supervisor"
  eventually has_new_supervisor "$supervisor"
  lists_region || fail "the region is not listed after the supervisor hung"
  passed "a supervisor that hangs is ended by the watchdog and started again, and its region is there"
}

check_stop() {
  systemctl stop "$unit" xenvramd.socket
  [ "$(property ActiveState) $(property Result)" = "inactive success" ] ||
    fail "stopped: $(property ActiveState), $(property Result)"
  ! pgrep --full '^([^ ]*/)?xenvramd( |$)' || fail "processes are left after the stop"
  systemctl start xenvramd.socket
  lists_region || fail "the region is not listed after a stop and a new start"
  xenvramctl destroy "$cookie"
  systemctl stop "$unit" xenvramd.socket
  passed "it stops without leaving a process, and starts again with its region"
}

check_journal() {
  journalctl --sync
  local lines
  lines=$(journalctl --quiet --unit="$unit" --identifier=xenvramd | wc -l)
  [ "$lines" != 0 ] || fail "the daemon has written nothing to the journal"
  passed "the journal has $lines lines of the daemon"
}

check_config() {
  [ "$(stat -c '%U:%G %a' "$config")" = "root:root 644" ] || fail "the configuration file's owner or mode"
  grep -q '^# An administrator was here\.$' "$config" || fail "installing again has replaced the configuration file"
  passed "the configuration file is installed, and the next installation keeps it"
}

trap 'journalctl --no-pager >/out/journal' EXIT
check_units
check_config
"$tools/simxen" create-host "$SIMXEN_HOST"
"$tools/simxen" create 1
"$tools/simxen" create 2
check_activation
check_region
check_privileges
check_reload
check_people
check_restart
check_stop
check_journal
