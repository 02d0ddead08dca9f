#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# 1,000 changes of the rules under load: no packet of a flow that both old and new rules bypass is
# tracked or lost, its counters never go back.
# timeout: 240
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"

lab_line
for hook in forward input output; do
	watch_states router $hook "meta l4proto { tcp, udp }"
done
on router nft add rule inet watch_forward c ct state invalid drop
# A tail loss probe is a retransmission without a loss.
for h in client router server; do
	on $h sysctl -qw net.ipv4.tcp_early_retrans=0
done
serve s_udp server udp_echo 8080
serve s_tcp server tcp_server 80
serve r_udp router udp_echo 8080
serve r_tcp router tcp_server 80
daemon_conf router <<<'
set ports { 9999 }
notrack udp dport 8080
notrack tcp dport 80
notrack udp dport @ports'
handles=$(ctb stats -j | jq -r '.rules[] | select(.rule | test("dport 80(80)?$")) | .handle')

background watch router $PYTHON "$LAB_LIB/monotone.py" $LAB_SOCK "notrack udp dport 8080" \
	"notrack tcp dport 80"
serve load client load 10000 8080 80 10.2.0.2 fd02::2 10.1.0.1 fd01::1
first=$(ctb status -j | jq .generation)
out=$(tool router swaps $LAB_SOCK 1000) || die "$out"
say "$out"
ge "generations" $(($(ctb status -j | jq .generation) - first)) 1000
# A file that is read again at every turn, besides.
for _ in {1..20}; do
	ctb reload
done

background_stop watch
out=$(<watch.log)
ge "reads of the statistics" "${out##*reads }" 100
hasnt "counters" "$out" "went from"
hasnt "rules" "$out" "no rule"
background_stop load
out=$(tail -n 1 load.log)
say "$out"
has "load" "$out" "retransmitted 0"
read -r _ _ n _ got _ <<<"$out"
eq "datagrams that came back" "$got" "$n"
ge "datagrams" "$n" 5000
for hook in forward input output; do
	for state in new established invalid related; do
		eq "$hook $state" "$(state_count router $hook $state)" 0
	done
done
eq "entries" "$(ct_entries router)" 0
judged=$(($(state_count router input untracked) + $(state_count router forward untracked) +
	$(state_count router output untracked)))
sum=0
for h in $handles; do
	sum=$((sum + $(rule_all "$h")))
done
eq "packets counted by the two rules" "$sum" "$judged"
pass
