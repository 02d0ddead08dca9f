#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/kernels/report.sh DIR...: what check.sh found, a directory for each kernel with `output`
# (of tests/run.sh), `console` (of the kernel), `errors` (of vm.sh), `status`, `seconds` and log/.
# Exit status 0 if nothing failed.
set -uo pipefail

# Words by which a kernel says that it has a problem.
complaints='BUG:|Oops|WARNING:|Kernel panic|general protection fault|INFO: (rcu|task) '
complaints+='|(soft|hard) lockup|unregister_netdevice: waiting|unreferenced object|refcount_t:'

passed=0 failed=0 skipped=0
failures='' unsure='' skips=''

# details VERDICT KERNEL FILE: each such verdict and the last lines of what was printed about it.
details() {
	awk -v k="$2: " -v verdict="$1" '
		function flush() { for (i = n > 20 ? n - 20 : 0; i < n; i++) print kept[i]; n = 0 }
		/^(pass|FAIL|skip|again) / { flush(); on = $1 == verdict; if (on) print k $0; next }
		on && /^    \|/ { kept[n++] = $0; next }
		{ on = 0 }
		END { flush() }' "$3" 2>/dev/null
}

# What the machine as a whole did wrong, a line each.
trouble() {
	local dir=$1 what
	what=$(grep -E "$complaints" "$dir/console" 2>/dev/null | sed 's/\r$//' | head -n 5)
	[[ -z $what ]] || echo "the kernel complains: $what"
	if ! grep -q '^vm: exit status' "$dir/output" 2>/dev/null; then
		what=$(tail -n 3 "$dir/errors" | paste -sd ' ')
		[[ -n $what ]] || what="last heard of: $(tail -n 1 "$dir/output" 2>/dev/null)"
		echo "the machine did not come to its end ($(<"$dir/seconds") s): $what"
	fi
}

table() { printf '%-28s %-7s %8s %8s %8s %8s\n' "$@"; }

echo
table kernel group passed failed skipped seconds
for dir; do
	name=${dir##*/}
	version=$(sed -nE 's/^.*Linux version ([^ ]*) .*/\1/p' "$dir/console" 2>/dev/null | head -n 1)
	groups=$(sed -nE 's,^(pass|FAIL|skip) ([^/ ]*)[/ ].*,\2,p' "$dir/output" 2>/dev/null | awk '!seen[$0]++')
	seconds=$(<"$dir/seconds")
	for group in $groups; do
		n=()
		for verdict in pass FAIL skip; do
			n+=("$(grep -cE "^$verdict $group([/ ]|\$)" "$dir/output")")
		done
		table "${version:-$name}" "$group" "${n[@]}" "$seconds"
		seconds=
		passed=$((passed + n[0])) failed=$((failed + n[1])) skipped=$((skipped + n[2]))
	done
	while IFS= read -r line; do
		[[ -n $line ]] || continue
		table "${version:-$name}" machine 0 1 0 "$seconds"
		seconds=
		failed=$((failed + 1))
		failures+="${version:-$name}: $line"$'\n'
	done < <(trouble "$dir")
	failures+=$(details FAIL "${version:-$name}" "$dir/output")$'\n'
	unsure+=$(details again "${version:-$name}" "$dir/output")$'\n'
	skips+=$(awk -v k="${version:-$name}" '
		/^skip / {
			at = index($0, ": ")
			why = at ? substr($0, at + 2) : "no reason given"
			split($0, w, " ")
			if (!(why in tests)) order[++n] = why
			else if (index(tests[why] " ", " " w[2] " ")) next
			tests[why] = tests[why] " " w[2]
		}
		END { for (i = 1; i <= n; i++) print k ": " order[i] " --" tests[order[i]] }
	' "$dir/output" 2>/dev/null)$'\n'
done

section() {
	local text
	text=$(sed '/^$/d' <<<"$2")
	[[ -z $text ]] || printf '\n%s\n%s\n' "$1" "$text"
}
section failed: "$failures"
section "failed at first, and were run again, alone:" "$unsure"
section skipped: "$skips"

# tests/prog/test_verifier.c writes: "verifier CONFIGURATION PROGRAM INSTRUCTIONS MILLISECONDS"
section "verified instructions of a program, of a million, and the time to load it:" "$(
	for dir; do
		version=$(sed -nE 's/^.*Linux version ([^ ]*) .*/\1/p' "$dir/console" 2>/dev/null | head -n 1)
		sed -n "s/^verifier /$version /p" "$dir/log/verifier" 2>/dev/null | sort -k 3
	done | awk '
		!(($2, $3) in row) { row[$2, $3] = ++n; name[n] = sprintf("%-10s %-14s", $2, $3) }
		!($1 in column) { column[$1] = ++m; kernel[m] = $1 }
		{ cell[row[$2, $3], column[$1]] = sprintf("%7d %5d ms", $4, $5) }
		END {
			if (!n) exit
			line = sprintf("%-25s", "rules      program")
			for (j = 1; j <= m; j++) line = line sprintf("  %-26s", kernel[j])
			print line
			for (i = 1; i <= n; i++) {
				line = name[i]
				for (j = 1; j <= m; j++) line = line sprintf("  %-26s", cell[i, j])
				print line
			}
		}'
)"

echo
((passed + failed + skipped)) || { echo "no test ran"; failed=1; }
echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0))
