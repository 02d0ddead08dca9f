#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Which capability is needed for what, each taken away by itself: from a daemon that has started with
# all three, operation by operation; and from other people's tools that do what the daemon does, call
# by call. docs/kernel.md has the two tables that this prints and compares with what is expected.
# timeout: 120
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"
unset CTB_CONFINE
BUILD=${CTBYPASS%/*}
foreign=$BUILD/tests/e2e/foreign.bpf.o
for file in "$BUILD/tests/e2e/drop_cap.so" "$foreign"; do
	[[ -e $file ]] || skip "no $file: run make tests"
done
CAPS=(BPF PERFMON NET_ADMIN)
# A build with sanitizers wants its library first.
preload="$(ldd "$CTBYPASS" | awk '/libasan/ { print $3 }') $BUILD/tests/e2e/drop_cap.so"

lab_line
watch_states router forward
for end in "client c0" "router r0" "router r1" "server s0"; do
	# shellcheck disable=SC2086 # two words
	set -- $end
	on "$1" ethtool -K "$2" gro on # a veth takes XDP frames only so
done

# ---- operations of the daemon --------------------------------------------------------------

number() { # of a capability
	case $1 in
	BPF) echo 39 ;;
	PERFMON) echo 38 ;;
	NET_ADMIN) echo 12 ;;
	esac
}
has_not() { [[ $(ctb status -j | jq -r '.privileges[]') != *CAP_"$1"* ]]; }
# start [CAPABILITY]: a daemon that has it no more, on a router where nothing has happened yet.
start() {
	LD_PRELOAD=$preload daemon_conf router <<-'EOT'
		set s { 192.0.2.0/24 }
		notrack udp dport 8080
		notrack udp dport 8081 saddr @s
		notrack tcp dport 80 daddr local
	EOT
	[[ -n ${1:-} ]] || return 0
	! has_not "$1" || die "$1 was never there"
	env kill -q "$(number "$1")" -s USR2 "$LAB_DAEMON"
	poll 5 has_not "$1" || die "$1 is still there"
}

rules() { ctb list -j | jq '.rules | length'; }
if direct_out; then table=false; else table=true; fi
generation() { ctb status -j | jq .generation; }
device() { ctb status -j | jq -r --arg n "$1" '.interfaces[] | select(.name == $n) | .'"$2"; }
# True when it did what it is for. In this order, since one changes what the next finds.
op_list() { (($(rules) == 3)); }
op_status() {
	ctb status -j | jq -e --argjson table "$table" \
		'.nft.present == $table and ([.interfaces[] | select(.failed)] == [])'
}
op_stats() { ctb stats -j | jq -e '.output_error == null'; }
op_add() { ctb add notrack udp dport 9000; }
op_delete() { ctb delete 1; }
op_set() { ctb set add s 198.51.100.0/24; }
op_reload() { ctb reload; }
op_device() {
	on router ip link add new0 type veth peer name new1
	attached() { [[ $(device new0 mode) =~ ^(tcx|clsact)$ && $(device new0 failed) == false ]]; }
	poll 2 attached
}
op_address() {
	local before
	before=$(generation)
	on router ip addr add 10.9.9.9/32 dev lo
	newer() { (($(generation) > before)); }
	poll 2 newer
}
op_xdp() {
	local path
	ctb add forward udp dport 9001 || return 1
	path=$(device r0 forward)
	[[ $path == "${best:=$path}" ]] # what it is with all three
}
op_sweep() {
	on router conntrack -I -p udp -s 10.1.0.2 -d 10.2.0.2 --sport 1000 --dport 9002 --timeout 600
	ctb add notrack udp dport 9002 && (($(ct_count router -p udp --dport 9002) == 0))
}
op_flush() { # there is something to be put back
	[[ $table == true ]] || return 0
	on router nft delete table inet ctbypass
	back() { on router nft list table inet ctbypass; }
	poll 8 back # what changed before it may take the daemon a while on a busy machine
}

# What differs by what the kernel attaches with.
clsact=no
have_tcx || clsact=yes
nft=yes
[[ $table == true ]] || nft=no
declare -A FAILS
try_operations() { # [CAPABILITY]
	local op
	start "$@"
	for op in list status stats add delete set reload device address xdp sweep flush; do
		FAILS[$op,${1:-}]=no
		op_$op >$LAB/op.log 2>&1 || FAILS[$op,${1:-}]=yes
	done
	daemon_stop
	on router "$CTBYPASS" unload -P $LAB_PIN
	on router ip addr del 10.9.9.9/32 dev lo
	on router ip link del new0
	on router conntrack -F 2>/dev/null
}
for cap in "" "${CAPS[@]}"; do
	try_operations ${cap:+"$cap"}
done
row() { printf '   %-34s%-10s%-10s%-10s%s\n' "$@"; }
# Below 6.3 the kernel does not tell whether a veth takes XDP frames, and tc forwards.
ne "forward, with all three" "$best" kernel
! have_tcx || eq "forward, with all three" "$best" xdp
row operation "${CAPS[@]}" ""
while read -r op bpf perfmon net_admin what; do
	eq "$op with all three fails" "${FAILS[$op,]}" no
	row "$what" "${FAILS[$op,BPF]}" "${FAILS[$op,PERFMON]}" "${FAILS[$op,NET_ADMIN]}" ""
	eq "$what: needs CAP_BPF" "${FAILS[$op,BPF]}" "$bpf"
	eq "$what: needs CAP_PERFMON" "${FAILS[$op,PERFMON]}" "$perfmon"
	eq "$what: needs CAP_NET_ADMIN" "${FAILS[$op,NET_ADMIN]}" "$net_admin"
done <<-EOT
	list no no no list
	status no no $nft status
	stats no no $nft stats
	add yes yes yes add
	delete yes yes yes delete
	set yes yes yes set add
	reload yes yes yes reload
	device no no $clsact a new device
	address yes yes yes a new address
	xdp yes yes yes attach XDP
	sweep yes yes yes delete conntrack entries
	flush no no $nft put the nft table back
EOT

# ---- calls ---------------------------------------------------------------------------------

# as CAPABILITIES COMMAND: in a shell on the router, with those only.
as() {
	local caps=${1,,}
	on router setpriv --bounding-set "-all,+${caps// /,+}" --inh-caps -all bash -ec "$2" >$LAB/as.log 2>&1
}
# needed COMMAND UNDO: those without which it fails; SYS_ADMIN or DAC_READ_SEARCH only if the daemon's
# three are not enough.
needed() {
	local base=${CAPS[*]} out='' cap
	if ! as "$base" "$1"; then
		for cap in SYS_ADMIN DAC_READ_SEARCH ""; do
			[[ -n $cap ]] || die "fails with all: $1: $(<$LAB/as.log)"
			! as "$base $cap" "$1" || break
		done
		base+=" $cap"
		out=" $cap"
	fi
	bash -c "$2"
	for cap in "${CAPS[@]}"; do
		as "$(xargs <<<"${base/$cap/}")" "$1" || out+=" $cap"
		bash -c "$2"
	done
	echo "${out# }"
}
mkdir $LAB/mnt
install -m 600 -o 65534 /dev/null $LAB/foreign
bpftool map create $LAB_BPF/array type array key 4 value 4 entries 1 name array
# Where anybody may use BPF, maps are anybody's.
any=BPF
[[ $(</proc/sys/kernel/unprivileged_bpf_disabled) != 0 ]] || any=
row call needs "" "" ""
while IFS='|' read -r what wanted command undo; do
	got=$(needed "$command" "$undo")
	printf '   %-34s%s\n' "$what" "${got:--}"
	eq "$what: needs" "$got" "$wanted"
done <<-EOT
	make a map|$any|bpftool map create $LAB_BPF/m type hash key 4 value 4 entries 1 name m|rm -f $LAB_BPF/m
	make a map of devices|BPF NET_ADMIN|bpftool map create $LAB_BPF/m type devmap_hash key 4 value 4 entries 1 name m|rm -f $LAB_BPF/m
	open a pin, read and write a map||bpftool map update pinned $LAB_BPF/array key 0 0 0 0 value 1 0 0 0; bpftool map lookup pinned $LAB_BPF/array key 0 0 0 0|:
	load a tc program|BPF NET_ADMIN|bpftool prog load $foreign $LAB_BPF/p|rm -f $LAB_BPF/p
	add a clsact qdisc|NET_ADMIN|tc qdisc add dev r1 clsact|nsenter --net=/run/netns/router tc qdisc del dev r1 clsact 2>/dev/null
	read nftables|NET_ADMIN|nft list ruleset|:
	read conntrack|NET_ADMIN|conntrack -L|:
	read addresses, routes, devices||ip addr; ip route; ip -d link|:
	read a device's features||ethtool -k r0; ethtool -i r0|:
	read /proc/sys/net||cat /proc/sys/net/netfilter/nf_conntrack_max /proc/sys/net/ipv4/conf/r0/rp_filter|:
	mount a BPF file system|SYS_ADMIN|unshare --mount mount -t bpf bpf $LAB/mnt|:
	read what only another user may|DAC_READ_SEARCH|cat $LAB/foreign|:
EOT
pass
