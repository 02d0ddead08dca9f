#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# ICMP errors about bypassed flows, all under `ct state invalid drop`: path-MTU discovery of TCP
# through the router, of a bypassed server on the router, and with errors that the router itself
# makes; traceroute's time-exceeded and port-unreachable likewise.
#
#   client -- router -- hop ==1300== far -- server       (ctbypass and the firewall on router)
# kernels: few direct
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"

lab_host client server
lab_router router hop far
lab_cable client c0 router r0
lab_cable router r1 hop h0
lab_cable hop h1 far f0
lab_cable far f1 server s0
n=1
for link in "client c0 router r0" "router r1 hop h0" "hop h1 far f0" "far f1 server s0"; do
	read -r a ai b bi <<<"$link"
	lab_addr "$a" "$ai" 10.$n.0.1/24 fd0$n::1/64
	lab_addr "$b" "$bi" 10.$n.0.2/24 fd0$n::2/64
	n=$((n + 1))
done
on hop ip link set h1 mtu 1300
on far ip link set f0 mtu 1300
route() { # HOST IPV4-GATEWAY IPV6-GATEWAY
	on "$1" ip route replace default via "$2"
	on "$1" ip -6 route replace default via "$3"
}
route client 10.1.0.2 fd01::2
route router 10.2.0.2 fd02::2
on hop ip route add 10.1.0.0/24 via 10.2.0.1
on hop ip -6 route add fd01::/64 via fd02::1
route hop 10.3.0.2 fd03::2
route far 10.3.0.1 fd03::1
route server 10.4.0.1 fd04::1

on router nft -f - <<'EOT'
table inet fw {
	chain input {
		type filter hook input priority filter; policy drop;
		ct state established,related accept
		ct state invalid drop
		ct state untracked accept
		tcp dport 82 accept
		icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
	}
	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state established,related accept
		ct state invalid counter drop
		ct state untracked accept
		tcp dport 81 accept
		udp dport 44000-44010 accept
	}
	chain output {
		type filter hook output priority filter; policy accept;
		ct state invalid counter drop
	}
}
EOT
head -c 2000000 /dev/urandom >body
serve c_web client tcp_server -f body 80 81
serve s_web server tcp_server -f body 80 81
serve r_web router tcp_server -f body 80 82
daemon_conf router -A auto <<<'
notrack tcp dport 80
notrack udp dport 33434-33534'
tcp_rule=$(rule_where "tcp dport 80")
udp_rule=$(rule_where "udp dport 33434")

fetch() { # FROM-HOST ADDRESS PORT
	on "$1" timeout $((5 * ${CTB_SLOW:-1})) socat -u "TCP:$2:$3,connect-timeout=${CTB_SLOW:-1}" - | cmp -s - body
}
forget() { # learned path MTUs, for the next round
	local h
	for h in client router server; do
		on $h ip route flush cache
		on $h ip -6 route flush cache
	done
}
learned() { on "$1" ip route get "$2" | grep -o 'mtu [0-9]*' || true; }

# Forwarded: the client sends more than fits between hop and far; hop says so through the router.
capture_start icmp router r1 -Q in 'icmp[0] = 3 or (ip6 proto 58 and ip6[40] = 2)'
fetch server 10.1.0.1 80 || die "path-MTU discovery of a forwarded flow is broken"
fetch server '[fd01::1]' 80 || die "path-MTU discovery of a forwarded flow is broken over IPv6"
eq "learned by the client" "$(learned client 10.4.0.2)" "mtu 1300"
capture_stop icmp
ge "errors on the wire" "$(captured icmp ip)" 1
ge "errors on the wire over IPv6" "$(captured icmp ip6)" 1
eq "errors counted for the rule" "$(rule_stat "$tcp_rule" receive icmp_error packets)" "$(captured icmp)"
eq "entries" "$(ct_entries router)" 0

# The router's own bypassed server.
before=$(rule_stat "$tcp_rule" receive icmp_error packets)
fetch server 10.2.0.1 80 || die "path-MTU discovery of a local server is broken"
fetch server '[fd02::1]' 80 || die "path-MTU discovery of a local server is broken over IPv6"
ge "errors counted for the rule" "$(rule_stat "$tcp_rule" receive icmp_error packets)" $((before + 2))
eq "learned by the router" "$(learned router 10.4.0.2)" "mtu 1300"
eq "entries" "$(ct_entries router)" 0

# The small link is the router's own: it makes the errors, in OUTPUT.
forget
on router ip link set r1 mtu 1290
on hop ip link set h0 mtu 1290
before=$(rule_stat "$tcp_rule" output icmp_error packets)
fetch server 10.1.0.1 80 || die "path-MTU errors made by the router die"
fetch server '[fd01::1]' 80 || die "path-MTU errors made by the router die over IPv6"
eq "learned by the client" "$(learned client 10.4.0.2)" "mtu 1290"
ge "errors counted in OUTPUT" "$(rule_stat "$tcp_rule" output icmp_error packets)" $((before + 2))
eq "entries" "$(ct_entries router)" 0
on router ip link set r1 mtu 1500
on hop ip link set h0 mtu 1500
forget

# The near miss: errors about tracked flows are RELATED, as ever.
before=$(ctb stats -j | jq '[.rules[] | .receive.icmp_error.packets, .output.icmp_error.packets] | add')
fetch server 10.1.0.1 81 || die "path-MTU discovery of a tracked flow is broken"
fetch server '[fd01::1]' 81 || die "path-MTU discovery of a tracked flow is broken over IPv6"
eq "entries of the near miss" "$(ct_count router -p tcp --orig-port-dst 81)" 2
eq "errors counted for rules" "$(ctb stats -j |
	jq '[.rules[] | .receive.icmp_error.packets, .output.icmp_error.packets] | add')" "$before"
ct_flush router

# traceroute: the router's own time-exceeded, those of hop and far, the server's port-unreachable.
eq "traceroute" "$(tool client ttl_probe 10.4.0.2 33440 4)" "10.1.0.2 type 11
10.2.0.2 type 11
10.3.0.2 type 11
10.4.0.2 type 3"
eq "traceroute over IPv6" "$(tool client ttl_probe fd04::2 33440 4)" "fd01::2 type 3
fd02::2 type 3
fd03::2 type 3
fd04::2 type 1"
eq "traceroute errors through the router" "$(rule_stat "$udp_rule" receive icmp_error packets)" 6
eq "traceroute errors of the router" "$(rule_stat "$udp_rule" output icmp_error packets)" 2
eq "entries" "$(ct_count router -p udp)" 0
tool client ttl_probe 10.4.0.2 44000 4 >near
eq "entries of the near miss" "$(ct_count router -p udp)" 3
eq "traceroute errors of the near miss" "$(rule_stat "$udp_rule" receive icmp_error packets)" 6
pass
