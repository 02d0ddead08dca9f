#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# A transparent proxy answers in the name of others: what it sends is judged by the addresses that it
# borrows, as what it receives is, so that both directions of a flow meet the same rule. That its
# table delivers everything to this host does not make everything `local`.
# timeout: 120
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"
. "$LAB_LIB/gains.sh"

lab_line
on router nft -f - <<'EOT' 2>/dev/null || skip "this kernel's nft has no tproxy"
table inet divert {
	chain c {
		type filter hook prerouting priority mangle; policy accept;
		iifname r0 meta nfproto ipv4 meta l4proto { tcp, udp } th dport 8080 tproxy ip to :8080 meta mark set meta mark | 0x1 accept
		iifname r0 meta nfproto ipv6 meta l4proto { tcp, udp } th dport 8080 tproxy ip6 to :8080 meta mark set meta mark | 0x1 accept
	}
}
EOT
for v in -4 -6; do
	on router ip $v rule add fwmark 0x1/0x1 lookup 100
	on router ip $v route add local default dev lo table 100
done
ports='meta l4proto { tcp, udp } th dport { 8080, 8081 }'
watch_states router forward
watch_states router input "$ports"
watch_states router output "${ports/dport/sport}"
long_entries
serve proxy router echo -t 8080
serve echo server echo 8081
everybody="10.2.0.2 fd02::2"

# flows PORT: to the server, in FROM_CLIENT and TO_CLIENT what that were on the cable.
flows() {
	ct_flush router
	on router nft reset counters >/dev/null
	capture_start wire client c0 "port $1"
	# shellcheck disable=SC2086 # words
	around tool client flows -u 10 -f 0 -t 2 "$1" $everybody
	capture_stop wire
	FROM_CLIENT=$(captured wire "dst port $1") TO_CLIENT=$(captured wire "src port $1")
	ge "packets" "$FROM_CLIENT" 60
}
states() { # HOOK: their sum and what is untracked
	local state sum=0
	for state in untracked invalid new established related; do
		sum=$((sum + $(state_count router "$1" $state)))
	done
	echo "$sum $(state_count router "$1" untracked)"
}
# bypassed RECEIVED SENT: all that was proxied, by the rule in these directions of its counters.
bypassed() {
	flows 8080
	eq "$RULE: entries" "$(ct_list router -p tcp --dport 8080; ct_list router -p udp)" ""
	eq "$RULE: received" "$(states input)" "$FROM_CLIENT $FROM_CLIENT"
	eq "$RULE: sent" "$(states output)" "$TO_CLIENT $TO_CLIENT"
	eq "$RULE: counted as received" "$(rule_stat "$HANDLE" receive "$1" packets)" "$FROM_CLIENT"
	eq "$RULE: counted as sent" "$(rule_stat "$HANDLE" output "$2" packets)" "$TO_CLIENT"
	eq "$RULE: counted" "$(rule_all "$HANDLE")" $((FROM_CLIENT + TO_CLIENT))
}
# tracked PORT HOOK...: nothing fits; in these hooks.
tracked() {
	local port=$1 hook
	shift
	flows "$port"
	eq "$RULE: entries" "$(ct_count router -p udp --dport "$port")" 20
	eq "$RULE: TCP's" "$(ct_count router -p tcp --dport "$port")" 4
	for hook; do
		eq "$RULE: untracked in $hook" "$(state_count router "$hook" untracked)" 0
		eq "$RULE: invalid in $hook" "$(state_count router "$hook" invalid)" 0
	done
	eq "$RULE: counted" "$(rule_all "$HANDLE")" 0
}
rule() {
	RULE=$1
	echo "$RULE" >$LAB_CONF
	[[ -S $LAB_SOCK ]] || daemon_start router
	ctb reload >/dev/null
	HANDLE=$(rule_where "${RULE%% *}")
	hasnt "status" "$(ctb status)" "table 100"
}

rule 'notrack saddr !local daddr !local'
bypassed original original
rule 'notrack { tcp, udp } dport 8080 daddr { 10.2.0.2, fd02::2 } saddr !local'
bypassed original reply
rule 'notrack { tcp, udp } dport { 8080, 8081 } daddr local'
tracked 8080 input output
tracked 8081 forward

# More prefixes than nft is given: both ends foreign is all that is left of the rule, and what a proxy
# sends is that. It is said, where nft judges, and only where there is such a table.
{
	echo "set big {"
	awk 'BEGIN { for (i = 0; i <= 100000; i++) printf "%d.%d.%d.0/24,\n", 11 + i / 65536, i / 256 % 256, i % 256 }'
	echo "}"
	echo "notrack tcp dport 8080 saddr !local daddr @big"
} >$LAB_CONF
warning="table 100 has routes of type local"
has "check" "$(on router "$CTBYPASS" check -c $LAB_CONF 2>&1)" "$warning"
ctb reload >/dev/null
if direct_out; then
	hasnt "status" "$(ctb status)" "$warning"
else
	has "status" "$(ctb status)" "$warning"
fi
on router ip route flush table 100
has "check" "$(on router "$CTBYPASS" check -c $LAB_CONF 2>&1)" "$warning"
on router ip -6 route flush table 100
hasnt "check" "$(on router "$CTBYPASS" check -c $LAB_CONF 2>&1)" "$warning"
hasnt "status" "$(ctb status)" "$warning"
pass
