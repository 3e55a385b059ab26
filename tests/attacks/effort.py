"""How long to try: `VESTIGE_ATTACK=100 pytest tests/attacks` tries a hundred times as much as the suite."""

from __future__ import annotations

import os

EFFORT = max(1, int(os.environ.get("VESTIGE_ATTACK", "1")))
"""The loops of these tests are so many times as long."""
