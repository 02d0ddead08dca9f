#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# shellcheck disable=SC2034 # LAB_* are for whoever sources this
#
# Network lab: hosts as network namespaces, cables as veth pairs, ctbypass on any of them.
#
# Sourced by tests/e2e/*.sh and demo.sh; `scripts/lab.sh [CONFIG]` gives a shell in a lab with
# client, router and server. Everything happens inside one private mount, network and PID
# namespace, entered by lab_enter: /run is a fresh tmpfs (so `ip netns` names and sockets are
# nobody else's) and whatever is still there when the first process ends, however it ends, is
# taken away by the kernel. Nothing of the host's is touched.

LAB_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LAB_LIB=$LAB_ROOT/tests/e2e/lib
LAB=/run/lab
LAB_BPF=$LAB/bpf
CTBYPASS=${CTBYPASS:-$LAB_ROOT/build/ctbypass}
PYTHON=/usr/bin/python3

# ---- entering and leaving ------------------------------------------------------------------

skip() {
	echo "skip: $*"
	exit 77
}

# left_out WHY: a part of the scenario cannot be tried here. run.sh counts that as a skip of its own.
left_out() { echo "left out: $*"; }

# Run the calling script again inside the lab's own namespaces; returns only there.
lab_enter() {
	if [[ ${LAB_INSIDE:-} != 1 ]]; then
		[[ $(id -u) == 0 ]] || skip "needs root"
		[[ -x $CTBYPASS ]] || skip "no $CTBYPASS: run make"
		mountpoint -q / || skip "/ is no mount point (a bare chroot): bind the directory upon itself first"
		ulimit -n 8192
		# The child is the PID namespace's init: when it or this process dies, so do all.
		LAB_INSIDE=1 CTBYPASS=$CTBYPASS exec unshare --net --mount --pid --fork \
			--kill-child=KILL --mount-proc --propagation private bash "$0" "$@"
	fi
	unset LAB_INSIDE
	set -E
	exec {LAB_STDERR}>&2 # whatever is redirected where something fails
	mount -t tmpfs -o mode=755 lab /run
	mkdir -p $LAB $LAB_BPF /run/netns
	mount -t bpf -o mode=700 lab $LAB_BPF
	cd $LAB
	trap 'lab_on_exit $?' EXIT
	trap '((BASH_SUBSHELL)) || lab_on_error "${BASH_SOURCE[0]}" $LINENO "$BASH_COMMAND"' ERR
	trap 'exit 143' TERM
	trap 'exit 130' INT
}

# The first of these lines that a failing scenario prints says why. A subshell's failure shows up
# again in the shell that wanted its result, unless that expected it.
lab_on_error() {
	echo "FAILED: ${1##*/}:$2: $3" >&"$LAB_STDERR"
}

lab_on_exit() {
	local status=$1
	trap - EXIT ERR
	set +e
	if [[ $status != 0 && $status != 77 ]]; then
		lab_state
	fi
	# Not left to the kernel, which would leave its cgroups.
	[[ ! -d $LAB/confined || -z ${LAB_CHILD:-} ]] || daemon_kill 2>/dev/null
	exit "$status"
}

# What a person wants to see after a failure.
lab_state() {
	local f ns
	for f in "$LAB"/*.log; do
		[[ -s $f ]] || continue
		echo "---- ${f##*/}"
		tail -n 25 "$f"
	done
	[[ -S $LAB_SOCK ]] || return 0
	echo "---- status"
	within 5 "$CTBYPASS" status -S $LAB_SOCK
	echo "---- stats"
	within 5 "$CTBYPASS" stats -S $LAB_SOCK
	for ns in /run/netns/*; do
		ns=${ns##*/}
		echo "---- conntrack in $ns: $(ct_entries "$ns")"
		on "$ns" conntrack -L 2>/dev/null | head -n 5
	done
}

# ---- hosts and cables ----------------------------------------------------------------------

# on HOST COMMAND...: run it in that host's network namespace (the mounts stay ours, which
# `ip netns exec` would not do: it remounts /sys and with it hides bpffs).
on() {
	local ns=$1
	shift
	nsenter --net=/run/netns/"$ns" "$@"
}

# A host with loopback up, no duplicate address detection (it eats the first packets of a lab that
# starts at once) and no limits on the ICMP errors that tests count.
lab_host() {
	local ns
	for ns in "$@"; do
		ip netns add "$ns"
		on "$ns" sysctl -qw net.ipv6.conf.{all,default}.accept_dad=0 \
			net.ipv6.conf.{all,default}.dad_transmits=0 \
			net.ipv6.conf.{all,default}.router_solicitations=0 \
			net.ipv4.conf.{all,default}.rp_filter=0 \
			net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0
		on "$ns" ip link set lo up
	done
}

lab_router() {
	lab_host "$@"
	local ns
	for ns in "$@"; do
		on "$ns" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
	done
}

# lab_cable HOST1 IF1 HOST2 IF2. Offloads are off, so that a packet at a hook is a packet on the
# wire and its checksum is real; LAB_OFFLOAD=1 leaves them as the kernel made them.
lab_cable() {
	ip link add "$2" netns "$1" type veth peer name "$4" netns "$3"
	if [[ ${LAB_OFFLOAD:-0} == 0 ]]; then
		on "$1" ethtool -K "$2" tx off gro off >/dev/null
		on "$3" ethtool -K "$4" tx off gro off >/dev/null
	fi
	on "$1" ip link set "$2" up
	on "$3" ip link set "$4" up
}

# lab_addr HOST IF ADDRESS/LEN...
lab_addr() {
	local ns=$1 dev=$2 a
	shift 2
	for a in "$@"; do
		on "$ns" ip addr add "$a" dev "$dev"
	done
}

mac_of() { on "$1" ip -j link show dev "$2" | jq -r '.[0].address'; }

# client c0 --- s0 server
lab_pair() {
	lab_host client server
	lab_cable client c0 server s0
	lab_addr client c0 10.0.0.2/24 fd00::2/64
	lab_addr server s0 10.0.0.1/24 fd00::1/64
}

# client c0 --- r0 router r1 --- s0 server
lab_line() {
	lab_host client server
	lab_router router
	lab_cable client c0 router r0
	lab_cable router r1 server s0
	lab_addr client c0 10.1.0.2/24 fd01::2/64
	lab_addr router r0 10.1.0.1/24 fd01::1/64
	lab_addr router r1 10.2.0.1/24 fd02::1/64
	lab_addr server s0 10.2.0.2/24 fd02::2/64
	on client ip route add default via 10.1.0.1
	on client ip route add default via fd01::1
	on server ip route add default via 10.2.0.1
	on server ip route add default via fd02::1
}

# ---- ctbypass ------------------------------------------------------------------------------

LAB_CONF=$LAB/ctbypass.conf
LAB_PIN=$LAB_BPF/ctbypass
LAB_SOCK=$LAB/ctbypass.sock

# daemon_start HOST [OPTION...]: with $LAB_CONF; returns when it serves. With CTB_CONFINE=1 it runs
# under the restrictions of packaging/ctbypass.service, or of the unit that CTB_CONFINE names, and
# systemd is what sees to them; LAB_DAEMON is the daemon's PID all the same. With CTB_DIRECT=1 it has
# to be in direct mode then, unless an OPTION says something else.
daemon_start() {
	local ns=$1 unit=${CTB_CONFINE:-}
	shift
	LAB_DAEMON_NS=$ns
	set -- "$CTBYPASS" run -c $LAB_CONF -P $LAB_PIN -S $LAB_SOCK "$@"
	if [[ -z $unit ]]; then
		nsenter --net=/run/netns/"$ns" "$@" >>$LAB/daemon.log 2>&1 &
	else
		[[ $unit != 1 ]] || unit=$LAB_ROOT/packaging/ctbypass.service
		"$LAB_ROOT"/scripts/confine.sh "$unit" /run/netns/"$ns" $LAB/confined $LAB/daemon.log \
			"$@" >>$LAB/systemd.log 2>&1 &
	fi
	LAB_DAEMON=$!
	LAB_CHILD=$LAB_DAEMON
	poll 20 daemon_ready || die "the daemon does not answer"
	[[ -z $unit ]] || { poll 5 test -s $LAB/confined/pid && LAB_DAEMON=$(<$LAB/confined/pid); }
	[[ $* == *" -M "* ]] || ! direct || is_direct || die "not in direct mode: $(ctb status)"
}

# CTB_SEED, for what is generated: what the environment says, or the same in every run, so that one
# that fails fails again; with CTB_LONG=1 another in each.
lab_seed() {
	local usual=1
	[[ ${CTB_LONG:-0} == 0 ]] || usual=$((RANDOM * 32768 + RANDOM))
	export CTB_SEED=${CTB_SEED:-$usual}
	echo "CTB_SEED=$CTB_SEED"
}

# For scenarios that load module nf_untrack_bpf themselves: KO is its file. The module is the whole
# machine's, so elsewhere than in a machine of our own they are skipped.
lab_module() {
	[[ -e /etc/vm-command ]] || skip "loads a kernel module: only under make check-kernels"
	KO=$LAB_ROOT/build/kmod/nf_untrack_bpf.ko
	[[ -s $KO ]] || skip "no module for $(uname -r): there are no headers of it"
}
lab_module_unload() { rmmod nf_untrack_bpf 2>/dev/null; }

# Is the module there, so that daemons are to run in direct mode; and is the netfilter hook its own
# too, where the kernel has such programs (6.4)?
direct() { [[ ${CTB_DIRECT:-0} == 1 ]]; }
direct_out() { direct && grep -qw bpf_nf_link_attach /proc/kallsyms; }
is_direct() {
	local sent=mark
	! direct_out || sent=direct
	[[ $(ctb status -j | jq -r '.hand_over | .ingress.method + " " + .output.method') == "direct $sent" ]]
}

daemon_ready() {
	if ! kill -0 "$LAB_CHILD" 2>/dev/null; then
		local status=0
		wait "$LAB_CHILD" || status=$?
		((status != 77)) || skip "$(tail -n 1 $LAB/systemd.log)"
		die "the daemon ended: $(tail -n 3 $LAB/daemon.log)"
	fi
	[[ -S $LAB_SOCK ]] && "$CTBYPASS" status -S $LAB_SOCK >/dev/null 2>&1
}

# daemon_stop: as systemd would. daemon_kill: as the OOM killer would.
daemon_stop() {
	kill -TERM "$LAB_DAEMON"
	wait "$LAB_CHILD" || die "the daemon stopped with status $?"
}
daemon_kill() {
	kill -KILL "$LAB_DAEMON"
	wait "$LAB_CHILD" 2>/dev/null || true
}

# daemon_conf HOST [OPTION...] <<<CONFIG: write the configuration and start.
daemon_conf() {
	cat >$LAB_CONF
	daemon_start "$@"
}

# ctb SUBCOMMAND ARGS...: a client of the daemon.
ctb() {
	local cmd=$1
	shift
	within 20 "$CTBYPASS" "$cmd" -S $LAB_SOCK "$@"
}

# rule_stat HANDLE receive|output original|reply|icmp_error packets|bytes: one counter of a rule.
# rule_all HANDLE: packets in every direction and hook; rule_where TEXT: the handle of the rule
# whose text has TEXT in it; reason NAME: packets left alone for that reason.
rule_stat() {
	ctb stats -j | jq --argjson h "$1" --arg hook "$2" --arg dir "$3" --arg what "$4" \
		'.rules[] | select(.handle == $h) | .[$hook][$dir][$what]'
}
rule_all() {
	ctb stats -j | jq --argjson h "$1" \
		'.rules[] | select(.handle == $h) | [.receive[], .output[] | .packets] | add'
}
rule_where() {
	ctb stats -j | jq --arg t "$1" '[.rules[] | select(.rule | contains($t)) | .handle][0]'
}
reason() { ctb stats -j | jq --arg r "$1" '.reasons[] | select(.name == $r) | .packets'; }

# ---- looking -------------------------------------------------------------------------------

die() {
	local i=1 # the line of the scenario, not the one of a helper here
	while [[ ${BASH_SOURCE[i]} == "${BASH_SOURCE[0]}" && -n ${BASH_SOURCE[i + 1]:-} ]]; do
		i=$((i + 1))
	done
	lab_on_error "${BASH_SOURCE[i]}" "${BASH_LINENO[i - 1]}" "$*"
	exit 1
}

# The last word of a scenario that came to its end; run.sh wants to hear it.
pass() { echo PASS; }

say() { echo "   $*"; }

# eq WHAT GOT WANTED, and the like
eq() { [[ $2 == "$3" ]] || die "$1: got $2, wanted $3"; }
ne() { [[ $2 != "$3" ]] || die "$1: got $2, wanted anything else"; }
ge() { (($2 >= $3)) || die "$1: got $2, wanted at least $3"; }
le() { (($2 <= $3)) || die "$1: got $2, wanted at most $3"; }
has() { [[ $2 == *"$3"* ]] || die "$1: \"$3\" is not in: $2"; }
hasnt() { [[ $2 != *"$3"* ]] || die "$1: \"$3\" is in: $2"; }

# fails COMMAND...: must fail with a proper exit status, not a signal; its output is in $OUT.
fails() {
	local status=0
	OUT=$("$@" 2>&1) || status=$?
	((status != 0)) || die "succeeded but should have failed: $*"
	((status < 124)) || die "ended with status $status: $*: $OUT"
}

# within SECONDS COMMAND...: it fails when it takes longer, on a machine that is not slow.
within() {
	local seconds=$1
	shift
	timeout $((seconds * ${CTB_SLOW:-1})) "$@"
}

# poll SECONDS COMMAND...: until it is true; CTB_SLOW times as long where everything is slow.
poll() {
	local end=$((${EPOCHREALTIME/./} + $1 * ${CTB_SLOW:-1} * 1000000))
	shift
	until "$@"; do
		((${EPOCHREALTIME/./} < end)) || return 1
		sleep 0.02
	done
}

# Entries in a host's table; ct_list HOST [conntrack -L options]: the matching ones, a line each.
# A kernel whose conntrack is a module has no such file until something uses it.
ct_entries() { on "$1" sh -c 'cat /proc/sys/net/netfilter/nf_conntrack_count 2>/dev/null || echo 0'; }
ct_list() {
	local ns=$1 fam
	shift
	for fam in ipv4 ipv6; do
		on "$ns" conntrack -L -f $fam "$@" 2>/dev/null || true # an address of the other one
	done
}
# tcx came with Linux 6.6; before that `-A auto` takes clsact.
have_tcx() { grep -qw tcx_link_attach /proc/kallsyms; }
# Whether a veth takes XDP frames is told since 6.3; before, none is sent any, and tc forwards.
have_xdp_out() { grep -qw netdev_nl_dev_get_doit /proc/kallsyms; }
forward_modes() { if have_xdp_out; then echo xdp tc; else echo tc; fi; }
ct_count() { ct_list "$@" | wc -l; }
ct_flush() {
	local out
	out=$(on "$1" conntrack -F 2>&1) || die "conntrack -F: $out"
}

# capture_start NAME HOST IF [FILTER]: into $LAB/NAME.pcap, from the first packet on.
capture_start() {
	local name=$1 ns=$2 dev=$3
	shift 3
	nsenter --net=/run/netns/"$ns" tcpdump -Z root -B 65536 -s 256 --immediate-mode -U -n -i "$dev" -w "$LAB/$name.pcap" \
		"$@" 2>"$LAB/$name.tcpdump" &
	echo $! >"$LAB/$name.pid"
	poll 10 grep -q "listening on" "$LAB/$name.tcpdump" || die "tcpdump does not start"
}

# capture_stop NAME: fails when the capture itself lost packets, since it is compared by number.
capture_stop() {
	local pid
	pid=$(<"$LAB/$1.pid")
	sleep 0.2 # the ring is read in the order of arrival; let it drain
	kill -TERM "$pid"
	wait "$pid" || true
	grep -q "^0 packets dropped by kernel" "$LAB/$1.tcpdump" ||
		die "capture $1: $(cat "$LAB/$1.tcpdump")"
}

# captured NAME [FILTER]: how many of the captured packets fit.
captured() {
	local name=$1
	shift
	tcpdump --count -n -r "$LAB/$name.pcap" "$@" 2>/dev/null | sed -n 's/^\([0-9]*\) packet.*/\1/p'
}

# watch_states HOST HOOK [MATCH]: count packets by conntrack state in that hook (filter priority).
# state_count HOST HOOK STATE reads it. This is also what switches conntrack on in the host.
watch_states() {
	on "$1" nft -f - <<-EOT
		table inet watch_$2 {
			counter untracked {}
			counter invalid {}
			counter new {}
			counter established {}
			counter related {}
			chain c {
				type filter hook $2 priority -1; policy accept;
				${3:-} ct state untracked counter name untracked
				${3:-} ct state invalid counter name invalid
				${3:-} ct state new counter name new
				${3:-} ct state established counter name established
				${3:-} ct state related counter name related
			}
		}
	EOT
}
state_count() {
	on "$1" nft -j list counter inet "watch_$2" "$3" |
		jq '[.nftables[].counter? | select(. != null) | .packets] | add // 0'
}

# background NAME HOST COMMAND...: run it there, output in $LAB/NAME.log, PID in $LAB/NAME.pid.
background() {
	local name=$1 ns=$2
	shift 2
	nsenter --net=/run/netns/"$ns" "$@" >"$LAB/$name.log" 2>&1 &
	echo $! >"$LAB/$name.pid"
}
background_stop() {
	local pid
	pid=$(<"$LAB/$1.pid")
	kill -"${2:-TERM}" "$pid" 2>/dev/null || true
	wait "$pid" 2>/dev/null || true
}
background_wait() { wait "$(<"$LAB/$1.pid")"; }

# tool NAME.py ARGS... on a host: traffic programs of the tests.
tool() {
	local ns=$1 name=$2
	shift 2
	on "$ns" $PYTHON "$LAB_LIB/$name.py" "$@"
}

# listening HOST tcp|udp PORT: true once somebody listens.
listening() { [[ -n $(on "$1" ss -Hln --"$2" "sport = :$3") ]]; }

# serve NAME HOST TOOL ARGS...: a server that says "ready" when it listens.
serve() {
	local name=$1 ns=$2 prog=$3
	shift 3
	background "$name" "$ns" $PYTHON "$LAB_LIB/$prog.py" "$@"
	poll 10 grep -q ready "$LAB/$name.log" || die "$name does not start: $(cat "$LAB/$name.log")"
}

# fill_conntrack HOST LEAVE: empty the host's table, then fill it until LEAVE entries are free. The
# limit is the kernel's for all namespaces and is not touched: the entries are real, and assured, or
# the kernel would throw them out for the next new flow.
fill_conntrack() {
	local max
	max=$(cat /proc/sys/net/netfilter/nf_conntrack_max)
	((max <= 2097152)) || skip "nf_conntrack_max is $max: filling such a table takes too long"
	ct_flush "$1"
	$PYTHON - $((max - $2)) <<-'EOT' >$LAB/fill
		import sys
		for i in range(int(sys.argv[1])):
		    print("-I -p udp -s 198.18.%d.%d -d 198.19.0.1 --sport %d --dport 9 --timeout 600"
		          " --status ASSURED,SEEN_REPLY" % (i >> 8 & 255, i & 255, 1000 + (i >> 16)))
	EOT
	on "$1" conntrack -R $LAB/fill >/dev/null 2>$LAB/fill.err || die "conntrack -R: $(cat $LAB/fill.err)"
	rm $LAB/fill
	eq "entries after filling" "$(ct_entries "$1")" $((max - $2))
}

# ---- a lab to poke at ----------------------------------------------------------------------

lab_shell() {
	[[ -z ${1:-} ]] || set -- "$(realpath "$1")"
	lab_enter "$@"
	lab_line
	if [[ -n ${1:-} ]]; then
		cp "$1" $LAB_CONF
		watch_states router forward
		daemon_start router
		echo "ctbypass runs on router; ask it with: ctb status, ctb stats, ctb list"
	fi
	echo "client (10.1.0.2, fd01::2) -- router -- server (10.2.0.2, fd02::2)"
	echo "on HOST COMMAND... runs a command there; leave with exit, and all is gone"
	# shellcheck disable=SC2016 # expanded by the inner shell
	bash --rcfile <(echo ". $LAB_ROOT/scripts/lab.sh; PS1='lab# '") -i || true
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
	set -euo pipefail
	lab_shell "$@"
fi
