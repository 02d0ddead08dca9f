# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# For scenarios with lib/segments.py: networks around one router, with a host that says nothing of
# its own behind each. Sourced after lab.sh.

declare -a SEGMENTS=() # names of those that take part
declare -A SEG_LINE=() SEG_IN=() SEG_OUT=() # by name; IN and OUT as segments.py has them, default tc

# quiet_host HOST...: takes everything and answers nothing.
quiet_host() {
	lab_host "$@"
	local ns
	for ns in "$@"; do
		on "$ns" sysctl -qw net.ipv6.conf.{all,default}.disable_ipv6=1
	done
}

# A router whose own packets say nothing at random and are not limited in number.
plain_router() {
	lab_router "$@"
	local ns
	for ns in "$@"; do
		on "$ns" sysctl -qw net.ipv4.icmp_ratemask=0 net.ipv6.icmp.ratemask= \
			net.ipv6.auto_flowlabels=0 net.ipv4.conf.{all,default}.send_redirects=0
	done
}

# quiet_end HOST IF MAC: a far end, longer than what the router sends, with NAPI if $NAPI says so:
# only then XDP can send to it.
quiet_end() {
	on "$1" ip link set "$2" down arp off address "$3" mtu 1600
	on "$1" ethtool -K "$2" gro "${NAPI:-on}" >/dev/null
	on "$1" ip link set "$2" up
}

# segment NAME N ROUTER_IF HOST:IF TAGS: addresses and neighbours. ROUTER_IF is there already.
segment() {
	local name=$1 n=$2 dev=$3 cable=$4 tags=$5 mtu mac hmac=02:00:00:00:01:$2
	mac=$(mac_of router "$dev")
	mtu=$(on router ip -j link show dev "$dev" | jq '.[0].mtu')
	on router ip addr replace 10."$n".0.1/24 dev "$dev"
	on router ip addr replace fd"$n"::1/64 dev "$dev"
	on router ip neigh replace 10."$n".0.2 lladdr "$hmac" dev "$dev"
	on router ip neigh replace fd"$n"::2 lladdr "$hmac" dev "$dev"
	[[ -n ${SEG_LINE[$name]:-} ]] || SEGMENTS+=("$name")
	SEG_LINE[$name]="$name $n $dev $cable $tags $mtu $mac $hmac"
}

# comes PATH NAME..., leaves PATH NAME...: IN and OUT of these segments.
comes() {
	local name path=$1
	shift
	for name in "$@"; do
		SEG_IN[$name]=$path
	done
}
leaves() {
	local name path=$1
	shift
	for name in "$@"; do
		SEG_OUT[$name]=$path
	done
}

# By name: HOST:IF, a device of the host's that puts the tag on what that segment sends.
declare -A SEG_VIA=()

segment_table() {
	local name
	for name in "${SEGMENTS[@]}"; do
		echo "${SEG_LINE[$name]} ${SEG_IN[$name]:-tc} ${SEG_OUT[$name]:-tc}"
		[[ -z ${SEG_VIA[$name]:-} ]] || echo "via $name ${SEG_VIA[$name]}"
	done >$LAB/segments
}

# kernel_makes FILE [OPTION...]: what the kernel alone makes of the packets.
kernel_makes() {
	local file=$1
	shift
	segment_table
	tool router segments record "$@" $LAB/segments "$LAB/$file" >$LAB/segments.out || {
		cat $LAB/segments.out
		return 1
	}
	say "the kernel: $(tail -n 1 $LAB/segments.out)"
}

# same_as FILE WHAT [OPTION...]: ctbypass makes the same of them, and counts as SEG_IN and SEG_OUT say.
same_as() {
	local file=$1 what=$2
	shift 2
	segment_table
	tool router segments compare --socket $LAB_SOCK "$@" $LAB/segments "$LAB/$file" >$LAB/segments.out || {
		cat $LAB/segments.out
		die "$what: not as the kernel does, or not where it should"
	}
	say "$what: $(tail -n 1 $LAB/segments.out)"
}

# path_of DEVICE: xdp, tc, kernel or -, as status says; path_why, takes_xdp and takes_why likewise.
status_of() { ctb status -j | jq -r --arg d "$1" '.interfaces[] | select(.name == $d) | '"$2"; }
path_of() { status_of "$1" .forward; }
path_why() { status_of "$1" .forward_why; }
takes_xdp() { status_of "$1" .xdp_out; }
takes_why() { status_of "$1" .xdp_out_why; }
path_is() { [[ $(path_of "$1") == "$2" ]]; }
# The kernel's own word: is there an XDP program on that device of the router?
has_xdp() { [[ $(on router ip -j link show dev "$1" | jq '.[0].xdp != null and .[0].xdp.mode != 0') == true ]]; }
