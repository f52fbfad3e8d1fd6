# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# For scripts that run the service on a simulated host. Sourced.

# serve DIRECTORY LOG OPTION...: starts the xenvramd of $build, with its socket in DIRECTORY, and waits until it serves: the
# socket is there earlier than it can be connected to. Its pid is $service, and the last of "${pids[@]}".
serve() {
  local directory=$1 log=$2 users=()
  shift 2
  [ "$(id -u)" != 0 ] || users=(--broker-user nobody --worker-user nobody)
  : >"$log" # of an earlier one
  # shellcheck disable=SC2154 # it is the script's
  "$build/daemon/xenvramd" --socket "$directory" "${users[@]}" "$@" 2>"$log" &
  service=$!
  pids+=("$service")
  for _ in $(seq 600); do
    ! grep -q ': serving$' "$log" || return 0
    sleep 0.05
  done
  echo "xenvramd does not serve; it said:" >&2
  cat "$log" >&2
  return 1
}
