# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Sourced behind scripts/lab.sh: two labs that do not differ in a byte, named a and b, and the
# comparison of what leaves their routers. The network is that of lib/forward_corpus.py.

lab_seed

TWO_HOSTS=(client wide mid tiny)
TWO_DEVS=(c0 s0 m0 t0)
TWO_MTUS=(1500 1500 1400 1280)

# A lab: router-X with r0 ... r3, and behind each a host that has no addresses and says nothing.
# Its end of the cable takes longer frames than the router's, and has NAPI, so that XDP can send
# to it.
two_lab() {
	local x=$1 i n host dev
	lab_router "router-$x"
	on "router-$x" sysctl -qw net.ipv4.icmp_ratemask=0 net.ipv6.icmp.ratemask= \
		net.ipv6.auto_flowlabels=0
	for i in 0 1 2 3; do
		n=$((i + 1)) host=${TWO_HOSTS[i]}-$x dev=${TWO_DEVS[i]}
		lab_host "$host"
		on "$host" sysctl -qw net.ipv6.conf.{all,default}.disable_ipv6=1
		lab_cable "router-$x" r$i "$host" "$dev"
		on "router-$x" ip link set r$i down address 02:00:00:00:00:0$n mtu "${TWO_MTUS[i]}"
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
		route add 10.22.0.0/24 via 10.2.0.2
		route add 10.22.0.0/24 tos 0x10 via 10.3.0.2
	EOT
	on "router-$x" ip -6 -batch - <<-EOT
		route add unreachable fd50:0::/32
		route add prohibit fd50:1::/32
		route add blackhole fd50:2::/32
		route add throw fd50:3::/32
		route add local fd60::/32 dev lo
		route add fd80::/32 encap seg6 mode encap segs fd20::77 via fd02::2 dev r1
	EOT
}

# two_both COMMAND...: on both routers
two_both() {
	on router-a "$@"
	on router-b "$@"
}

# two_compare OPTION...: the corpus (lib/forward_bytes.py) through both; output in $OUT.
two_compare() {
	local status=0
	two_both ip neigh flush all # whom the run before asked for in vain; permanent ones stay
	OUT=$($PYTHON "$LAB_LIB/forward_bytes.py" "$@" a b 2>&1) || status=$?
	return $status
}

# two_same WHAT OPTION...: no difference, and all counters as predicted.
two_same() {
	local what=$1
	shift
	two_compare "$@" || die "$what: $OUT"
	say "$what: $(tail -n 1 <<<"$OUT")"
}
