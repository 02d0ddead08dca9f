#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# A UDP service on 8080: 1,000 flows of each family leave no conntrack entry, the rule's counters
# are what the wire carried, the replies are UNTRACKED in OUTPUT. 8081 beside it stays tracked.
# kernels: few
# run: confined
# kernels: few direct
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"

lab_pair
on server nft -f - <<'EOT'
table inet fw {
	chain input {
		type filter hook input priority filter; policy drop;
		ct state established,related accept
		ct state invalid drop
		udp dport { 8080, 8081 } accept
		icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
	}
	chain output {
		type filter hook output priority filter; policy accept;
		ct state invalid drop
	}
}
EOT
watch_states server input "meta l4proto udp"
watch_states server output "meta l4proto udp"
serve echo server udp_echo 8080 8081
daemon_conf server <<<'notrack udp dport 8080'
rule=$(rule_where "udp dport 8080")

capture_start wire server s0 udp
tool client udp_flows -n 1000 -k 2 -s 64 10.0.0.1 8080
tool client udp_flows -n 1000 -k 2 -s 64 fd00::1 8080
capture_stop wire

in=$(captured wire udp dst port 8080)
out=$(captured wire udp src port 8080)
eq "datagrams to the server" "$in" 4000
eq "datagrams from the server" "$out" 4000
eq "entries" "$(ct_entries server)" 0
eq "rule: in, packets" "$(rule_stat "$rule" receive original packets)" "$in"
eq "rule: in, bytes" "$(rule_stat "$rule" receive original bytes)" $((2000 * (20 + 72) + 2000 * (40 + 72)))
eq "rule: out, packets" "$(rule_stat "$rule" output reply packets)" "$out"
eq "rule: out, bytes" "$(rule_stat "$rule" output reply bytes)" $((2000 * (20 + 72) + 2000 * (40 + 72)))
eq "rule: nothing else" "$(rule_all "$rule")" $((in + out))
eq "INPUT untracked" "$(state_count server input untracked)" "$in"
eq "OUTPUT untracked" "$(state_count server output untracked)" "$out"
for state in new established invalid related; do
	eq "INPUT $state" "$(state_count server input $state)" 0
	eq "OUTPUT $state" "$(state_count server output $state)" 0
done

# The near miss.
before=$(reason no-match)
tool client udp_flows -n 50 -k 2 10.0.0.1 8081
tool client udp_flows -n 50 -k 2 fd00::1 8081
eq "entries of 8081" "$(ct_count server -p udp --orig-port-dst 8081)" 100
eq "entries" "$(ct_entries server)" 100
eq "OUTPUT untracked afterwards" "$(state_count server output untracked)" "$out"
eq "the rule afterwards" "$(rule_all "$rule")" $((in + out))
ge "no-match" "$(reason no-match)" $((before + 200))

pass
