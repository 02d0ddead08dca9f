#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 120
# Where forward rules forward: XDP is attached where it can be and is of use, taken off and put back
# as devices and rules change, and shares a device with nobody; else tc forwards, and `status` says
# why. Whatever happens, every packet is forwarded.
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"
have_xdp_out || skip "this kernel does not tell whether a device takes XDP frames (6.3)"

lab_line
watch_states router forward "meta l4proto udp" # also: nothing forwarded may be seen here
serve echo server udp_echo 8080
foreign=$LAB_ROOT/build/tests/e2e/foreign_xdp.bpf.o
[[ -s $foreign ]] || skip "no $foreign: make tests"

iface() { # NAME FIELD
	ctb status -j | jq -r --arg n "$1" --arg f "$2" '.interfaces[] | select(.name == $n) | .[$f]'
}
forward_is() { [[ $(iface "$1" forward) == "$2" ]]; }
out_is() { [[ $(iface "$1" xdp_out) == "$2" ]]; }
path() { # NAME WANTED [WHY]: how it forwards, and why not better
	poll 5 forward_is "$1" "$2" || die "$1: forward is $(iface "$1" forward) ($(iface "$1" forward_why)), wanted $2"
	has "$1: why" "$(iface "$1" forward_why)" "${3:-}"
}
out() { # NAME true|false [WHY]
	poll 5 out_is "$1" "$2" || die "$1: xdp_out is not $2: $(iface "$1" xdp_out_why)"
	has "$1: why" "$(iface "$1" xdp_out_why)" "${3:-}"
}
gro() { on "$1" ethtool -K "$2" gro "$3" >/dev/null; }
has_xdp() { on router ip -d link show dev "$1" | grep -q 'prog/xdp'; }
ifindex() { on router ip -j link show dev "$1" | jq '.[0].ifindex'; }
link_id() { bpftool -j link show pinned "$LAB_PIN/links/xdp_$(ifindex "$1")" | jq .id; }
egress() { bpftool -j map dump pinned $LAB_PIN/maps/egress | jq length; }
links() { find $LAB_PIN/links -name 'xdp_*' | wc -l; }
generation() { ctb status -j | jq .generation; }

# Packets of the first rule so far, by outcome; COUNT: received xdp tc.
outcomes() {
	ctb stats -j | jq -r '.rules[0] | [.receive, .xdp, .tc] | map([.[].packets] | add) | join(" ")'
}
fallback() { ctb stats -j | jq --arg r "$1" --arg to "$2" '.fallbacks[] | select(.name == $r) | .[$to].packets'; }
FLOWS=100
# forwards WHAT ORIGINAL REPLY [HOST]: traffic both ways, where xdp, tc or kernel says who has to
# send it on. XDP lends a packet to tc now and then, for the neighbours' sake.
forwards() {
	local dir i before after want got n=$FLOWS
	tool client udp_flows -n 1 "${4:-10.2.0.2}" 8080 >/dev/null # neighbours, first of all
	before=$(ctb stats -j)
	tool client udp_flows -n $n "${4:-10.2.0.2}" 8080 >/dev/null || die "$1: packets were lost"
	after=$(ctb stats -j)
	for dir in original reply; do
		[[ $dir == original ]] && want=$2 || want=$3
		read -r i got < <(jq -r -n --argjson a "$after" --argjson b "$before" --arg d $dir --arg w "$want" '
			def side($s): $a.rules[0][$s][$d].packets - $b.rules[0][$s][$d].packets;
			"\(side("receive")) \(if $w == "kernel" then side("receive") - side("xdp") - side("tc") else side($w) end)"')
		eq "$1: $dir packets" "$i" $n
		le "$1: $dir packets by $want" "$got" $n
		ge "$1: $dir packets by $want" "$got" $((n - 4))
	done
	for i in new established invalid related; do
		eq "$1: $i packets that netfilter saw" "$(state_count router forward $i)" 0
	done
	eq "$1: conntrack entries" "$(ct_entries router)" 0
}

say "rules that forward nothing load no XDP"
daemon_conf router <<<'notrack udp dport 8080'
tool client udp_flows -n 10 10.2.0.2 8080 >/dev/null
eq "path" "$(iface r0 forward)" "-"
eq "programs of type XDP that the daemon holds" \
	"$(cat /proc/$LAB_DAEMON/fdinfo/* 2>/dev/null | grep -c 'prog_type:.*[^0-9]6$' || true)" 0
eq "links" "$(links)" 0
! has_xdp r0 || die "a program on r0"
ge "untracked" "$(state_count router forward untracked)" 20
on router nft reset counters table inet watch_forward >/dev/null

say "peers without NAPI: tc"
echo 'forward udp dport 8080' >$LAB_CONF
ctb reload >/dev/null
path r0 tc
path r1 tc
out r0 false GRO
out r1 false GRO
forwards "without NAPI" tc tc
has "the table" "$(ctb status)" "forward in    tc"

say "peers with NAPI: XDP, both ways"
gro client c0 on
gro server s0 on
path r0 xdp
path r1 xdp
out r0 true
out r1 true
has_xdp r0 || die "no program on r0"
forwards "with NAPI" xdp xdp
ge "the daemon's programs of type XDP" \
	"$(cat /proc/$LAB_DAEMON/fdinfo/* 2>/dev/null | grep -c 'prog_type:.*[^0-9]6$')" 1
has "the table" "$(ctb status)" "forward in    xdp"
has "the table" "$(ctb stats)" "not forwarded"
le "columns of stats" "$(ctb stats | wc -L)" 120
(within 3 "$CTBYPASS" stats -w -S $LAB_SOCK || true) >watched
has "stats -w" "$(<watched)" "not forwarded"
le "columns of stats -w" "$(wc -L <watched)" 120

say "a reload swaps the program under the link"
id=$(link_id r0)
echo 'forward udp dport 8080
notrack udp dport 9' >$LAB_CONF
ctb reload >/dev/null
eq "link" "$(link_id r0)" "$id"
forwards "after a reload" xdp xdp
fails ctb add forward udp dprt 1
forwards "after a bad rule" xdp xdp
echo 'notrack udp dport 8080
forward udp dport 9' >$LAB_CONF
ctb reload >/dev/null
eq "link" "$(link_id r0)" "$id"
tool client udp_flows -n 10 10.2.0.2 8080 >/dev/null
eq "packets of another rule that netfilter saw" "$(state_count router forward untracked)" 20
on router nft reset counters table inet watch_forward >/dev/null
echo 'forward udp dport 8080' >$LAB_CONF
ctb reload >/dev/null

say "swaps under traffic, between forwarding more and less"
read -r all xdp tc < <(outcomes)
began=$SECONDS
k=$((${CTB_SLOW:-1} > 1 ? 500 : 2000)) # which takes ten seconds, or a minute where it is slow
packets=$((2 * 50 * k))
background load client $PYTHON "$LAB_LIB/udp_flows.py" -n 50 -k $k -t 30 10.2.0.2 8080
n=0
while kill -0 "$(<load.pid)" 2>/dev/null; do
	n=$((n + 1))
	((n % 2)) && echo 'notrack udp dport 9' >>$LAB_CONF || sed -i '$d' $LAB_CONF
	ctb reload >/dev/null
done
background_wait load || die "packets were lost: $(<load.log)"
ge "swaps" $n 3
read -r all2 xdp2 tc2 < <(outcomes)
eq "packets judged" $((all2 - all)) $packets
eq "packets forwarded" $((xdp2 + tc2 - xdp - tc)) $packets
# Each of two neighbours is kept alive by a packet of tc's every 1,024 jiffies, and after each swap.
ge "by XDP" $((xdp2 - xdp)) $((packets - 100 - 2 * (SECONDS - began)))
echo 'forward udp dport 8080' >$LAB_CONF
ctb reload >/dev/null

say "a peer loses NAPI, and gets it back, with the same rules in force"
gen=$(generation)
gro server s0 off
out r1 false GRO
path r0 tc
path r1 xdp
! has_xdp r0 || die "a program on r0 that is of no use"
eq "devices in egress" "$(egress)" 1
forwards "one way without NAPI" tc xdp
gro server s0 on
path r0 xdp
out r1 true
forwards "NAPI again" xdp xdp
eq "devices in egress" "$(egress)" 2
eq "generation" "$(generation)" "$gen"

say "somebody detaches our program"
bpftool link detach pinned "$LAB_PIN/links/xdp_$(ifindex r0)"
path r0 tc "removed by somebody"
forwards "detached" tc xdp
ctb reload >/dev/null
path r0 xdp
forwards "put back" xdp xdp

say "the daemon dies, and another takes over"
id=$(link_id r1)
read -r _ before _ < <(outcomes)
daemon_kill
tool client udp_flows -n 50 10.2.0.2 8080 >/dev/null || die "packets were lost without a daemon"
daemon_start router
read -r _ after _ < <(outcomes)
ge "packets forwarded by XDP without a daemon" $((after - before)) 92
eq "link" "$(link_id r1)" "$id"
path r0 xdp
path r1 xdp
forwards "adopted" xdp xdp

say "the daemon died while it pinned a link"
daemon_kill
name=xdp_$(ifindex r1)
bpftool link pin id "$id" "$LAB_PIN/links/new_$name"
rm "$LAB_PIN/links/$name"
daemon_start router
path r1 xdp
ne "link" "$(link_id r1)" "$id"
forwards "with a link of its own" xdp xdp

say "a device that comes later"
lab_host late
lab_cable late l0 router r2
lab_addr late l0 10.3.0.2/24
lab_addr router r2 10.3.0.1/24
on late ip route add default via 10.3.0.1
serve echo2 late udp_echo 8080
gro late l0 on
path r2 xdp
out r2 true
forwards "a later device" xdp xdp 10.3.0.2
eq "devices in egress" "$(egress)" 3
on router ip link del r2
gone() { [[ -z $(iface r2 forward) && $(egress) == 2 ]]; }
poll 5 gone || die "a lost device is still there"
eq "links" "$(links)" 2

say "a driver that cannot, until it can"
lab_host odd
# Where the daemon does not see it: once XDP is attached the driver keeps its queues.
ip link add r3 netns odd numrxqueues 2 numtxqueues 2 type veth peer name o0 netns odd numrxqueues 2 numtxqueues 2
on odd ethtool -L r3 rx 1 tx 1
on odd ethtool -L o0 rx 2 tx 2
on odd ethtool -K o0 tx off gro on >/dev/null
on odd ip link set r3 netns router
on odd ip link set o0 up
on router ip link set r3 up
lab_addr odd o0 10.4.0.2/24
lab_addr router r3 10.4.0.1/24
on odd ip route add default via 10.4.0.1
serve echo3 odd udp_echo 8080
path r3 tc
out r3 false
before=$(fallback no-xdp-out to_tc)
forwards "too few queues" tc tc 10.4.0.2
ge "packets that XDP handed over" $(($(fallback no-xdp-out to_tc) - before)) $FLOWS
on router ethtool -L r3 rx 2
path r3 xdp
out r3 true
forwards "queues enough" xdp xdp 10.4.0.2
on router ip link del r3

say "a driver that refuses"
refusals() { grep -c "r0: tc forwards: " daemon.log || true; }
bpftool link detach pinned "$LAB_PIN/links/xdp_$(ifindex r0)"
on router ip link set dev r0 xdpgeneric obj $foreign sec xdp
ctb reload >/dev/null
path r0 tc "can't be active at the same time"
path r1 xdp
forwards "refused" tc xdp
before=$(refusals)
on router ip link set r0 alias "nothing about XDP"
on router ip addr add 10.1.0.9/24 dev r0
on router sysctl -qw net.ipv4.conf.r1.rp_filter=2
sleep 0.3
eq "attempts" "$(refusals)" "$before"
on router ip link set dev r0 xdpgeneric off # the driver would agree now; nobody tells us
on router ip link set r0 mtu 1400
path r0 xdp
on router sysctl -qw net.ipv4.conf.r1.rp_filter=0
forwards "a driver that has changed its mind" xdp xdp
on router ip link set r0 mtu 1500

say "without XDP, as asked for"
daemon_stop
daemon_start router -X
path r0 tc "-X"
path r1 tc "-X"
! has_xdp r0 || die "a program on r0"
eq "links" "$(links)" 0
forwards "-X" tc tc
daemon_stop
daemon_start router
path r0 xdp
forwards "without -X" xdp xdp

say "rules without forward take it off"
echo 'notrack udp dport 8080' >$LAB_CONF
ctb reload >/dev/null
eq "path" "$(iface r0 forward)" "-"
! has_xdp r0 || die "a program on r0"
eq "links" "$(links)" 0
before=$(state_count router forward untracked)
tool client udp_flows -n 10 10.2.0.2 8080 >/dev/null
eq "untracked" $(($(state_count router forward untracked) - before)) 20

say "somebody else's program is there first"
daemon_stop
nsenter --net=/run/netns/router "$CTBYPASS" unload -P $LAB_PIN
on router ip link set dev r0 xdpdrv obj $foreign sec xdp
daemon_conf router <<<'forward udp dport 8080'
path r0 tc "another XDP program is attached"
path r1 xdp
forwards "beside another program" tc xdp
on router ip link set dev r0 xdpdrv off
forwards "when the other is gone" tc xdp
ctb reload >/dev/null
path r0 xdp
forwards "after a reload" xdp xdp
! on router ip link set dev r0 xdpdrv obj $foreign sec xdp 2>/dev/null || die "ours was replaced"

say "unload"
daemon_stop
has_xdp r0 || die "XDP did not outlive the daemon"
nsenter --net=/run/netns/router "$CTBYPASS" unload -P $LAB_PIN
! has_xdp r0 || die "a program is left on r0"
! has_xdp r1 || die "a program is left on r1"
[[ ! -e $LAB_PIN ]] || die "pins are left"
tool client udp_flows -n 10 10.2.0.2 8080 >/dev/null
pass
