"""From steps to windows: the only code that knows padding, look-ahead, stride and what is carried over.

`DatasetWriter` lays the same padding into a dataset; a test holds the two together.
"""

from __future__ import annotations

import base64
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from vestige.reading.steps import NO_TIME, RawTexts, Reader, RecordingInfo, StepBlock, Steps
from vestige.reading.symbols import RowMap, SymbolTable
from vestige.schema import Schema

MOST_STEPS = 1 << 17
"""Steps of a batch: windows times length."""
MOST_RECORDINGS = 1 << 16
"""Recordings that are remembered at a time: with ten steps each of two numbers, 10 MB and the names."""
MOST_SYMBOLS = 1 << 14
"""Symbols that are kept before those that no carried step has any more are dropped."""

MOST_BLOCKS = 4
"""With look-ahead, the steps of so many blocks can be told as they stand in the evidence."""

_FILE, _T_NS, _STEP = "\0file", "\0t_ns", "\0step"
"""Columns that are carried beside streams and places; no stream is called so. `_STEP` is which block a step
came in, and behind `_ROW_BITS` bits, its row there."""
_ROW_BITS = 32


class RecordingName(NamedTuple):
    """What a recording is called, and the host that it is of, if anybody knows."""

    id: str
    host: str = ""


@dataclass(frozen=True)
class WindowBatch:
    """Windows made from raw evidence as it is read, without a dataset.

    `steps` are gathered stream values `(B, length, ...)`; `symbols` the table they point into; `place` says,
    a row a window, where the step that it *judges* stands in the evidence (`file`, `line`, `offset`, ...);
    `t_ns (B,)` when that step was over, Unix ns, `NO_TIME` where nobody knows. With look-ahead the step
    judged is not the last one. `recording (B,)` indexes `recordings`.
    """

    steps: Steps
    symbols: pl.DataFrame
    place: pl.DataFrame
    t_ns: NDArray[np.int64]
    tell: Callable[[], list[str]]
    """Tells what the steps judged are called, a row a window."""
    taken: int = 0
    """Bytes of evidence read so far, as they lie on disk."""
    unit: str = "file"
    """The column of `place` that names the recording: a file, a machine."""
    corrects: bool = False
    """Whether the first window takes the place of the last one before it."""
    recordings: tuple[RecordingName, ...] = ()
    recording: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    raw: RawTexts | None = None
    """Tells the steps judged, of the windows at some rows, as they stand in the evidence."""

    def __len__(self) -> int:
        return len(self.t_ns)

    @cached_property
    def text(self) -> pl.Series:
        """What the step judged is called, a row a window."""
        return pl.Series("text", self.tell(), dtype=pl.String())

    def messages(self, rows: NDArray[np.int64]) -> list[str]:
        """The steps judged, of the windows at `rows`, as they stand in the evidence; of a source that cannot
        tell that, what they are called."""
        if self.raw is None:
            return self.text[rows].to_list()
        return self.raw(rows)


class Windower:
    """The windows of recordings whose steps come block by block; a window comes once the steps that it looks
    ahead at have, or `flush` says that none will.

    Of each recording the last `length` steps are kept, of the `most` recordings heard from last.
    `out_of_order` counts steps earlier than the one before them in their recording, `forgotten` recordings
    that made room for others.
    """

    def __init__(
        self,
        reader: Reader[Any],
        schema: Schema | None = None,
        *,
        most: int = MOST_RECORDINGS,
        most_symbols: int = MOST_SYMBOLS,
    ) -> None:
        """`schema`: the reader's own, if not given; another may have another stride. `most_symbols` are kept
        before those that no carried step has any more are dropped."""
        self._reader = reader
        self._schema = reader.schema if schema is None else schema
        self._most = most
        self._stream = reader.symbol_stream
        self._symbols = reader.symbols()
        self._map = RowMap(self._symbols)
        self._limit = self._most_symbols = most_symbols
        self._files: list[str] = []
        self._blocks = 0
        self._raw: dict[int, RawTexts | None] = {}
        self._carry = _Carry(self._schema.length, most)
        self._places: tuple[str, ...] = ()
        self.out_of_order = 0

    @property
    def forgotten(self) -> int:
        """Recordings that made room for others."""
        return self._carry.forgotten

    def push(self, block: StepBlock) -> Iterator[WindowBatch]:
        """The windows that the next steps complete."""
        if block.corrects and len(block):
            self._carry.retract(block.recordings[int(block.recording[0])].identity)
        if len(block):
            self._tidy()
            columns, recording = self._columns(block), block.recording
            # Recordings beyond what is remembered at a time would push one another out within the block.
            for start in range(0, len(block), self._most):
                rows = slice(start, start + self._most)
                piece = {name: values[rows] for name, values in columns.items()}
                yield from self._extend(block, recording[rows], piece, corrects=block.corrects and not start)
        for at in np.flatnonzero(block.ended).tolist():
            yield from self.flush(block.recordings[at].identity)

    def flush(self, recording: str | None = None) -> Iterator[WindowBatch]:
        """The windows of a recording (of all of them) that still wait for steps; it has ended."""
        identities = list(self._carry.known) if recording is None else [recording]
        for identity in identities:
            info = self._carry.drop(identity)
            if info is None or not self._schema.ahead:
                continue
            kept, seen, name = info
            pads = self._padding(self._schema.ahead)
            for column in kept.keys() - pads.keys():  # places, which a stream that was taken up again had
                pads[column] = np.zeros(self._schema.ahead, dtype=kept[column].dtype)
            laid = {column: np.concatenate([kept[column], pads[column]]) for column in kept}
            end = np.arange(len(laid[_T_NS]) - self._schema.ahead, len(laid[_T_NS]))
            position = seen + np.arange(self._schema.ahead) - (self._schema.length - 1)
            yield from self._windows(
                laid, end, position, np.zeros(len(end), np.int64), (name,), corrects=False
            )

    def state(self) -> dict[str, Any]:
        """What is carried over, as JSON: `restore` takes it up."""
        used = self._used(self._carry.columns.get(self._stream))
        return {
            "files": self._files,
            "places": list(self._places),
            "out_of_order": self.out_of_order,
            "symbols": self._symbols.pick(used).to_json(),
            "rows": used.tolist(),
            "carry": self._carry.to_json(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what `state` of another windower of this reader wrote."""
        self._files = list(state["files"])
        self._places = tuple(state["places"])
        self.out_of_order = int(state["out_of_order"])
        self._symbols = self._reader.symbols()
        self._map = RowMap(self._symbols)
        mapped = self._symbols.merge(self._reader.symbols().from_json(state["symbols"]))
        self._carry.from_json(state["carry"])
        if self._stream and self._stream in self._carry.columns:
            to_new = np.zeros(max(state["rows"], default=0) + 1, dtype=np.uint32)
            to_new[state["rows"]] = mapped
            held = self._carry.columns[self._stream]
            self._carry.columns[self._stream] = to_new[held].astype(held.dtype)

    def _columns(self, block: StepBlock) -> dict[str, NDArray[Any]]:
        """Everything that is known of each step, by column; symbols in rows of our own table."""
        columns: dict[str, NDArray[Any]] = dict(block.values)
        if self._stream:
            columns[self._stream] = self._map.over(block.symbols, block.values[self._stream])
        if not self._schema.ahead:
            self._files = [block.file]  # no carried step will be judged: its file need not be known
        elif block.file not in self._files[-1:]:
            self._files.append(block.file)
        columns[_FILE] = np.full(len(block), len(self._files) - 1, dtype=np.int64)
        columns[_T_NS] = block.t_ns
        columns[_STEP] = self._keep_raw(block) + np.arange(len(block), dtype=np.int64)
        self._places = tuple(block.place)
        for name, values in block.place.items():
            columns[_place(name)] = values
        return columns

    def _keep_raw(self, block: StepBlock) -> int:
        """Keep what tells the block's steps for as long as windows judge them; the number of its first step,
        none of which is 0, as that of padding is."""
        self._blocks += 1
        self._raw[self._blocks] = block.raw
        kept = 1
        if self._schema.ahead:
            kept = MOST_BLOCKS
        while len(self._raw) > kept:
            del self._raw[next(iter(self._raw))]
        return self._blocks << _ROW_BITS

    def _padding(self, n: int) -> dict[str, NDArray[Any]]:
        pads: dict[str, NDArray[Any]] = {
            stream.name: np.full((n, *stream.shape), stream.fill, dtype=stream.dtype)
            for stream in self._schema.streams
        }
        for name in (_FILE, _T_NS, _STEP, *map(_place, self._places)):
            pads[name] = np.zeros(n, dtype=np.int64)
        return pads

    def _extend(
        self,
        block: StepBlock,
        recording: NDArray[np.uint32],
        columns: dict[str, NDArray[Any]],
        *,
        corrects: bool,
    ) -> Iterator[WindowBatch]:
        length = self._schema.length
        lead = length - 1
        present, inverse = np.unique(recording, return_inverse=True)
        infos = [block.recordings[code] for code in present.tolist()]
        names = tuple(RecordingName(info.id, info.host) for info in infos)
        slots = self._carry.slots([info.identity for info in infos], names)
        for at in np.flatnonzero(self._carry.fresh(slots)).tolist():
            # A padded recording begins behind padding that counts as steps of it; `lead` is padding, too.
            padding = self._schema.before if self._schema.padded else 0
            self._carry.begin(int(slots[at]), self._padding(length), padding + infos[at].lead)
        before = self._carry.seen[slots]
        sizes = np.bincount(inverse, minlength=len(present))
        laid, end = self._lay_out(columns, inverse, sizes, slots)
        # Which step of its recording each is: its rank within the block behind all that came before.
        rank = end - (lead * (inverse + 1)) - (np.cumsum(sizes) - sizes)[inverse]
        position = before[inverse] + rank - lead
        t_ns = laid[_T_NS][end]
        late = (t_ns != NO_TIME) & (t_ns < laid[_T_NS][end - 1])
        late &= before[inverse] + rank > self._real_from(infos, inverse)
        if lead:
            self.out_of_order += int(late.sum())
        yield from self._windows(laid, end, position, inverse, names, corrects=corrects)

    def _real_from(self, infos: list[RecordingInfo], inverse: NDArray[np.int64]) -> NDArray[np.int64]:
        padding = self._schema.before if self._schema.padded else 0
        leads = np.array([info.lead + padding for info in infos], dtype=np.int64)
        return leads[inverse]

    def _lay_out(
        self,
        columns: dict[str, NDArray[Any]],
        inverse: NDArray[np.int64],
        sizes: NDArray[np.int64],
        slots: NDArray[np.int64],
    ) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64]]:
        """The columns of one recording after the other, each behind its last steps of before; and where in
        them each step of the block is."""
        lead, n = self._schema.length - 1, len(inverse)
        if len(sizes) == 1:
            end = np.arange(lead, lead + n)
            laid = {
                name: np.concatenate([self._carry.last(name, slots, lead)[0], values])
                for name, values in columns.items()
            }
            kept_from = np.arange(n - 1, n + lead)[None]
        else:
            order = np.argsort(inverse, kind="stable")
            ends = np.cumsum(sizes + lead)
            carried = (ends - sizes)[:, None] + np.arange(-lead, 0)
            end = np.empty(n, dtype=np.int64)
            end[order] = np.arange(n) + lead * (inverse[order] + 1)
            laid = {}
            for name, values in columns.items():
                column = np.empty((int(ends[-1]), *values.shape[1:]), dtype=values.dtype)
                column[end] = values
                column[carried] = self._carry.last(name, slots, lead)
                laid[name] = column
            # With at least one new step, each recording has `lead` + 1 = `length` steps to keep.
            kept_from = ends[:, None] + np.arange(-lead - 1, 0)
        self._carry.keep(slots, {name: column[kept_from] for name, column in laid.items()}, sizes)
        return laid, end

    def _windows(
        self,
        laid: dict[str, NDArray[Any]],
        end: NDArray[np.int64],
        position: NDArray[np.int64],
        recording: NDArray[np.int64],
        names: tuple[RecordingName, ...],
        *,
        corrects: bool,
    ) -> Iterator[WindowBatch]:
        """The windows that end at `end` in the laid columns and begin `position` steps after their recording
        does, where there is such a window."""
        length, ahead = self._schema.length, self._schema.ahead
        wanted = (position >= 0) & (position % self._schema.stride == 0)
        first = bool(wanted[:1].all())
        end, recording = end[wanted], recording[wanted]
        if not len(end):
            return
        symbols, laid = self._compact(laid)
        frame = symbols.frame(self._counts(laid, len(symbols)))
        views = {
            stream.name: _by_window(sliding_window_view(laid[stream.name], length, axis=0))
            for stream in self._schema.streams
            if stream.name in laid
        }
        most = max(1, MOST_STEPS // length)
        for begin in range(0, len(end), most):
            rows = slice(begin, begin + most)
            starts, judged = end[rows] - (length - 1), end[rows] - ahead
            which = _as_slice(starts)
            steps = {name: view[which] for name, view in views.items()}
            values = {name: laid[name][judged] for name in views}
            tell = partial(self._reader.text, values, symbols)
            batch = WindowBatch(
                steps,
                frame,
                self._place(laid, judged, [names[at].id for at in recording[rows].tolist()]),
                laid[_T_NS][judged],
                tell,
                unit=self._reader.unit_column,
                corrects=corrects and first and not begin,
                recordings=names,
                recording=recording[rows],
                raw=self._raw_of(laid[_STEP][judged], values, symbols),
            )
            if self._reader.tells_text:
                batch = replace(batch, place=batch.place.with_columns(batch.text))
            yield batch

    def _raw_of(self, step: NDArray[np.int64], values: Steps, symbols: SymbolTable) -> RawTexts | None:
        """What tells the steps judged as they stand in the evidence; None where no block can."""
        blocks = {number: raw for number, raw in self._raw.items() if raw is not None}
        if not blocks:
            return None
        return partial(_raw_texts, blocks, step, lambda rows: self._reader.text(_at(values, rows), symbols))

    def _compact(self, laid: dict[str, NDArray[Any]]) -> tuple[SymbolTable, dict[str, NDArray[Any]]]:
        """Only the symbols that these steps have: encoders look up every symbol of a table."""
        if not self._stream:
            return self._symbols, laid
        held = laid[self._stream]
        used = self._used(held)
        renumber = np.zeros(len(self._symbols), dtype=held.dtype)
        renumber[used] = np.arange(len(used), dtype=held.dtype)
        return self._symbols.pick(used), {**laid, self._stream: renumber[held]}

    def _counts(self, laid: dict[str, NDArray[Any]], n: int) -> NDArray[np.int64]:
        if not self._stream:
            return np.zeros(n, dtype=np.int64)
        return np.bincount(laid[self._stream], minlength=n).astype(np.int64)

    def _used(self, held: NDArray[Any] | None) -> NDArray[np.int64]:
        """Rows of our table that these values are, that of padding first."""
        if held is None:
            return np.zeros(1, dtype=np.int64)
        marks = np.zeros(len(self._symbols), dtype=np.bool_)
        marks[held.ravel()] = True
        marks[0] = True
        return np.flatnonzero(marks)

    def _tidy(self) -> None:
        """Drop symbols that no carried step has: only between blocks, because it changes every row."""
        if len(self._symbols) <= self._limit:
            return
        held = self._carry.columns.get(self._stream)
        used = self._used(held)
        fresh = self._reader.symbols()
        rows = fresh.merge(self._symbols.pick(used))
        if held is not None:
            renumber = np.zeros(len(self._symbols), dtype=held.dtype)
            renumber[used] = rows
            self._carry.columns[self._stream] = renumber[held]
        self._symbols, self._map = fresh, RowMap(fresh)
        self._limit = max(self._most_symbols, 2 * len(fresh))

    def _place(
        self, laid: dict[str, NDArray[Any]], judged: NDArray[np.int64], names: list[str]
    ) -> pl.DataFrame:
        codes = laid[_FILE][judged]
        if (codes == codes[0]).all():
            # `pl.repeat` would start the lazy engine, at each of many small batches.
            files = pl.Series([self._files[int(codes[0])]], dtype=pl.String()).new_from_index(0, len(codes))
        else:
            files = pl.Series([self._files[code] for code in codes.tolist()], dtype=pl.String())
        columns = [
            files.alias("file"),
            *(pl.Series(name, laid[_place(name)][judged]) for name in self._places),
        ]
        if self._reader.unit_column != "file":
            columns.append(pl.Series(self._reader.unit_column, names, pl.String()))
        return pl.DataFrame(columns)


class _Carry:
    """The last `keep` steps of recordings, in slots: an array a column, `(slots, keep, *shape)`."""

    def __init__(self, keep: int, capacity: int) -> None:
        self._keep, self._capacity = keep, capacity
        self.known: OrderedDict[str, int] = OrderedDict()
        self._names: dict[int, RecordingName] = {}
        self._free: list[int] = []
        self.columns: dict[str, NDArray[Any]] = {}
        self.seen = np.zeros(0, dtype=np.int64)
        self.forgotten = 0

    def slots(self, identities: list[str], names: Sequence[RecordingName]) -> NDArray[np.int64]:
        """Where these (different) recordings are; the ones heard from longest ago make room for new ones."""
        for identity in identities:
            if identity in self.known:
                self.known.move_to_end(identity)
        for identity, name in zip(identities, names, strict=True):
            if identity not in self.known:
                slot = self._room()
                self.seen[slot] = -1
                self.known[identity] = slot
                self._names[slot] = name
        return np.array([self.known[identity] for identity in identities], dtype=np.int64)

    def fresh(self, slots: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these slots hold nothing yet."""
        fresh: NDArray[np.bool_] = self.seen[slots] < 0
        return fresh

    def begin(self, slot: int, padding: dict[str, NDArray[Any]], seen: int) -> None:
        """A recording begins behind this padding, of which `seen` steps count as its own."""
        for name, values in padding.items():
            if name not in self.columns:
                shape = (len(self.seen), self._keep, *values.shape[1:])
                self.columns[name] = np.zeros(shape, dtype=values.dtype)
            self.columns[name][slot] = values
        self.seen[slot] = seen

    def last(self, name: str, slots: NDArray[np.int64], n: int) -> NDArray[Any]:
        """The last `n` values of a column, `(slots, n, *shape)`."""
        held = self.columns[name][slots]
        return held[:, self._keep - n :]

    def keep(
        self, slots: NDArray[np.int64], columns: dict[str, NDArray[Any]], added: NDArray[np.int64]
    ) -> None:
        """What the last steps of these recordings are now, after so many more."""
        for name, values in columns.items():
            self.columns[name][slots] = values
        self.seen[slots] += added

    def retract(self, identity: str) -> None:
        """The last step of a recording is not what it was thought to be: it comes again."""
        slot = self.known.get(identity)
        if slot is None:
            return
        for values in self.columns.values():
            # The first one is then wrong, but no window looks so far back before the next step is there.
            values[slot, 1:] = values[slot, :-1].copy()
        self.seen[slot] -= 1

    def drop(self, identity: str) -> tuple[dict[str, NDArray[Any]], int, RecordingName] | None:
        """Forget a recording: its last steps, how many it had, and its name; None where nobody knows it."""
        slot = self.known.pop(identity, None)
        if slot is None:
            return None
        self._free.append(slot)
        kept = {name: values[slot].copy() for name, values in self.columns.items()}
        return kept, int(self.seen[slot]), self._names.pop(slot)

    def to_json(self) -> dict[str, Any]:
        """The recordings that are known, in the order in which they were heard from."""
        slots = list(self.known.values())
        return {
            "known": list(self.known),
            "names": [self._names[slot] for slot in slots],
            "seen": self.seen[slots].tolist(),
            "columns": {name: _array_to_json(values[slots]) for name, values in self.columns.items()},
        }

    def from_json(self, state: dict[str, Any]) -> None:
        """Take up what `to_json` wrote."""
        self.known = OrderedDict((identity, slot) for slot, identity in enumerate(state["known"]))
        self._names = dict(enumerate(RecordingName(*name) for name in state["names"]))
        self.seen = np.array(state["seen"], dtype=np.int64)
        self.columns = {name: _array_from_json(values) for name, values in state["columns"].items()}
        self._free = []

    def _room(self) -> int:
        """A free slot: one that was dropped, a new one, or that of the recording heard from longest ago."""
        if self._free:
            return self._free.pop()
        if len(self.known) >= self._capacity:
            self.forgotten += 1
            return self.known.popitem(last=False)[1]
        slot = len(self.known)
        if slot == len(self.seen):
            more = max(1, min(slot, self._capacity - slot))
            self.seen = np.concatenate([self.seen, np.full(more, -1, dtype=np.int64)])
            for name, values in self.columns.items():
                grown = np.zeros((more, *values.shape[1:]), dtype=values.dtype)
                self.columns[name] = np.concatenate([values, grown])
        return slot


def _place(name: str) -> str:
    """The carried column of a place: a stream may be called alike."""
    return f"\0place.{name}"


def _at(values: Steps, rows: NDArray[np.int64]) -> Steps:
    return {name: column[rows] for name, column in values.items()}


def _raw_texts(
    blocks: Mapping[int, RawTexts],
    step: NDArray[np.int64],
    called: Callable[[NDArray[np.int64]], list[str]],
    rows: NDArray[np.int64],
) -> list[str]:
    """The steps at `rows` as the blocks that they came in tell them; what they are called where those are no
    longer kept."""
    block, row = step[rows] >> _ROW_BITS, step[rows] & ((1 << _ROW_BITS) - 1)
    if len(blocks) == 1 and (block == next(iter(blocks))).all():
        return next(iter(blocks.values()))(row)
    texts = called(rows)
    for number in np.unique(block).tolist():
        if number in blocks:
            of = np.flatnonzero(block == number)
            for at, text in zip(of.tolist(), blocks[number](row[of]), strict=True):
                texts[at] = text
    return texts


def _by_window(view: NDArray[Any]) -> NDArray[Any]:
    """A sliding view `(windows, *shape, length)` as `(windows, length, *shape)`."""
    return view if view.ndim == 2 else np.moveaxis(view, -1, 1)


def _as_slice(starts: NDArray[np.int64]) -> slice | NDArray[np.int64]:
    """Evenly spaced rows as a slice, which needs no copy."""
    if len(starts) == 1:
        return slice(int(starts[0]), int(starts[0]) + 1)
    steps = np.diff(starts)
    if steps[0] > 0 and (steps == steps[0]).all():
        return slice(int(starts[0]), int(starts[-1]) + 1, int(steps[0]))
    return starts


def _array_to_json(values: NDArray[Any]) -> dict[str, Any]:
    """Exact to the bit, missing values included."""
    data = base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")
    return {"dtype": str(values.dtype), "shape": list(values.shape), "data": data}


def _array_from_json(state: dict[str, Any]) -> NDArray[Any]:
    data = np.frombuffer(base64.b64decode(state["data"]), dtype=np.dtype(state["dtype"]))
    return data.reshape(state["shape"]).copy()
