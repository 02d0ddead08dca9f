#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# `local` follows the host's addresses while it runs, IPv4 and IPv6, added, removed, many at once.
# kernels: few direct
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"

lab_line
watch_states router forward "meta l4proto udp"
watch_states router input "meta l4proto udp"
watch_states router output "meta l4proto udp"
# Transit to the same port is none of a `daddr local` rule's business.
serve own router udp_echo 8080
serve echo server udp_echo 8080
daemon_conf router <<<'notrack udp dport 8080 daddr local'
rule=$(rule_where 8080)

local_works() { # ADDRESS: bypassed, with no entry at all
	ct_flush router
	tool client udp_flows -n 5 "$1" 8080 >/dev/null || true
	(($(ct_entries router) == 0))
}
transit_works() {
	ct_flush router
	tool client udp_flows -n 5 "$1" 8080 >/dev/null || true
	(($(ct_entries router) == 5))
}
for a in 10.1.0.1 fd01::1 10.2.0.1 fd02::1; do
	local_works $a || die "$a is not local"
done
for a in 10.2.0.2 fd02::2; do
	transit_works $a || die "$a is taken for local"
done
eq "the rule" "$(rule_all "$rule")" 40

# Added.
lab_addr router r1 10.2.0.50/24 fd02::50/64 192.0.2.1/32 2001:db8::1/128
for a in 10.2.0.50 fd02::50 192.0.2.1 2001:db8::1; do
	poll 5 local_works $a || die "$a was added and is not local"
done

# Removed here, and now the server's: transit.
on router ip addr del 10.2.0.50/24 dev r1
on router ip addr del fd02::50/64 dev r1
lab_addr server s0 10.2.0.50/24 fd02::50/64
for a in 10.2.0.50 fd02::50; do
	poll 5 transit_works $a || die "$a was removed and is still local"
done

# A route of type local without an address, as anycast services use.
on router ip route add local 198.51.100.0/24 dev lo
on router ip -6 route add local 2001:db8:7::/64 dev lo
for a in 198.51.100.77 2001:db8:7::77; do
	poll 5 local_works $a || die "$a is routed to this host and is not local"
done

# Many at once.
for i in {1..250}; do
	echo "addr add 203.0.113.$i/32 dev lo"
done | on router ip -batch -
for i in {1..250}; do
	((i == 7)) || echo "addr del 203.0.113.$i/32 dev lo"
done | on router ip -batch -
poll 10 local_works 203.0.113.7 || die "the last of many is not local"
on router ip route add 203.0.113.0/24 via 10.2.0.2
transit_tracked() { # nobody answers there, but the way there is tracked now
	ct_flush router
	tool client udp_flows -t 0.1 203.0.113.8 8080 >/dev/null || true
	(($(ct_count router -p udp --orig-dst 203.0.113.8) == 1))
}
poll 10 transit_tracked || die "one of many removed is still local"
pass
