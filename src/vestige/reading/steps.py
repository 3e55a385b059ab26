"""The reading core: what a source writes, and what everything reads through.

A source's `Reader` finds units of evidence (files, episodes, recorded program runs) and opens each as a
`StepStream`. A stream gives `StepBlock`s, steps in the order in which they arrive, and says where it stands
(`position`, plain JSON), so that another stream can go on exactly there. Preparing, scoring, replaying and
following differ only in who asks for the next block, and when.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from vestige.evidence.defects import Defect
from vestige.evidence.stream import Mode
from vestige.reading.symbols import SymbolTable, TextSymbols
from vestige.schema import Schema

Steps = dict[str, NDArray[Any]]
"""Stream values by stream name: of n steps `(n, *shape)`, gathered under windows `(B, length, *shape)`."""

RawTexts = Callable[[NDArray[np.int64]], list[str]]
"""Tells the texts of the steps at rows `(n,)` of a block as they stand in the evidence."""

Progress = Callable[[int, int | None], None]
"""Called with how much is done and how much there is (bytes of evidence; None where nobody knows)."""

ShowProgress = Callable[[str, str], AbstractContextManager[Progress]]
"""Given a title and a unit, a context that yields `update(done, total)`."""

Position = dict[str, Any]
"""Where a stream stands: JSON values only."""

NO_TIME = int(np.iinfo(np.int64).min)
"""The time of a step of which nobody knows when it was; NumPy's `NaT`."""


def repeated(number: np.generic, n: int) -> NDArray[Any]:
    """A column `(n,)` that is one number: it takes the memory of one, and cannot be written to."""
    return np.broadcast_to(number, n)


def is_repeated(column: NDArray[Any]) -> bool:
    """Whether a column is known to be one number, without looking at it."""
    return column.ndim == 1 and len(column) > 0 and column.strides == (0,)


@contextlib.contextmanager
def silent(title: str, unit: str) -> Iterator[Progress]:  # noqa: ARG001
    """Shows nothing."""
    yield lambda done, total: None  # noqa: ARG005


@dataclass(frozen=True)
class Evidence:
    """What a person gave to be read: files, directories, or `-` for standard input."""

    paths: tuple[Path, ...]
    mode: Mode = "whole"


@dataclass(frozen=True)
class RecordingInfo:
    """What a recording says of itself beyond its steps; what it does not say is empty or None.

    Times are Unix ns. `changes`: from which moment on which class is true, in order of time; a step has the
    class that was in force when it was over. `key` tells recordings of one name apart (published sessions).
    `lead`: steps of padding before its first step, so that the last of windows that do not overlap ends on
    its last step.
    """

    id: str = ""
    host: str = ""
    sample: str = ""
    profile: str = ""
    t_start_ns: int | None = None
    t_end_ns: int | None = None
    changes: tuple[tuple[int, str], ...] = ()
    key: str = ""
    lead: int = 0

    @property
    def identity(self) -> str:
        """What tells it apart from all others."""
        return self.key or self.id


class RecordingNames:
    """Names of recordings that come interleaved, each once: the second `name`, as of sessions that are called
    alike, is `name#2`. One number a name is kept, whatever becomes of its recording."""

    def __init__(self) -> None:
        self.repeated = 0
        self._numbers: dict[str, int] = {}
        self._current: dict[str, str] = {}

    def of(self, info: RecordingInfo) -> str:
        """The name of a recording; a new one where it was not seen yet, or has ended."""
        name = self._current.get(info.identity)
        if name is None:
            name = self._current[info.identity] = self._new(info.id)
        return name

    def end(self, info: RecordingInfo) -> None:
        """A recording has no further step: what is called like it is another one."""
        self._current.pop(info.identity, None)

    def _new(self, wanted: str) -> str:
        if wanted not in self._numbers:
            self._numbers[wanted] = 1
            return wanted
        self.repeated += 1
        name = wanted
        while name in self._numbers:
            self._numbers[wanted] += 1
            name = f"{wanted}#{self._numbers[wanted]}"
        self._numbers[name] = 1
        return name


@dataclass(frozen=True)
class StepBlock:
    """The next n steps of one or many recordings, in the order in which they arrived.

    `recording (n,)` uint32 indexes `recordings`; `values` are the schema's streams `(n, *shape)`, one of
    which may hold rows of `symbols`; `t_ns (n,)` int64 is when each step was over (Unix ns, `NO_TIME` where
    nobody knows); `label (n,)` uint8, None where the evidence has no labels; `place`, columns `(n,)` int64,
    says where in `file` each step stands. `ended (recordings,)` marks those that have no further step.
    `corrects`: the first step takes the place of the last one before it, which was handed on before all of
    it was there. `raw`, where the source has it, tells the texts of the steps at some rows as they stand in
    the evidence, with all that symbols leave out.
    """

    recordings: tuple[RecordingInfo, ...]
    recording: NDArray[np.uint32]
    values: Steps
    t_ns: NDArray[np.int64]
    label: NDArray[np.uint8] | None
    symbols: SymbolTable
    file: str
    place: dict[str, NDArray[np.int64]]
    ended: NDArray[np.bool_]
    corrects: bool = False
    raw: RawTexts | None = None

    def __len__(self) -> int:
        return len(self.t_ns)

    def slice(self, start: int, stop: int) -> StepBlock:
        """The steps from `start` to `stop`; a recording ends in the slice that has its last step."""
        rows = slice(start, stop)
        if start == 0 and stop >= len(self):
            return self
        last = stop >= len(self)
        ended = self.ended & last
        if not last and self.ended.any():
            later = np.zeros(len(self.recordings), dtype=np.bool_)
            later[self.recording[stop:]] = True
            here = np.zeros(len(self.recordings), dtype=np.bool_)
            here[self.recording[rows]] = True
            ended = self.ended & here & ~later
        return replace(
            self,
            recording=self.recording[rows],
            values={name: column[rows] for name, column in self.values.items()},
            t_ns=self.t_ns[rows],
            label=None if self.label is None else self.label[rows],
            place={name: column[rows] for name, column in self.place.items()},
            ended=ended,
            corrects=self.corrects and start == 0,
            raw=None if self.raw is None else partial(_raw_from, self.raw, start),
        )


def _raw_from(raw: RawTexts, start: int, rows: NDArray[np.int64]) -> list[str]:
    return raw(rows + start)


class StepStream(Protocol):
    """One unit of evidence being read."""

    @property
    def ended(self) -> bool:
        """Whether there will never be another step."""

    @property
    def position(self) -> Position:
        """Where it stands after the last block: `Reader.open(unit, resume=position)` goes on there."""

    @property
    def defects(self) -> list[Defect]:
        """What could not be read so far, where, and why."""

    @property
    def taken(self) -> int:
        """Bytes of evidence read so far, as they lie on disk."""

    @property
    def digests(self) -> dict[str, str]:
        """The digest (hex) of the decoded content of each recording that has ended (of files see
        `reading.digests.content_digest`), by its identity; recordings that were not read from their beginning
        are not in it."""

    @property
    def summary(self) -> dict[str, Any]:
        """What reading came to, as JSON: counts, and facts for the notes of a dataset."""

    def read(self, most: int) -> StepBlock | None:
        """The next steps, `most` of them at the most; None: there is nothing *now*, or never again (`ended`).

        Raises EvidenceError where the unit turns out not to be readable at all.
        """

    def wait(self, seconds: float) -> bool:
        """Wait until something may have come, `seconds` at the most; False where nothing has."""

    def release(self) -> StepBlock | None:
        """After a quiet time: the steps that are held back because more of them may follow, if there are any.
        Should more of them come, the next block corrects the last one of these."""

    def stop(self) -> None:
        """What is followed does not go on: its end is the end."""

    def close(self) -> None:
        """Let go of what is not read to its end."""


@dataclass(frozen=True)
class Unit:
    """What a reader opens at a time. `id`: what it is called in a dataset; `name`: what it is called where
    people read (its path as given, where several pieces of evidence were). `named`: a person named it, it was
    not found in a directory. `size`: bytes on disk, None where nobody knows."""

    id: str
    name: str
    size: int | None = None
    named: bool = False
    mode: Mode = "whole"

    @property
    def paths(self) -> tuple[Path, ...]:
        """Files and folders of evidence that are read with it: machines that do not see them get copies. By
        default nothing is known of them, and every machine must see what it reads."""
        return ()


UnitT = TypeVar("UnitT", bound=Unit)
UnitT_contra = TypeVar("UnitT_contra", bound=Unit, contravariant=True)


@dataclass
class Listing(Generic[UnitT]):
    """The units of evidence, in order, and what is left out already."""

    units: list[UnitT]
    left_out: list[Defect] = field(default_factory=list)

    @property
    def total(self) -> int | None:
        """Bytes on disk of all units; None where one of them is a stream."""
        sizes = [unit.size for unit in self.units]
        known = [size for size in sizes if size is not None]
        return sum(known) if len(known) == len(sizes) else None


class Reader(ABC, Generic[UnitT]):
    """Abstract. How evidence of one source is read, by the settings of a schema: all that a source writes.

    What decides about a number is in the schema's settings, so that whoever has the schema reads alike.
    """

    schema: Schema
    symbol_stream = ""
    """The stream that holds rows of the symbol table; empty where there is none."""
    unit_column = "file"
    """What a recording is called where people read: a file, a machine."""
    tells_text = True
    """Whether a place is told with the text of its step."""
    timed = True
    """Whether `t_ns` of a step is a time: else it is 0, or says no more than which step came first."""
    interleaved = False
    """Whether steps of several recordings come mixed, and late ones after early ones: they are then sorted by
    recording and time when they are prepared."""
    whole = False
    """Whether a unit that turns out damaged is left out wholly when it is prepared."""
    aligned_to_end = False
    """Whether windows that do not overlap are laid so that the last one ends on the last step."""
    isolate = False
    """Whether a unit may kill the process that reads it: it is then read in a process of its own."""
    file_stream = ""
    """Where recordings are interleaved: the stream that says which file a step comes from, if there is one;
    it is filled in when a dataset is prepared."""
    digest_stream = ""
    """Where recordings are interleaved: the stream whose values make the digest of a recording."""
    worker_modules: tuple[str, ...] = ()
    """Modules that workers will need: imported once, by the server that forks them."""
    small = 48 << 20
    """Below so many bytes, starting worker processes costs more than it saves."""

    def is_small(self, listing: Listing[UnitT]) -> bool:
        """Whether there is so little to read that worker processes would not pay."""
        return listing.total is not None and listing.total < self.small

    @abstractmethod
    def units(self, evidence: Evidence) -> Listing[UnitT]:
        """What there is to read. Raises EvidenceError where there is nothing."""

    @abstractmethod
    def open(self, unit: UnitT, *, resume: Position | None = None) -> StepStream:
        """Begin to read a unit, or go on where a stream of it stood."""

    def remember(self, forms: Sequence[dict[str, Any]]) -> None:
        """Prefer, where the format of a file is guessed, these that were met before, as `Told.forms` has
        them. By default a source guesses none. Raises ValueError, TypeError or KeyError for what is no such
        thing."""

    def receive(self, inbox: Path) -> bool:  # noqa: ARG002
        """Read the files below `inbox` as messages that came over a network; whether this source can."""
        return False

    def symbols(self) -> SymbolTable:
        """An empty table of symbols: padding alone. By default of texts."""
        return TextSymbols()

    @abstractmethod
    def probe(self) -> list[StepBlock]:
        """A fixed piece of evidence through the same code: tells whether the extractor's numbers changed."""

    def text(self, values: Steps, symbols: SymbolTable) -> list[str]:
        """What steps `(n, ...)` are called, for a person to read: by default the text of their symbols."""
        return symbols.texts(values[self.symbol_stream])

    def slot(self, number: int, raw: str, called: str) -> str:  # noqa: ARG002
        """What stands in a slot of a step (its stream `slots`), for a person to read, from the step as it
        stands in the evidence and what it is called; by default nobody knows."""
        return "a value"

    def kinds(self, texts: Sequence[str]) -> Sequence[str]:
        """What each of these different texts is a case of to a model, such as a log message of its template:
        by default each is one of its own."""
        return texts

    def numbers(self, values: Steps) -> list[dict[str, float | None]] | None:  # noqa: ARG002
        """What steps `(n, ...)` that are numbers hold, by the names of their channels; None for a missing
        value, and, as by default, where steps are no numbers."""
        return None

    def labeller(self) -> Labeller | None:
        """Of one recording of a dataset: makes labels of windows from those of steps, where these differ."""
        return None

    @abstractmethod
    def finish(self, account: Any, writer: Any) -> None:
        """Tables and notes of a dataset, from the `prepare.Account` of what was read and the `DatasetWriter`.
        Raises EvidenceError where that is not enough for a dataset."""

    def divide(self, unit: UnitT, jobs: int) -> list[UnitT]:  # noqa: ARG002 - most units are not divided
        """Parts of a unit that `jobs` workers can read apart; `joined` puts their blocks together again."""
        return [unit]

    def join(self, first: UnitT) -> Join:  # noqa: ARG002
        """Puts the parts of a unit together again, in their order; `first` is the first of them."""
        return Join()


class Labeller(Protocol):
    """Hands the steps of one recording on as soon as the steps that the labels of their windows depend on are
    known."""

    def add(
        self, steps: Steps, t_ns: NDArray[np.int64], own: NDArray[np.uint8], *, final: bool
    ) -> tuple[Steps, NDArray[np.int64], NDArray[np.uint8]]:
        """Those of the held and the new steps whose windows' labels are known: all of them if `final`."""


class Join:
    """What is only known once the parts of a unit stand in their order: nothing, by default."""

    def digests(self) -> dict[str, str]:
        """The digest (hex) of each recording's whole content, where its parts could not tell."""
        return {}

    def over(self, block: StepBlock) -> StepBlock:
        """The next block of the unit, as a stream over the whole unit would have given it."""
        return block

    def end_part(self, summary: dict[str, Any]) -> dict[str, Any]:
        """A part is over; its summary with what only became known here."""
        return summary

    def defects(self) -> tuple[list[Defect], dict[str, int]]:
        """What only became known here to be defective, once the last part is over, and how often there was
        more of it, by what was left out."""
        return [], {}


class ChunkStream(ABC):
    """Abstract. A `StepStream` over chunks: a subclass reads the next chunk, and says where chunks begin.

    `_begin` (JSON) must be enough to read the same chunk again, if possibly a longer one; steps handed on of
    a chunk are skipped then.
    """

    def __init__(self, resume: Position | None = None) -> None:
        self._chunk: StepBlock | None = None
        self._at = 0
        self._mark: dict[str, Any] = {}
        self._skip = int(resume["taken"]) if resume else 0
        self.defects: list[Defect] = []
        self._ended = False

    @property
    def ended(self) -> bool:
        """See `StepStream.ended`."""
        return self._ended and self._chunk is None

    @property
    def position(self) -> Position:
        """See `StepStream.position`."""
        if self._chunk is None:
            return {"chunk": self._begin(), "taken": self._skip}
        return {"chunk": self._mark, "taken": self._at}

    def read(self, most: int) -> StepBlock | None:
        """See `StepStream.read`."""
        while self._chunk is None:
            if self._ended:
                return None
            mark = self._begin()
            chunk = self._next()
            if chunk is None:
                return None
            if self._skip and self._skip >= len(chunk):
                self._skip -= len(chunk)  # all of it was handed on before the stream was stopped
                continue
            self._chunk, self._mark, self._at, self._skip = chunk, mark, self._skip, 0
        stop = min(self._at + max(1, most), len(self._chunk))
        block = self._chunk.slice(self._at, stop)
        self._at = stop
        if stop == len(self._chunk):
            self._chunk = None
        return block

    def release(self) -> StepBlock | None:
        """See `StepStream.release`: nothing is held back, unless a subclass does."""
        return None

    def stop(self) -> None:  # noqa: B027 - it ends by itself, unless a subclass follows
        """See `StepStream.stop`."""

    def close(self) -> None:  # noqa: B027 - there is nothing to let go of, unless a subclass opens something
        """See `StepStream.close`."""

    def wait(self, seconds: float) -> bool:  # noqa: ARG002 - files do not wait
        """See `StepStream.wait`."""
        return True

    @property
    def summary(self) -> dict[str, Any]:
        """See `StepStream.summary`: nothing, unless a subclass counts."""
        return {}

    @abstractmethod
    def _begin(self) -> dict[str, Any]:
        """Where the next chunk begins, as JSON."""

    @abstractmethod
    def _next(self) -> StepBlock | None:
        """The next chunk; None where there is nothing now, or nothing more (`_ended` is set then)."""
