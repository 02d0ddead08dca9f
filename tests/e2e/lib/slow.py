# SPDX-License-Identifier: GPL-2.0-only
"""How much longer than on real hardware things may take: CTB_SLOW, as in tests/run.sh."""
import os

SLOW = int(os.environ.get("CTB_SLOW") or 1)
