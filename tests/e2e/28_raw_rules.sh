#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Others' rules on the way to conntrack, loaded after ours. What comes behind defragmentation comes
# too late: marks written whole, conntrack zones and helpers of iptables' table raw; both directions are
# bypassed whole. What comes before, and nft's `ct zone set` anywhere, is told by check and status.
# timeout: 120
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"

lab_pair
on server nft -f - <<'EOT'
table inet fw {
	chain input {
		type filter hook input priority filter; policy drop;
		iif lo accept
		ct state established,related accept
		ct state invalid drop
		meta l4proto { tcp, udp } th dport { 8080, 8081 } accept
		meta l4proto ipv6-icmp accept
	}
}
EOT
for hook in input output; do
	watch_states server $hook "meta l4proto { tcp, udp }"
done
serve echo server echo 8080 8081
daemon_conf server <<<'notrack { tcp, udp } dport 8080 daddr local'
rule=$(rule_where 8080)
# What INPUT and OUTPUT saw: untracked, anything else; what the rule counted of both directions.
seen() {
	on server nft -j list counters | jq -r '[.nftables[].counter? | select(.table // "" | startswith("watch_")) | {k: (.name == "untracked"), n: .packets}] |
		"\([.[] | select(.k).n] | add) \([.[] | select(.k | not).n] | add)"'
}
counted() {
	ctb stats -j | jq -r --argjson h "$rule" '.rules[] | select(.handle == $h) |
		"\(.receive.original.packets) \(.output.reply.packets)"'
}
# whole WHAT: flows of the rule leave no entry and have both counters move, by as much as netfilter
# sees untracked.
whole() {
	local was now in out
	ct_flush server
	read -ra was <<<"$(seen) $(counted)"
	tool client flows -u 4 -f 1 -t 2 8080 10.0.0.1 fd00::1 >flows.log 2>&1 || die "$1: $(tail -n 1 flows.log)"
	read -ra now <<<"$(seen) $(counted)"
	in=$((now[2] - was[2])) out=$((now[3] - was[3]))
	eq "$1: entries" "$(ct_entries server)" 0
	eq "$1: tracked" $((now[1] - was[1])) 0
	ge "$1: counted in" $in 20
	ge "$1: counted out" $out 20
	ge "$1: untracked" $((now[0] - was[0])) $((out + 20))
	say "$1"
}
# The port beside it is tracked as ever.
near_miss() {
	ct_flush server
	tool client flows -u 2 -f 0 -t 1 8081 10.0.0.1 fd00::1 >/dev/null
	eq "$1: entries of the port beside it" "$(ct_entries server)" 6
}
# both COMMAND ARGS...: with iptables and ip6tables, or their legacy twins.
both() {
	on server "$@"
	on server "${1/iptables/ip6tables}" "${@:2}"
}

near_miss "nothing"
for iptables in iptables iptables-legacy; do
	for target in "MARK --set-mark 7" "CT --zone 5"; do
		# shellcheck disable=SC2086 # words
		both $iptables -t raw -A PREROUTING -i s0 -j $target
		# shellcheck disable=SC2086
		both $iptables -t raw -A OUTPUT -j $target
		whole "$iptables raw $target"
		both $iptables -t raw -F
	done
done
for chain in PREROUTING OUTPUT; do
	both iptables -t raw -A $chain -p udp -m multiport --ports 8080 -j CT --helper tftp
done
whole "iptables raw CT --helper"
both iptables -t raw -F
on server nft -f - <<'EOT'
table inet q {
	chain pre {
		type filter hook prerouting priority -310
		iifname "s0" meta mark set 7
	}
	chain out {
		type filter hook output priority -310
		meta mark set 7
	}
}
EOT
whole "nft, priority -310"
near_miss "nft, priority -310"
on server nft delete table inet q

# What cannot be helped is told.
told() { # WORDS, or nothing at all
	local check warnings
	check=$(on server "$CTBYPASS" check -j -c $LAB_CONF | jq -r '.host_warnings[]')
	warnings=$(ctb status -j | jq -r '.warnings[]')
	if [[ -n $1 ]]; then
		has "check" "$check" "$1"
		has "status" "$warnings" "$1"
	else
		eq "check" "$check" ""
		eq "status" "$warnings" ""
	fi
}
# one_sided WORDS...: not by us alone, and told.
one_sided() {
	local words to
	for words; do
		told "$words"
	done
	ct_flush server
	for to in 10.0.0.1 fd00::1; do
		tool client udp_flows -n 2 -t 0.2 $to 8080 >/dev/null || true
	done
	ge "$1: entries" "$(ct_entries server)" 4
	say "told: $1"
}
told ""
ingress() {
	on server nft -f - <<-EOT
		table netdev q {
			chain i {
				type filter hook ingress device "s0" priority 0
				$1
			}
		}
	EOT
}
ingress "meta mark set 7"
if direct; then
	told ""
	whole "netdev ingress, direct mode"
else
	one_sided "nft rule \`netdev q i handle 2\` writes over mark bit 0x40"
fi
on server nft delete table netdev q
ingress "meta mark set meta mark & 0xfffffff0 | 7"
told ""
whole "netdev ingress, masked"
on server nft delete table netdev q

zones() { # CONDITION
	on server nft -f - <<-EOT
		table inet q {
			chain in {
				type filter hook prerouting priority raw
				$1 ct original zone set iifname map { "s0" : 110 }
			}
			chain out {
				type filter hook output priority raw
				$1 ct zone set 110
			}
		}
	EOT
}
zones "meta l4proto udp"
one_sided "sets a conntrack zone on what is untracked: what arrives is tracked again" \
	"sets a conntrack zone on what is untracked: what is sent is tracked again"
on server nft delete table inet q
zones "ct state != untracked"
told ""
whole "nft ct zone set, of what is tracked"
on server nft delete table inet q

skbedit() { on server tc filter add dev s0 ingress pref 10 matchall action skbedit mark "$1" 2>/dev/null; }
on server tc qdisc add dev s0 clsact 2>/dev/null || true
if ! skbedit 7; then
	say "this kernel has no matchall or no skbedit"
	pass
	exit
fi
if direct; then
	told ""
	whole "skbedit, direct mode"
else
	one_sided "a tc filter at ingress of s0 (pref 10, skbedit) writes over mark bit 0x40"
fi
on server tc filter del dev s0 ingress pref 10
skbedit 7/0xf
told ""
whole "skbedit, masked"
pass
