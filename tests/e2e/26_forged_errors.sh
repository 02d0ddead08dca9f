#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# ICMP errors whose quote somebody invented, and redirects: a bypass is no way for them to a host that
# no rule names, past a FORWARD policy of drop. They are judged by what they quote only on their way
# to the one who sent that, which is what conntrack asks for, too. Genuine errors about bypassed flows
# pass: see 17_pmtu_ttl.sh.
#
#   client -- router -- server         (ctbypass and the firewall on router)
#               |
#              cust 203.0.113.5, fd03::5
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"

lab_line
lab_host cust
lab_cable router r2 cust k0
lab_addr router r2 203.0.113.1/24 fd03::1/64
lab_addr cust k0 203.0.113.5/24 fd03::5/64
on cust ip route add default via 203.0.113.1
on cust ip route add default via fd03::1
for h in server cust; do
	on $h nft -f - <<-'EOT'
		table inet got {
			counter errors { }
			counter redirects { }
			counter last { }
			chain c {
				type filter hook prerouting priority -150
				icmp type destination-unreachable counter name errors
				icmp type redirect counter name redirects
				icmp type echo-request counter name last
				icmpv6 type destination-unreachable counter name errors
				icmpv6 type nd-redirect counter name redirects
				icmpv6 type echo-request counter name last
			}
		}
	EOT
done
on router nft -f - <<'EOT'
table inet out {
	counter errors { }
	counter redirects { }
	chain c {
		type filter hook output priority filter
		ct state untracked icmp type destination-unreachable counter name errors
		ct state untracked icmp type redirect counter name redirects
		ct state untracked icmpv6 type destination-unreachable counter name errors
		ct state untracked icmpv6 type nd-redirect counter name redirects
	}
}
EOT
firewall() { # ACCEPTED
	on router nft -f - <<-EOT
		table inet fw
		delete table inet fw
		table inet fw {
			chain forward {
				type filter hook forward priority filter; policy drop;
				ct state established,related accept
				icmp type echo-request accept
				icmpv6 type echo-request accept
				$1
			}
		}
	EOT
}

N=10
got() { # HOST COUNTER
	on "$1" nft -j list counters | jq -r "[.nftables[].counter | values | select(.name == \"$2\").packets][0]"
}
clear() { # counters
	local h
	for h in server cust router; do
		on $h nft reset counters >/dev/null
	done
}
last() { (($(got "$1" last) == 2)); }
# forge HOST SENDER RECEIVER SENDER6 RECEIVER6: N of each kind of either family from client to HOST, that
# quote a packet which SENDER sent
declare -A ADDR=([server]="10.2.0.2 fd02::2" [cust]="203.0.113.5 fd03::5")
router_mac=$(mac_of router r0)
forge() {
	local to
	read -ra to <<<"${ADDR[$1]}"
	clear
	tool client forged_errors c0,"$router_mac" 10.1.0.2 "${to[0]}" "$2" "$3" $N
	tool client forged_errors c0,"$router_mac" fd01::2 "${to[1]}" "$4" "$5" $N
	poll 10 last "$1" || die "the last one never came to $1"
}
arrive() { # HOST WHAT ERRORS REDIRECTS
	eq "errors that $1 got, $2" "$(got "$1" errors)" "$3"
	eq "redirects that $1 got, $2" "$(got "$1" redirects)" "$4"
}
left_alone() { # BAD-QUOTE REDIRECT: more of them than when it was asked the last time
	local bad redirect
	read -r bad redirect < <(ctb stats -j | jq -r '.reasons | map({(.name): .packets}) | add |
		"\(.["bad-quote"]) \(.redirect)"')
	eq "counted as bad-quote" $((bad - ${bad_before:-0})) "$1"
	eq "counted as redirect" $((redirect - ${redirect_before:-0})) "$2"
	bad_before=$bad redirect_before=$redirect
}
CUST_TO_WORLD="203.0.113.5 198.51.100.7 fd03::5 2001:db8::7"
CUST_TO_ROUTER="203.0.113.5 10.1.0.1 fd03::5 fd01::1"
SERVER_TO_ROUTER="10.2.0.2 10.2.0.1 fd02::2 fd02::1"
SERVER_TO_CUST="10.2.0.2 203.0.113.5 fd02::2 fd03::5"

# The kernel alone.
firewall ""
forge server $CUST_TO_WORLD
arrive server "kernel alone" 0 0
forge cust $CUST_TO_WORLD
arrive cust "kernel alone" 0 0

# What is forwarded past netfilter: cust and who speaks to it, not who is spoken of.
firewall "ct state untracked ip daddr 203.0.113.0/24 accept
ct state untracked ip saddr 203.0.113.0/24 accept
ct state untracked ip6 daddr fd03::/64 accept
ct state untracked ip6 saddr fd03::/64 accept"
daemon_conf router <<<'forward daddr { 203.0.113.0/24, fd03::/64 }'
rule=$(rule_where "forward")
forge server $CUST_TO_WORLD
arrive server "quoting cust" 0 0
left_alone $((2 * N)) $((2 * N))
eq "of the rule" "$(rule_stat "$rule" receive icmp_error packets)" 0
# One bit beside: 203.0.113.4, fd03::4.
forge cust ${CUST_TO_WORLD//5 /4 }
arrive cust "quoting the address beside" 0 0
left_alone $((2 * N)) $((2 * N))
# The flow's own ends get them.
forge cust $CUST_TO_WORLD
arrive cust "quoting cust" $((2 * N)) 0
left_alone 0 $((2 * N))
forge server $SERVER_TO_CUST
arrive server "quoting it" $((2 * N)) 0
left_alone 0 $((2 * N))
eq "of the rule" "$(rule_stat "$rule" receive icmp_error packets)" $((4 * N))
# Real ones.
eq "port unreachable" "$(tool client ttl_probe 203.0.113.5 33440 2)" "10.1.0.1 type 11
203.0.113.5 type 3"
eq "port unreachable, IPv6" "$(tool client ttl_probe fd03::5 33440 2)" "fd01::1 type 3
fd03::5 type 1"
eq "of the rule" "$(rule_stat "$rule" receive icmp_error packets)" $((4 * N + 2))
left_alone 0 0

# A service of the router's own, and the manual's line for the firewall.
firewall "ct state untracked accept"
echo 'notrack udp dport 53 daddr local' >$LAB_CONF
ctb reload
rule=$(rule_where "dport 53")
forge server $CUST_TO_ROUTER
arrive server "quoting cust's question" 0 0
left_alone $((2 * N)) $((2 * N))
forge cust $SERVER_TO_ROUTER
arrive cust "quoting server's question" 0 0
left_alone $((2 * N)) $((2 * N))
forge server $SERVER_TO_ROUTER
arrive server "quoting its question" $((2 * N)) 0
left_alone 0 $((2 * N))
eq "of the rule" "$(rule_stat "$rule" receive icmp_error packets)" $((2 * N))

# What the router sends itself.
sent() { # TO-HOST SENDER RECEIVER SENDER6 RECEIVER6
	local to
	read -ra to <<<"${ADDR[$1]}"
	clear
	tool router forged_errors - 10.2.0.1 "${to[0]}" "$2" "$3" $N
	tool router forged_errors - fd02::1 "${to[1]}" "$4" "$5" $N
	poll 10 last "$1" || die "the last one never came to $1"
	arrive "$1" "from the router" $((2 * N)) $((2 * N))
	eq "redirects untracked in OUTPUT" "$(got router redirects)" 0
}
before=$(rule_stat "$rule" output icmp_error packets)
sent cust $SERVER_TO_ROUTER
eq "errors untracked in OUTPUT" "$(got router errors)" 0
sent server ${SERVER_TO_ROUTER//2 /3 } # one bit beside: 10.2.0.3, fd02::3
eq "errors untracked in OUTPUT" "$(got router errors)" 0
eq "errors counted in OUTPUT" "$(rule_stat "$rule" output icmp_error packets)" "$before"
sent server $SERVER_TO_ROUTER
eq "errors untracked in OUTPUT" "$(got router errors)" $((2 * N))
eq "errors counted in OUTPUT" "$(rule_stat "$rule" output icmp_error packets)" $((before + 2 * N))
pass
