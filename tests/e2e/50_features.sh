#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# What `features` says, and what the daemon does, where something is missing: capabilities, the BPF
# file system, /sys, BTF, /proc, root. Each thing is really taken away. Kernels without some module:
# 51_features_modules.sh.
# timeout: 120
# kernels: few
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"

lab_pair
echo 'notrack udp dport 8080' >$LAB_CONF

# features_as [-P DIR] -- COMMAND...: under COMMAND; the JSON in $JSON, exit status in $STATUS.
features_as() {
	local dir=$LAB_PIN
	[[ $1 != -P ]] || { dir=$2; shift 2; }
	shift
	STATUS=0
	JSON=$(on server "$@" "$CTBYPASS" features -j -P "$dir" 2>&1) || STATUS=$?
	((STATUS < 2)) || die "exit status $STATUS: $JSON"
	jq -e . >/dev/null <<<"$JSON" || die "not JSON: $JSON"
}
state() { jq -r --arg n "$1" '.features[] | select(.name == $n) | .state' <<<"$JSON"; }
detail() { jq -r --arg n "$1" '.features[] | select(.name == $n) | .detail' <<<"$JSON"; }
missing() { jq -r '.missing | join(" ")' <<<"$JSON"; }
names() { jq -r '.features[].name' <<<"$JSON"; }

# refused FEATURE [-P DIR] -- COMMAND...: the daemon says that this is what is missing, before
# anybody else has a word, ends with 1, and has touched nothing.
refused() {
	local feature=$1 dir=$LAB_PIN
	shift
	[[ $1 != -P ]] || { dir=$2; shift 2; }
	shift
	fails timeout $((20 * ${CTB_SLOW:-1})) nsenter --net=/run/netns/server "$@" \
		"$CTBYPASS" run -c $LAB_CONF -P "$dir" -S $LAB_SOCK
	has "the daemon's first words" "$(head -n 1 <<<"$OUT")" "missing here, and needed"
	grep -q "^ctbypass: error: $feature: " <<<"$OUT" || die "$feature is not named: $OUT"
	[[ ! -e $dir/maps && ! -S $LAB_SOCK ]] || die "$feature: something was left"
	eq "nft without $feature" "$(on server nft list ruleset)" ""
}
without() { # CAPABILITY...: a command's prefix
	local caps
	caps=$(printf -- ',-%s' "$@")
	echo setpriv --bounding-set "${caps#,}" --inh-caps "${caps#,}"
}

# All is there.
features_as -- env
eq "exit status" "$STATUS" 0
eq "missing" "$(missing)" ""
OUT=$(on server "$CTBYPASS" features -P $LAB_PIN)
for name in $(names); do
	grep -q "^$name  *$(state "$name") " <<<"$OUT" || die "the table does not say of $name: $(state "$name")"
done
for name in bpf map-mmap global-functions tc-program bpffs helpers-xdp xdp-program xdp-link clsact \
	nft-inet nft-notrack nft-mark nft-sets nft-counters nft-maps nft-payload ctnetlink; do
	eq "$name" "$(state $name)" yes
done
eq "tcx" "$(state tcx)" "$(have_tcx && echo yes || echo no)"
has "helpers" "$(detail helpers-tc)" "all "
# Where a tunnel's module is loaded every namespace has its devices, too.
eq "devices" "$(jq -r '[.devices[].name] | sort | join(" ")' <<<"$JSON")" \
	"$(on server ip -j link | jq -r '[.[].ifname] | sort | join(" ")')"
eq "driver of s0" "$(jq -r '.devices[] | select(.name == "s0") | .driver' <<<"$JSON")" veth
has "the end" "$OUT" "Everything required is there."
eq "what trying left in nft" "$(on server nft list ruleset)" ""
eq "what trying left on lo" "$(on server tc qdisc show dev lo)" "qdisc noqueue 0: root refcnt 2 "
# The kernel lets go of a program a while after its last user has.
programs_left() { bpftool -j prog show | jq '[.[] | select(.name == "ctb_probe")] | length'; }
none_left() { (($(programs_left) == 0)); }
poll 10 none_left || die "what trying left among programs: $(programs_left)"
[[ ! -e $LAB_PIN ]] || die "trying made the pin directory"

# Each capability alone. Without CAP_SYS_ADMIN there is no namespace to try things in, and the
# kernel takes it for the two that were split off it.
while read -r drop named left; do
	# shellcheck disable=SC2046,SC2086 # words on purpose
	features_as -- $(without ${drop//,/ })
	eq "exit status without $drop" "$STATUS" 1
	has "missing without $drop" " $(missing) " " $named "
	for name in cap-bpf cap-perfmon cap-net-admin; do
		[[ $name == "$named" ]] || eq "$name without $drop" "$(state $name)" yes
	done
	eq "$left without $drop" "$(state $left)" unknown
	# shellcheck disable=SC2046,SC2086
	refused $named -- $(without ${drop//,/ })
done <<-'EOT'
	bpf,sys_admin cap-bpf map-percpu
	net_admin cap-net-admin nft-notrack
	perfmon,sys_admin cap-perfmon xdp-link
EOT
# shellcheck disable=SC2046
features_as -- $(without sys_admin)
eq "exit status without sys_admin" "$STATUS" 0
eq "cap-sys-admin" "$(state cap-sys-admin)" no
eq "tcx without a namespace" "$(state tcx)" "$(have_tcx && echo yes || echo no)"
eq "ctnetlink without a namespace" "$(state ctnetlink)" yes
eq "nft without a namespace" "$(state nft-maps)" yes
eq "what trying left in nft" "$(on server nft list ruleset)" ""

# Capabilities of a user namespace are none. (In a chroot there are none of these, nor everywhere else.)
if refusal=$(unshare --user true 2>&1); then
	features_as -- unshare --user --map-root-user
	eq "exit status in a user namespace" "$STATUS" 1
	has "in a user namespace" "$(missing)" "cap-bpf cap-perfmon"
	has "in a user namespace" "$(detail cap-bpf)" "user namespace"
else
	left_out "no user namespaces here: $refusal"
fi

# Nobody special: what is not known is unknown, and no reason for exit status 1.
chmod 755 $LAB
features_as -- setpriv --reuid 65534 --regid 65534 --clear-groups
eq "exit status of nobody" "$STATUS" 0
for name in cap-bpf bpf tc-program nf-tables nft-notrack bpffs; do
	eq "$name for nobody" "$(state $name)" unknown
done
has "the end for nobody" "$(setpriv --reuid 65534 --regid 65534 --clear-groups "$CTBYPASS" features -P $LAB_PIN)" "not root, so not all could be tried"
refused cap-bpf -- setpriv --reuid 65534 --regid 65534 --clear-groups

# No BPF file system where the pins are to be, and it is not the place where one is mounted.
mkdir $LAB/plain
features_as -P $LAB/plain/x -- env
eq "exit status without bpffs" "$STATUS" 1
eq "missing without bpffs" "$(missing)" bpffs
has "advice" "$(detail bpffs)" "mount -t bpf bpf"
refused bpffs -P $LAB/plain/x -- env

# In a mount namespace of their own: a prefix that takes away and then runs what follows.
cat >$LAB/hide <<'EOT'
#!/bin/bash
# hide DIRECTORY... -- COMMAND: with an empty file system on each
while [[ $1 != -- ]]; do mount -t tmpfs -o mode=755 hidden "$1"; shift; done
shift
exec "$@"
EOT
cat >$LAB/bare_sys <<'EOT'
#!/bin/bash
# bare_sys COMMAND: with a sysfs that has no BPF file system on it yet
mount -t sysfs sysfs /sys
exec "$@"
EOT
chmod +x $LAB/hide $LAB/bare_sys
hide() { echo unshare --mount --propagation private $LAB/hide "$@" --; }

# Not mounted yet: it would be, but trying mounts nothing.
# shellcheck disable=SC2046
features_as -P /sys/fs/bpf/x -- unshare --mount --propagation private $LAB/bare_sys
eq "exit status with no bpffs yet" "$STATUS" 0
has "bpffs" "$(detail bpffs)" "not mounted yet"
eq "what trying mounted" "$(unshare --mount --propagation private $LAB/bare_sys bash -c \
	"'$CTBYPASS' features -P /sys/fs/bpf/x >/dev/null; stat -f -c %T /sys/fs/bpf")" sysfs
# ... by who may.
# shellcheck disable=SC2046
features_as -P /sys/fs/bpf/x -- unshare --mount --propagation private $LAB/bare_sys $(without sys_admin)
eq "missing where mounting is not allowed" "$(missing)" bpffs
has "bpffs" "$(detail bpffs)" "CAP_SYS_ADMIN"

# Nothing of ours needs the file with the kernel's types, nor /proc.
for dirs in /sys/kernel /proc "/sys/kernel /proc"; do
	# shellcheck disable=SC2046,SC2086
	features_as -- $(hide $dirs)
	eq "exit status without $dirs" "$STATUS" 0
	[[ $dirs == /proc ]] || eq "btf without $dirs" "$(state btf)" no
	eq "tc-program without $dirs" "$(state tc-program)" yes
done
# /sys says how many CPUs there may be.
# shellcheck disable=SC2046
features_as -- $(hide /sys)
eq "missing without /sys" "$(missing)" possible-cpus
# shellcheck disable=SC2046
refused possible-cpus -- $(hide /sys)
serve echo server udp_echo 8080
# shellcheck disable=SC2046
nsenter --net=/run/netns/server $(hide /sys/kernel) "$CTBYPASS" run -c $LAB_CONF -P $LAB_PIN -S $LAB_SOCK \
	>$LAB/daemon.log 2>&1 &
LAB_DAEMON=$! LAB_CHILD=$!
poll 20 daemon_ready || die "no daemon without BTF"
watch_states server input "meta l4proto udp"
tool client udp_flows -n 20 10.0.0.1 8080
eq "untracked without BTF" "$(state_count server input untracked)" 20
eq "counted without BTF" "$(rule_stat 1 receive original packets)" 20

# What is missing and not required: said by status, and said at the start.
lacking=$(ctb status -j | jq -r '[.lacking[].feature] | join(" ")')
if have_tcx; then
	eq "lacking" "$lacking" ""
	hasnt "status" "$(ctb status)" "no tcx"
else
	has "lacking" "$lacking" tcx
	has "status" "$(ctb status)" "no tcx: clsact filters are used"
	has "the daemon's log" "$(<$LAB/daemon.log)" "no tcx"
fi
daemon_stop
pass
