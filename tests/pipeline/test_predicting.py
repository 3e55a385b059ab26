"""Equal windows are scored once, and get what they would have got alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vestige.checkpoint import Pooling
from vestige.engine import HERE
from vestige.evaluation import distinct
from vestige.models import registry
from vestige.models.base import choose_inputs
from vestige.models.fitting import FittedDetector
from vestige.pipeline import predicting
from vestige.reading.encoding import Batch, EncodedWindows
from vestige.sources.events.options import EventOptions
from vestige.sources.events.source import EventSource
from vestige.sources.logs.options import LogOptions
from vestige.sources.logs.source import LogSource

N = 300


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> EncodedWindows:
    """300 windows of 3 messages that come in a circle of 5: 7 different ones."""
    root = tmp_path_factory.mktemp("predicting")
    lines = [
        f"2015-10-18 18:{n // 60:02}:{n % 60:02},000 {'ERROR' if n % 5 == 0 else 'INFO'} [m] a.B: "
        f"{'ab cd ' * (n % 5)}did"
        for n in range(N)
    ]
    (root / "app.log").write_text("\n".join(lines) + "\n")
    source = LogSource()
    windows = source.prepare(root / "app.log", root / "d", LogOptions(format="hadoop", window_size=2))
    return EncodedWindows.of(windows, source.fit_encoder(windows))


@pytest.mark.parametrize(
    ("name", "scored"), [("collaborative", 7), ("vanilla", 5), ("gru", 7), ("lookup", 7), ("logistic", N)]
)
def test_equal_windows_are_scored_once(
    part: EncodedWindows, name: str, scored: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = registry.get(name)
    detector = kind.build(choose_inputs(kind, part.schema), 2)
    if hasattr(detector, "fit"):
        detector.fit(part, part)
    expected = detector.predict_proba(part.batch(names=detector.input_names))
    seen = []

    def counting(X: Batch) -> NDArray[np.float64]:
        seen.append(len(next(iter(X.values()))))
        return kind.predict_proba(detector, X)

    monkeypatch.setattr(detector, "predict_proba", counting)

    found = predicting.predict(detector, part)

    np.testing.assert_allclose(found.proba, expected, rtol=0, atol=1e-6)
    assert sum(seen) == scored
    steps = part.windows.gather(slice(None), part.bound.streams(detector.input_names))
    seen.clear()
    in_pieces = distinct.predict_proba(detector, part.bound, steps, size=4)
    np.testing.assert_allclose(in_pieces, expected, rtol=0, atol=1e-6)
    assert sum(seen) == scored


@pytest.mark.parametrize("name", ["next_gru", "next_transformer"])
def test_equal_windows_get_equal_alerts_in_whatever_batch_they_come(part: EncodedWindows, name: str) -> None:
    """The highest score of validation is one of many equal windows', and the threshold lies just above it."""
    kind = registry.get(name)
    detector = kind.build(choose_inputs(kind, part.schema), 2)
    threshold = predicting.calibrate(detector, part, None, "fpr=0.01").value
    batch = part.batch(names=detector.input_names)
    alone = [{key: values[row : row + 1] for key, values in batch.items()} for row in range(N)]
    together = 1 - detector.predict_proba(batch)[:, 0]
    singly = 1 - np.concatenate([detector.predict_proba(window) for window in alone])[:, 0]
    np.testing.assert_allclose(together, singly, rtol=0, atol=1e-6)
    tokens = batch[detector.input_names[0]]
    _, group = np.unique(tokens, axis=0, return_inverse=True)
    assert group.max() > 0
    for number in range(group.max() + 1):
        scores = np.concatenate([together[group == number], singly[group == number]])
        assert len(set((scores >= threshold).tolist())) == 1


def test_a_short_burst_of_surprise_is_looked_for_where_validation_shows_such(tmp_path: Path) -> None:
    """Normal sessions have more rare events than the others, but never eight in a row."""
    corpus = tmp_path / "sessions"
    corpus.mkdir()
    scattered, burst = "5 5 9 " * 40, "5 " * 60 + "9 " * 8 + "5 " * 52
    (corpus / "x_train").write_text("t," + "5 " * 600 + "9\n")
    (corpus / "x_test_normal").write_text("".join(f"n{n},{scattered}\n" for n in range(4)))
    (corpus / "x_test_abnormal").write_text("".join(f"a{n},{burst}\n" for n in range(4)))
    source = EventSource()
    windows = source.prepare(corpus, tmp_path / "d", EventOptions(mapping="sessions", context=1), engine=HERE)
    training = (windows.recordings["host"] == "train").to_numpy()[windows.recording]
    train = EncodedWindows.of(windows.select(training), source.fit_encoder(windows.select(training)))
    kind = registry.get("next_frequency")
    detector = kind.build(choose_inputs(kind, train.schema), 2)
    assert isinstance(detector, FittedDetector)
    detector.fit(train, train)
    assert predicting.pooling_of(detector, train.over(windows.select(~training))) == Pooling(
        kind="moving_average_max", size=8
    )
    normal = train.over(windows.select(~training & (windows.label == 0)))
    assert predicting.pooling_of(detector, normal) == Pooling(kind="mean_log_odds")
