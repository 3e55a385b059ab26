"""What a trace's decoding came to: how much of it was lost, and where the losses come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.sources.traces.packets.kernel import AT, BASE, CUT_OFF, SKIPPED, SPACES
from vestige.sources.traces.packets.kinds import Kind


@dataclass
class Quality:
    """Figures of one trace, complete once its last packet was decoded."""

    n_bytes: int = 0
    skipped: int = 0
    """Bytes before the first PSB, and from every error to the PSB at which decoding went on."""
    cut_off: int = 0
    """Bytes of a packet whose end is missing, at the end of the trace."""
    packets: dict[str, int] = field(default_factory=dict)
    """How many of each kind, those that occurred."""
    n_packets: int = 0
    errors: int = 0
    """Places with bytes that are no packet."""
    overflows: int = 0
    """Gaps that the processor itself reports: it dropped packets (OVF)."""
    psbs: int = 0
    spaces: int = 0
    """Address spaces that PIP packets name; one more than `kernel.MOST_SPACES` stands for any more."""

    def take(self, state: NDArray[np.int64], counts: NDArray[np.int64], base: int) -> None:
        """Fill in from a decoder's state at the end of a trace that began at `base`."""
        errors = counts[Kind.UNKNOWN_OPCODE :]
        self.n_bytes = int(state[BASE] + state[AT]) - base
        self.skipped, self.cut_off = int(state[SKIPPED]), int(state[CUT_OFF])
        self.packets = {
            kind.label: int(counts[kind]) for kind in Kind if counts[kind] and kind < Kind.UNKNOWN_OPCODE
        }
        self.n_packets = int(counts.sum() - errors.sum())
        self.errors = int(errors.sum())
        self.overflows, self.psbs = int(counts[Kind.OVF]), int(counts[Kind.PSB])
        self.spaces = int(state[SPACES])

    def __str__(self) -> str:
        """One line for a person."""
        if not self.psbs:
            return f"no PSB in {self.n_bytes:,} bytes: nothing to decode, or no Intel PT trace"
        return (
            f"{self.n_packets:,} packets, {self.psbs:,} PSBs, {self.errors:,} errors, "
            f"{self.overflows:,} overflows; {self.skipped:,} of {self.n_bytes:,} bytes skipped, "
            f"{self.cut_off} cut off at the end"
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it, with `lost`, the share of bytes that were skipped."""
        lost = 0.0
        if self.n_bytes:
            lost = self.skipped / self.n_bytes
        return {**vars(self), "lost": lost}
