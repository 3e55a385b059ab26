"""Looks at telemetry without labels, judged by labels that they never saw.

    .venv/bin/python benchmarks/normal_channels.py                 # seeds 1, 2 and 3 of the simulator
    .venv/bin/python benchmarks/normal_channels.py 4 5

Windows of 30 seconds, one every 5, of simulated episodes. Half the episodes, or three hosts of four, are
learnt from: their benign windows only, or all of them without a look at a label (most of which are then
of attacks: the simulator's episodes are). A quarter of those episodes is kept for p-values and not learnt
from. What is judged is every window of the others; malicious is what the lab calls so, dormant programs
included, of which there may be nothing to see. Each figure is a mean over sides (both halves, or each
host in turn), with the lowest and the highest of a seed. Beside the looks: Fisher's sum of their
p-values, and an isolation forest on the windows' means, as they are and on a logarithmic scale. Last,
benign windows against copies of them with one channel changed (swapped: five).
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score

from vestige.engine import HERE
from vestige.errors import VestigeError
from vestige.models.normal.channels import LOOKS, Channels
from vestige.models.normal.conformal import Tail, fisher, out_of_fold
from vestige.simulators.telemetry.options import SimulateOptions
from vestige.simulators.telemetry.write import simulate
from vestige.sources.telemetry.extract import episodes, extract

Array = np.ndarray[Any, Any]
LENGTH, STRIDE = 30, 5
CLASSES = ("benign", "malicious")
KINDS = (
    ("other hosts", "benign"),
    ("other hosts", "all"),
    ("other episodes", "benign"),
    ("other episodes", "all"),
)
DETECTORS = (*LOOKS, "all three", "isolation forest", "the same, ln(1 + x)")
TOGETHER = 3
PLANTS = ("spike", "flat line", "lost", "sawtooth", "swapped")


class Corpus:
    """Windows `(N, C, T)`, and of each whether it is malicious, its host and its episode, `(N,)`."""

    def __init__(self, seed: int) -> None:
        parts: list[tuple[Array, Array, str, int]] = []
        with tempfile.TemporaryDirectory() as place:
            store = Path(place) / "store"
            simulate(store, SimulateOptions(hosts=4, episodes=120, seconds=300, seed=seed), engine=HERE)
            for number, folder in enumerate(episodes(store).paths):
                try:
                    found = extract(store, folder, CLASSES, "label")
                except VestigeError:  # an episode with a planted fault
                    continue
                assert found.label is not None
                if len(found.grid) >= LENGTH:
                    windows = sliding_window_view(found.grid, LENGTH, axis=0)[::STRIDE]
                    label = found.label[LENGTH - 1 :: STRIDE]
                    parts.append((windows, label, folder.split("/")[0], number))
        self.windows = np.concatenate([part[0] for part in parts])
        self.malicious = np.concatenate([part[1] for part in parts]) > 0
        counts = [len(part[0]) for part in parts]
        self.host = np.repeat([part[2] for part in parts], counts)
        self.episode = np.repeat([part[3] for part in parts], counts)

    def sides(self, by: str) -> Iterator[tuple[Array, Array]]:
        """Masks of what may be learnt from and of what is judged."""
        if by == "other hosts":
            for host in np.unique(self.host):
                yield self.host != host, self.host == host
            return
        drawn = np.random.default_rng(0).permutation(np.unique(self.episode))
        first = np.isin(self.episode, drawn[: len(drawn) // 2])
        yield first, ~first
        yield ~first, first


def forest(learnt: Array, scale: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """Strangeness `(B,)` by an isolation forest on the windows' means."""

    def means(windows: Array) -> Array:
        present = np.isfinite(windows)
        total = np.where(present, scale(windows), 0).sum(axis=2)
        return np.where(present.any(axis=2), total / np.maximum(present.sum(axis=2), 1), np.nan)

    usual = np.nan_to_num(np.nanmedian(means(learnt), axis=0))

    def filled(windows: Array) -> Array:
        found = means(windows)
        return np.where(np.isnan(found), usual, found)

    trees = IsolationForest(random_state=0).fit(filled(learnt))
    return lambda windows: -trees.score_samples(filled(windows))


def logarithm(values: Array) -> Array:
    return np.sign(values) * np.log1p(np.abs(values))


def p_value(of_calibration: Array, looks: Array) -> Array:
    """-ln p `(B,)` of Fisher's sum of the looks' p-values, which is calibrated in its turn, out of fold."""
    tails = [Tail.fit(column, least_scale=1.0) for column in of_calibration.T]
    inside = np.stack([out_of_fold(column, least_scale=1.0) for column in of_calibration.T], axis=1)
    sums = fisher(np.stack([tail.log_p(look) for tail, look in zip(tails, looks.T, strict=True)], axis=1))
    return -Tail.fit(fisher(inside), least_scale=2.0).log_p(sums)


def planted(windows: Array, learnt: Array, random: np.random.Generator) -> dict[str, Array]:
    """Copies of windows with one channel changed (`swapped`: five channels of another window).

    By how much, follows from what the channels were in `learnt`.
    """
    steps_of_channels = logarithm(learnt).transpose(0, 2, 1).reshape(-1, learnt.shape[1])
    usual = np.nan_to_num(np.nanpercentile(steps_of_channels[::7], (1, 10, 50, 90, 99), axis=0))
    n, channels, steps = windows.shape
    moving = np.flatnonzero(usual[4] - usual[0] > 1e-3)
    channel, row = random.choice(moving, n), np.arange(n)
    logs = logarithm(windows.astype(np.float64))
    copies = {name: logs.copy() for name in PLANTS}
    low, median, high = usual[1][channel], usual[2][channel], usual[4][channel]
    copies["spike"][row, channel, -1] = high + 0.5 * (high - median) + 0.2
    copies["flat line"][row, channel] = logs[row, channel, :1]
    copies["lost"][row, channel, steps // 2 :] = np.nan
    wave = np.where(np.arange(steps) % 2, 0.5, -0.5)
    copies["sawtooth"][row, channel] = median[:, None] + wave * (usual[3][channel] - low)[:, None]
    other = random.permutation(n)
    for _ in range(5):
        swapped = random.integers(0, channels, n)
        copies["swapped"][row, swapped] = logs[other, swapped]
    return {
        name: (np.sign(copy) * np.expm1(np.abs(copy))).astype(np.float32) for name, copy in copies.items()
    }


def detectors(learnt: Array, calibration: Array, seed: int) -> Callable[[Array], list[Array]]:
    """What gives the strangeness of windows by each of `DETECTORS`."""
    channels = Channels.fit([learnt], seed)
    ranked = channels.strangeness(calibration)
    forests = [forest(learnt, scale) for scale in (np.asarray, logarithm)]

    def strangeness(windows: Array) -> list[Array]:
        looks = channels.strangeness(windows)
        return [*looks.T, p_value(ranked, looks), *(trees(windows) for trees in forests)]

    return strangeness


def judge(corpus: Corpus, seed: int) -> dict[tuple[str, ...], float]:
    """Means over the sides of a kind: areas, precisions and alerts by detector, areas by plant."""
    found: dict[tuple[str, ...], list[float]] = {}

    def note(value: float, *key: str) -> None:
        found.setdefault(key, []).append(value)

    for by, learning in KINDS:
        for mine, theirs in corpus.sides(by):
            drawn = np.random.default_rng(seed).permutation(np.unique(corpus.episode[mine]))
            kept = np.isin(corpus.episode, drawn[: len(drawn) // 4])
            allowed = mine & (~corpus.malicious | (learning == "all"))
            learnt = corpus.windows[allowed & ~kept]
            strangeness = detectors(learnt, corpus.windows[allowed & kept], seed)
            label = corpus.malicious[theirs]
            judged = strangeness(corpus.windows[theirs])
            for name, values in zip(DETECTORS, judged, strict=True):
                note(roc_auc_score(label, values), by, learning, name, "area")
                note(average_precision_score(label, values), by, learning, name, "precision")
            note(float((judged[TOGETHER][~label] >= np.log(100)).mean()), by, learning, "alerts")
            if learning == "benign":
                benign = corpus.windows[theirs][~label]
                is_planted = np.repeat([0, 1], len(benign))
                for plant, copies in planted(benign, learnt, np.random.default_rng(seed)).items():
                    after = strangeness(copies)
                    for name, a, b in zip(DETECTORS, judged, after, strict=True):
                        note(roc_auc_score(is_planted, np.r_[a[~label], b]), by, name, plant)
    return {key: float(np.mean(values)) for key, values in found.items()}


def speed(windows: Array) -> str:
    """Windows a second of processor time, in batches of 1,000."""
    channels = Channels.fit([windows], 0)
    begin = time.process_time()
    for at in range(0, len(windows), 1000):
        channels.strangeness(windows[at : at + 1000])
    a_second = len(windows) / (time.process_time() - begin)
    return f"{a_second:,.0f} windows of {windows.shape[1:]} a second of processor time"


def main(seeds: list[int]) -> None:
    """Print the tables as they stand in docs/telemetry.md."""
    results = []
    for seed in seeds:
        corpus = Corpus(seed)
        results.append(judge(corpus, seed))
        share = corpus.malicious.mean()
        print(f"seed {seed}: {len(corpus.windows):,} windows, {share:.1%} malicious", flush=True)

    def cell(*key: str) -> str:
        return shown([result[key] for result in results])

    for figure, title in (("area", "ROC AUC"), ("precision", "average precision")):
        table(title, [f"{by}, {learning}" for by, learning in KINDS])
        for name in DETECTORS:
            row(name, [cell(*kind, name, figure) for kind in KINDS])
    row("alerts on benign windows, p of all three <= 0.01", [cell(*kind, "alerts") for kind in KINDS])
    for by in ("other hosts", "other episodes"):
        table(f"ROC AUC of plants, {by}", list(PLANTS))
        for name in DETECTORS:
            row(name, [cell(by, name, plant) for plant in PLANTS])
    print("\n" + speed(corpus.windows))


def shown(values: list[float]) -> str:
    """Mean, lowest and highest."""
    return f"{np.mean(values):.3f} ({min(values):.3f}-{max(values):.3f})"


def table(title: str, columns: list[str]) -> None:
    print()
    row(title, columns)
    print("|---|" + "---|" * len(columns))


def row(name: str, cells: list[str]) -> None:
    print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main([int(seed) for seed in sys.argv[1:]] or [1, 2, 3])
