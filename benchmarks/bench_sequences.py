"""Sequences of events beside what else is used for them: STIDE in NumPy, and DeepCASE's context builder.

    python benchmarks/run.py --only sequences

Windows of 11 events over 18 kinds, most of them one above the last. STIDE (Forrest et al., 1996) is written
plainly here: the distinct sequences of six events are learnt, and the share of windows that end on one never
seen is told. Ours (`next_ngram`, sequences of six, windows gathered from a dataset on disk) counts them, and
tells of each window how surprising its last event was: it does more. DeepCASE (van Ede et al., 2022) learns
to predict an event from the ten before it, by a GRU with attention of 128 units; ours is `next_gru` of as
many units: an epoch each, batches of 128.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pairs import FOLDER, Asked, Pair, here, see_peers, why_missing

sys.path.insert(0, str(FOLDER.parent))

from tests.training.toy import TOKENS, VOCABULARY, encoded

from vestige.models import registry
from vestige.models.baselines.next_ngram import NextNgram
from vestige.models.neural import NeuralDetector
from vestige.reading.encoding import EncodedWindows

LENGTH, GRAM, UNITS, BATCH = 11, 6, 128, 128
PIECE = 8_192
Parts = tuple[EncodedWindows, EncodedWindows]


def ngram(parts: Parts) -> float:
    """Learn from the one, judge the other; the mean surprise."""
    learner = NextNgram.build((TOKENS,), 2, n=GRAM)
    learner.fit_all(parts[0])
    found = [learner.surprise(X) for _, X in parts[1].batches(PIECE, learner.input_names)]
    return float(np.concatenate(found).mean())


def stide(learnt: NDArray[np.uint8], judged: NDArray[np.uint8]) -> float:
    """Learn from one stream of events, judge another; the share of sequences never seen."""
    weights = VOCABULARY ** np.arange(GRAM)

    def codes(stream: NDArray[np.uint8]) -> NDArray[np.int64]:
        return np.lib.stride_tricks.sliding_window_view(stream.astype(np.int64), GRAM) @ weights

    known = np.unique(codes(learnt))
    return float(1 - np.isin(codes(judged), known).mean())


def stream(part: EncodedWindows) -> NDArray[np.uint8]:
    """The events of a dataset, copied."""
    return np.array(part.windows.streams["token"])


def our_epoch(parts: Parts, folder: Path) -> None:
    """An epoch of next_gru."""
    from vestige.training import TrainingConfig, train

    kind = registry.get("next_gru")
    learner = kind.build((TOKENS,), 2, hidden=UNITS, embedding=UNITS)
    assert isinstance(learner, NeuralDetector)
    train(learner, *parts, TrainingConfig(epochs=1, batch_size=BATCH, patience=0), folder / "run")


def their_epoch(part: EncodedWindows) -> Callable[[], object]:
    """An epoch of DeepCASE's context builder on the same windows."""
    see_peers()
    from deepcase.context_builder import ContextBuilder

    windows = np.concatenate([X["tokens"] for _, X in part.batches(PIECE, ("tokens",))])
    builder = ContextBuilder(VOCABULARY, VOCABULARY, hidden_size=UNITS, max_length=LENGTH - 1)
    return lambda: builder.fit(windows[:, :-1], windows[:, -1:], epochs=1, batch_size=BATCH, verbose=False)


def rows(asked: Asked) -> Iterator[Pair]:
    """Both, on one thread."""
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        n = asked.size(500_000, 5_000)
        parts = (
            encoded(root / "learn", n, length=LENGTH, chain=0.8),
            encoded(root / "judge", n, length=LENGTH, chain=0.8, seed=1),
        )
        learnt, judged = map(stream, parts)
        yield Pair(
            f"learning from and judging {n:,} windows: STIDE",
            "next_ngram",
            "STIDE in NumPy",
            here(lambda: ngram(parts)),
            here(lambda: stide(learnt, judged)),
            "memory copied",
            here(lambda: np.lib.stride_tricks.sliding_window_view(learnt, LENGTH).copy()),
            burner=True,
            note="STIDE tells seen from unseen; ours gives a probability, and reads from a dataset",
        )
        few = asked.size(10_000, 500)
        parts = (
            encoded(root / "few", few, length=LENGTH, chain=0.8, one_class=True),
            encoded(root / "validation", few // 10, length=LENGTH, chain=0.8, seed=1, one_class=True),
        )
        missing = why_missing("deepcase")
        yield Pair(
            f"an epoch of {few:,} windows: DeepCASE",
            "next_gru",
            "DeepCASE's context builder",
            here(lambda: our_epoch(parts, root)),
            None if missing else here(their_epoch(parts[0])),
            missing=missing,
            note="ours also validates, and writes a state to resume from",
        )
