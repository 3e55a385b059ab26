"""Trivial detectors without labels: what each finds strange, and a threshold that spends the same budget."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from tests.evaluation.test_plants import CYCLE, FOREIGN, SECOND, channels, made, table
from vestige.evaluation.plants import plant_all
from vestige.evaluation.trivial import (
    Evidence,
    Forest,
    Length,
    NewTemplate,
    Rate,
    Stide,
    Trivial,
    beside,
    threshold,
)
from vestige.reading.encoding import Batch, EncodedWindows
from vestige.reading.steps import NO_TIME, Steps
from vestige.reading.symbol_encoder import SymbolEncoder
from vestige.reading.windows import WindowSet
from vestige.schema import PAD, UNK, Input


@dataclass(frozen=True)
class Grid:
    """An encoder of four channels as they are."""

    inputs: tuple[Input, ...]
    symbols = "episodes"

    def bind(self, symbols: pl.DataFrame) -> Grid:  # noqa: ARG002
        return self

    def streams(self, names: tuple[str, ...]) -> tuple[str, ...]:  # noqa: ARG002
        return ("grid",)

    def encode(self, steps: Steps, names: tuple[str, ...]) -> Batch:  # noqa: ARG002
        return {"tensor": np.moveaxis(steps["grid"], 1, 2)}

    def unseen(self, windows: WindowSet) -> dict[str, float]:  # noqa: ARG002
        return {}

    def to_dict(self) -> dict[str, Any]:
        return {}


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> EncodedWindows:
    windows = made(tmp_path_factory.mktemp("trivial") / "d", length=8)
    return EncodedWindows.of(windows, SymbolEncoder.fit(windows, stream="event", symbols="events"))


def fitted(kind: type[Trivial], encoded: EncodedWindows) -> Trivial:
    windows, encoder = encoded.windows, encoded.encoder
    evidence = Evidence(
        encoder.inputs, timed=True, stream="event", table=table(), before=windows.schema.before
    )
    detector = kind(evidence)
    assert detector.applies
    detector.fit(encoded)
    return detector


def circle(*others: int) -> NDArray[np.int64]:
    """Tokens of eight events in a row, the last of which are others."""
    return np.array([[*range(2, 10), *others][-8:]])


def test_a_new_template_is_one_without_a_token(encoded: EncodedWindows) -> None:
    detector = fitted(NewTemplate, encoded)
    tokens = np.concatenate([circle(), circle(UNK), circle(UNK, 3), circle(CYCLE + 2)])
    assert detector.strangeness({}, {"tokens": tokens}).tolist() == [0.0, 1.0, 0.0, 1.0]


def test_stide_counts_the_sequences_of_six_that_were_never_seen(encoded: EncodedWindows) -> None:
    detector = fitted(Stide, encoded)
    batch = encoded.batch(np.array([0, 5, 100]), ("tokens",))["tokens"]
    assert detector.strangeness({}, {"tokens": batch}).tolist() == [0.0, 0.0, 0.0]
    wrong = batch[2:].copy()
    wrong[0, -1] = batch[2, -2]
    assert detector.strangeness({}, {"tokens": wrong}).tolist() == [1 / 3]
    begun = np.where(np.arange(8) < 2, PAD, wrong)
    assert detector.strangeness({}, {"tokens": begun}).tolist() == [1 / 3]
    wrong[0, 3] = UNK
    assert detector.strangeness({}, {"tokens": wrong}).tolist() == [1.0]


def test_stide_learns_the_same_whether_windows_slide_or_not(encoded: EncodedWindows, tmp_path: Path) -> None:
    apart = made(tmp_path / "d", length=8, stride=3)
    found = fitted(Stide, EncodedWindows.of(apart, encoded.encoder))
    assert isinstance(found, Stide)
    everywhere = fitted(Stide, encoded)
    assert isinstance(everywhere, Stide)
    assert np.array_equal(found.known, everywhere.known)
    assert len(found.known) == CYCLE


def test_the_forest_finds_windows_of_one_event_strange(encoded: EncodedWindows) -> None:
    detector = fitted(Forest, encoded)
    usual = detector.strangeness({}, encoded.batch(slice(20, 60)))
    odd = detector.strangeness({}, {"tokens": np.full((1, 8), 3)})
    assert odd[0] > usual.max()
    again = fitted(Forest, encoded).strangeness({}, encoded.batch(slice(20, 60)))
    assert np.array_equal(again, usual)


def test_length_is_that_of_the_message_judged(encoded: EncodedWindows) -> None:
    detector = fitted(Length, encoded)
    steps = encoded.windows.gather(np.array([0, 9]), ("event",))
    assert detector.strangeness(steps, {}).tolist() == [len("event 1"), len("event 10")]


def test_the_rate_is_steps_by_time(encoded: EncodedWindows) -> None:
    detector = fitted(Rate, encoded)
    t_ns = np.array(
        [
            np.arange(1, 9) * 10 * SECOND,
            np.arange(1, 9) * 2 * SECOND,
            [0, 0, 0, 0, 0, 0, 0, 5 * SECOND],
            [0, 0, 0, 0, 0, 0, 3 * SECOND, 5 * SECOND],
            [NO_TIME] * 8,
            [7 * SECOND] * 8,
        ]
    )
    assert detector.strangeness({"t_ns": t_ns}, {}).tolist() == [0.1, 0.5, 0.0, 0.5, 0.0, 7000.0]


@pytest.mark.parametrize(
    ("share", "alerts"), [(0.0, 0), (0.1, 1), (0.25, 2), (0.3, 3), (0.59, 3), (0.99, 9), (1.0, 10)]
)
def test_a_threshold_spends_the_budget_and_no_more(share: float, alerts: int) -> None:
    # Three of ten windows are equally strange: all of them alert, or none.
    strangeness = np.array([0.0, 1.0, 2.0, 3.0, 5.0, 5.0, 5.0, 7.0, 8.0, 9.0])
    expected = {3: 3, 9: 9}.get(alerts, alerts)
    assert (strangeness >= threshold(strangeness, share)).sum() == expected


def test_a_detector_that_cannot_keep_to_the_budget_spends_the_least_that_it_can() -> None:
    assert (np.ones(50) >= threshold(np.ones(50), 0.5)).sum() == 0
    new = np.r_[np.zeros(40), np.ones(10)]
    assert (new >= threshold(new, 0.1)).sum() == 0
    assert (new >= threshold(new, 0.1, highest=1.0)).sum() == 10
    assert threshold(np.zeros(50), 0.1, highest=1.0) < 1e-300  # whatever is new alerts


def test_all_of_them_stand_beside_on_the_same_plants(encoded: EncodedWindows) -> None:
    plants = plant_all(encoded.windows.select(slice(200, 390)), table(), FOREIGN, stream="event", n=20)
    calibrate = encoded.over(encoded.windows.select(slice(0, 200)))
    bound = encoded.encoder.bind(plants.table)
    found = beside(plants, bound, encoded, calibrate, stream="event", share=0.01)
    assert list(found) == ["new template", "STIDE", "isolation forest", "length", "rate alone"]
    share = {
        name: dict(zip(other.found["what"], other.found["share"], strict=True))
        for name, other in found.items()
    }
    assert all(other.spent <= 0.01 for other in found.values())
    assert share["new template"]["one event never seen"] == 1.0
    assert share["new template"]["one event missing"] == 0.0
    assert share["STIDE"]["two neighbours out of order"] == 1.0
    assert share["STIDE"]["one event with a value never seen"] == 0.0
    assert share["length"]["one event never seen"] == 1.0  # all foreign texts here are longer
    assert share["rate alone"]["10 events at 30 times their rate"] == 1.0
    assert share["rate alone"]["silence of 10 minutes"] == 0.0


def test_evidence_of_channels_has_the_forest_alone(tmp_path: Path) -> None:
    windows = channels(tmp_path / "d")
    encoder = Grid(windows.schema.inputs)
    encoded = EncodedWindows(windows, encoder, encoder)
    plants = plant_all(windows, windows.table("episodes"), (), stream="", n=20)
    found = beside(plants, encoder, encoded, encoded, stream="", share=0.05)
    assert list(found) == ["isolation forest"]
    lost = found["isolation forest"].found.filter(kind="lost")["share"].to_list()
    assert lost[0] < lost[2]  # the mean of what is left of a window is much the same
    assert lost[2] > 0.3
