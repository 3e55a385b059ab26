"""What a detector said about a part's windows, beside what they truly are.

Letters in names of arrays: N windows, K classes. `classes[0]` is the negative class; "positive" is any other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige import parquet
from vestige.errors import DatasetError
from vestige.reading.steps import NO_TIME
from vestige.reading.times import span, tells_apart
from vestige.reading.windows import WindowSet
from vestige.storage import atomic_file

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Place = Literal["id", "host", "profile"]

DAY_NS = 86_400_000_000_000


@dataclass(frozen=True)
class Predictions:
    """Probabilities for N windows, with their labels and whence they come.

    `label (N,)` and the columns of `proba (N, K)` index `classes`; `recording (N,)` is a row of
    `recordings` (columns `id host profile`); `position (N,)` orders windows within the corpus (where
    their last step lies); `t_ns (N,)` is the time of that step, `NO_TIME` where nobody knows.
    `novel (N,)`, where given: the window's model inputs never occurred in training. `unit (N,)`, where
    given: which of the split's held-out units (`unit_name`: host, template, ...) the window belongs to;
    see `clusters.held_out`. `reach`: how many windows in a row share steps.
    Raises ValueError when shapes do not agree or a probability is not within 0..1.
    """

    classes: tuple[str, ...]
    label: IntArray
    proba: FloatArray
    recording: IntArray
    recordings: pl.DataFrame
    position: IntArray
    t_ns: IntArray
    novel: BoolArray | None = None
    unit: IntArray | None = None
    unit_name: str = ""
    reach: int = 1

    def __post_init__(self) -> None:
        n = len(self.label)
        if self.proba.shape != (n, len(self.classes)):
            raise ValueError(f"proba: expected ({n}, {len(self.classes)}), got {self.proba.shape}")
        for name in ("recording", "position", "t_ns", "novel", "unit"):
            column = getattr(self, name)
            if column is not None and column.shape != (n,):
                raise ValueError(f"{name}: expected ({n},), got {column.shape}")
        if not ((self.proba >= 0) & (self.proba <= 1)).all():
            raise ValueError("probabilities must lie within 0..1")

    @classmethod
    def of(cls, windows: WindowSet, proba: NDArray[Any], novel: BoolArray | None = None) -> Self:
        """Predictions for the windows of a part, in their order."""
        return cls(
            classes=windows.schema.classes,
            label=windows.label.astype(np.int64),
            proba=np.clip(np.asarray(proba, dtype=np.float64), 0, 1),
            recording=windows.recording.astype(np.int64),
            recordings=windows.recordings.select("id", "host", "profile"),
            position=windows.target_step,
            t_ns=windows.t_ns,
            novel=novel,
            reach=-(-windows.schema.length // windows.schema.stride),
        )

    def __len__(self) -> int:
        return len(self.label)

    @cached_property
    def score(self) -> FloatArray:
        """How suspicious each window is, `(N,)`: 1 - P(classes[0])."""
        return 1.0 - self.proba[:, 0]

    @cached_property
    def positive(self) -> BoolArray:
        """Which windows are truly anything but `classes[0]`, `(N,)`."""
        return np.asarray(self.label != 0, dtype=np.bool_)

    @cached_property
    def predicted(self) -> IntArray:
        """Most probable class, `(N,)`."""
        return np.asarray(np.argmax(self.proba, axis=1), dtype=np.int64)

    @property
    def has_times(self) -> bool:
        """Whether the windows carry times that tell them apart."""
        return tells_apart(self.t_ns)

    def groups(self, place: Place) -> tuple[IntArray, list[str]]:
        """The recording, host or profile of each window `(N,)` as a number, and the names in sorted order."""
        column = self.recordings[place]
        names = column.unique().sort()
        of_recording = column.to_frame("name").join(
            names.to_frame("name").with_row_index("code"), on="name", how="left", maintain_order="left"
        )["code"]
        return of_recording.to_numpy().astype(np.int64)[self.recording], names.to_list()

    def days(self) -> float:
        """Length of time that the windows span, in days; 0 without times."""
        first, last = span(self.t_ns) or (0, 0)
        return (last - first) / DAY_NS

    def host_days(self) -> float:
        """The same, summed over hosts."""
        if not self.has_times:
            return 0.0
        codes, names = self.groups("host")
        first = np.full(len(names), np.iinfo(np.int64).max)
        last = np.full(len(names), np.iinfo(np.int64).min)
        known = self.t_ns != NO_TIME
        np.minimum.at(first, codes[known], self.t_ns[known])
        np.maximum.at(last, codes[known], self.t_ns[known])
        seen = last >= first
        return float((last[seen] - first[seen]).sum()) / DAY_NS

    def select(self, rows: NDArray[Any]) -> Self:
        """The windows at `rows` (indices or a boolean mask)."""
        return replace(
            self,
            label=self.label[rows],
            proba=self.proba[rows],
            recording=self.recording[rows],
            position=self.position[rows],
            t_ns=self.t_ns[rows],
            novel=None if self.novel is None else self.novel[rows],
            unit=None if self.unit is None else self.unit[rows],
        )

    def save(self, path: Path, *, threshold: float, place: pl.DataFrame | None = None) -> None:
        """Write `predictions.parquet`, a row a window: window, recording, host, profile, the columns of
        `place` (line, offset, ...), step, t_ns (null where nobody knows), label, proba_<class>, predicted,
        alert, novel.
        """
        kind = pl.Enum(self.classes)
        names = self.recordings[self.recording].rename({"id": "recording"})
        frame = pl.DataFrame(
            {
                "window": np.arange(len(self), dtype=np.uint32),
                **{name: names[name] for name in ("recording", "host", "profile")},
                **({} if place is None else {name: place[name] for name in place.columns}),
                "step": self.position,
                "t_ns": pl.Series(self.t_ns).replace(NO_TIME, None),
                "label": pl.Series(self.label).replace_strict(
                    dict(enumerate(self.classes)), return_dtype=kind
                ),
                **{f"proba_{name}": self.proba[:, column] for column, name in enumerate(self.classes)},
                "predicted": pl.Series(self.predicted).replace_strict(
                    dict(enumerate(self.classes)), return_dtype=kind
                ),
                "alert": self.score >= threshold,
                **({} if self.novel is None else {"novel": self.novel}),
            }
        )
        with atomic_file(path) as working:
            frame.write_parquet(working)

    @classmethod
    def load(cls, path: Path) -> Self:
        """What `save` wrote; recordings are numbered in order of appearance. Raises DatasetError."""
        try:
            frame = parquet.read(path)
            classes = tuple(
                name.removeprefix("proba_") for name in frame.columns if name.startswith("proba_")
            )
            who = frame.select("recording", "host", "profile").rename({"recording": "id"})
            recordings = who.unique(maintain_order=True)
            number = who.join(recordings.with_row_index("n"), on=who.columns, maintain_order="left")["n"]
            label = frame["label"].cast(pl.Enum(classes)).to_physical()
            return cls(
                classes=classes,
                label=label.to_numpy().astype(np.int64),
                proba=frame.select(pl.col(f"proba_{name}").cast(pl.Float64) for name in classes).to_numpy(),
                recording=number.to_numpy().astype(np.int64),
                recordings=recordings,
                position=frame["step"].cast(pl.Int64).to_numpy(),
                t_ns=frame["t_ns"].cast(pl.Int64).fill_null(NO_TIME).to_numpy(),
                novel=frame["novel"].cast(pl.Boolean).to_numpy() if "novel" in frame.columns else None,
            )
        except (OSError, pl.exceptions.PolarsError, ValueError) as error:
            raise DatasetError(
                f"no predictions that can be read ({error})", where=path, remedy="evaluate the run again"
            ) from error
