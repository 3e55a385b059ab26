"""Real recordings: nothing is lost but what the processor itself reports as lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.sources.traces import pt
from vestige.sources.traces.packets.columns import decode
from vestige.sources.traces.packets.kinds import Kind
from vestige.sources.traces.packets.quality import Quality
from vestige.sources.traces.regions import Regions
from vestige.sources.traces.tokens import values

COMPRESSED = 1 << 5
"""The header byte of an IP packet that carries an IP is this or more."""
RECORDINGS = sorted(path.parent.relative_to(pt.SHARED) for path in pt.SHARED.glob("real/*/*/trace_0"))


def test_there_are_recordings() -> None:
    pt.shared("real")
    assert len(RECORDINGS) == 24


@pytest.mark.parametrize("name", RECORDINGS, ids=str)
def test_a_recording_decodes_without_loss(name: Path) -> None:
    trace = (pt.shared(str(name)) / "trace_0").read_bytes()
    quality, fused = Quality(), Quality()
    rows = decode(trace, quality)
    assert (quality.errors, quality.skipped, quality.cut_off) == (0, 0, 0)
    assert quality.overflows == (name.name == "mruby")
    assert rows.kind[0] == Kind.PSB
    n_values = sum(len(chunk) for chunk in values([trace], Regions.none(), quality=fused))
    assert fused == quality
    target = np.isin(rows.kind, [Kind.TIP, Kind.TIP_PGE, Kind.TIP_PGD]) & (rows.bits >= COMPRESSED)
    assert n_values == int(rows.n_bits.sum(dtype=int)) + int(target.sum())
