"""Sequences of system calls: what strace writes, pairs of process and call, and one sequence a file.

    1234  1700000000.123456 openat(AT_FDCWD, "/etc/passwd", O_RDONLY) = 3      strace -f -ttt -o (strace(1))
    [pid  1234] read(3,  <unfinished ...>                                       strace -f, on the terminal
    1234 5                                                                      process and call (UNM)
    6 6 63 6 42 120 6 195 120 6                                                 a session a file (ADFA-LD)

A call happens where it begins: what an interrupted one comes to (`<... read resumed>`) is no further call. A
recording is a process of a trace, or a file.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from hashlib import blake2b
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vestige.reading.steps import NO_TIME
from vestige.sources.events.columns import Events, Gathering, Machine, hashes
from vestige.sources.events.layout import Layout
from vestige.sources.events.records import Block, Cutter

MOST_ALIVE = 4096
"""Processes of a trace that are remembered as alive."""
ATTACKS = "*attack*,*abnormal*,*malicious*,*malware*,*exploit*,*intrusion*"
"""What the names of files and directories with attacks look like, if nobody says."""
KINDS = frozenset(["strace", "pairs", "sequence"])
"""Kinds of layouts."""
ODD = np.uint64(0x9E3779B97F4A7C15)

_LINE = re.compile(
    r"\s*+(?:\[pid\s++(?P<bracketed>\d{1,8})\]\s++|(?P<bare>\d{1,8})\s++)?+"
    r"(?:(?P<clock>\d\d:\d\d:\d\d(?:\.\d{1,9})?+)\s++|(?P<epoch>\d{9,10}(?:\.\d{1,9})?+)\s++)?+"
    r"(?:\(?\+?\s*+\d{1,8}\.\d{1,9}\)?\s++)?+(?:\[\s*+(?:0x)?[0-9a-f?]{1,16}\]\s++){0,2}+"
    r"(?:(?P<call>[A-Za-z_][A-Za-z0-9_]{0,63}|\?{4})\(|(?P<resumed><\.\.\. \S{1,64} resumed>)"
    r"|(?P<signal>--- .{1,400}? ---\s*+\Z)|(?P<end>\+\+\+ .{1,100}? \+\+\+\s*+\Z))",
    re.ASCII | re.DOTALL,
)
_DONE = re.compile(r"\)\s*+= |<[^<>]{1,64}\.\.\.>|<ptrace\([^()]{1,40}\):[^<>]{1,64}>")
"""What a call comes to, or that it has not returned: what follows the name in the line of every call."""
_ASIDE = re.compile(
    r"\s*+(?:strace: .*|Process \d{1,8} \w{1,40}.*|\[ Process PID=.*|[>|] .*|<unfinished \.\.\.>\s*"
    r"|[,)].* = .*)?\Z",
    re.ASCII | re.DOTALL,
)
"""What strace says about itself, stacks (-k), dumps (-e read=), the rest of a call that a message broke."""
_ATTACHED = re.compile(r"(?:strace: |\A)Process (?P<pid>\d{1,8}) attached\s*\Z", re.ASCII)
"""On a terminal this may stand in the middle of the call that made the process, and is not over."""
_PAIR = re.compile(r"\s*+(\d{1,8})[\s,]++(\w{1,64})\s*+", re.ASCII)
_NUMBERS = re.compile(r"\s*+\d{1,7}\s++\d{1,4}\s*+", re.ASCII)
_CALL = re.compile(r"\w{1,64}", re.ASCII)
_MOST_DIGITS = 4
_LOOKED_AT = 40


def kind_of(sample: bytes) -> Literal["strace", "pairs", "sequence"] | None:
    """The kind of a layout for a file that begins like this; None where it is no sequence of system calls."""
    lines = [
        line for line in sample.decode("utf-8", errors="replace").split("\n")[:_LOOKED_AT] if line.strip()
    ]
    told = [line for line in lines if not _ASIDE.match(line)]
    if told and sum(_is_of_strace(line) for line in told) > len(told) / 2:
        return "strace"
    if len(lines) > 1 and all(_NUMBERS.fullmatch(line) for line in lines[:-1]):
        return "pairs"
    # The last word may go on behind the sample.
    words = [line.split() for line in lines]
    calls = [word for line in words for word in line][:-1]
    is_one = len(lines) == 1 or max(map(len, words), default=0) == 1
    if is_one and calls and all(call.isdecimal() and len(call) <= _MOST_DIGITS for call in calls):
        return "sequence"
    return None


def _is_of_strace(line: str) -> bool:
    found = _LINE.match(line)
    return found is not None and (found["call"] is None or _DONE.search(line, found.end()) is not None)


@dataclass
class WholeReader(Cutter):
    """A file as one record, however many lines it has."""

    @property
    def state(self) -> dict[str, Any]:
        """Where the next block begins: a file is read from its beginning, or is over."""
        return {"offset": self.n_bytes - len(self._buffer)}

    def state_at(self, block: Block) -> dict[str, Any]:
        """See `Cutter.state_at`."""
        return {"offset": block.offset}

    def resume(self, state: dict[str, Any]) -> None:
        """See `Cutter.resume`."""
        self.n_bytes = state["offset"]

    def feed(self, piece: bytes) -> None:
        """The next bytes of the file."""
        self.n_bytes += len(piece)
        if not self.bad:
            self._buffer += piece
        if len(self._buffer) > self.max_record:
            self.bad = 1
            self.faults.append((1, f"longer than {self.max_record} bytes (--max-record-bytes)"))
            self._buffer.clear()

    def take(self, *, now: bool = False) -> Iterator[Block]:  # noqa: ARG002 - there is none before the end
        """Nothing: a session is over with its file."""
        yield from ()

    def finish(self) -> Iterator[Block]:
        """The file."""
        data = bytes(self._buffer)
        self._buffer.clear()
        if data.strip():
            yield Block(data, self.n_bytes - len(data), 1, (0,))


def about(kind: Literal["strace", "pairs", "sequence"], file: str, patterns: str) -> Layout:
    """What the path of a `file` within a corpus says of its sessions: label, attack, and host."""
    folders, _, _ = file.rpartition("/")
    anomalous = is_anomalous(file, patterns)
    profile = ""
    if patterns:
        profile = "normal"
    if anomalous:
        # Of an attack that was recorded several times, directories have numbers: Adduser_1, Adduser_2.
        profile = re.sub(r"[_-]?\d+\Z", "", folders.rpartition("/")[2]) or "anomaly"
    return Layout(
        kind, name=file, split=folders or file, profile=profile, anomalous=anomalous, labelled=bool(patterns)
    )


def is_anomalous(file: str, patterns: str) -> bool:
    """Whether a file fits one of the patterns, which have commas between them: any part of its path does, or,
    where the pattern has a slash, its path from any part on (`attacks/*`, whatever lies below)."""
    parts = file.casefold().split("/")
    tails = ["/".join(parts[at:]) for at in range(len(parts))]
    wanted = [pattern.strip().casefold() for pattern in patterns.split(",")]
    return any(
        fnmatchcase(name, pattern) for pattern in wanted for name in (tails if "/" in pattern else parts)
    )


def read_calls(
    records: Sequence[bytes], offsets: NDArray[np.int64], lines: NDArray[np.int64], layout: Layout
) -> tuple[Events, Layout]:
    """The calls of a block, and what is known of the trace behind it."""
    found = _Calls(layout)
    if layout.kind == "sequence":
        for number, record in enumerate(records):
            found.add_sequence(number, record.decode("utf-8", errors="replace"))
    elif layout.kind == "pairs":
        for number, record in enumerate(records):
            found.add_pair(number, record.decode("utf-8", errors="replace"), int(lines[number]))
    else:
        trace = Trace(layout.main, dict.fromkeys(layout.alive))
        for number, record in enumerate(records):
            found.add_line(number, record.decode("utf-8", errors="replace"), int(lines[number]), trace)
        layout = replace(layout, main=trace.main, alive=tuple(trace.alive))
    return found.events(records, offsets, lines), layout


@dataclass
class Trace:
    """Whose lines those are that name no process, or one that nobody announced.

    On a terminal, strace names processes only while there are several. `main`: the one that it began with
    (empty: not known yet; `GONE`), whose recording is called like the file; `alive`: the others.
    """

    main: str
    alive: dict[str, None]

    def process(self, pid: str | None) -> str:
        """Whose line it is, if it names this process or none; empty for the one that strace began with."""
        if pid is None:
            if self.main in {"", GONE} and len(self.alive) == 1:
                return next(iter(self.alive))
            return ""
        if pid in self.alive or self.main == GONE:
            return pid
        if not self.main:
            self.main = pid
        return "" if pid == self.main else pid

    def attach(self, pid: str) -> None:
        """A process was announced."""
        if len(self.alive) < MOST_ALIVE:
            self.alive[pid] = None

    def exit(self, process: str) -> None:
        """A process is over."""
        if process:
            self.alive.pop(process, None)
        else:
            self.main = GONE


GONE = "-"


@dataclass
class _Calls:
    """Calls on their way to columns."""

    layout: Layout
    gathering: Gathering = field(default_factory=Gathering)
    machines: dict[str, int] = field(default_factory=dict)
    infos: list[Machine] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    """Number of the record, machine, event and time of each call, one after the other."""
    counts: Counter[str] = field(default_factory=Counter)

    def add_line(self, number: int, text: str, line: int, trace: Trace) -> None:
        """A line of strace."""
        found = _LINE.match(text)
        attached = _ATTACHED.search(text)
        if found is None:
            if attached is None and not _ASIDE.match(text):
                self.gathering.fault(line, "no line of strace")
            if attached is not None:
                trace.attach(attached["pid"])
            return
        # With -o every line names its process, in the front; there is nothing to find out then.
        process = found["bare"] or trace.process(found["bracketed"])
        if found["call"] is None:
            self.counts["no_calls"] += found["resumed"] is None
            if found["end"] is not None and not found["bare"] and "superseded" not in found["end"]:
                trace.exit(process)
        elif attached is None and _DONE.search(text, found.end()) is None:
            self.gathering.fault(line, f"no whole line of strace: {text.strip()[:60]!r}")
        else:
            self._add(number, process, found["call"], _nanoseconds(found["epoch"]))
            self.counts["clock_times"] += found["clock"] is not None
        if attached is not None:
            trace.attach(attached["pid"])

    def add_pair(self, number: int, text: str, line: int) -> None:
        """A process and its call."""
        found = _PAIR.fullmatch(text)
        if found is not None:
            self._add(number, found[1], found[2], NO_TIME)
        elif text.strip():
            self.gathering.fault(line, f"no process and call: {text.strip()[:60]!r}")

    def add_sequence(self, number: int, text: str) -> None:
        """The calls of a session, which is a file."""
        calls = text.removeprefix("\ufeff").replace(",", " ").split()
        strange = next((call for call in calls if not _CALL.fullmatch(call)), None)
        if strange is not None:
            self.gathering.fault(1, f"{strange[:60]!r} is no system call, neither a number nor a name")
            return
        sample = blake2b("\0".join(calls).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        self.infos.append(Machine(self.layout.name, self.layout.split, sample, self.layout.profile))
        for call in calls:
            self.rows += (number, len(self.infos) - 1, self.gathering.texts[call], NO_TIME)

    def events(
        self, records: Sequence[bytes], offsets: NDArray[np.int64], lines: NDArray[np.int64]
    ) -> Events:
        """All of them as columns."""
        own = self.layout.kind == "sequence"
        number, machine, event, t_ns = np.array(self.rows, dtype=np.int64).reshape(-1, 4).T
        raw = hashes(records)[number]
        if own:
            # A file holds many events: an odd factor of the place keeps their hashes apart.
            raw = raw + np.arange(len(raw), dtype=np.uint64) * ODD
        labelled = len(number) if self.layout.labelled else 0
        return Events(
            machine=machine.astype(np.uint32),
            event=event.astype(np.uint32),
            t_ns=np.ascontiguousarray(t_ns),
            line=lines[number],
            offset=offsets[number],
            raw=raw,
            label=np.full(len(number), self.layout.anomalous, dtype=np.uint8),
            machines=self.infos,
            texts=self.gathering.texts.texts,
            own=own,
            bad=self.gathering.bad,
            faults=tuple(self.gathering.faults),
            counts={
                "labelled": labelled,
                "labelled_by_path": labelled,
                "undecodable_records": 0,
                **self.counts,
            },
        )

    def _add(self, number: int, process: str, call: str, t_ns: int) -> None:
        code = self.machines.get(process)
        if code is None:
            code = self.machines[process] = len(self.infos)
            name = f"{self.layout.name}:{process}" if process else self.layout.name
            self.infos.append(Machine(name, self.layout.name, "", self.layout.profile))
        self.rows += (number, code, self.gathering.texts[call], t_ns)


def _nanoseconds(epoch: str | None) -> int:
    """Of seconds since 1970 with a fraction (`strace -ttt`)."""
    if epoch is None:
        return NO_TIME
    seconds, _, fraction = epoch.partition(".")
    return int(seconds) * 10**9 + int(f"{fraction:0<9}")
