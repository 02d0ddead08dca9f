#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# A kernel that lacks much at once: Debian's User Mode Linux 6.1 has no JIT, no BTF, nft without
# family inet, and wants aligned access to packets. It is a process like others, of a second or two,
# and lib/uml_xstate.c has it run on processors that have more state than it knows of.
# timeout: 120
# run: own hand-over
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
uml=${UML:-/usr/bin/linux.uml}
modules=${UML_MODULES:-/usr/lib/uml/modules}
built=${CTBYPASS%/*}/tests/e2e
[[ -x $uml ]] || skip "no $uml: package user-mode-linux"
lab_enter "$@"

echo 'notrack udp dport 8080 daddr local' >$LAB_CONF
# What runs in it; it sees our files, read-only.
cat >$LAB/init <<EOT
#!/bin/bash
exec >/dev/console 2>&1
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmp /mnt
mkdir -p /mnt/m/lib/modules
ln -s $modules/\$(uname -r) /mnt/m/lib/modules/
printf '#!/bin/sh\nexec /sbin/modprobe -d /mnt/m "\$@"\n' >/mnt/modprobe
chmod +x /mnt/modprobe
[[ \$uml_modules == none ]] || echo /mnt/modprobe >/proc/sys/kernel/modprobe
mount -t bpf bpf /sys/fs/bpf
ip link set lo up
echo "@features"; $CTBYPASS features -j; echo "@status \$?"
echo "@run"; $CTBYPASS run -c $LAB_CONF -S /mnt/sock; echo "@status \$?"
echo "@check"; $CTBYPASS check -c $LAB_CONF; echo "@status \$?"
echo "@left"; ls /sys/fs/bpf; echo "@end"
echo o >/proc/sysrq-trigger
sleep 60
EOT
chmod +x $LAB/init

# console PRELOAD INIT [ARGUMENT...]: run it; its words in $OUT.
console() {
	local preload=$1 init=$2
	shift 2
	LD_PRELOAD=$preload TMPDIR=$LAB timeout -k 1 $((50 * ${CTB_SLOW:-1})) "$uml" mem=256M rootfstype=hostfs \
		rootflags=/ ro init="$init" con=null con0=fd:0,fd:1 quiet "$@" </dev/null >$LAB/uml.log 2>&1 || true
	OUT=$(tr -d '\r' <$LAB/uml.log)
}
# boot PRELOAD [ARGUMENT...]: all of the above.
boot() {
	local preload=$1
	shift
	console "$preload" $LAB/init "$@"
	has "the end" "$OUT" "@end"
	JSON=$(part features)
	jq -e . >/dev/null <<<"$JSON" || die "not JSON: $JSON"
}
part() { sed -n "/^@$1\$/,/^@/{/^@/!p}" <<<"$OUT"; }
status_of() { sed -n "/^@$1\$/,/^@status/s/^@status //p" <<<"$OUT"; }
state() { jq -r --arg n "$1" '.features[] | select(.name == $n) | .state' <<<"$JSON"; }
detail() { jq -r --arg n "$1" '.features[] | select(.name == $n) | .detail' <<<"$JSON"; }

boot "$built/uml_xstate.so"
for name in bpf map-devmap-hash helpers-tc helpers-xdp xdp-frags xdp-link clsact bpffs ctnetlink nf-tables; do
	eq "$name" "$(state $name)" yes
done
for name in bpf-jit global-functions tc-program tcx netdev-genl nft-inet netfilter-link btf; do
	eq "$name" "$(state $name)" no
done
for name in xdp-program nft-notrack nft-maps; do
	eq "$name" "$(state $name)" unknown
done
has "bpf-jit" "$(detail bpf-jit)" CONFIG_BPF_JIT
# Otherwise tc-program would be refused for that already; static functions come as far as alignment.
has "global-functions" "$(detail global-functions)" CONFIG_DEBUG_INFO_BTF
has "tc-program" "$(detail tc-program)" "verifier: misaligned packet access"
has "nft-inet" "$(detail nft-inet)" CONFIG_NF_TABLES_INET
eq "missing" "$(jq -r '.missing | join(" ")' <<<"$JSON")" "tc-program nft-inet"
eq "exit status of features" "$(status_of features)" 1
eq "exit status of run" "$(status_of run)" 1
has "the daemon's first words" "$(part run | head -n 1)" "missing here, and needed"
has "the daemon" "$(part run)" "error: nft-inet: "
eq "exit status of check" "$(status_of check)" 1
has "check" "$(part check)" "nft-inet: "
eq "what is left" "$(part left)" ""

# The same without a single module, on a processor with AMX, where it does not start by itself.
boot "$built/uml_xstate.so $built/amx_host.so" uml_modules=none
eq "missing" "$(jq -r '.missing | join(" ")' <<<"$JSON")" "tc-program clsact nf-tables"
has "nf-tables" "$(detail nf-tables)" "no nfnetlink"
has "clsact" "$(detail clsact)" sch_ingress
eq "exit status of run" "$(status_of run)" 1
has "the daemon" "$(part run)" "error: nf-tables: "
has "the daemon" "$(part run)" "error: clsact: "

console "$built/amx_host.so" /bin/true
has "by itself" "$OUT" put_fp_registers
pass
