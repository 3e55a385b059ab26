"""Windows of planted anomalies among those that are learnt from."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from tests.pipeline.test_learn import ordinary, write
from vestige.pipeline.contaminating import contaminate, windows_of
from vestige.pipeline.self_check import planted
from vestige.sources import registry


def test_the_windows_added_are_those_of_the_plants(tmp_path: Path) -> None:
    source = registry.get("logs")
    evidence = write(tmp_path / "app.log", ordinary(300))
    windows = source.prepare(evidence, tmp_path / "dataset", source.options(values=True))
    plants = planted(source, windows, "messages", seed=0, n=4, texts=12)
    grown, share = contaminate(plants, 0.3, "messages", seed=0)
    added = len(grown) - len(windows)
    assert share == added / len(grown)
    assert abs(added - windows_of(300, 0.3)) < 40
    # What was there stands as it was, in front.
    before, after = windows.gather(), grown.gather(slice(0, 300))
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert grown.table("messages").height > windows.table("messages").height
    new = grown.gather(slice(300, None))
    wanted: Counter[bytes] = Counter()
    for batch in plants.batches():
        for row in np.flatnonzero(batch.planted):
            wanted[b"".join(values[row].tobytes() for values in batch.steps.values())] += 1
    found = Counter(b"".join(new[name][row].tobytes() for name in batch.steps) for row in range(added))
    assert added > 60
    assert not found - wanted
    assert (new["message"] >= windows.table("messages").height).any()
    assert np.array_equal(grown.t_ns[300:], new["t_ns"][:, windows.schema.before])
    assert not grown.label.any()
    assert len(grown.select(slice(290, 310)).table("messages")) == grown.table("messages").height


def test_few_windows_get_one_plant_at_the_least(tmp_path: Path) -> None:
    source = registry.get("logs")
    windows = source.prepare(write(tmp_path / "app.log", ordinary(300)), tmp_path / "d", source.options())
    plants = planted(source, windows, "messages", seed=0, n=2, texts=12)
    grown, share = contaminate(plants, 0.001, "messages")
    assert 300 < len(grown) < 400
    assert 0 < share < 0.25
