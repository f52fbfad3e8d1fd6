#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Runs as a unit in the container, where xenvram is installed and nothing of it has been started. Ends at the
# first thing that is not as it should be.
set -euo pipefail

readonly tools=/opt/xenvram-test unit=xenvramd.service socket=/run/xenvram/xenvram.sock
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

# eventually COMMAND...: within ten seconds it succeeds.
eventually() {
  for _ in {1..100}; do
    "$@" && return
    sleep 0.1
  done
  fail "not within ten seconds: $*"
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

trap 'journalctl --no-pager >/out/journal' EXIT
check_units
"$tools/simxen" create-host "$SIMXEN_HOST"
"$tools/simxen" create 1
check_activation
check_region
check_privileges
check_restart
check_stop
check_journal
