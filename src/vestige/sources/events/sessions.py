"""Labelled sequences of events as they are published: one session a line, without times.

    id,event event event        the label is in the file's name: *_train, *_test_normal, *_test_abnormal_CAUSE
    {"session": "id", "events": [1, 2], "label": 0, "split": "train"}
    event event event           sequences without names: their lines are their names

A session is a recording of its own; its events are a second apart, beginning in 1970. The last of them is
`END`: that a session ends here, after so little, is an event too, and of some faults the only one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from vestige.evidence.defects import FILE, Defect
from vestige.evidence.files import EvidenceFile
from vestige.sources.events.columns import ANOMALOUS, Events, Gathering, Labels, Machine, hashes
from vestige.sources.events.fields import text_of, whole
from vestige.sources.events.json_lines import BadRecordError, decode
from vestige.sources.events.layout import Layout

SECOND = 10**9
END = "<end>"
ODD = np.uint64(0x9E3779B97F4A7C15)


def about(name: str, anomalous_files: str) -> Layout:
    """What a file's name says of its sessions: part of the published split, cause, label."""
    parts = name.partition(".")[0].split("_")
    split = next((part for part in ("train", "test", "validation") if part in parts), "")
    anomalous = fnmatchcase(name, anomalous_files)
    profile = "anomaly" if anomalous else "normal"
    if "abnormal" in parts:
        # Whatever follows in the name is the cause; where nothing does, the label has to do.
        profile = "_".join(parts[parts.index("abnormal") + 1 :]) or profile
    return Layout("sessions", split=split, profile=profile, anomalous=anomalous)


def without_unions(files: Iterable[EvidenceFile]) -> tuple[list[EvidenceFile], list[Defect]]:
    """Leave out `X_abnormal` where `X_abnormal_CAUSE` lie beside it: its parts, with their causes."""
    kept: list[EvidenceFile] = []
    skipped: list[Defect] = []
    names = [file.id for file in files]
    for file in files:
        parts: list[str] = []
        if file.id.endswith("_abnormal"):
            parts = [name for name in names if name.startswith(f"{file.id}_")]
        if parts:
            skipped.append(
                Defect(file.id, None, FILE, f"its parts are read instead: {', '.join(parts)}"[:400])
            )
        else:
            kept.append(file)
    return kept, skipped


def read_sessions(
    records: Sequence[bytes],
    offsets: NDArray[np.int64],
    lines: NDArray[np.int64],
    layout: Layout,
    gathering: Gathering,
) -> tuple[Events, Layout]:
    """The events of a block of sessions, and the same layout: a block says nothing of the next."""
    machines: list[Machine] = []
    rows: list[int] = []
    labels: list[bool] = []
    codes: list[NDArray[np.uint32]] = []
    for number, record in enumerate(records):
        text = record.decode("utf-8", errors="replace").strip().removeprefix("\ufeff")
        if not text:
            continue
        session = _session(text, int(lines[number]), layout, gathering.labels)
        if isinstance(session, str):
            gathering.fault(int(lines[number]), session)
            continue
        machine, events, anomalous = session
        found = [gathering.texts[event] for event in events]
        machines.append(machine)
        rows.append(number)
        labels.append(anomalous)
        codes.append(np.array(found, dtype=np.uint32))
    sizes = np.array([len(session) for session in codes], dtype=np.int64)
    row = np.repeat(np.array(rows, dtype=np.int64), sizes)
    total = int(sizes.sum())
    # Each event's place in its session: its place in all, less where its session begins.
    within = np.arange(total) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    columns = Events(
        machine=np.repeat(np.arange(len(sizes), dtype=np.uint32), sizes),
        event=np.concatenate([np.empty(0, np.uint32), *codes]),
        t_ns=within * SECOND,
        line=lines[row],
        offset=offsets[row],
        # A line holds many events: an odd factor of the place keeps their hashes apart.
        raw=np.repeat(hashes([records[number] for number in rows]), sizes) + within.astype(np.uint64) * ODD,
        label=np.repeat(np.array(labels, dtype=np.uint8), sizes),
        machines=machines,
        texts=gathering.texts.texts,
        own=True,
        bad=gathering.bad,
        faults=tuple(gathering.faults),
        counts={"labelled": total, "undecodable_records": 0},
        unexplained=tuple(gathering.labels.unexplained),
    )
    return columns, layout


def _session(text: str, line: int, layout: Layout, labels: Labels) -> tuple[Machine, list[str], bool] | str:
    """Who, what, and whether it is an anomaly; or what is wrong with the line."""
    split, anomalous, profile = layout.split, layout.anomalous, layout.profile
    if text[0] == "{":
        try:
            record = decode(text)
        except BadRecordError as error:
            return str(error)
        name = text_of(record.get("session"))
        listed = record.get("events")
        events = []
        if isinstance(listed, list):
            events = [text_of(event) for event in listed]
        split = text_of(record.get("split")) or split
        if "label" in record:
            anomalous = labels[text_of(record["label"])] >= ANOMALOUS
            profile = "anomaly" if anomalous else "normal"
    elif layout.unnamed:
        # Sequences alone, as DeepLog's data are published: the line says which it is.
        name, events = str(line), text.split()
    else:
        name, comma, rest = text.partition(",")
        name, events = text_of(name), [text_of(event) for event in rest.split()]
        if not comma:
            return "no comma after the session's name"
    if not name:
        return "no session"
    if not events or not all(events):
        return "no events"
    sample = blake2b("\0".join(events).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return Machine(whole(name), split or layout.profile, sample, profile), [*events, END], anomalous


def are_unnamed(sample: bytes) -> bool:
    """Whether lines are sequences alone, without a name and a comma before them: numbers of events, or names
    such as E5."""
    lines = [line.split() for line in sample.split(b"\n")[:200] if line.strip()]
    return bool(lines) and all(_NUMBERED.fullmatch(word) for line in lines for word in line)


_NUMBERED = re.compile(rb"[A-Za-z]{0,3}\d{1,20}")
