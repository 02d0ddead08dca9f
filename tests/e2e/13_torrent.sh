#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# A torrent client behind `notrack { tcp, udp } port 33333`: with 500 peers in each direction beside
# other traffic, the table holds the other traffic and nothing else.
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"

# client is the torrent client under test, server all its peers and the rest of the world.
lab_pair
on client ip addr add 10.0.0.2/16 dev c0
for i in {0..499}; do
	echo "addr add 10.0.$((1 + i / 250)).$((i % 250))/16 dev s0"
done | on server ip -batch -
on client nft -f - <<'EOT'
table inet fw {
	chain input {
		type filter hook input priority filter; policy drop;
		ct state established,related accept
		ct state invalid drop
		tcp dport 33333 accept
		udp dport 33333 accept
		tcp sport 33333 ct state untracked accept
		udp sport 33333 ct state untracked accept
	}
	chain output {
		type filter hook output priority filter; policy accept;
		ct state invalid drop
	}
}
EOT
serve t_udp client udp_echo 33333
serve t_tcp client tcp_server 33333
serve p_udp server udp_echo 33333 53 33334
serve p_tcp server tcp_server 33333 80
daemon_conf client <<<'notrack { tcp, udp } port 33333'
rule=$(rule_where 33333)

capture_start wire client c0 -Q in port 33333
capture_start wire_out client c0 -Q out port 33333
tool server peers in 500 33333 10.0.0.2
tool client peers out 500 33333
tool client udp_flows -n 30 10.0.0.1 53
tool client udp_flows -n 5 10.0.0.1 33334
tool client tcp_flows -n 20 10.0.0.1 80
capture_stop wire
capture_stop wire_out

eq "entries" "$(ct_entries client)" 55
eq "entries of DNS" "$(ct_count client -p udp --orig-port-dst 53)" 30
eq "entries of the near miss" "$(ct_count client -p udp --orig-port-dst 33334)" 5
eq "entries of the web" "$(ct_count client -p tcp --orig-port-dst 80)" 20
in=$(captured wire) out=$(captured wire_out)
ge "packets in" "$in" 4000
eq "the rule in ingress" "$(($(rule_stat "$rule" receive original packets) + \
	$(rule_stat "$rule" receive reply packets)))" "$in"
eq "the rule in OUTPUT" "$(($(rule_stat "$rule" output original packets) + \
	$(rule_stat "$rule" output reply packets)))" "$out"
pass
