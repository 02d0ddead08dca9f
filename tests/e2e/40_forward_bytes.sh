#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 300
# The same frames go through two labs that do not differ in a byte: one router is the kernel alone,
# on the other ctbypass forwards. What leaves them has to be the same, byte for byte, also what
# they answer; and the counters have to say of every packet what a model of its own predicts.
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"

CTB_SEED=${CTB_SEED:-$((RANDOM * 32768 + RANDOM))}
export CTB_SEED
echo "CTB_SEED=$CTB_SEED"

hosts=(client wide mid tiny)
devs=(c0 s0 m0 t0)
mtus=(1500 1500 1400 1280)

# A lab: router-X with r0 ... r3, and behind each a host that has no addresses and says nothing.
# Its end of the cable takes longer frames than the router's, and has NAPI, so that XDP can send
# to it.
lab_two() {
	local x=$1 i n host dev
	lab_router "router-$x"
	on "router-$x" sysctl -qw net.ipv4.icmp_ratemask=0 net.ipv6.icmp.ratemask= \
		net.ipv6.auto_flowlabels=0
	for i in 0 1 2 3; do
		n=$((i + 1)) host=${hosts[i]}-$x dev=${devs[i]}
		lab_host "$host"
		on "$host" sysctl -qw net.ipv6.conf.{all,default}.disable_ipv6=1
		lab_cable "router-$x" r$i "$host" "$dev"
		on "router-$x" ip link set r$i down address 02:00:00:00:00:0$n mtu "${mtus[i]}"
		on "$host" ip link set "$dev" down arp off address 02:00:00:00:01:0$n mtu 1600
		on "$host" ethtool -K "$dev" gro on
		on "$host" ip link set "$dev" up
		on "router-$x" ip link set r$i up
		lab_addr "router-$x" r$i 10.$n.0.1/24 fd0$n::1/64
		on "router-$x" ip neigh add 10.$n.0.2 lladdr 02:00:00:00:01:0$n dev r$i
		on "router-$x" ip neigh add fd0$n::2 lladdr 02:00:00:00:01:0$n dev r$i
		on "router-$x" ip route add 10.${n}0.0.0/16 via 10.$n.0.2
		on "router-$x" ip route add fd${n}0::/32 via fd0$n::2
	done
	# The special prefixes of forward_corpus.py
	on "router-$x" ip -batch - <<-EOT
		route add unreachable 10.50.0.0/24
		route add prohibit 10.50.1.0/24
		route add blackhole 10.50.2.0/24
		route add throw 10.50.3.0/24
		route add local 10.60.0.0/24 dev lo
		route add 10.21.0.0/24 via 10.2.0.2 mtu 1350
		route add 10.22.0.0/24 via 10.2.0.2
		route add 10.22.0.0/24 tos 0x10 via 10.3.0.2
	EOT
	on "router-$x" ip -6 -batch - <<-EOT
		route add unreachable fd50:0::/32
		route add prohibit fd50:1::/32
		route add blackhole fd50:2::/32
		route add throw fd50:3::/32
		route add local fd60::/32 dev lo
		route add fd21::/32 via fd02::2 mtu 1350
	EOT
}

# both SYSCTL=VALUE...: on both routers
both() {
	local x
	for x in a b; do
		on router-$x sysctl -qw "$@"
	done
}

# compare OPTION...: the corpus through both; the failure says what differs.
compare() {
	$PYTHON "$LAB_LIB/forward_bytes.py" "$@" a b >$LAB/compare.out 2>&1 || {
		cat $LAB/compare.out
		return 1
	}
	say "$* $(tail -n 1 $LAB/compare.out)"
}

lab_two a
lab_two b

# First of all: the comparison finds no difference where there is none, and finds each where there
# is one.
quick=400
compare || die "two kernels differ"
broken() {
	on router-b nft -f - <<<"table inet broken { chain c { type filter hook forward priority 0; $1; }; }"
	! compare --count $quick --classes tos >$LAB/broken.out || die "not found: $1"
	on router-b nft delete table inet broken
}
broken "ip ttl 254 ip ttl set 253"
broken "ip6 nexthdr udp ip6 dscp set 1"
broken "udp length 28 drop"
on router-b sysctl -qw net.ipv4.icmp_echo_ignore_all=1
! compare --count $quick --classes destinations >$LAB/broken.out || die "not found: a reply missing"
on router-b sysctl -qw net.ipv4.icmp_echo_ignore_all=0
pass
