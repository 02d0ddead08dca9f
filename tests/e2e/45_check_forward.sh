#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# What `check` says of forward rules: the netfilter rules that are missed, and only those; what else
# steers forwarding; how each interface takes part. And that the listed rules really are missed.
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"
# libxtables, in libnftables, frees nothing when it ends; for builds with sanitizers.
printf 'leak:libxtables\nleak:libnftables\n' >lsan.supp
export LSAN_OPTIONS=suppressions=$LAB/lsan.supp

lab_line
echo 'forward daddr 10.2.0.0/24' >forward.conf
echo 'forward daddr { 10.2.0.0/24, fd02::/64 }' >both.conf
echo 'notrack daddr 10.2.0.0/24' >notrack.conf

check() { on router "$CTBYPASS" check "$@" 2>err; }
# Everything that JSON says is missed, a line "CHAIN: TEXT" each.
missed() {
	check -j -c "${1:-forward.conf}" |
		jq -r '.forward.missed[] | .chain as $c | .rules[] | "\($c): \(.text)"'
}
warnings() { check -j -c "${1:-forward.conf}" | jq -r '.host_warnings[]'; }
ruleset() {
	on router nft flush ruleset # the lab's own namespace
	on router nft -f -
}

say "nothing to miss"
check -c forward.conf >out
has "check" "$(<out)" "misses: none"
eq "warnings" "$(warnings)" ""
eq "legacy" "$(check -j -c forward.conf | jq .forward.legacy)" null

say "nft"
ruleset <<'EOT'
table inet fw {
	set friends {
		type ipv4_addr; flags interval; elements = { 192.0.2.0/24 }
	}
	map by_mark {
		type mark : verdict; elements = { 5 : jump marked }
	}
	chain marked {
		counter comment "by a map"
	}
	chain sub {
		ip saddr 198.51.100.1 drop
	}
	chain local_only {
		tcp dport 1 drop
	}
	chain mangle {
		type filter hook forward priority mangle; policy accept;
		tcp flags syn tcp option maxseg size set rt mtu
	}
	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state established,related counter accept
		ip saddr @friends jump sub
		meta mark vmap @by_mark
		tcp dport vmap { 80 : accept, 81 : goto sub }
		counter
	}
	chain empty {
		type filter hook postrouting priority filter; policy accept;
	}
	chain input {
		type filter hook input priority filter; policy drop;
		tcp dport 22 accept
		jump local_only
		jump sub
	}
	chain output {
		type filter hook output priority filter; policy drop;
		tcp sport 22 accept
	}
}
table ip nat {
	chain prerouting {
		type nat hook prerouting priority dstnat;
		tcp dport 8080 dnat to 10.2.0.2:80
	}
	chain output {
		type nat hook output priority -100;
		tcp dport 8081 dnat to 10.2.0.2:80
	}
}
table ip6 filter {
	chain forward {
		type filter hook forward priority filter;
		tcp dport 666 drop
	}
}
table inet sleeping {
	flags dormant;
	chain forward {
		type filter hook forward priority filter;
		tcp dport 667 drop
	}
}
EOT
tool client udp_flows -n 3 10.2.0.2 9999 >/dev/null 2>&1 || true # values that are not to be shown
cat >wanted <<'EOT'
ip nat prerouting (nat, prerouting, priority -100): tcp dport 8080 dnat to 10.2.0.2:80
inet fw mangle (forward, priority -150): tcp flags syn tcp option maxseg size set rt mtu
inet fw forward (forward, priority 0): ct state established,related counter accept
inet fw forward (forward, priority 0): ip saddr @friends jump sub
inet fw forward (forward, priority 0): meta mark vmap @by_mark
inet fw forward (forward, priority 0): tcp dport vmap { 80 : accept, 81 : goto sub }
inet fw forward (forward, priority 0): counter
inet fw forward (forward, priority 0): policy drop
inet fw sub (from forward): ip saddr 198.51.100.1 drop
inet fw marked (from forward): counter comment "by a map"
EOT
# nft sorts the states of a list as it likes.
missed | sed 's/related,established/established,related/' >got
diff wanted got || die "the list of missed rules"
handle=$(on router nft -a list chain inet fw sub | sed -n 's/.*198.51.100.1 drop # handle //p')
eq "handle" "$(check -j -c forward.conf | jq '.forward.missed[].rules[] |
	select(.text | contains("198.51.100.1")) | .handle')" "$handle"
has "IPv6 rules, for a rule with both" "$(missed both.conf)" "tcp dport 666 drop"
eq "warnings" "$(warnings | wc -l)" 3
has "policy" "$(warnings)" "chain inet fw forward, whose policy"
has "rules that act" "$(warnings)" "misses 2 netfilter rules"
has "NAT" "$(warnings)" "not translated: it misses 1 NAT rule,"
check -c forward.conf >out
has "text" "$(<out)" "        ip saddr 198.51.100.1 drop"
has "warning on stderr" "$(<err)" "warning: "
hasnt "text" "$(<out)" "tcp dport 1 drop"
[[ $(<out) =~ warnings\ 3 ]] || die "the summary does not count the warnings: $(<out)"

say "without forward rules"
check -c notrack.conf >out
hasnt "check" "$(<out)" "198.51.100.1"
hasnt "check" "$(<out)$(<err)" "forward"
eq "JSON" "$(check -j -c notrack.conf | jq .forward)" null

say "harmless rules, our own table"
ruleset <<'EOT'
table inet fw {
	chain forward {
		type filter hook forward priority filter; policy accept;
		ct state established accept
		counter
	}
}
EOT
daemon_conf router <<<'notrack udp dport 8080'
daemon_stop
direct_out || on router nft list table inet ctbypass >/dev/null
eq "rules" "$(missed | wc -l)" 2
hasnt "rules" "$(missed)" ctbypass
eq "warnings" "$(warnings)" ""
on router "$CTBYPASS" unload -P $LAB_PIN

say "many rules"
{
	echo "table inet fw { chain many {"
	echo "type filter hook forward priority filter;"
	for i in {1..60}; do echo "tcp dport $((1000 + i)) accept"; done
	echo "}"
	echo "chain few {"
	echo "type filter hook forward priority filter + 1;"
	for i in {1..21}; do echo "udp dport $((1000 + i)) accept"; done
	echo "}"
	echo "}"
} | ruleset
check -c forward.conf >out
eq "first rules of a chain" "$(grep -c 'tcp dport' out)" 20
has "the rest" "$(<out)" "... and 40 more; -v lists all"
eq "no use leaving one out" "$(grep -c 'udp dport' out)" 21
eq "all rules" "$(check -v -c forward.conf | grep -c 'tcp dport')" 60
eq "all rules in JSON" "$(missed | wc -l)" 81
{
	echo "table inet fw {"
	for i in {1..60}; do
		echo "chain c$i { type filter hook forward priority filter + $i; udp dport $i accept; }"
	done
	echo "}"
} | ruleset
check -c forward.conf >out
eq "first chains" "$(grep -c '^    chain' out)" 40
has "the other chains" "$(<out)" "... and 20 more chains; -v lists all"
eq "all chains" "$(check -v -c forward.conf | grep -c '^    chain')" 60

say "without root"
if on router setpriv --reuid 65534 --clear-groups test -x "$CTBYPASS"; then
	on router setpriv --reuid 65534 --regid 65534 --clear-groups \
		"$CTBYPASS" check -j -c $LAB/forward.conf >out
	eq "forward" "$(jq .forward out)" null
	has "skipped" "$(jq -c .skipped out)" "forward rules skip"
else
	say "  left out: nobody else may run $CTBYPASS"
fi

if command -v iptables-nft >/dev/null; then
	say "iptables-nft"
	on router nft flush ruleset
	on router iptables-nft -P FORWARD DROP
	on router iptables-nft -N DOCKER-USER
	on router iptables-nft -A FORWARD -j DOCKER-USER
	on router iptables-nft -A FORWARD -m comment --comment "of mine" -s 192.0.2.1 -j DROP
	on router iptables-nft -A FORWARD -m state --state ESTABLISHED -j ACCEPT
	on router iptables-nft -A DOCKER-USER -i c0 -j RETURN
	on router iptables-nft -A INPUT -s 192.0.2.2 -j DROP
	on router iptables-nft -t mangle -A FORWARD -j MARK --set-mark 7
	on router iptables-nft -t mangle -A PREROUTING -j TTL --ttl-set 7
	on router iptables-nft -t nat -A POSTROUTING -o r1 -j MASQUERADE
	on router iptables-nft -t nat -A OUTPUT -d 192.0.2.3 -j DNAT --to 10.2.0.2
	missed >got
	has "mangle, without words of nft's own" "$(<got)" \
		"ip mangle PREROUTING (prerouting, priority -150): counter xt target"
	has "mangle" "$(<got)" "ip mangle FORWARD (forward, priority -150): counter meta mark set 0x"
	has "filter" "$(<got)" "ip filter FORWARD (forward, priority 0): ip saddr 192.0.2.1 counter drop"
	has "policy" "$(<got)" "ip filter FORWARD (forward, priority 0): policy drop"
	has "jump" "$(<got)" "ip filter DOCKER-USER (from FORWARD): iifname \"c0\" counter return"
	has "NAT" "$(<got)" "ip nat POSTROUTING (nat, postrouting, priority 100): oifname \"r1\""
	hasnt "INPUT" "$(<got)" 192.0.2.2
	hasnt "OUTPUT" "$(<got)" 192.0.2.3
	eq "rules" "$(wc -l <got)" 8
	eq "warnings" "$(warnings | wc -l)" 3
	on router nft flush ruleset
fi

if command -v iptables-legacy >/dev/null &&
	on router iptables-legacy -t nat -A POSTROUTING -o r1 -j MASQUERADE 2>/dev/null; then
	say "iptables-legacy"
	on router ip6tables-legacy -t nat -L >/dev/null 2>&1 || true
	on router iptables-legacy -t mangle -A FORWARD -j MARK --set-mark 7
	legacy=$(check -j -c forward.conf | jq -r .forward.legacy)
	eq "tables" "$(tr ',' '\n' <<<"$legacy" | tr -d ' ' | sort | xargs)" "mangle nat"
	has "warning" "$(warnings)" "iptables-legacy is in use"
	has "text" "$(check -c forward.conf)" "iptables-legacy in tables"
	on router iptables-legacy -t nat -F
	on router iptables-legacy -t mangle -F
fi

say "what else steers forwarding"
# It stays in use once it was, in this namespace: not again.
other() { warnings | grep -v iptables-legacy || true; }
eq "nothing" "$(other)" ""
on router ip rule add fwmark 0x99 lookup 99
has "rule" "$(other)" "fwmark"
on router ip rule del fwmark 0x99 lookup 99
on router ip rule add from 192.0.2.0/24 lookup 99
eq "a rule without mark" "$(other)" ""
on router ip rule del from 192.0.2.0/24 lookup 99
on router sysctl -qw net.ipv4.fib_multipath_hash_policy=2
eq "a policy without use" "$(other)" ""
on router ip route add 198.18.0.0/24 nexthop via 10.1.0.2 nexthop via 10.2.0.2
has "policy" "$(other)" "fib_multipath_hash_policy is 2"
on router sysctl -qw net.ipv4.fib_multipath_hash_policy=1
eq "policy 1" "$(other)" ""
if on router ip xfrm policy add dir fwd src 192.0.2.0/24 dst 198.51.100.0/24 2>/dev/null; then
	has "IPsec" "$(other)" "IPsec"
	eq "without forward rules" "$(warnings notrack.conf)" ""
	on router ip xfrm policy flush
	eq "no IPsec" "$(other)" ""
else
	say "  left out: this kernel has no IPsec policies"
fi

say "interfaces"
roles() { check -j -c "${1:-forward.conf}" | jq -c "[.forward.interfaces[] | $2]"; }
eq "names" "$(roles forward.conf .name | jq -c sort)" '["r0","r1"]'
# The lab's veth pairs have GRO off, so neither takes frames of XDP.
eq "out" "$(roles forward.conf .out)" '["tc","tc"]'
eq "no reason is missing" "$(roles forward.conf 'select(.why_out == "")')" '[]'
on server ethtool -K s0 gro on
xdp=tc # where the kernel does not tell that a veth takes frames (6.3)
! have_xdp_out || xdp=xdp
eq "out, with GRO at the other end of r1" \
	"$(roles forward.conf 'select(.name == "r1") | .out')" "[\"$xdp\"]"
eq "in, as r1 takes frames" "$(roles forward.conf 'select(.name == "r0") | .in')" "[\"$xdp\"]"
on router "$CTBYPASS" check -c forward.conf 2>/dev/null >out
has "table" "$(<out)" "interface"
has "table" "$(<out)" "  r1 "
on server ethtool -K s0 gro off

say "they really are missed"
ruleset <<'EOT'
table inet fw {
	chain prerouting {
		type filter hook prerouting priority filter;
		meta l4proto udp counter comment "seen in prerouting"
	}
	chain forward {
		type filter hook forward priority filter; policy drop;
		meta l4proto udp counter comment "seen in forward"
	}
	chain postrouting {
		type filter hook postrouting priority filter;
		meta l4proto udp counter comment "seen in postrouting"
	}
}
table netdev dev {
	chain ingress {
		type filter hook ingress device r0 priority filter;
		meta protocol ip meta l4proto udp counter comment "seen in ingress"
	}
}
EOT
hooks="prerouting forward postrouting ingress"
if on router nft add table netdev dev '{ chain egress {
	type filter hook egress device r1 priority filter;
	meta protocol ip meta l4proto udp counter comment "seen in egress"; }; }' 2>/dev/null; then
	hooks+=" egress"
fi
seen() { on router nft list ruleset | sed -n "s/.*packets \([0-9]*\) .*\"seen in $1\".*/\1/p"; }
serve echo server udp_echo 8080
on router nft add rule inet fw forward udp dport 8080 accept # requests pass, for the near miss
on router nft add rule inet fw forward udp sport 8080 accept
missed >got
for hook in $hooks; do
	has "listed" "$(<got)" "\"seen in $hook\""
done
daemon_conf router <<<'notrack udp dport 8080'
tool client udp_flows -n 100 10.2.0.2 8080
for hook in $hooks; do
	ge "notrack: $hook" "$(seen $hook)" 100
	declare "before_$hook=$(seen $hook)"
done
on router nft flush chain inet fw forward # and none does any more
on router nft add rule inet fw forward meta l4proto udp counter comment '"seen in forward"'
before_forward=0
echo 'forward udp dport 8080' >$LAB_CONF
ctb reload
tool client udp_flows -n 100 10.2.0.2 8080
for hook in $hooks; do
	before=before_$hook
	# The first packet, while neighbours are asked for, may go by the kernel.
	eq "forward: $hook" "$(seen $hook)" "${!before}"
done
daemon_stop
pass
