#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# The benchmark: what it says of itself, and that it gives no figure for packets that did not do what
# they were said to.
# run: alone
# timeout: 240
# run: own hand-over
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
bench=$(dirname "$CTBYPASS")/bench/ctbypass-bench
[[ -x $bench ]] || skip "no $bench: run make tests"
lab_enter "$@"

few() { within 60 "$bench" -b "$CTBYPASS" -i -p 2000 "$@"; }

# ---- usage
has "list" "$("$CTBYPASS" bench -l)" "every contender at the base point"
fails "$bench" -g base,nosuch
has "unknown group" "$OUT" "nosuch"
fails "$bench" -o nosuch
has "unknown contender" "$OUT" "nosuch"
fails "$bench" -r 0
has "rounds" "$OUT" "rounds: 0"
fails "$bench" --compare /dev/null
has "no result" "$OUT" "/dev/null"

# ---- a result: every row has a time or a reason
few -g base,local,family,forward,passed -o none,tracked,nft,ctbypass,forward-tc,forward-xdp,bare-xdp \
	--json $LAB/a.json >$LAB/table
has "table" "$(cat $LAB/table)" "ctbypass against nft, one rule"
eq "rows with neither time nor reason" \
	"$(jq '[.groups[].rows[] | select((.ns.median // 0) <= 0 and .skipped == null)] | length' $LAB/a.json)" 0
least=40 # of which a quarter is about XDP, not sent where the kernel tells of no device that takes it (6.3)
have_xdp_out || least=30
ge "rows measured" "$(jq '[.groups[].rows[] | select(.ns)] | length' $LAB/a.json)" $least
eq "both families" "$(jq -c '[.groups[].rows[] | select(.ns) | .family] | unique' $LAB/a.json)" "[4,6]"
say "$(jq '[.groups[].rows[] | select(.ns)] | length' $LAB/a.json) rows"

# ---- comparison: with itself nothing; with one that is dearer in one row that row alone
has "same" "$("$bench" --compare $LAB/a.json $LAB/a.json)" "0 changed"
jq '(.groups[] | select(.name == "base") | .rows[] | select(.contender == "ctbypass") | .ns.rounds) |=
	map(. * 1.1)' $LAB/a.json >$LAB/b.json
out=$("$bench" --compare $LAB/a.json $LAB/b.json)
has "one dearer" "$out" "1 changed"
has "which" "$out" "base: ctbypass"
has "by how much" "$out" "+10.0%"
jq '(.groups[] | select(.name == "base") | .rows[] | select(.contender == "ctbypass") | .ns.rounds) |=
	map(. * 1.005)' $LAB/a.json >$LAB/b.json
has "half a percent" "$("$bench" --compare $LAB/a.json $LAB/b.json)" "0 changed"

# ---- a ctbypass whose rules do not fit, is no contender; with the same wrapper and its own rules it is
cat >$LAB/wrapper <<EOT
#!/bin/bash
if [[ \$1 == run ]]; then
	for f; do [[ \$f != *.conf ]] || sed -i 's/9000/'"\$(cat $LAB/port)"'/' "\$f"; done
fi
exec $CTBYPASS "\$@"
EOT
chmod +x $LAB/wrapper
echo 9000 >$LAB/port
few -b $LAB/wrapper -g base -o ctbypass >/dev/null
echo 9001 >$LAB/port
fails few -b $LAB/wrapper -g base -o ctbypass
has "rules that do not fit" "$OUT" "counted by rules"

# ---- entries where none may be, none where some must, packets that are lost
mkdir $LAB/bin
cat >$LAB/bin/nft <<EOT
#!/bin/bash
sed "\$(cat $LAB/edit)" | $(command -v nft) "\$@"
EOT
chmod +x $LAB/bin/nft
with_nft() { # EDIT CONTENDER
	echo "$1" >$LAB/edit
	PATH=$LAB/bin:$PATH few -g base -o "$2"
}
with_nft '' nft,tracked >/dev/null
fails with_nft 's/ notrack$//' nft
has "tracked after all" "$OUT" "conntrack entries, expected 0"
fails with_nft 's/hook forward priority 0; policy accept;/& udp sport 2000-3000 drop/' nft
has "lost" "$OUT" "did not arrive as they should"
measured=$(jq -r '.groups[] | select(.name == "base") | .rows[] | select(.contender == "tracked") |
	.ns.median' $LAB/a.json)
if [[ $measured == null ]]; then
	say "left out: nf_conntrack_max has no room for 64 k flows" # and only the host may raise it
else
	fails with_nft '/ct state/d' tracked
	has "not tracked" "$OUT" "0 conntrack entries, expected 65536"
fi
pass
