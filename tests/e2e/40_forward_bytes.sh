#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 900
# The same frames go through two labs that do not differ in a byte: one router is the kernel alone,
# on the other ctbypass forwards. What leaves them has to be the same, byte for byte, also what
# they answer; and the counters have to say of every packet what a model of its own predicts.
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"
# shellcheck source=SCRIPTDIR/lib/two_labs.sh
. "$LAB_LIB/two_labs.sh"
two_lab a
two_lab b

# First of all: the comparison finds no difference where there is none, and finds each where there
# is one.
two_same "two kernels" --percent 50
different() { ! two_compare --count 400 --classes "$1" || die "not found: $2"; }
mangled() {
	on router-b nft "table inet broken { chain c { type filter hook forward priority 0; $1; }; }"
	different tos "$1"
	on router-b nft delete table inet broken
}
mangled "ip ttl 254 ip ttl set 253"
mangled "ip6 nexthdr udp ip6 dscp set 1"
mangled "udp length 28 drop"
on router-b sysctl -qw net.ipv4.icmp_echo_ignore_all=1
different destinations "replies that are missing"
on router-b sysctl -qw net.ipv4.icmp_echo_ignore_all=0

# ctbypass on one of them. start RULES OPTION...: rules of lib/forward_corpus.py, options of the
# daemon.
start() {
	$PYTHON "$LAB_LIB/forward_bytes.py" --print-rules --rules "$1" >$LAB_CONF
	shift
	daemon_start router-b "$@"
}
# check WHAT OPTION...: the comparison again, with the daemon's counters.
check() { two_same "$@" --socket $LAB_SOCK; }
# What the daemon hears of the host is gathered for some milliseconds. follows [IN OUT]: on how many
# devices XDP is now attached, and to how many it can send.
follows() {
	sleep 0.5
	(($# == 0)) || poll 10 follows_as "$@" || die "status: $(ctb status)"
}
follows_as() {
	[[ $(ctb status | grep -c "forward in *xdp") == "$1" ]] || return 1
	[[ $(ctb status | grep -c "forward out *xdp") == "$2" ]]
}

two_both ip route add 10.20.0.0/16 via 10.3.0.2 table 100
two_both ip -6 route add fd20::/32 via fd03::2 table 100
for mode in $(forward_modes); do
	opt=() run=() in=4 out=4
	[[ $mode == xdp ]] || opt=(--no-xdp) run=(-X) in=0 out=0

	start addr "${run[@]}"
	check "$mode" "${opt[@]}"

	two_both sysctl -qw net.ipv4.conf.all.rp_filter=1
	follows
	check "$mode, strict reverse-path filter" "${opt[@]}" --rp-filter 1 --percent 40
	two_both sysctl -qw net.ipv4.conf.all.rp_filter=2
	follows
	check "$mode, loose reverse-path filter" "${opt[@]}" --rp-filter 2 --percent 40
	two_both sysctl -qw net.ipv4.conf.all.rp_filter=0
	follows

	two_both ip rule add from 10.10.128.0/17 lookup 100
	two_both ip rule add ipproto udp dport 1500 lookup 100
	two_both ip rule add iif r3 tos 0x08 lookup 100
	two_both ip -6 rule add from fd10::/40 lookup 100
	two_both ip -6 rule add ipproto udp dport 1500 lookup 100
	check "$mode, policy routing" "${opt[@]}" --classes policy --percent 25
	two_both ip rule del from 10.10.128.0/17 lookup 100
	two_both ip rule del ipproto udp dport 1500 lookup 100
	two_both ip rule del iif r3 tos 0x08 lookup 100
	two_both ip -6 rule del from fd10::/40 lookup 100
	two_both ip -6 rule del ipproto udp dport 1500 lookup 100

	check "$mode, no neighbours" "${opt[@]}" --classes no_neighbour

	two_both ip xfrm policy add dst 192.168.77.0/24 dir out action block
	follows
	check "$mode, IPsec policies" "${opt[@]}" --all-fall xfrm --percent 10
	two_both ip xfrm policy flush
	follows

	two_both sysctl -qw net.ipv{4,6}.conf.r{0,1,2,3}.forwarding=0
	follows 0 "$out"
	check "$mode, forwarding off" --no-xdp --all-fall not-forwarding --classes plain --percent 10
	two_both sysctl -qw net.ipv{4,6}.conf.r{0,1,2,3}.forwarding=1
	follows "$in" "$out"

	# What conntrack does to packets that it knows, and to those that are none of its business.
	two_both nft "table inet t { chain c { type filter hook forward priority 0; ct state new; }; }"
	atomic=() # in direct mode a fragment that is all of its datagram keeps its header (ctbypass(8))
	! direct || atomic=(--skip ext_headers)
	check "$mode, conntrack" "${opt[@]}" --conntrack --percent 25 "${atomic[@]}"
	two_both nft delete table inet t

	if [[ $mode == xdp ]]; then
		on tiny-a ethtool -K t0 gro off
		on tiny-b ethtool -K t0 gro off
		follows 4 3
		check "$mode, one host without NAPI" --no-xmit tiny --percent 25
		on tiny-a ethtool -K t0 gro on
		on tiny-b ethtool -K t0 gro on
		follows 4 4
	fi
	daemon_stop

	start ports "${run[@]}"
	check "$mode, rules with ports" "${opt[@]}" --rules ports --percent 75
	daemon_stop
	start prefix "${run[@]}"
	check "$mode, rules with prefixes" "${opt[@]}" --rules prefix --percent 75

	two_both ip route add 10.21.0.0/24 via 10.2.0.2 mtu 1350
	two_both ip -6 route add fd21::/32 via fd02::2 mtu 1350
	follows
	check "$mode, routes with an MTU" "${opt[@]}" --rules prefix --route-mtu 1350 \
		--classes route_mtu,sizes,fragments,plain --percent 10
	two_both ip route del 10.21.0.0/24
	two_both ip -6 route del fd21::/32
	daemon_stop
done
pass
