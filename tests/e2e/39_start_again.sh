#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# A daemon that starts over what another left: another configuration, another attach mode, devices
# that came and went meanwhile, a table that was flushed meanwhile, pins that are not on bpffs.
# run: confined
# timeout: 180
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"
have_tcx || skip "this kernel has no tcx"

lab_line
for hook in forward input output; do
	watch_states router $hook "udp dport 8080"
done
serve s_udp server udp_echo 8080 8081
serve r_udp router udp_echo 8080
serve s_tcp server tcp_server 80
daemon_conf router <<<'
notrack udp dport 8080
notrack tcp dport 80
notrack udp dport 7000'
modes() { ctb status -j | jq -r '[.interfaces[] | select(.name != "lo") | "\(.name) \(.mode)"] | sort | join(", ")'; }
serve load client load 20000 8080 80 10.2.0.2 fd02::2

# The mode changes under load, forth and back: not a packet is tracked in between. auto goes on with
# what is there.
eq "modes" "$(modes)" "r0 tcx, r1 tcx"
for mode in clsact auto tcx clsact tcx auto; do
	if [[ $mode == clsact ]]; then daemon_stop; else daemon_kill; fi
	daemon_start router -A $mode
	[[ $mode == auto ]] || want=$mode
	eq "modes after -A $mode" "$(modes)" "r0 $want, r1 $want"
done
# The kernel drops what it is sending while a clsact qdisc comes or goes (qdisc_graft deactivates the
# device), so some loss is not ours here.
background_stop load || true
out=$(tail -n 1 load.log)
say "$out"
read -r _ _ n _ got _ <<<"$out"
ge "datagrams that came back" "$got" $((n * 9 / 10))
for state in new established invalid related; do
	eq "FORWARD $state" "$(state_count router forward $state)" 0
done
eq "filters on r0" "$(on router tc filter show dev r0 ingress 2>/dev/null)" ""
count=$(rule_all "$(rule_where 8080)")
ge "packets counted" "$count" "$(state_count router forward untracked)"

# Another configuration: rules that stay keep their counters, handles of others are not reused.
last=$(rule_where 7000)
daemon_stop
cat >$LAB_CONF <<<'
notrack udp dport 8081
notrack udp dport 8080'
daemon_start router
eq "8080's counter" "$(rule_all "$(rule_where 8080)")" "$count"
ge "handle of a new rule" "$(rule_where 8081)" $((last + 1))
eq "8081's counter" "$(rule_all "$(rule_where 8081)")" 0
ct_flush router
tool client udp_flows -n 5 10.2.0.2 8081
tool client tcp_flows -n 5 10.2.0.2 80
eq "entries of the rule that is gone" "$(ct_entries router)" 5

# Devices came and went, the table was flushed, while nobody was there.
daemon_kill
lab_cable client c7 router r7
lab_addr client c7 10.7.0.2/24
lab_addr router r7 10.7.0.1/24
on router ip link del r0
direct_out || on router nft delete table inet ctbypass
daemon_start router
eq "modes afterwards" "$(modes)" "r1 tcx, r7 tcx"
on client ip route replace default via 10.7.0.1
ct_flush router
tool client udp_flows -n 5 10.2.0.2 8080
tool client udp_flows -n 5 10.7.0.1 8080
eq "entries over the new device" "$(ct_entries router)" 0
ge "8080's counter" "$(rule_all "$(rule_where 8080)")" "$count"

# Everything of ours in bpffs removed by somebody: begin anew, leave no second program on the hook.
daemon_kill
rm -rf "$LAB_PIN"
daemon_start router
ct_flush router
before=$(rule_all "$(rule_where 8080)")
tool client udp_flows -n 5 10.2.0.2 8080
eq "entries after the pins were removed" "$(ct_entries router)" 0
eq "counted once" $(($(rule_all "$(rule_where 8080)") - before)) 10
daemon_stop
on router "$CTBYPASS" unload -P $LAB_PIN

# No place for pins: said, and nothing is left.
fails within 10 nsenter --net=/run/netns/router "$CTBYPASS" run -c $LAB_CONF -P $LAB/nowhere -S $LAB_SOCK
has "pins on tmpfs" "$OUT" "$LAB/nowhere"
has "pins on tmpfs" "$OUT" "bpf"
hasnt "ruleset" "$(on router nft list tables)" "ctbypass"
fails within 10 nsenter --net=/run/netns/router "$CTBYPASS" run -c $LAB_CONF -P $LAB_PIN -S $LAB/no/such/dir.sock
has "no place for the socket" "$OUT" "dir.sock"
pass
