#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# The control socket under abuse: garbage, huge lines, crowds, slow and vanishing clients. The daemon
# goes on answering, nothing gets in, nothing leaks, traffic is none the worse.
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"

lab_pair
watch_states server input "udp dport 8080"
serve echo server udp_echo 8080
daemon_conf server <<<'
set ports { 9999 }
track udp dport 2000-2100
notrack udp dport 8080
notrack udp dport @ports'
eq "socket's mode" "$(stat -c %a $LAB_SOCK)" 600
list=$(ctb list)
fds() { find /proc/"$LAB_DAEMON"/fd -type l | wc -l; }
before=$(fds)

tool server abuse $LAB_SOCK || die "the control socket can be abused"
# Mutated requests may have been good ones: no harm, but they are rules of port 8080 or its kin.
left() { (($(fds) <= before)); }
poll 15 left || die "descriptors leak: $before before, $(fds) now"
daemon_ready
for handle in $(ctb list -j | jq '.rules[] | select(.handle > 3) | .handle'); do
	ctb delete "$handle" >/dev/null
done
eq "list after the abuse" "$(ctb list)" "$list"
tool client udp_flows -n 20 10.0.0.1 8080
eq "untracked" "$(state_count server input untracked)" 20

# Somebody who is not root.
fails setpriv --reuid 65534 --regid 65534 --clear-groups "$CTBYPASS" status -S $LAB_SOCK
has "an ordinary user" "$OUT" "$LAB_SOCK"

# Nobody there.
fails "$CTBYPASS" status -S $LAB/nowhere.sock
has "no daemon" "$OUT" "nowhere.sock"

# A client killed in the middle of watching.
background watching server "$CTBYPASS" stats -w -S $LAB_SOCK
sleep 0.3
background_stop watching KILL
daemon_ready

# A second daemon on the same pin directory, or on the same socket, is refused, and the first goes on.
fails within 10 "$CTBYPASS" run -c $LAB_CONF -P $LAB_PIN -S $LAB/other.sock
has "a second daemon" "$OUT" "$LAB_PIN"
[[ ! -e $LAB/other.sock ]] || die "a refused daemon left its socket"
fails within 10 nsenter --net=/run/netns/server "$CTBYPASS" run -c $LAB_CONF -P $LAB_BPF/other -S $LAB_SOCK
ctb status >/dev/null
tool client udp_flows -n 20 10.0.0.1 8080
eq "untracked beside a refused second daemon" "$(state_count server input untracked)" 40

# A socket that a killed daemon left behind is no hindrance, and is gone after an orderly stop.
daemon_kill
[[ -S $LAB_SOCK ]]
daemon_start server
daemon_stop
[[ ! -e $LAB_SOCK ]] || die "an orderly stop leaves the socket"
pass
