#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# The check of instruction counts: what it lets pass and what not, without the machines that count.
# run: own hand-over
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
bench=$(realpath "$(dirname "$0")/../../bench")
lab_enter "$@"
ours="forward, 64 k flows: ctbypass 1 port"

# result KERNEL CTBYPASS NFT: figures as the machines leave them
result() {
	jq -n --arg kernel "$1" --argjson ours "$2" --argjson nft "$3" '{kernel: $kernel, qemu: "7.2",
		skipped: {}, instructions: {"forward, 64 k flows: none": 2000,
		"forward, 64 k flows: nft 1 port": $nft, "forward, 64 k flows: ctbypass 1 port": $ours}}'
}
result 6.12.1 4000 3000 | jq '.why = "the first"' >$LAB/6.12.json
compare() { # KERNEL CTBYPASS NFT
	result "$@" >$LAB/result.json
	"$bench/instructions.sh" --compare $LAB/result.json $LAB/6.12.json
}
said() { jq -rn -L "$bench" --slurpfile a "$1" --slurpfile b "$2" \
	'include "instructions"; said_why("6.12"; $a[0]; $b[0])'; }

# ---- two percent
out=$(compare 6.12.1 4000 3000)
has "the same" "$out" "pass bench/instructions 6.12 $ours: 4000 (baseline 4000, 0 %)"
has "total" "$out" "1 passed, 0 failed, 0 skipped"
has "just within" "$(compare 6.12.1 4079 3000)" "1 passed, 0 failed, 0 skipped"
fails compare 6.12.1 4081 3000
has "just beyond" "$OUT" "FAIL bench/instructions 6.12 $ours: 4081 (baseline 4000, +2 %)"
has "total" "$OUT" "0 passed, 1 failed, 0 skipped"
hasnt "hardly cheaper" "$(compare 6.12.1 3930 3000)" "should be moved"
out=$(compare 6.12.1 3900 3000)
has "cheaper" "$out" "should be moved"
has "total" "$out" "1 passed, 0 failed, 0 skipped"

# ---- another kernel: what its own way moved is allowed for; on the same one it is not
out=$(compare 6.12.2 4300 3300)
has "moved with the kernel" "$out" "4300 (baseline 4000 moved to 4300, 0 %)"
has "total" "$out" "1 passed, 0 failed, 0 skipped"
fails compare 6.12.1 4300 3300
has "the same kernel" "$OUT" "(baseline 4000, +7.5 %)"
has "who else moved" "$OUT" "forward, 64 k flows: nft 1 port: 3300, baseline 3000, +10 %"
fails compare 6.12.2 4400 3300
has "more than the kernel" "$OUT" "moved to 4300, +2.3 %"

# ---- paths that are gone or new
result 6.12.1 4000 3000 | jq 'del(.instructions[] | select(. == 4000))' >$LAB/result.json
fails "$bench/instructions.sh" --compare $LAB/result.json $LAB/6.12.json
has "gone" "$OUT" "FAIL bench/instructions 6.12 $ours: not measured"
result 6.12.1 4000 3000 | jq '.instructions["local, 1 flow: ctbypass 1 port"] = 7' >$LAB/result.json
out=$("$bench/instructions.sh" --compare $LAB/result.json $LAB/6.12.json)
has "new" "$out" "skip bench/instructions 6.12 local, 1 flow: ctbypass 1 port: not in the baseline yet, 7"
has "total" "$out" "1 passed, 0 failed, 1 skipped"
jq 'del(.instructions)' $LAB/6.12.json >$LAB/bad.json
fails "$bench/instructions.sh" --compare $LAB/result.json $LAB/bad.json
has "no baseline" "$OUT" "cannot compare"

# ---- a baseline that is raised says why
jq '.instructions[] *= 1.1' $LAB/6.12.json >$LAB/raised.json
has "the same words" "$(said $LAB/6.12.json $LAB/raised.json)" "raised without a new \"why\""
jq '.why = "more is done"' $LAB/raised.json >$LAB/said.json
eq "other words" "$(said $LAB/6.12.json $LAB/said.json)" ""
eq "lowered" "$(said $LAB/raised.json $LAB/6.12.json)" ""

# ---- from the benchmark's rows to paths: the generator's part is taken off, but not of local output
row() { # CONTENDER PATH MEDIAN [MORE]
	jq -n --arg c "$1" --arg p "$2" --argjson m "$3" --argjson more "${4:-"{}"}" '{contender: $c, path: $p,
		feed: "stack", match: "port", rules: 1, prefixes: 1, hit: true, family: 4, size: 64, cores: 1,
		flows: 65536, ns: {median: $m}} + $more'
}
{
	row source forward 900
	row source forward 1000 '{"family": 6}'
	row ctbypass forward 5000
	row ctbypass forward 5000 '{"family": 6, "hit": false}'
	row ctbypass output 5000
	row forward-tc forward 4000 '{"match": "prefix", "prefixes": 100000, "flows": 1, "size": 1400}'
	row flowtable forward 0 '{"ns": null, "skipped": "no such thing"}'
} >$LAB/one
{
	row source forward 910
	row ctbypass forward 5000 '{"flows": 1}'
} >$LAB/other
jq -n --slurpfile one $LAB/one --slurpfile other $LAB/other \
	'[{groups: [{name: "one", rows: $one}]}, {groups: [{name: "other", rows: $other}]}]' >$LAB/rows.json
out=$(jq -cn -L "$bench" --slurpfile rows $LAB/rows.json \
	'include "instructions"; result("k"; "q"; $rows[0]) | .instructions, .skipped')
has "IPv4" "$out" "\"$ours\":4100"
has "another group" "$out" '"forward, 1 flow: ctbypass 1 port":4090'
has "IPv6" "$out" '"forward IPv6, 64 k flows: ctbypass 1 port, miss":4000'
has "output" "$out" '"output, 64 k flows: ctbypass 1 port":5000'
has "prefixes, size" "$out" '"forward 1400 bytes, 1 flow: forward-tc 100000 prefixes":3100'
has "skipped" "$out" '{"forward, 64 k flows: flowtable 1 port":"no such thing"}'
jq '.[0].groups[0].rows |= map(select(.contender != "source"))' $LAB/rows.json >$LAB/none.json
fails jq -n -L "$bench" --slurpfile rows $LAB/none.json 'include "instructions"; result("k"; "q"; $rows[0])'
has "no generator alone" "$OUT" "no generator and sink alone for forward, 64 k flows: ctbypass"
pass
