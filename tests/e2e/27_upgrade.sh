#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Under load a daemon takes over the table of a build that hooked at raw, and moves it in front: not a
# packet is tracked or counted twice, counters go on, nothing of the old chains is left.
# timeout: 180
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"
. "$LAB_LIB/load.sh"
! direct_out || skip "in direct mode there is no table"

lab_line
for hook in forward input output; do
	watch_states router $hook "meta l4proto { tcp, udp }"
done
load_servers
daemon_conf router <<<'
notrack udp dport 8080
notrack tcp dport 80'
tool client udp_flows -n 10 10.1.0.1 8080
daemon_kill
table() { on router nft -n list table inet ctbypass; }
older=$(table | sed 's/priority -399;/priority -300;/')
chains=2
! direct || chains=1
eq "chains at raw" "$(grep -c "priority -300;" <<<"$older")" $chains
on router nft -f - <<<"delete table inet ctbypass"$'\n'"$older"
eq "OUTPUT's counter" "$(table | grep -A1 "counter r[0-9]*_reply" | grep -c "packets 10 ")" 1

serve load client load 20000 8080 80 10.2.0.2 fd02::2 10.1.0.1 fd01::1
daemon_start router
moved() { ! table | grep -q -e old_ -e "priority -300;"; }
poll 10 moved || die "still at raw: $(table)"
eq "chains in front" "$(table | grep -c "priority -399;")" $chains
load_untracked
eq "counted" $(($(rule_all "$(rule_where 8080)") + $(rule_all "$(rule_where tcp)"))) "$judged"
pass
