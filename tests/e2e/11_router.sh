#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# A router that leaves alone what it merely routes: transit has no entries and works both ways, the
# router's own connections keep their stateful filter.
# kernels: few direct
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"

lab_line
on router nft -f - <<'EOT'
table inet fw {
	chain input {
		type filter hook input priority filter; policy drop;
		iif lo accept
		ct state established,related accept
		ct state invalid drop
		tcp dport 2222 ct state new accept
		icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
	}
	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state established,related accept
		ct state invalid drop
		ct state untracked accept
	}
}
EOT
watch_states router forward
watch_states router input "meta l4proto tcp"
watch_states router output "meta l4proto tcp"
serve c_udp client udp_echo 53
serve c_tcp client tcp_server 80
serve s_udp server udp_echo 53
serve s_tcp server tcp_server 80
serve ssh router tcp_server 2222 2223
daemon_conf router <<<'notrack daddr !local saddr !local'
rule=$(rule_where "daddr !local")

capture_start left router r0 -Q in tcp or udp
capture_start right router r1 -Q in tcp or udp
for dst in 10.2.0.2 fd02::2; do
	tool client udp_flows -n 100 -k 2 $dst 53
	tool client tcp_flows -n 50 -k 2 $dst 80
done
for dst in 10.1.0.2 fd01::2; do
	tool server udp_flows -n 100 -k 2 $dst 53
	tool server tcp_flows -n 50 -k 2 $dst 80
done
capture_stop left
capture_stop right
seen=$(($(captured left) + $(captured right)))
ge "transit packets" "$seen" 3200
eq "entries" "$(ct_entries router)" 0
eq "FORWARD untracked" "$(state_count router forward untracked)" "$seen"
for state in new established invalid related; do
	eq "FORWARD $state" "$(state_count router forward $state)" 0
done
eq "the rule" "$(rule_all "$rule")" "$seen"
eq "the rule in OUTPUT" "$(rule_stat "$rule" output original packets)" 0

# The router as server and as client keeps its state, and its filter.
ct_flush router
tool client tcp_flows -n 5 -k 3 10.1.0.1 2222
tool client tcp_flows -n 5 -k 3 fd01::1 2222
eq "entries of connections to the router" "$(ct_count router -p tcp --orig-port-dst 2222)" 10
fails tool client tcp_flows -t 0.5 10.1.0.1 2223
fails tool client tcp_flows -t 0.5 fd01::1 2223
tool router tcp_flows -n 5 -k 3 10.2.0.2 80
tool router tcp_flows -n 5 -k 3 fd02::2 80
eq "entries of connections from the router" "$(ct_count router -p tcp --orig-port-dst 80)" 10
eq "INPUT untracked" "$(state_count router input untracked)" 0
eq "OUTPUT untracked" "$(state_count router output untracked)" 0
ge "INPUT established" "$(state_count router input established)" 60
eq "the rule afterwards" "$(rule_all "$rule")" "$seen"

# An address that becomes the router's own is filtered like its others from then on.
own_address_is_tracked() {
	ct_flush router
	tool client tcp_flows -t 1 10.2.0.99 2222 >/dev/null || true
	(($(ct_count router -p tcp --orig-dst 10.2.0.99) == 1))
}
lab_addr router r1 10.2.0.99/24
poll 5 own_address_is_tracked || die "an added address is still taken for transit"
pass
