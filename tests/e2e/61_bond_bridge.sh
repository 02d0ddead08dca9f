#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 180
# Bonds and bridges under notrack rules: what comes in by a slave or a port is judged once, on the
# master, in every mode and after every failover; devices are enslaved and released while packets
# flow. All numbers are compared with captures on the cables themselves.
# kernels: few
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"
. "$LAB_LIB/gains.sh"

lab_host client office1 office2 dmz server
lab_router router
for kind in bond bridge; do
	on router ip link add probe type $kind 2>/dev/null || skip "this kernel has no $kind devices"
	on router ip link del probe
done
# Where br_netfilter is loaded it is on by default; 65_br_netfilter.sh is about that.
on router sysctl -qw net.bridge.bridge-nf-call-{ip,ip6}tables=0 2>/dev/null || true
for cable in "client c1 b1" "client c2 b2" "office1 o1 p1" "office2 o2 p2" "dmz d0 r2" "server s0 r1"; do
	read -r host far near <<<"$cable"
	lab_cable "$host" "$far" router "$near"
done

# bond MODE: of both cables at both ends, again if there is one
bond() {
	local end
	for end in "client c1 c2" "router b1 b2"; do
		# shellcheck disable=SC2086 # three words
		bond_end "$1" $end
	done
	lab_addr client bond0 10.1.0.2/24 fd01::2/64
	lab_addr router bond0 10.1.0.1/24 fd01::1/64
	on client ip route replace default via 10.1.0.1
	on client ip route replace default via fd01::1
}
bond_end() { # MODE HOST SLAVE...
	local mode=$1 host=$2 dev
	shift 2
	on "$host" ip link del bond0 2>/dev/null || true
	on "$host" ip link add bond0 type bond mode "$mode" miimon 20
	for dev in "$@"; do
		on "$host" ip link set "$dev" down
		on "$host" ip link set "$dev" master bond0
	done
	on "$host" ip link set bond0 up
}
bond active-backup
on router ip link add br0 type bridge
for dev in p1 p2; do
	on router ip link set $dev master br0
done
on router ip link set br0 address "$(mac_of router p1)" up # a port is judged for its own
lab_addr router br0 10.2.0.1/24 fd02::1/64
lab_addr office1 o1 10.2.0.2/24 fd02::2/64
lab_addr office2 o2 10.2.0.3/24 fd02::3/64
lab_addr router r1 10.3.0.1/24 fd03::1/64
lab_addr server s0 10.3.0.2/24 fd03::2/64
lab_addr dmz d0 10.4.0.2/24 fd04::2/64
for host in office1 office2; do
	on $host ip route add default via 10.2.0.1
	on $host ip route add default via fd02::1
done
on server ip route add default via 10.3.0.1
on server ip route add default via fd03::1

watch_states router forward
long_entries
for host in server office2 router; do
	serve on_$host $host echo 8080 8081
done
cat >$LAB/all.conf <<'EOC'
notrack udp dport 8080
notrack tcp dport 8080
EOC
daemon_conf router <$LAB/all.conf

interface() { ctb status -j | jq -r --arg d "$1" '.interfaces[] | select(.name == $d) | '"$2"; }
judges() { local mode; mode=$(interface "$1" .mode); [[ $mode == tcx || $mode == clsact ]]; }
left_to() { [[ $(interface "$1" .why) == *"enslaved to $2"* ]] && ! judges "$1"; }
for dev in bond0 br0 r1 r2; do
	judges $dev || die "$dev is not attached: $(interface $dev .why)"
done
for dev in "b1 bond0" "b2 bond0" "p1 br0" "p2 br0"; do
	left_to ${dev% *} ${dev#* } || die "${dev% *}: $(interface ${dev% *} .why)"
done

# passed WHAT DEVICE,... FROM PORT ADDRESS...: flows to these, with captures on the cables named;
# SEEN is how many packets came in there for the router to judge, OWN those to its own addresses
passed() {
	local what=$1 devices=${2//,/ } from=$3 dev
	shift 3
	ct_flush router
	for dev in $devices; do
		capture_start on_$dev router $dev -Q in ip or ip6
	done
	around tool "$from" flows "$@"
	say "$what: $OUT"
	SEEN=0 OWN=0 SAW=
	for dev in $devices; do
		capture_stop on_$dev
		SAW+="$dev $(captured on_$dev "$FIRST"), "
		SEEN=$((SEEN + $(captured on_$dev "$FIRST and ($HERE)")))
		OWN=$((OWN + $(captured on_$dev "$FIRST and ($OWNS)")))
	done
}
macs() { # DEVICE...: the router's; frames for others are only switched
	local dev text=
	for dev in "$@"; do
		text+="${text:+ or }ether dst $(mac_of router $dev)"
	done
	echo "$text"
}
OWNS="dst 10.1.0.1 or dst 10.2.0.1 or dst fd01::1 or dst fd02::1"
bypassed() { # as passed, on port 8080: judged once
	local what=$1
	HERE=$(macs bond0 br0 r1 r2)
	passed "$1" "$2" "$3" 8080 "${@:4}"
	say "$what: $SAW$OWN of it to the router itself"
	ge "$what: packets" "$SEEN" 60
	eq "$what: judged" "${GAIN[receive]}" "$SEEN"
	eq "$what: entries" "$(ct_entries router)" 0
	eq "$what: FORWARD untracked" "${GAIN[untracked]}" $((SEEN - OWN))
	eq "$what: FORWARD tracked" "${GAIN[tracked]}" 0
	eq "$what: FORWARD invalid" "${GAIN[invalid]}" 0
}
tracked() { # WHAT FROM ADDRESS...: the near miss, port 8081
	ct_flush router
	around tool "$2" flows 8081 "${@:3}"
	eq "$1, near miss: entries" "$(ct_entries router)" $((30 * ($# - 2)))
	eq "$1, near miss: judged" $((GAIN[receive] + GAIN[output])) 0
	eq "$1, near miss: FORWARD untracked" "${GAIN[untracked]}" 0
}

server="10.3.0.2 fd03::2" office="10.2.0.3 fd02::3" own1="10.1.0.1 fd01::1" own2="10.2.0.1 fd02::1"

# shellcheck disable=SC2086 # several addresses each
{
	bypassed "bond to a plain device" b1,b2,r1 client $server $own1
	tracked "bond to a plain device" client $server $own1
	bypassed "bond to bridge" b1,b2,p1,p2 client $office
	bypassed "bridge to a plain device" p1,p2,r1 office1 $server $own2
	tracked "bridge" office1 $server $own2
	# From port to port: nobody's but the bridge's.
	HERE=$(macs br0)
	passed "switched" p1,p2 office1 8080 $office
	eq "switched: for the router" "$SEEN" 0
	eq "switched: judged" "${GAIN[receive]}" 0
	eq "switched: entries" "$(ct_entries router)" 0

	# One cable of the bond is cut, then the other instead.
	on router ip link set b1 down
	bypassed "by b2 alone" b2,r1 client $server
	on router ip link set b1 up
	on router ip link set b2 down
	bypassed "by b1 alone" b1,r1 client $server
	on router ip link set b2 up
}

# ---- enslaved and released while packets flow --------------------------------------------------

ct_flush router
counters before
background stream client $PYTHON "$LAB_LIB/flows.py" -u 10 -k 400 -f 0 -t 0 8080 10.3.0.2 fd03::2
on router ip link set b2 nomaster
poll 5 judges b2 || die "released by the bond: $(interface b2 .why)"
on router ip link set b2 down
on router ip link set b2 master bond0
poll 5 left_to b2 bond0 || die "back in the bond: $(interface b2 .why)"
on router ip addr flush dev r2
on router ip link set r2 master br0
poll 5 left_to r2 br0 || die "in the bridge: $(interface r2 .why)"
background_wait stream || die "packets were lost: $(cat $LAB/stream.log)"
counters after
gains
eq "while devices were enslaved: entries" "$(ct_entries router)" 0
eq "while devices were enslaved: judged" "${GAIN[receive]}" 16000
lab_addr dmz d0 10.2.0.4/24 fd02::4/64
on dmz ip route replace default via 10.2.0.1
on dmz ip route replace default via fd02::1
# shellcheck disable=SC2086
bypassed "a port that came" r2,r1 dmz $server $own2
on router ip link set r2 nomaster
poll 5 judges r2 || die "released by the bridge: $(interface r2 .why)"
on dmz ip addr flush dev d0
lab_addr dmz d0 10.4.0.2/24 fd04::2/64
lab_addr router r2 10.4.0.1/24 fd04::1/64
on dmz ip route replace default via 10.4.0.1
on dmz ip route replace default via fd04::1
# shellcheck disable=SC2086
{
	bypassed "a port that went" r2,r1 dmz $server
	tracked "a port that went" dmz $server
}

# ---- another bond under the same name, both cables at once --------------------------------------

bond balance-rr
poll 5 judges bond0 || die "another bond: $(interface bond0 .why)"
# shellcheck disable=SC2086
bypassed "balance-rr" b1,b2,r1 client $server $own1
for dev in b1 b2; do
	ge "balance-rr: packets by $dev" "$(captured on_$dev "$FIRST")" 50
	ge "balance-rr: later fragments by $dev" "$(captured on_$dev "$LATER")" 10
done
# shellcheck disable=SC2086
tracked "balance-rr" client $server

# ---- a port that is named, the bridge is not: judged on the port ---------------------------------

{
	echo 'interface p1 bond0 r1 r2'
	cat $LAB/all.conf
} >$LAB_CONF
ctb reload >/dev/null 2>&1
poll 5 judges p1 || die "a port by name: $(interface p1 .why)"
# shellcheck disable=SC2086
bypassed "a port by name" p1,r1 office1 $server
ct_flush router
around tool office2 flows -u 20 -f 0 -t 0 8080 10.3.0.2 # asks tracked, is answered untracked
eq "the port that is not named: judged" "${GAIN[receive]}" 40
eq "the port that is not named: tracked" "${GAIN[tracked]}" 40
eq "the port that is not named: entries" "$(ct_entries router)" 20
pass
