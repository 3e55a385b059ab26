"""What one run over a sequence is: its sizes, its mathematics, and how its rows are cut into blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# How lanes meet: summed; only the largest output gate (per unit); attention; attention, largest weight.
Kind = Literal["sum", "top", "attention", "pooled"]

BLOCK_BYTES = 4 << 20
_FEWEST_ROWS = 16


@dataclass(frozen=True)
class Plan:
    """``row_counts[t]``: rows still running at step t, descending, or None where all always are;
    ``padding``: columns of zeros that fill an operand up to what products of the processor are made for;
    ``block_bytes``: what the gates of a step of a block of rows may take."""

    kind: Kind
    batch: int
    steps: int
    inputs: int
    hidden: int
    lanes: int
    row_counts: tuple[int, ...] | None = None
    recompute: bool = False
    padding: int = 0
    block_bytes: int = BLOCK_BYTES

    @property
    def attends(self) -> bool:
        return self.kind in {"attention", "pooled"}

    @property
    def gate_width(self) -> int:
        return 4 * self.lanes * self.hidden

    @property
    def operand_width(self) -> int:
        """[h, x, 1, 0...]."""
        return self.hidden + self.inputs + 1 + self.padding

    def rows_at(self, step: int, block: slice) -> int:
        """How many of a block's rows take part in a step."""
        size: int = block.stop - block.start
        if self.row_counts is None:
            return size
        running: int = min(max(self.row_counts[step] - block.start, 0), size)
        return running

    def shares(self, threads: int) -> list[list[slice]]:
        """The blocks of rows for each thread: large enough for efficient products, small enough that a
        step of a block stays in cache."""
        target = max(_FEWEST_ROWS, self.block_bytes // (4 * self.gate_width))
        blocks = -(-self.batch // target)
        blocks = min(-(-blocks // threads) * threads, max(1, self.batch // _FEWEST_ROWS))
        if blocks <= threads // 2:  # too few rows to share out: one block, and products on all threads
            blocks = 1
        rows = -(-self.batch // blocks)
        cuts = [slice(start, min(start + rows, self.batch)) for start in range(0, self.batch, rows)]
        return [share for share in (cuts[worker::threads] for worker in range(threads)) if share]
