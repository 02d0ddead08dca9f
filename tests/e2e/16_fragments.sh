#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Fragmented UDP over MTU 1500, bypassed: cut by the kernel and by hand, in and out of order, IPv4
# and IPv6, forwarded and to this host. The first fragment is judged, the others are counted as
# such, everything arrives, nothing is tracked.
# kernels: few
# kernels: few direct
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"

lab_line
for hook in forward input output; do
	watch_states router $hook "meta l4proto udp"
done
on router nft add rule inet watch_forward c ct state invalid drop
serve echo server udp_echo 8080 8081
serve own router udp_echo 8080 8081
daemon_conf router <<<'notrack udp dport 8080'
rule=$(rule_where 8080)
mac=$(mac_of router r0)

tracked() {
	local hook state n=0
	for hook in forward input output; do
		for state in new established invalid related; do
			n=$((n + $(state_count router $hook $state)))
		done
	done
	echo "$n"
}

# Cut by the kernel: 3,000 bytes are three fragments.
capture_start wire router any -Q in udp or ip6 proto 44
for dst in 10.2.0.2 fd02::2 10.1.0.1 fd01::1; do
	tool client udp_flows -n 20 -s 3000 $dst 8080
done
capture_stop wire
eq "tracked" "$(tracked)" 0
eq "entries" "$(ct_entries router)" 0
# To the server and back: 40 flows of two first fragments; to the router: 40 of one.
eq "the rule in ingress" "$(($(rule_stat "$rule" receive original packets) + \
	$(rule_stat "$rule" receive reply packets)))" 120
eq "the rule in OUTPUT" "$(rule_stat "$rule" output reply packets)" 40
eq "later fragments" "$(reason later-fragment)" 240
eq "first fragments on the wire" "$(captured wire '(ip[6:2] & 0x1fff = 0 and udp) or
	(ip6 proto 44 and ip6[42:2] & 0xfff8 = 0)')" 120
eq "FORWARD untracked" "$(state_count router forward untracked)" 80

# Cut by hand.
later=$(reason later-fragment)
judged=$(rule_all "$rule")
out=$(tool client fragments c0 "$mac" 5 8080 10.1.0.2,10.2.0.2 fd01::2,fd02::2 10.1.0.2,10.1.0.1 \
	fd01::2,fd01::1) || die "$out"
say "$out"
read -r _ count _ sent _ echoed <<<"$out"
eq "echoed" "$echoed" "$count"
eq "datagrams" "$count" 80
eq "tracked" "$(tracked)" 0
eq "entries" "$(ct_entries router)" 0
# The replies of the server came in cut by its kernel: three fragments each, the first judged.
eq "judged" $(($(rule_all "$rule") - judged)) $((count * 2))
eq "later fragments, by hand" $(($(reason later-fragment) - later)) $((sent - count + count / 2 * 2))

# The near miss is tracked, and its fragments are not counted for the rule.
judged=$(rule_all "$rule")
tool client udp_flows -n 10 -s 3000 10.2.0.2 8081
tool client udp_flows -n 10 -s 3000 fd02::2 8081
eq "entries of the near miss" "$(ct_entries router)" 20
eq "the rule afterwards" "$(rule_all "$rule")" "$judged"
pass
