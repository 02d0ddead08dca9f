#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Curves from a result of ctbypass-bench, as SVG: what a packet costs against rules, prefixes, flows.
# usage: plot.sh RESULT.json OUTDIR (needs jq and gnuplot: scripts/install-deps.sh --bench)
set -euo pipefail

result=${1:?usage: plot.sh RESULT.json OUTDIR}
out=${2:?usage: plot.sh RESULT.json OUTDIR}
for program in jq gnuplot; do
	command -v $program >/dev/null ||
		{ echo "plot.sh: no $program: scripts/install-deps.sh --bench" >&2; exit 1; }
done
jq -e .groups "$result" >/dev/null || { echo "plot.sh: $result: no result" >&2; exit 1; }
mkdir -p "$out"
data=$(mktemp -d)
trap 'rm -rf "$data"' EXIT

# points GROUP AXIS CONTENDER: x, median, quartiles of what was measured, in order.
points() {
	jq -r --arg g "$1" --arg x "$2" --arg c "$3" '
		[.groups[] | select(.name == $g) | .rows[] | select(.contender == $c and .ns)
			# every packet a new flow: one decade behind the last
			| [if .[$x] == "new" then 1e7 else .[$x] end,
			   .ns.median, .ns.quartile1, .ns.quartile3]]
		| sort | .[] | @tsv' "$result"
}

# The same colour everywhere; ours stand out.
colour() {
	case $1 in
	ctbypass*) echo '#d62728' ;;
	forward-tc) echo '#ff7f0e' ;;
	forward-xdp) echo '#e377c2' ;;
	tracked) echo '#000000' ;;
	none) echo '#7f7f7f' ;;
	iptables) echo '#1f77b4' ;;
	iptables-nft) echo '#17becf' ;;
	ipset) echo '#2ca02c' ;;
	nft) echo '#9467bd' ;;
	nft-set) echo '#8c564b' ;;
	flowtable) echo '#bcbd22' ;;
	*) echo '#c7c7c7' ;;
	esac
}

# lines GROUP AXIS: a file of points for each contender; prints gnuplot's plot elements. What the
# axis does not vary for is a line across.
lines() {
	local group=$1 axis=$2 c n
	jq -r --arg g "$group" '[.groups[] | select(.name == $g) | .rows[].contender] |
		reduce .[] as $c ([]; if index($c) then . else . + [$c] end) | .[]' "$result" >"$data/names"
	while read -r c; do
		points "$group" "$axis" "$c" >"$data/$group.$c"
		n=$(wc -l <"$data/$group.$c")
		if ((n > 1)); then
			printf ' "%s" using 1:2:3:4 with yerrorlines lw 2 lc rgb "%s" title "%s",' \
				"$data/$group.$c" "$(colour "$c")" "$c"
		elif ((n == 1)); then
			printf ' %s with lines dt 2 lw 2 lc rgb "%s" title "%s",' \
				"$(cut -f 2 "$data/$group.$c")" "$(colour "$c")" "$c"
		fi
	done <"$data/names"
}

# plot GROUP AXIS FILE TITLE XLABEL COMMANDS
plot() {
	local elements
	elements=$(lines "$1" "$2")
	if [[ -z $elements ]]; then
		echo "plot.sh: no group $1 in $result, so no $3" >&2
		return
	fi
	gnuplot <<-EOF
		set terminal svg size 900,560 dynamic font "sans-serif,14" background "white"
		set output "$out/$3"
		set title "$4"
		set xlabel "$5"
		set ylabel "ns per packet, one core, generator and sink included"
		set logscale x 10
		set grid xtics ytics lc rgb "#dddddd"
		set key outside right
		set format x "%.0s%c"
		$6
		plot ${elements%,}
	EOF
	echo "$out/$3"
}

plot rules rules rules.svg "Cost against the number of rules, the last one fits" rules \
	'set logscale y 10; set yrange [400:]; set xrange [0.8:1250]'
plot prefixes prefixes prefixes.svg "Cost against the number of prefixes" prefixes \
	'set yrange [0:]; set xrange [0.8:1250000]'
plot flows flows flows.svg "Cost against the number of flows" flows \
	'set yrange [0:]; set xrange [0.8:4e7]; set xtics add ("all new" 1e7)'
