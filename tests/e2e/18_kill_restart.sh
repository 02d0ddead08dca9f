#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Under load: kill -9 of the daemon, a while without one, restart, orderly stop and start, upgrade to
# another build. No packet of a bypassed flow is tracked or lost, no counter goes back.
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"
. "$LAB_LIB/load.sh"

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
load_servers
daemon_conf router <<<'
notrack udp dport 8080
notrack tcp dport 80'
udp_rule=$(rule_where 8080)
tcp_rule=$(ctb stats -j | jq '[.rules[] | select(.rule | test("dport 80$")) | .handle][0]')

load_start 100000
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

load_end 20 2000 "$udp_rule" "$tcp_rule"
pass
