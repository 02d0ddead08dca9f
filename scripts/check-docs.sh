#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Do the documents agree with the program? Usage: scripts/check-docs.sh [BINARY]
# Each disagreement is one line; the exit status is 1 when there was any. What cannot be checked
# here (no mandoc, not root) is said, not passed over.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=${1:-${CTBYPASS:-build/ctbypass}}
man8=man/ctbypass.8
conf5=man/ctbypass.conf.5
completion=packaging/ctbypass.bash-completion
bad=0

fail() {
	echo "check-docs: $*"
	bad=1
}

# Each word of the second argument must stand in the file as a word of its own.
stands_in() {
	local what=$1 words=$2 file=$3 word
	if [[ ! -s $file ]]; then
		fail "$file is missing"
		return
	fi
	for word in $words; do
		grep -qE -- "(^|[^[:alnum:]_-])${word}([^[:alnum:]_-]|\$)" "$file" ||
			fail "$what $word is not in $file"
	done
}

if [[ ! -x $bin ]]; then
	echo "check-docs: no $bin: run make first"
	exit 1
fi

# ---- manual pages ----

for page in $man8 $conf5; do
	[[ -s $page ]] || fail "$page is missing"
done
if command -v mandoc >/dev/null; then
	# What other pages this machine has is none of our business.
	lint=$(mandoc -Tlint $man8 $conf5 2>&1 |
		grep -vE 'referenced manual not found|outdated mandoc.db' || true)
	[[ -z $lint ]] || fail "mandoc -Tlint:"$'\n'"$lint"
else
	echo "check-docs: no mandoc, manual pages not linted"
fi

# ---- subcommands and options: the program's own help is the truth ----

help=$("$bin" --help)
commands=$(sed -nE 's/^  ([a-z-]+) .*/\1/p' <<<"$help" | sort -u)
[[ $(wc -w <<<"$commands") -ge 5 ]] || fail "cannot read the subcommands from $bin --help"
options=
for c in $commands; do
	options+=$("$bin" help "$c" | sed -nE 's/^  (-[A-Za-z]) .*/\1/p')$'\n'
	grep -qE "^\.It Cm $c( |\$)" $man8 || fail "subcommand $c is not explained in $man8"
done
options=$(sort -u <<<"$options")
[[ $(wc -w <<<"$options") -ge 3 ]] || fail "cannot read the options from $bin help"
for o in $options; do
	grep -qE "^\.It Fl ${o#-}( |\$)" $man8 || fail "option $o is not explained in $man8"
done
stands_in subcommand "$commands" $completion
stands_in option "$options" $completion

# ---- reasons ----

reasons=$(sed -nE '/define CTB_REASONS/,/^$/s/^\tX\([A-Z0-9_]+, "([^"]+)".*/\1/p' \
	include/ctbypass/abi.h)
[[ $(wc -w <<<"$reasons") -ge 5 ]] || fail "cannot read the reasons from include/ctbypass/abi.h"
for r in $reasons; do
	grep -qE "^\.It (Cm|Sy|Li) $r\$" $man8 || fail "reason $r is not explained in $man8"
done

fallbacks=$(sed -nE '/define CTB_FALLBACKS/,/^$/s/^\tX\([A-Z0-9_]+, "([^"]+)".*/\1/p' \
	include/ctbypass/abi.h)
[[ $(wc -w <<<"$fallbacks") -ge 5 ]] || fail "cannot read the fallbacks from include/ctbypass/abi.h"
for f in $fallbacks; do
	grep -qE "^\.It (Cm|Sy|Li) $f\$" $man8 || fail "fallback $f is not explained in $man8"
done

# ---- statements, actions and matches of the language ----

stands_in keyword "interface mark failsafe set file track notrack forward saddr daddr sport dport \
	port iif local oneway comment" $conf5

# ---- examples ----

# Without privilege `check` leaves out what needs it and says so; the language is checked anyway.
# What this host has is none of their business: forward rules would be warned of its firewall.
alone=()
if [[ $(id -u) == 0 ]]; then
	alone=(unshare --net)
else
	echo "check-docs: not root, examples are parsed and compiled only"
fi
for conf in examples/*.conf; do
	[[ $(head -c1 "$conf") == "#" ]] || fail "$conf does not begin with a comment"
	out=$("${alone[@]}" "$bin" check -c "$conf" 2>&1) || fail "$conf does not pass check:"$'\n'"$out"
	grep -q ': warning: ' <<<"$out" && fail "$conf gives a warning:"$'\n'"$out"
	grep -q "${conf#examples/}" README.md || fail "README.md does not name $conf"
done
# The installed default, with its commented rules taken in, must be right too.
trial=$(mktemp)
trap 'rm -f "$trial"' EXIT
sed -E 's/^#((interface|mark|failsafe|set|track|notrack) .*)/\1/' examples/ctbypass.conf >"$trial"
out=$("${alone[@]}" "$bin" check -c "$trial" 2>&1) ||
	fail "examples/ctbypass.conf without its comment signs does not pass check:"$'\n'"$out"

# ---- links between documents ----

while IFS=: read -r file link; do
	target=${link#](}
	target=${target%)}
	target=${target%%#*}
	[[ -z $target || $target == *://* ]] && continue
	[[ -e $(dirname "$file")/$target ]] || fail "$file links to $target, which is not there"
done < <(grep -oHE '\]\([^)]+\)' README.md DEVELOPERS.md docs/*.md || true)

# ---- nothing of this machine ----

# In a tarball, or in somebody else's checkout, everything but what was built counts as tracked.
git ls-files -z >"$trial" 2>/dev/null ||
	find . \( -name .git -o -path ./build \) -prune -o -type f -print0 >"$trial"
# Spelled so that this file does not find itself.
paths=$(xargs -0r grep -nIE '(^|[^[:alnum:]_.])/(wor[k]|roo[t]/|hom[e]/[a-z])' -- <"$trial" || true)
[[ -z $paths ]] || fail "absolute paths of a development machine:"$'\n'"$paths"
hosts='pyp[i]\.org|pythonhoste[d]\.org|npmj[s]\.(org|com)|crate[s]\.io|proxy\.golan[g]\.org'
hosts+='|deb\.debia[n]\.org|artifactor[y]|nexu[s]\.'
hits=$(xargs -0r grep -nIiE "$hosts" -- <"$trial" || true)
[[ -z $hits ]] || fail "hosts of package registries:"$'\n'"$hits"

if ((bad)); then
	exit 1
fi
echo "check-docs: documents and program agree"
