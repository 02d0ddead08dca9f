#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Direct mode: with the module of kmod/ loaded the programs set the untracked state themselves. It comes
# while packets flow, and goes again (CTB_ROUNDS times, with CTB_LONG=1 a thousand); no packet is judged
# otherwise than before, and no count is lost.
# The module is the whole machine's, so this runs only in one of its own: make check-kernels.
# run: alone
# timeout: 300
# kernels: few
# run: own hand-over
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"
. "$LAB_LIB/load.sh"
lab_module
DEFER=/proc/sys/net/netfilter/nf_untrack_defer
lab_module_unload || true

# A netfilter program judges what is sent, where the kernel has such; else nft goes on.
if grep -qw bpf_nf_link_attach /proc/kallsyms; then SENT=direct; else SENT=mark; fi
how() { ctb status -j | jq -r '.hand_over | .ingress.method + " " + .output.method'; }
is() { [[ $(how) == "$1" ]]; }
no_table() { ! on router nft list table inet ctbypass >/dev/null 2>&1; }
chains() { on router nft list table inet ctbypass 2>/dev/null | grep -c 'hook prerouting' || true; }
no_prerouting() { [[ $(chains) == 0 ]]; }

# Found when it comes, because it is installed.
modules=$LAB/modules
mkdir -p $modules/updates
cp -r "/lib/modules/$(uname -r)"/modules.* $modules/
echo "updates/nf_untrack_bpf.ko:" >>$modules/modules.dep
mount --bind $modules "/lib/modules/$(uname -r)"

lab_line
watch_states router forward "meta l4proto { tcp, udp }"
watch_states router input "meta l4proto { tcp, udp }"
watch_states router output "meta l4proto { tcp, udp }"
on router nft add rule inet watch_forward c ct state invalid drop
# Nobody sees a mark where there is none to see.
on router nft -f - <<'EOT'
table inet marks {
	counter marked { }
	chain c { type filter hook forward priority 0; meta mark & 0x40 != 0 counter name marked; }
	chain p { type filter hook prerouting priority -450; meta mark & 0x40 != 0 counter name marked; }
}
EOT
marked() { on router nft -j list counter inet marks marked | jq '.nftables[].counter? | select(.) | .packets'; }
load_servers
daemon_conf router <<<'
notrack udp dport 8080
notrack tcp dport 80'
udp_rule=$(rule_where 8080)
tcp_rule=$(ctb stats -j | jq '[.rules[] | select(.rule | test("dport 80$")) | .handle][0]')
eq "without the module" "$(how)" "mark mark"
has "and why" "$(ctb status)" "module nf_untrack_bpf is not loaded"

rounds=${CTB_ROUNDS:-5}
[[ ${CTB_LONG:-0} == 0 ]] || rounds=1000
# A thousand times it is the coming and going that counts, and an emulated machine has no time for more.
load_start $((rounds < 100 ? 100000 : 100))
# ---- it comes ---------------------------------------------------------------------------------
insmod "$KO"
poll 20 is "direct $SENT" || die "does not move over: $(ctb status)"
eq "hook for fragments" "$(on router cat $DEFER)" 1
if [[ $SENT == direct ]]; then
	poll 10 no_table || die "the table stays: $(on router nft list table inet ctbypass)"
else
	poll 10 no_prerouting || die "the prerouting chain stays"
	has "nft goes on" "$(ctb status)" "netfilter programs"
fi
hasnt "warnings" "$(ctb status -j | jq -r '.warnings[]')" ctbypass
fails rmmod nf_untrack_bpf
has "in use" "$OUT" "in use"

# ---- what it does -----------------------------------------------------------------------------
moves() { # WHAT: bypassed traffic flows right now
	local before
	before=$(state_count router forward untracked)
	more() { (($(state_count router forward untracked) > before + 100)); }
	poll 20 more || die "no bypassed traffic $1"
}
moves "in direct mode"
# Only what was on its way when the programs were swapped had a mark.
poll 20 no_prerouting
on router nft reset counters table inet marks >/dev/null
moves "without a mark"
eq "marked" "$(marked)" 0

# Rules change: one generation or the other, and nothing is tracked meanwhile.
for _ in {1..20}; do
	ctb add notrack udp dport 7000 >/dev/null
	ctb delete "$(rule_where 7000)"
done
moves "after changes"

# The daemon dies, and its successor takes over what it finds.
daemon_kill
moves "without a daemon"
daemon_start router
is "direct $SENT" || die "after a restart: $(ctb status)"
moves "after a restart"

# ---- it goes, and comes ------------------------------------------------------------------------
for ((i = 0; i < rounds; i++)); do
	ctb hand-over mark >/dev/null
	eq "round $i" "$(how)" "mark mark"
	poll 20 lab_module_unload || die "cannot be unloaded in round $i: $(lsmod | grep nf_untrack)"
	insmod "$KO"
	ctb hand-over auto >/dev/null
	is "direct $SENT" || die "round $i: $(ctb status)"
done
moves "after $rounds rounds"
# Mark mode at the end: it is known which packets were counted where.
ctb hand-over mark >/dev/null
off() { [[ $(on router cat $DEFER) == 0 ]]; }
poll 20 off || die "the hook for fragments stays"
ctb hand-over direct >/dev/null
is "direct $SENT"
load_end 10 1000 "$udp_rule" "$tcp_rule"

# ---- near misses, fragments, errors -------------------------------------------------------------
serve miss server udp_echo 8081
serve rmiss router udp_echo 8081
for to in 10.2.0.2 fd02::2 10.1.0.1 fd01::1; do
	tool client udp_flows -n 5 $to 8081
done
eq "entries of flows that no rule fits" "$(ct_count router -p udp --dport 8081)" 20
ct_flush router
on router nft reset counters >/dev/null
for to in 10.2.0.2 fd02::2 10.1.0.1 fd01::1; do
	tool client udp_flows -n 10 -s 3000 $to 8080
done
tool client fragments c0 "$(mac_of router r0)" 5 8080 10.1.0.2,10.2.0.2 fd01::2,fd02::2 \
	10.1.0.2,10.1.0.1 fd01::2,fd01::1
eq "entries after fragments" "$(ct_entries router)" 0
for hook in forward input output; do
	eq "$hook: tracked" "$(($(state_count router $hook new) + $(state_count router $hook established) +
		$(state_count router $hook invalid)))" 0
done
# An error that this host sends about a bypassed packet, and one that it forwards.
watch_states router postrouting "meta l4proto { icmp, ipv6-icmp }"
background_stop r_udp
before=$(rule_stat "$udp_rule" output icmp_error packets)
for to in 10.1.0.1 fd01::1; do
	fails tool client udp_flows -n 3 -t 1 $to 8080
done
eq "errors sent" $(($(rule_stat "$udp_rule" output icmp_error packets) - before)) 6
background_stop s_udp
before=$(rule_stat "$udp_rule" receive icmp_error packets)
for to in 10.2.0.2 fd02::2; do
	fails tool client udp_flows -n 3 -t 1 $to 8080
done
eq "errors forwarded" $(($(rule_stat "$udp_rule" receive icmp_error packets) - before)) 6
eq "invalid" "$(state_count router postrouting invalid)" 0
eq "entries after errors" "$(ct_entries router)" 0

# Locally generated traffic, as client: both ends of a rule that names this host's own packets.
ctb add notrack udp dport 5353 saddr local >/dev/null
serve far server udp_echo 5353 5354
tool router udp_flows -n 10 10.2.0.2 5353
tool router udp_flows -n 10 10.2.0.2 5354
rule=$(rule_where 5353)
eq "sent and received" "$(rule_stat "$rule" output original packets) $(rule_stat "$rule" receive reply packets)" "10 10"
eq "only the other port's" "$(ct_count router -p udp)" 10

# ---- nothing stays ------------------------------------------------------------------------------
daemon_stop
on router "$CTBYPASS" unload -P $LAB_PIN
[[ ! -e $LAB_PIN ]] || die "pins stay: $(ls -R $LAB_PIN)"
eq "hook for fragments" "$(on router cat $DEFER)" 0
no_table || die "the table stays"
poll 10 lab_module_unload || die "the module cannot be unloaded"
# Asked for and not to be had: a refusal that says why.
fails on router timeout $((20 * ${CTB_SLOW:-1})) "$CTBYPASS" run -c $LAB_CONF -P $LAB_PIN -S $LAB_SOCK -M direct
has "refused" "$OUT" "module nf_untrack_bpf is not loaded"
pass
