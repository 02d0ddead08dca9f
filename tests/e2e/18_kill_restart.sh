#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Under load: kill -9 of the daemon, a while without one, restart, orderly stop and start, upgrade to
# another build. No packet of a bypassed flow is tracked or lost, no counter goes back.
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"

lab_line
on router nft -f - <<'EOT'
table inet fw {
	chain forward {
		type filter hook forward priority filter; policy accept;
		ct state invalid drop
	}
}
EOT
watch_states router forward "meta l4proto { tcp, udp }"
watch_states router input "meta l4proto { tcp, udp }"
watch_states router output "meta l4proto { tcp, udp }"
# A tail loss probe is a retransmission without a loss.
for h in client router server; do
	on $h sysctl -qw net.ipv4.tcp_early_retrans=0
done
serve s_udp server udp_echo 8080
serve s_tcp server tcp_server 80
serve r_udp router udp_echo 8080
serve r_tcp router tcp_server 80
daemon_conf router <<<'
notrack udp dport 8080
notrack tcp dport 80'
udp_rule=$(rule_where 8080)
tcp_rule=$(ctb stats -j | jq '[.rules[] | select(.rule | test("dport 80$")) | .handle][0]')

background watch router $PYTHON "$LAB_LIB/monotone.py" $LAB_SOCK "notrack udp dport 8080" \
	"notrack tcp dport 80"
serve load client load 100000 8080 80 10.2.0.2 fd02::2 10.1.0.1 fd01::1
packets() { rule_all "$udp_rule"; }
moves() { # WHAT: the data plane works right now
	local before
	before=$(state_count router forward untracked)
	more() { (($(state_count router forward untracked) > before + 100)); }
	poll 5 more || die "no bypassed traffic $1"
}

moves "at first"
for round in 1 2 3; do
	before=$(packets)
	daemon_kill
	moves "without a daemon, round $round"
	daemon_start router
	moves "after a restart, round $round"
	ge "packets counted, round $round" "$(packets)" $((before + 200))
done

before=$(packets)
daemon_stop
moves "after an orderly stop"
daemon_start router
ge "packets counted over an orderly stop" "$(packets)" $((before + 100))

# Another build: another file, other bytes.
before=$(packets)
cp "$CTBYPASS" other
printf upgraded >>other
daemon_kill
CTBYPASS=$LAB/other daemon_start router
moves "after an upgrade"
ge "packets counted over an upgrade" "$(packets)" $((before + 100))

background_stop watch
out=$(<watch.log)
ge "reads of the statistics" "${out##*reads }" 20
hasnt "counters" "$out" "went from"
hasnt "rules" "$out" "no rule"
background_stop load
has "load" "$(<load.log)" "retransmitted 0"
out=$(tail -n 1 load.log)
say "$out"
read -r _ _ n _ got _ <<<"$out"
eq "datagrams that came back" "$got" "$n"
ge "datagrams" "$n" 2000
for hook in forward input output; do
	for state in new established invalid related; do
		eq "$hook $state" "$(state_count router $hook $state)" 0
	done
done
eq "entries" "$(ct_entries router)" 0
# Not one packet went uncounted either.
judged=$(($(state_count router input untracked) + $(state_count router forward untracked) +
	$(state_count router output untracked)))
eq "packets judged by the rules" "$(($(rule_all "$udp_rule") + $(rule_all "$tcp_rule")))" "$judged"
pass
