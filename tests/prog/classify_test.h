/* SPDX-License-Identifier: GPL-2.0-only */
/* Between classify_test.bpf.c and harness.c. */
#ifndef CTBYPASS_TESTS_CLASSIFY_TEST_H
#define CTBYPASS_TESTS_CLASSIFY_TEST_H

#include "ctbypass/abi.h"

struct ctb_test_seen {
	__u64 src_hi, src_lo, dst_hi, dst_lo;
	__s32 reason; /* CTB_PARSED or enum ctb_reason; after parsing that of the classifier */
	__u32 judged; /* entry is valid */
	struct ctb_entry entry;
	__u32 bytes;
	__u16 sport, dport;
	__u16 vid;
	__u8 proto, v6, quoted, pad;
	/* Asked for before the run: */
	__u16 push; /* VLAN TCI to put into the skb's metadata; 0: none */
	__u16 cut;  /* length to cut the packet to; 0: leave it */
};

#endif
