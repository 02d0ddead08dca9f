# SPDX-License-Identifier: GPL-2.0-only
#
# What instructions.sh makes of the benchmark's results. README.md says what the figures mean.

def permille: 1000 * . | round;
def percent: permille / 10 | if . > 0 then "+\(.)" else tostring end | . + " %";

# --- names ---

def flows: if .flows == 65536 then "64 k flows" elif .flows == 1 then "1 flow" else "\(.flows) flows" end;
def scenario:
	.path + (if .feed == "wire" then " wire" else "" end) + (if .family == 6 then " IPv6" else "" end) +
	(if .size > 64 then " \(.size) bytes" else "" end) + ", " + flows;
def count($n; $one; $many): if $n == 1 then "1 \($one)" else "\($n) \($many)" end;
def has_rules: .contender | IN("none", "source", "tracked", "bare-tc", "bare-xdp", "bare-direct") | not;
def rules:
	if has_rules | not then ""
	elif .match == "port" then " " + count(.rules; "port"; "ports")
	elif .match == "prefix" then " " + count(.prefixes; "prefix"; "prefixes")
	else " \(.rules) \(.match) rules" end;
def name:
	scenario + ": " + .contender + rules + (if .hit or (has_rules | not) then "" else ", miss" end) +
	(if .xdp then ", behind XDP \(.xdp)" else "" end);

def ours: test(": (ctbypass|forward|direct)");

# What a path is compared with when it runs on another kernel than the baseline did: the contender
# that has most of its way in common with it, in the same scenario if that is measured there.
def like($known):
	capture("^(?<scenario>.*): (?<contender>[^ ,]+)(?<rest>.*)$") as $p |
	($p.rest | test("miss")) as $miss |
	(if $miss then ["tracked", "none"]
	 elif $p.contender | IN("ctbypass", "ctbypass-direct") then ["nft 1 port", "none"]
	 elif $p.contender == "forward-tc" then ["bare-tc", "none"]
	 elif $p.contender == "forward-xdp" then ["bare-xdp", "none"]
	 else ["none"] end) as $contenders |
	($p.scenario | sub(", .*"; ", 64 k flows")) as $usual |
	first($contenders[] as $c | ($p.scenario, $usual, "forward, 64 k flows") + ": " + $c |
		select($known[.])) // null;

# --- figures ---

# Results of the benchmark to one object. Of what came through the generator its own instructions
# and the sink's are taken off, as measured where a packet ends where it comes in, in the same group:
# others found the kernel's slabs in another state.
def result($kernel; $qemu; $results):
	[$results[].groups[] | .name as $group | .rows[] | .group = $group] as $rows |
	def source_of: "\(.group) \(.feed) \(.family) \(.size)";
	(reduce ($rows[] | select(.contender == "source" and .ns)) as $r
		({}; .[$r | source_of] = $r.ns.median)) as $source |
	def path:
		if .path == "output" or .contender == "source" then .ns.median
		else . as $r | .ns.median - ($source[source_of] // $source["\(.group) \(.feed) 4 64"] //
			error("no generator and sink alone for \($r | name)")) end;
	{
		kernel: $kernel,
		qemu: $qemu,
		instructions: (reduce ($rows[] | select(.ns)) as $r
			({}; ($r | name) as $n | if has($n) then . else .[$n] = ($r | path | . * 10 | round / 10) end)),
		skipped: (reduce ($rows[] | select(.ns | not)) as $r ({}; .[$r | name] = $r.skipped))
	};

def same_machine($a; $b): $a.kernel == $b.kernel and $a.qemu == $b.qemu;

# What the baseline lets us expect of a path.
def expected($path; $result; $baseline):
	$baseline.instructions[$path] as $base |
	if same_machine($result; $baseline) then $base
	else ($path | like($result.instructions)) as $ref |
		if $ref and $baseline.instructions[$ref]
		then $base + $result.instructions[$ref] - $baseline.instructions[$ref] else $base end
	end;

# --- the check ---

def compare($name; $result; $baseline):
	($baseline.instructions // error("no figures in the baseline")) |
	"bench/instructions \($name)" as $test |
	(if same_machine($result; $baseline) then empty else
		"\($name): baseline of \($baseline.kernel), qemu \($baseline.qemu); here \($result.kernel), qemu \($result.qemu): compared by what the kernel's own ways moved"
	 end),
	(($result.instructions + $result.skipped + $baseline.instructions | keys[]) as $path |
		$result.instructions[$path] as $now | $baseline.instructions[$path] as $base |
		if $path | ours | not then
			select($now and $base and same_machine($result; $baseline)) |
			($now / $base - 1) as $d | select($d > 0.005 or $d < -0.005) |
			"\($name): \($path): \($now), baseline \($base), \($d | percent)"
		elif $base == null then "skip \($test) \($path): not in the baseline yet\(if $now then ", \($now)" else "" end)"
		elif $now == null then "FAIL \($test) \($path): not measured\($result.skipped[$path] | if . then ": " + . else "" end)"
		else
			(expected($path; $result; $baseline) | . * 10 | round / 10) as $expected |
			($now / $expected - 1) as $d |
			(if $expected == $base then "" else " moved to \($expected)" end) as $moved |
			"\($path): \($now | round) (baseline \($base | round)\($moved), \($d | percent))" as $text |
			if $d > 0.02 then "FAIL \($test) \($text)"
			elif $d < -0.02 then "pass \($test) \($text): cheaper than the baseline, which should be moved"
			else "pass \($test) \($text)" end
		end);

# What is asked of direct mode, forwarding: text, the least and the most that it may be, what it is.
# The floor is the kernel's forwarding without conntrack and any rule. Beyond that the least program
# that untracks pays tc, the kfunc, and what the firewall does with untracked packets.
def asked:
	"forward, 64 k flows: " as $p | .[$p + "ctbypass-direct 1 port"] as $direct | select($direct) |
	(.[$p + "nft 1 port"] as $nft |
		select($nft) | ["against nft, one rule", ($direct / $nft * 1000 | round / 1000), 0.96]),
	(.[$p + "none"] as $none | select($none) | ["over the floor", ($direct - $none | round), 700]),
	(.[$p + "bare-direct"] as $bare |
		select($bare) | ["over the least program", ($direct - $bare | round), 250]),
	(.[$p + "ctbypass-direct 1000 ports"] as $many |
		select($many) | ["1,000 rules against one", ($many / $direct * 1000 | round / 1000), 1.02]);
def asked($name; $result):
	$result.instructions | asked |
	"\($name): direct mode \(.[0]): \(.[1]), asked \(.[2]), \(if .[1] <= .[2] then "ok" else "MISSED" end)";

# Figures were raised with the same words.
def said_why($name; $was; $is):
	select($was.why == $is.why) |
	[$is.instructions | to_entries[] | select((.key | ours) and $was.instructions[.key] and
		.value > 1.02 * $was.instructions[.key]) | .key] |
	select(length > 0) |
	"FAIL bench/instructions \($name) baseline: raised without a new \"why\": \(.[0])" +
	(if length > 1 then " and \(length - 1) more" else "" end);

# A new baseline. What moved by no more than a tenth of a percent stays as it was.
def baseline($why; $result; $old):
	same_machine($result; $old) as $same |
	{
		kernel: $result.kernel,
		qemu: $result.qemu,
		why: $why,
		instructions: ($result.instructions | with_entries(
			$old.instructions[.key] as $base |
			if $same and $base and .value <= 1.001 * $base and .value >= 0.999 * $base
			then .value = $base else . end))
	};

# Lines of a table: path, a figure for each result, separated by tabs.
def table($results):
	["instructions per packet", ($results[] | .kernel | sub("-cloud.*"; ""))],
	([$results[] | .instructions, .skipped | keys[]] | unique[] as $path |
		[$path, ($results[] | .instructions[$path] | if . then round else "-" end)]) | @tsv;
