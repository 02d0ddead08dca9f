#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""tcx.py PINNED_PROGRAM IF head|tail: attach a program at tcx ingress (neither Debian's bpftool nor
its tc can) and hold the link until killed."""
import socket
import sys

from bpf_link import hold

BPF_TCX_INGRESS, BPF_F_BEFORE = 46, 1 << 3

hold(sys.argv[1], "III", socket.if_nametoindex(sys.argv[2]), BPF_TCX_INGRESS,
     BPF_F_BEFORE if sys.argv[3] == "head" else 0)
