#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Rules that begin and end under running connections, and what must never be bypassed: a TCP
# connection lives through ten changes of its rule under `invalid drop`, no stale entry is left to
# spoil it later, ssh stays tracked whatever the rules say, flows with NAT are warned of.
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"

lab_line
on router nft -f - <<'EOT'
table inet fw {
	chain forward {
		type filter hook forward priority filter; policy accept;
		ct state invalid counter drop
	}
	chain input {
		type filter hook input priority filter; policy accept;
		ct state invalid counter drop
	}
	chain output {
		type filter hook output priority filter; policy accept;
		ct state invalid counter drop
	}
}
EOT
for hook in forward input output; do
	watch_states router $hook "tcp dport { 80, 22 }"
done
for h in client router server; do
	on $h sysctl -qw net.ipv4.tcp_early_retrans=0
done
serve s_tcp server tcp_server 80 22
serve s_udp server udp_echo 8080
serve r_tcp router tcp_server 80 22
serve r_udp router udp_echo 8080
daemon_conf router <<<'notrack udp dport 9'

# A connection that is tracked again may be entered by the first packet seen, of either side.
entries() { ct_list router -p tcp | grep -c "port=$1 " || true; }
entries_are() { (($(entries 80) == $1)); }
serve load client load 10 8080 80 10.2.0.2 fd02::2 10.1.0.1 fd01::1 || true
poll 5 entries_are 4 || die "entries before the rule: $(entries 80)"
bytes() { ctb stats -j | jq '[.rules[] | .receive[], .output[] | .bytes] | add'; }
for round in {1..10}; do
	handle=$(ctb add notrack tcp dport 80)
	poll 5 entries_are 0 || die "round $round: $(entries 80) entries linger: $(ct_list router -p tcp)"
	moving() { (($(rule_all "$handle") > 50)); }
	poll 5 moving || die "round $round: the connections do not go on, bypassed"
	ctb delete "$handle"
	poll 5 entries_are 4 || die "round $round: $(entries 80) entries after the rule"
done
kill -0 "$(<load.pid)" || die "the load ended: $(<load.log)"
handle=$(ctb add notrack tcp dport 80)
background_stop load
out=$(tail -n 1 load.log)
say "$out"
hasnt "connections" "$out" "tcp 10."
hasnt "connections" "$out" "tcp fd0"
sleep 1.2 # the last look at the table, a second after the change
eq "entries at the end" "$(entries 80)" 0

# failsafe: ssh is tracked, in and out and through, under any rule; and only ssh.
cat >$LAB_CONF <<<'notrack { tcp, udp, icmp, icmpv6 }'
ctb reload
ct_flush router
before=$(state_count router forward untracked)
for dst in 10.2.0.2 fd02::2 10.1.0.1 fd01::1; do
	tool client tcp_flows -n 3 $dst 22
	tool client tcp_flows -n 3 $dst 80
done
tool router tcp_flows -n 3 10.2.0.2 22
eq "entries of ssh" "$(entries 22)" 15
eq "entries" "$(ct_entries router)" 15
ge "untracked" "$(state_count router forward untracked)" $((before + 10))
failsafe() { ctb stats -j | jq '.failsafe | [.receive[], .output[] | .packets] | add'; }
ge "counted for failsafe" "$(failsafe)" 100

# Its own words for it.
cat >$LAB_CONF <<<'failsafe { udp 53 }
notrack { tcp, udp, icmp, icmpv6 }'
ctb reload
ct_flush router
tool client tcp_flows -n 3 10.1.0.1 22
eq "entries of ssh, no longer safe" "$(ct_entries router)" 0

# An exception before the rule.
cat >$LAB_CONF <<<'track tcp dport 80 daddr 10.2.0.2
notrack tcp dport 80'
ctb reload
ct_flush router
tool client tcp_flows -n 3 10.2.0.2 80
tool client tcp_flows -n 3 fd02::2 80
tool client tcp_flows -n 3 10.1.0.1 80
eq "entries of the exception" "$(ct_entries router)" 3
eq "packets of the exception" "$(($(rule_all "$(rule_where "track tcp dport 80 daddr")") > 20))" 1

# A flow with NAT breaks when it is bypassed: its entry is left alone, status says so.
echo 'notrack udp dport 9' >$LAB_CONF
ctb reload
ct_flush router
on router nft -f - <<'EOT'
table ip nat {
	chain postrouting {
		type nat hook postrouting priority srcnat;
		oifname "r1" tcp dport 81 masquerade
	}
}
EOT
serve nat_tcp server tcp_server 81
tool client tcp_flows -n 1 10.2.0.2 81
eq "entries with NAT" "$(entries 81)" 1
hasnt "status before the rule" "$(ctb status)" "NAT"
ctb add notrack tcp dport 81 >/dev/null
has "status" "$(ctb status)" "NAT"
eq "entries with NAT under the rule" "$(entries 81)" 1
pass
