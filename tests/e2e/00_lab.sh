#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# The lab itself, without ctbypass: what the other tests take for granted.
# A capture counts every packet, conntrack wakes up with the first ct rule, and the counters of
# watch_states agree with both.
# run: own hand-over
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"

lab_line
serve echo server udp_echo 8080
serve web server tcp_server 80
eq "entries before any ct rule" "$(ct_entries router)" 0
tool client udp_flows -n 10 10.2.0.2 8080
eq "entries before any ct rule" "$(ct_entries router)" 0

watch_states router forward "meta l4proto udp"
capture_start out client c0 udp
tool client udp_flows -n 100 -k 2 10.2.0.2 8080
tool client udp_flows -n 100 -k 2 fd02::2 8080
capture_stop out
eq "captured" "$(captured out)" 800
eq "captured v6" "$(captured out ip6)" 400
eq "entries" "$(ct_entries router)" 200
eq "udp entries listed" "$(ct_count router -p udp)" 200
eq "new" "$(state_count router forward new)" 200
eq "established" "$(state_count router forward established)" 600
eq "untracked" "$(state_count router forward untracked)" 0

tool client tcp_flows -n 50 -k 3 10.2.0.2 80
tool client tcp_flows -n 50 -k 3 fd02::2 80
eq "tcp entries" "$(ct_count router -p tcp)" 100
fails tool client udp_flows -t 0.3 10.2.0.2 9999
has "refused" "$OUT" "got 0"
pass
