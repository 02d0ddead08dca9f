#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/install-deps.sh [--vm] [--bench] [--list | --list-lab]
#
# Install what building, demo, check and bench need: Debian packages, from whatever mirror the
# machine is set up with; with --vm also what check-kernels needs, with --bench what the benchmark's
# plots do. Quick and silent when all is there. `--list` prints the names, `--list-lab` those that
# are needed where the tests run, also when they were built elsewhere.
set -euo pipefail

build=(
	# building
	gcc make clang llvm bpftool libc6-dev linux-libc-dev
	libbpf-dev libelf-dev zlib1g-dev
	libnftables-dev libmnl-dev libnetfilter-conntrack-dev libjansson-dev
	# unit and program tests, fuzzing
	libcriterion-dev libclang-rt-14-dev
	# a kernel that lacks much, as a process (tests/e2e/52_features_uml.sh); not under other kernels
	user-mode-linux
)
lab=( # hosts, traffic, captures
	iproute2 nftables iptables conntrack ethtool tcpdump iperf3 socat netcat-openbsd
	procps util-linux mount jq mandoc python3 python3-scapy strace
	systemd # runs the daemon as the unit says
	# what the benchmark measures beside the others
	ipset
)
bench=( # its plots
	gnuplot-nox
)
vm=( # other kernels in virtual machines
	qemu-system-x86 busybox-static kmod cpio e2fsprogs xz-utils
)

packages=("${build[@]}" "${lab[@]}")
for arg; do
	case $arg in
	--vm) packages+=("${vm[@]}") ;;
	--bench) packages+=("${bench[@]}") ;;
	--list)
		printf '%s\n' "${packages[@]}"
		exit 0
		;;
	--list-lab)
		printf '%s\n' "${lab[@]}"
		exit 0
		;;
	*)
		echo "usage: install-deps.sh [--vm] [--bench] [--list | --list-lab]" >&2
		exit 2
		;;
	esac
done

# dpkg-query fails when it does not know a name at all, and still prints the others.
installed=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' "${packages[@]}" 2>/dev/null |
	sed -n 's/^ii  *//p') || true
missing=()
for p in "${packages[@]}"; do
	grep -qxF "$p" <<<"$installed" || missing+=("$p")
done
((${#missing[@]})) || exit 0

if [[ $(id -u) != 0 ]]; then
	echo "missing packages: ${missing[*]}" >&2
	echo "install them, or run this as root" >&2
	exit 1
fi
echo "installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
apt=(apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
install=("${apt[@]}" install -y --no-install-recommends "${missing[@]}")
# Package lists may be absent or old.
"${install[@]}" >/dev/null 2>&1 || { "${apt[@]}" update >&2 && "${install[@]}" >/dev/null; }
