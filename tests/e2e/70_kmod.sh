#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# The module of kmod/: what its kfuncs do at each hook and what they refuse, that programs keep it,
# what `features` says of it, and that it comes and goes under traffic (CTB_ROUNDS times, with
# CTB_LONG=1 a thousand).
# Modules are the whole machine's, so this runs only in one of its own: make check-kernels.
# run: alone
# timeout: 240
# kernels: few
# run: own hand-over
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"
lab_module

OBJ=$LAB_ROOT/build/tests/e2e/untrack.bpf.o
EALREADY=114 EBUSY=16 EINVAL=22 ENOENT=2 EOPNOTSUPP=95 # asm-generic/errno.h
features() { on server "$CTBYPASS" features -j -P $LAB_PIN; }
feature() { features | jq -r --arg what "$1" '.features[] | select(.name == "untrack-kfunc") | .[$what]'; }

# load PROGRAM: pinned in $PINS with its map. result ERRNO: how often the first call for a packet
# returned that, again ERRNO: the second one.
load() {
	PINS=$LAB_BPF/untrack
	mkdir -p $PINS
	$PYTHON "$LAB_LIB/untrack.py" load "$OBJ" "$1" $PINS
}
unpin() { rm -rf $LAB_BPF/untrack; }
result() { bpftool -j map lookup pinned $PINS/results key hex \
	$(printf '%02x %02x' $((($1 + ${2:-0}) & 255)) $((($1 + ${2:-0}) >> 8))) 0 0 | jq .formatted.value; }
again() { result "$1" 128; }
# at_tc HOST IF ingress|egress; off_tc takes it away.
at_tc() {
	on "$1" tc qdisc add dev "$2" clsact
	on "$1" tc filter add dev "$2" "$3" bpf da pinned $PINS/"${4:-untrack_tc}"
}
off_tc() { on "$1" tc qdisc del dev "$2" clsact; }
at_nf() { serve link "$1" untrack attach $PINS/untrack_nf "$2" "$3"; }
off_nf() { background_stop link; }

# States that UDP to PORT of the server has at prerouting and output, all hosts' hooks watched.
seen() { state_count server "$1" "$2"; }
reset() { on server nft reset counters >/dev/null; }
udp() { tool client udp_flows -n 10 10.0.0.1 "$1"; }

lab_pair
for port in 8080 8081; do serve echo$port server udp_echo $port; done
for hook in input output; do watch_states server $hook "meta l4proto udp"; done

# ---- without it -----------------------------------------------------------------------------
eq "not loaded" "$(feature state)" no
has "not installed" "$(feature detail)" "is not built for this kernel"
fails $PYTHON "$LAB_LIB/untrack.py" load "$OBJ" untrack_tc $LAB_BPF
has "a program that wants it" "$OUT" "bpf_skb_ct_set_untracked"

# As depmod has it when it is installed, and nobody has loaded it.
modules=$LAB/modules
mkdir -p $modules/updates
cp "$KO" $modules/updates/
echo "updates/nf_untrack_bpf.ko:" >$modules/modules.dep
mount --bind $modules "/lib/modules/$(uname -r)"
if [[ $(</sys/module/module/parameters/sig_enforce) == Y ]]; then
	has "unsigned" "$(feature detail)" "signed modules only (module.sig_enforce)"
	skip "this kernel loads signed modules only"
elif grep -qsE '\[(integrity|confidentiality)\]' /sys/kernel/security/lockdown; then
	has "unsigned" "$(feature detail)" "signed modules only (lockdown)"
	skip "this kernel is locked down: it loads signed modules only"
fi
has "installed" "$(feature detail)" "is not loaded: modprobe nf_untrack_bpf"
umount "/lib/modules/$(uname -r)"

# Built where the kernel's BTF was not at hand: of no use, whether or not the kernel takes it.
if insmod "${KO%.ko}.nobtf" 2>/dev/null; then
	eq "without BTF" "$(feature state)" no
	has "without BTF" "$(feature detail)" "was built without BTF"
	poll 10 lab_module_unload
fi

# ---- tc ingress -----------------------------------------------------------------------------
insmod "$KO"
eq "loaded" "$(feature state): $(feature detail)" "yes: "
load untrack_tc
at_tc server s0 ingress
udp 8080
eq "first call" "$(result 0)" 10
eq "second call" "$(again $EALREADY)" 10
eq "with flags that there are not" "$(result $EINVAL 256)" 10
eq "8080 as it comes in" "$(seen input untracked) $(seen input new)" "10 0"
reset
udp 8081
eq "8081, which the program leaves alone" "$(seen input untracked) $(seen input new)" "0 10"
eq "calls" "$(result 0)" 10

# A capture has its own clone of each packet, and gets all of them.
capture_start both server s0 udp and dst port 8080
udp 8080
capture_stop both
eq "captured" "$(captured both)" 10
eq "first call" "$(result 0)" 20

# As long as a program has it, it stays.
fails rmmod nf_untrack_bpf
has "in use" "$OUT" "in use"
off_tc server s0
unpin
poll 10 lab_module_unload || die "cannot be unloaded although no program has it"

# ---- fragments ------------------------------------------------------------------------------
insmod "$KO"
mac=$(mac_of server s0)
tracked() { echo $(($(seen input new) + $(seen input established))); }
# 3,000 bytes, cut by the client's kernel; and by hand, in every order: 40 + 40 datagrams.
datagrams() {
	local to
	ct_flush server
	reset
	for to in 10.0.0.1 fd00::1; do
		tool client udp_flows -n 20 -s 3000 $to 8080
	done
	tool client fragments c0 "$mac" 5 8080 10.0.0.2,10.0.0.1 fd00::2,fd00::1
}
load defer_tc
at_tc server s0 ingress defer_tc
eq "at first" "$(on server cat /proc/sys/net/netfilter/nf_untrack_defer)" 0
datagrams
eq "no hook to defer to" "$(result $ENOENT) $(again $ENOENT) $(result 0)" "80 80 0"
eq "tracked" "$(seen input untracked) $(tracked)" "0 80"
on server sysctl -qw net.netfilter.nf_untrack_defer=1
fails on server sh -c "echo 2 >/proc/sys/net/netfilter/nf_untrack_defer"
eq "the other host's" "$(on client cat /proc/sys/net/netfilter/nf_untrack_defer)" 0
datagrams
eq "deferred" "$(result 0) $(again $EALREADY)" "80 80"
eq "whole and untracked" "$(seen input untracked) $(seen input new) $(seen input invalid)" "80 0 0"
udp 8081
eq "whom nobody deferred" "$(seen input untracked) $(seen input new)" "80 10"
# Without a hook again what is deferred is tracked, and arrives.
on server sysctl -qw net.netfilter.nf_untrack_defer=0
datagrams
eq "no hook any more" "$(seen input untracked) $(tracked)" "0 80"
off_tc server s0
unpin
# What it is for.
load hasty_tc
at_tc server s0 ingress hasty_tc
reset
fails tool client udp_flows -n 20 -s 3000 10.0.0.1 8080
has "what arrived" "$OUT" "sent 20 got 0"
eq "first fragments untracked at once" "$(result 0)" 20
off_tc server s0
unpin
# With the hook in place it can be unloaded all the same.
on server sysctl -qw net.netfilter.nf_untrack_defer=1
poll 10 lab_module_unload || die "cannot be unloaded"
udp 8080

# ---- where it has no business ---------------------------------------------------------------
insmod "$KO"
load untrack_tc
at_tc client c0 egress
reset
udp 8080
eq "at tc egress" "$(result $EOPNOTSUPP) $(again $EOPNOTSUPP) $(result 0)" "10 10 0"
off_tc client c0

# Over loopback a packet has its entry from OUTPUT.
ct_flush server
at_tc server lo ingress
reset
tool server udp_flows -n 10 10.0.0.1 8080
eq "over loopback" "$(result $EBUSY) $(again $EBUSY) $(result 0)" "10 10 0"
eq "which stays" "$(seen input untracked) $(seen input new)" "0 10"
off_tc server lo
unpin
poll 10 lab_module_unload || die "cannot be unloaded"

# ---- netfilter programs ---------------------------------------------------------------------
if grep -qw bpf_nf_link_attach /proc/kallsyms; then
	insmod "$KO"
	# hook HOOK PRIORITY FIRST SECOND: what the calls return for 10 packets of server's to client.
	hook() {
		load untrack_nf
		at_nf "$1" "$2" "$3"
		ct_flush server
		reset
		tool client udp_flows -n 10 10.0.0.1 8080
		tool server udp_flows -n 10 10.0.0.2 8080
		tool server udp_flows -n 10 10.0.0.2 8081
		eq "$2 $3: first call" "$(result "$4")" 10
		eq "$2 $3: second call" "$(again "$5")" 10
		off_nf
		unpin
	}
	serve far8080 client udp_echo 8080
	serve far8081 client udp_echo 8081
	hook server output -300 0 $EALREADY
	eq "8080 sent, and only that" "$(seen output untracked) $(seen output new)" "10 10"
	hook server prerouting -300 0 $EALREADY
	eq "8080 received, and only that" "$(seen input untracked) $(seen output new)" "10 30"
	hook server input -300 $EOPNOTSUPP $EOPNOTSUPP
	eq "at input" "$(seen input untracked)" 0
	hook server postrouting -300 $EOPNOTSUPP $EOPNOTSUPP
	# Behind conntrack: nothing is undone.
	hook server output -100 $EBUSY $EBUSY
	eq "behind conntrack" "$(seen output untracked) $(seen output new)" "0 20"
	poll 10 lab_module_unload || die "cannot be unloaded"
fi

# ---- it comes and goes ----------------------------------------------------------------------
rounds=${CTB_ROUNDS:-10}
[[ ${CTB_LONG:-0} == 0 ]] || rounds=1000
background flood client bash -c "while :; do $PYTHON '$LAB_LIB/udp_flows.py' -n 50 10.0.0.1 8080; done"
for ((i = 0; i < rounds; i++)); do
	insmod "$KO"
	load untrack_tc
	at_tc server s0 ingress
	off_tc server s0
	unpin
	poll 10 lab_module_unload || die "cannot be unloaded in round $i"
done
kill -0 "$(<$LAB/flood.pid)" || die "the traffic ended: $(cat $LAB/flood.log)"
background_stop flood
say "loaded and unloaded $rounds times"
pass
