// SPDX-License-Identifier: GPL-2.0-only
/* The production program, with functions of our own for the module's. */
#include "untrack_fake.h"
#include "../../bpf/output.bpf.c"
