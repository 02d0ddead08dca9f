#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# 1,000 changes of the rules under load (200 where CTB_SLOW says that it is slow): no packet of a flow
# that both old and new rules bypass is tracked or lost, its counters never go back.
# timeout: 240
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"
. "$LAB_LIB/load.sh"

lab_line
for hook in forward input output; do
	watch_states router $hook "meta l4proto { tcp, udp }"
done
on router nft add rule inet watch_forward c ct state invalid drop
load_servers
daemon_conf router <<<'
set ports { 9999 }
notrack udp dport 8080
notrack tcp dport 80
notrack udp dport @ports'
handles=$(ctb stats -j | jq -r '.rules[] | select(.rule | test("dport 80(80)?$")) | .handle')

n=$((${CTB_SLOW:-1} > 1 ? 200 : 1000))
load_start 10000
first=$(ctb status -j | jq .generation)
out=$(tool router swaps $LAB_SOCK $n) || die "$out"
say "$out"
ge "generations" $(($(ctb status -j | jq .generation) - first)) $n
# A file that is read again at every turn, besides.
for _ in {1..20}; do
	ctb reload
done

load_end $((n / 10)) $((n * 5)) $handles
pass
