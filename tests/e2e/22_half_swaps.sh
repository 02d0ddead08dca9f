#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# A daemon that dies between the two halves of a swap leaves flows torn that only one of the two rule
# sets bypasses. The next one makes it whole; one that cannot start silences both halves, and says so.
# A swap that fails and cannot be taken back comes to the same.
# timeout: 180
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"
unset CTB_CONFINE # what is preloaded is not there
fault=${CTBYPASS%/*}/tests/e2e/swap_fault.so
[[ -e $fault ]] || skip "no $fault: run make tests"
# A build with sanitizers wants its library first.
LD_PRELOAD_FAULT="$(ldd "$CTBYPASS" | awk '/libasan/ { print $3 }') $fault"
export CTB_FAULT=$LAB/fault

lab_line
watch_states router forward # conntrack is used
serve router router udp_echo 8080 9000
serve server server udp_echo 8080 9000
# flows PORT: what conntrack of the router makes of one to it and of one through it.
flows() {
	local dst entries
	ct_flush router
	for dst in 10.1.0.1 10.2.0.2; do
		tool client udp_flows -n 1 $dst "$1" >/dev/null || { echo "no answer from $dst" && return; }
	done
	entries=$(ct_list router)
	case "$(grep -c . <<<"$entries") $entries" in
	*UNREPLIED*) echo one-sided ;;
	0*) echo none ;;
	2*) echo whole ;;
	*) echo "in part: $entries" ;;
	esac
}
start() { LD_PRELOAD=$LD_PRELOAD_FAULT daemon_start router; }
no_start() { # WORDS...: the output is in $OUT
	fails within 20 env LD_PRELOAD="$LD_PRELOAD_FAULT" nsenter --net=/run/netns/router "$CTBYPASS" run \
		-c "${1:-$LAB_CONF}" -P $LAB_PIN -S $LAB_SOCK
}
dies_in_swap() { # NTH: at the Nth device, while a rule for port 9000 begins
	rm -f fault
	start
	eq "port 8080 before" "$(flows 8080)" none
	eq "port 9000 before" "$(flows 9000)" whole
	echo "die $1" >fault
	fails ctb add notrack udp dport 9000
	wait "$LAB_CHILD" 2>/dev/null || true
	rm fault
	eq "port 8080, torn" "$(flows 8080)" none
}
echo 'notrack udp dport 8080' >$LAB_CONF
echo 'notrack udp dport' >broken

# ---- died in a swap ------------------------------------------------------------------------

dies_in_swap 1
eq "port 9000, torn" "$(flows 9000)" one-sided
# Who looks is told.
fails on router "$CTBYPASS" status -S $LAB_SOCK -P $LAB_PIN
has "status without a daemon" "$OUT" "died in the middle of a change of rules"
has "check" "$(on router "$CTBYPASS" check -c $LAB_CONF -P $LAB_PIN 2>&1)" "died in the middle"
# The next one makes it whole, and nothing is lost.
count=$(bpftool -j map dump pinned $LAB_PIN/maps/rules | jq '[.. | .packets? | select(. != null)] | add')
start
eq "port 9000 after a restart" "$(flows 9000)" whole
eq "port 8080 after a restart" "$(flows 8080)" none
ge "packets counted" "$(rule_all "$(rule_where 8080)")" "$count"
daemon_stop
fails on router "$CTBYPASS" status -S $LAB_SOCK -P $LAB_PIN
hasnt "status, whole again" "$OUT" "died"

# One that cannot start silences both halves. Counters and all stay for one that can.
dies_in_swap 2
no_start broken
has "a start over half a swap" "$OUT" "broken off in the middle"
eq "port 8080, silenced" "$(flows 8080)" whole
eq "port 9000, silenced" "$(flows 9000)" whole
count=$(bpftool -j map dump pinned $LAB_PIN/maps/rules | jq '[.. | .packets? | select(. != null)] | add')
no_start broken # again: there is nothing to do
hasnt "a second start" "$OUT" "broken off"
start
eq "port 8080 after silence" "$(flows 8080)" none
eq "port 9000 after silence" "$(flows 9000)" whole
eq "the handle after silence" "$(rule_where 8080)" 1
ge "packets counted, after silence" "$(rule_all 1)" "$count"
# Near miss: one that dies between two swaps leaves nothing torn, and nothing is touched.
daemon_kill
no_start broken
hasnt "a start over a whole one" "$OUT" "broken off"
eq "port 8080, not silenced" "$(flows 8080)" none

# ---- a swap that fails ---------------------------------------------------------------------

# Over the rules of a daemon before, which nobody knows any more: the start fails, nothing is torn.
echo 'notrack udp dport 8080' >$LAB_CONF
start
daemon_stop
echo "fail 2" >fault
echo 'notrack udp dport 9000' >$LAB_CONF
no_start
has "a start whose swap fails" "$OUT" "cannot swap the program"
has "a start whose swap fails" "$OUT" "nothing is bypassed until"
eq "port 8080 after it" "$(flows 8080)" whole
eq "port 9000 after it" "$(flows 9000)" whole
# Of a running daemon: back to the old rules, in both halves.
rm fault
echo 'notrack udp dport 8080' >$LAB_CONF
start
echo "once 2" >fault
fails ctb add notrack udp dport 9000
rm fault
eq "port 8080 after a change that failed" "$(flows 8080)" none
eq "port 9000 after a change that failed" "$(flows 9000)" whole
daemon_kill
no_start broken
hasnt "a start after that" "$OUT" "broken off"
eq "port 8080 after that" "$(flows 8080)" none

# What cannot be taken back either is tried again until it can be made.
start
echo "fail 2" >fault
fails ctb add notrack udp dport 9000
has "the log" "$(<daemon.log)" "can neither be made nor taken back"
rm fault
whole() { [[ $(flows 9000) == whole && $(flows 8080) == none ]]; }
poll 20 whole || die "still torn: port 9000 $(flows 9000), port 8080 $(flows 8080)"
daemon_kill
no_start broken
hasnt "a start after a repair" "$OUT" "broken off"

# ---- the very first start ------------------------------------------------------------------

on router "$CTBYPASS" unload -P $LAB_PIN
no_start broken
[[ ! -e $LAB_PIN ]] || die "left in bpffs: $(find $LAB_PIN)"
pass
