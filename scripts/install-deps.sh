#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/install-deps.sh [--demo] [--fuzz] [--vm] [--bench] [--list | --list-lab]
#
# Install Debian packages (12 and 13 have them all), from whatever mirror the machine is set up with:
# what building and the tests need; with --demo only what building and the demo do. Others on top:
# --fuzz what make fuzz needs, --vm what check-kernels does, --bench what the benchmark's plots do.
# Quick and silent when all is there. `--list` prints the names, `--list-lab` those that are needed
# where the tests run, also when they were built elsewhere.
set -euo pipefail

build=(
	gcc make clang bpftool libc6-dev linux-libc-dev
	libbpf-dev libelf-dev zlib1g-dev
	libnftables-dev libmnl-dev libnetfilter-conntrack-dev libjansson-dev
)
demo=( # hosts and traffic
	iproute2 nftables conntrack ethtool socat procps util-linux mount jq python3
)
lab=( # where tests run
	"${demo[@]}"
	iptables tcpdump iperf3 netcat-openbsd mandoc python3-scapy strace
	systemd # runs the daemon as the unit says
	# what the benchmark measures beside the others
	ipset
)
tests=( # unit and program tests
	libcriterion-dev
	# a kernel that lacks much, as a process (tests/e2e/52_features_uml.sh); not under other kernels
	user-mode-linux
)
bench=( # its plots
	gnuplot-nox
)
vm=( # other kernels in virtual machines
	qemu-system-x86 busybox-static kmod cpio e2fsprogs xz-utils
)

packages=("${build[@]}" "${tests[@]}" "${lab[@]}")
more=() fuzz=0 list=0
for arg; do
	case $arg in
	--demo) packages=("${build[@]}" "${demo[@]}") ;;
	--fuzz) fuzz=1 ;;
	--vm) more+=("${vm[@]}") ;;
	--bench) more+=("${bench[@]}") ;;
	--list) list=1 ;;
	--list-lab)
		printf '%s\n' "${lab[@]}"
		exit 0
		;;
	*)
		echo "usage: install-deps.sh [--demo] [--fuzz] [--vm] [--bench] [--list | --list-lab]" >&2
		exit 2
		;;
	esac
done
packages+=("${more[@]}")
if ((list)); then
	printf '%s\n' "${packages[@]}"
	exit 0
fi

# The fuzzers' runtime has the version of the compiler in its name.
runtime() { echo "libclang-rt-$("${CLANG:-clang}" -dumpversion | cut -d . -f 1)-dev"; }

# install PACKAGE...: those that are missing.
install() {
	local p installed missing=() apt command
	# dpkg-query fails when it does not know a name at all, and still prints the others.
	installed=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' "$@" 2>/dev/null |
		sed -n 's/^ii  *//p') || true
	for p; do
		grep -qxF "$p" <<<"$installed" || missing+=("$p")
	done
	((${#missing[@]})) || return 0

	if [[ $(id -u) != 0 ]]; then
		echo "missing packages: ${missing[*]}" >&2
		echo "install them, or run this as root" >&2
		return 1
	fi
	echo "installing ${missing[*]}" >&2
	export DEBIAN_FRONTEND=noninteractive
	apt=(apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
	command=("${apt[@]}" install -y --no-install-recommends "${missing[@]}")
	# Package lists may be absent or old.
	"${command[@]}" >/dev/null 2>&1 || { "${apt[@]}" update >&2 && "${command[@]}" >/dev/null; }
}

install "${packages[@]}"
((!fuzz)) || install "$(runtime)"
