"""Incidents that a watch has kept in its state, and what people say of them: that one is fine, or is one.

The watch alone writes `incidents.jsonl`; `exceptions.toml` and `confirmed.jsonl` are written by people's
commands, one after the other.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from vestige import checked
from vestige.errors import CheckpointError, OutputError, UsageError
from vestige.escaping import toml_text
from vestige.evidence.defects import counted
from vestige.log import get
from vestige.service import exceptions
from vestige.service import state as states
from vestige.service.exceptions import Dismissal
from vestige.service.incidents import Incidents, Raised, Row, seconds_of
from vestige.service.sinks.files import FileSink, refusals
from vestige.service.sinks.lines import json_line, whole
from vestige.storage import write_text

INCIDENTS, CONFIRMED, LOCK = "incidents.jsonl", "confirmed.jsonl", "feedback.lock"
LARGEST, KEPT = 10_000_000, 4
"""Bytes at which the file of incidents is turned over, and older ones that are kept."""
LONGEST_LINE = 10_000_000
"""Bytes of a line that is read."""
PATIENCE_S = 5.0
"""How long somebody waits for another who is saying something, too."""

EARLIER = "earlier-"
"""Before the id of an incident that was another watch's."""

log = get(__name__)

Scope = Literal["entity", "template", "both"]


@dataclass(frozen=True)
class Kept:
    """The incidents of a state, in their order: `rows` as they were told last, the `state` of each being
    `open` or `closed`. `count` were ever opened, `dismissed` counts the alerts that each exception has
    hidden, `unread` the lines that are none; `broken`: the promise of the budget was told to be."""

    rows: dict[str, Row]
    count: int
    dismissed: dict[str, int]
    exceptions: tuple[Dismissal, ...]
    confirmed: dict[str, Row]
    unread: int = 0
    broken: bool = False

    def said(self, incident: str) -> str | None:
        """What was said of an incident: dismissed, confirmed, or None."""
        if any(entry.id == incident for entry in self.exceptions):
            return "dismissed"
        return "confirmed" if incident in self.confirmed else None

    def spoken_of(self) -> list[tuple[Row, str]]:
        """The incidents of which somebody said something, each with what: of what was confirmed also those
        that are kept no more, or were another watch's."""
        rows = self.confirmed | self.rows
        return [(row, what) for name, row in rows.items() if (what := self.said(name)) is not None]

    def find(self, incident: str) -> Row:
        """The incident of an id, which may be written without its zeros. Raises UsageError where there is
        none."""
        found = self.rows.get(incident)
        if found is None and re.fullmatch(r"[0-9]{1,12}", incident):
            found = self.rows.get(f"{int(incident):06d}")
        if found is not None:
            return found
        remedy = "vestige incidents lists those that are kept"
        if self.rows:
            first, last = next(iter(self.rows)), next(reversed(self.rows))
            remedy += f", {first} to {last}"
        raise UsageError(f"there is no incident {checked.shown(incident)}", remedy=remedy)

    def told(self) -> list[str]:
        """Sentences that count what is there, what people said, and what could not be read."""
        return [*counts(self), *_beside(self)]


def sink(directory: Path) -> FileSink:
    """Where a watch writes lines about incidents."""
    return FileSink(INCIDENTS, json_line, directory / INCIDENTS, largest=LARGEST, kept=KEPT)


def kept(directory: Path, entries: tuple[Dismissal, ...] | None = None) -> Kept:
    """All that is kept of incidents in the directory of a state, which may be in use, with exceptions: those
    of its file, unless `entries` are given.

    Raises UsageError where it is no such directory, CheckpointError or DefinitionError for damaged files."""
    before = states.load(directory)
    if before is None:
        raise UsageError(
            "holds no state of a watch", where=directory, remedy="name the directory of vestige watch --state"
        )
    rows, unread = _newest(_older_first(directory / INCIDENTS, KEPT))
    try:
        now = Incidents.of(before["incidents"])
        dismissed = {str(name): int(count) for name, count in before["dismissed"].items()}
        broken = before["promise"] is not None and checked.flag(before["promise"]["told"], "told")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"the state cannot be taken up ({error!r})", where=directory, remedy=states.REMEDY
        ) from error
    for incident in now.open.values():
        # The state is saved every few seconds: what was closed since stands in the file.
        if rows.get(incident.id, {}).get("state") != "closed":
            rows[incident.id] = incident.row("open")
    for row in rows.values():
        if row["state"] != "closed":
            row["state"] = "open"
    confirmed, unread_too = _newest(_older_first(directory / CONFIRMED, KEPT))
    ordered = dict(sorted(rows.items(), key=lambda named: (len(named[0]), named[0])))
    if entries is None:
        entries = exceptions.load(directory)
    return Kept(ordered, now.count, dismissed, entries, confirmed, unread + unread_too, broken)


def highest(directory: Path) -> int:
    """The highest number of an incident that is kept in a directory; 0 where there is none."""
    rows, _ = _newest(_older_first(directory / INCIDENTS, KEPT))
    return max((int(name) for name in rows if re.fullmatch(r"[0-9]{1,12}", name)), default=0)


def chosen(found: Kept, *, since_s: float | None = None, host: str | None = None) -> list[Row]:
    """Those incidents that were heard of in the last so many seconds, or of which nobody knows when they
    were, and that are of a host (or recording)."""
    rows = [row for row in found.rows.values() if host is None or row["host"] == host]
    if since_s is None:
        return rows
    first = time.time() - since_s
    return [row for row in rows if (seconds_of(row["last"] or row["first"]) or first) >= first]


@dataclass(frozen=True)
class Past:
    """What an exception would have hidden of the incidents that are kept: some whole, some in part."""

    incidents: int
    alerts: int
    whole: int
    part: int
    hidden: int

    @classmethod
    def of(cls, entry: Dismissal, rows: Iterable[Row]) -> Past:
        """Count it."""
        incidents = alerts = whole = part = hidden = 0
        for row in rows:
            found = sum(
                raised["alerts"] for raised in row["raised"] if entry.hides(row["host"], Raised(**raised))
            )
            incidents += 1
            alerts += row["alerts"]
            hidden += found
            whole += found == row["alerts"]
            part += 0 < found < row["alerts"]
        return cls(incidents, alerts, whole, part, hidden)

    def __str__(self) -> str:
        return (
            f"would have hidden {self.hidden:,} of {self.alerts:,} alerts: {self.whole:,} of "
            f"{self.incidents:,} incidents whole, {self.part:,} in part"
        )


@dataclass(frozen=True)
class Dismissed:
    """An exception that was made, what it would have hidden, and what of its incident it leaves out."""

    entry: Dismissal
    past: Past
    uncounted: int
    path: Path = field(repr=False)


def dismiss(
    directory: Path,
    incident: str,
    because: str,
    *,
    expires_s: float | None = None,
    scope: Scope = "both",
    preview: bool = False,
) -> Dismissed:
    """Say that an incident is fine: alerts like its own are hidden from now on.

    `scope`: by its host whatever the event (`entity`), by its events on whatever host (`template`), or both.
    `preview`: nothing is written, and what would be is told.
    Raises UsageError where nobody says why, the id is unknown, or something was said of it already;
    OutputError where it cannot be written.
    """
    now = datetime.now(UTC)
    why = _because(because)
    with _turn(directory):
        found = kept(directory)
        row = found.find(incident)
        _refuse_said(found, row["id"], directory, now)
        entry = _exception(row, why, now, expires_s, scope)
        past = Past.of(entry, found.rows.values())
        path = directory / exceptions.FILE
        text = exceptions.read(directory) or exceptions.ABOUT
        text = f"{text.rstrip()}\n\n{entry.toml()}"
        # What cannot be read back is not written.
        exceptions.parse(text, path)
        if not preview:
            write_text(path, text)
    uncounted = row["alerts"] - sum(raised["alerts"] for raised in row["raised"])
    return Dismissed(entry, past, uncounted, path)


def confirm(directory: Path, incident: str, because: str | None = None) -> Row:
    """Keep an incident as an example of what is to be found; what was written.

    Raises UsageError where the id is unknown or something was said of it already, OutputError where it
    cannot be written.
    """
    now = datetime.now(UTC)
    why = None if because is None else _because(because)
    with _turn(directory):
        found = kept(directory)
        row = found.find(incident)
        _refuse_said(found, row["id"], directory, now)
        example = {**row, "kind": "confirmed", "confirmed": f"{now:%Y-%m-%dT%H:%M:%S}Z", "because": why}
        _write_examples(directory, [example])
    return example


def take_over(before: Path, directory: Path) -> None:
    """Write what people said of the incidents of the watch before, whose state is in `before`, and what still
    holds, into the directory of another state, once: who removes some of it there later, meant that.

    Raises as `kept` and `confirm` do.
    """
    path = directory / exceptions.FILE
    # A path may hold what a comment of TOML may not.
    mark = f"# Taken over from {toml_text(str(before.resolve()))}:"
    with _turn(directory):
        text = exceptions.read(directory) or exceptions.ABOUT
        if mark in text.splitlines():
            return  # the directory before may be gone by now
        found, now = kept(before), datetime.now(UTC)
        entries = [
            entry.model_copy(update={"id": _earlier_id(entry.id, before)})
            for entry in found.exceptions
            if entry.holds(now)
        ]
        examples = [{**row, "id": _earlier_id(name, before)} for name, row in found.confirmed.items()]
        text = "\n\n".join((text.rstrip(), mark, *(entry.toml().rstrip() for entry in entries))) + "\n"
        exceptions.parse(text, path)
        # After a kill in between, the examples are written again, and still count once.
        _write_examples(directory, examples)
        write_text(path, text)
    log.info(
        "%s: %s and %s are taken over from %s",
        path, counted(len(entries), "exception"), counted(len(examples), "confirmed example"), before,
    )  # fmt: skip


def _earlier_id(incident: str, before: Path) -> str:
    """An id that no incident of this watch has, nor one of another watch before: each counts from one."""
    if incident.startswith(EARLIER):
        return incident
    state = hashlib.blake2b(os.fsencode(before.resolve()), digest_size=4).hexdigest()
    return f"{EARLIER}{state}-{incident}"


def _write_examples(directory: Path, rows: Sequence[Row]) -> None:
    file = FileSink(CONFIRMED, json_line, directory / CONFIRMED, largest=LARGEST, kept=KEPT)
    try:
        file.write(list(rows))
    finally:
        file.close()


def counts(found: Kept) -> list[str]:
    """How many incidents and alerts, and of how many somebody said something."""
    said = [found.said(incident) for incident in found.rows]
    open_ = sum(row["state"] == "open" for row in found.rows.values())
    now = datetime.now(UTC)
    holding = sum(entry.holds(now) for entry in found.exceptions)
    told = [
        f"{counted(found.count, 'incident')} ({open_:,} open): {said.count('confirmed'):,} confirmed, "
        f"{said.count('dismissed'):,} dismissed, {said.count(None):,} of which nobody said anything"
    ]
    if found.exceptions or found.dismissed:
        expired = len(found.exceptions) - holding
        told.append(
            f"{counted(holding, 'exception')} in force, {expired:,} expired; they have hidden "
            f"{counted(sum(found.dismissed.values()), 'alert')}"
        )
    return told


def _beside(found: Kept) -> list[str]:
    told = []
    if found.count > len(found.rows):
        told.append(f"{found.count - len(found.rows):,} older incidents are no longer kept")
    if earlier := sum(name.startswith(EARLIER) for name in found.confirmed):
        were = "was" if earlier == 1 else "were"
        told.append(f"{counted(earlier, 'confirmed incident')} {were} taken over from an earlier watch")
    if found.unread:
        told.append(f"{found.unread:,} lines of {INCIDENTS} or {CONFIRMED} could not be read")
    if found.broken:
        told.append(
            "the promise of the budget is broken: a line of the kind drift said since when, by what, and "
            "what to do"
        )
    return told


def _exception(row: Row, because: str, now: datetime, expires_s: float | None, scope: Scope) -> Dismissal:
    raised = [Raised(**each) for each in row["raised"]]
    host, events, templates = None, None, None
    if scope != "template":
        host = row["host"]
    if scope != "entity":
        events = tuple(dict.fromkeys(each.event for each in raised if each.template is None))
        templates = tuple(dict.fromkeys(each.template for each in raised if each.template is not None))
        if not any((*events, *templates)):
            raise UsageError(
                f"the detector does not tell which events incident {row['id']} is about",
                remedy="--scope entity hides what was raised so on its host, whatever the event",
            )
    try:
        expires = None if expires_s is None else now + timedelta(seconds=expires_s)
    except OverflowError as error:
        raise UsageError(
            "--expires is beyond the year 9999", remedy="leave it out: it holds for ever"
        ) from error
    return Dismissal(
        id=row["id"],
        because=because,
        made=now,
        expires=expires,
        host=host,
        events=events or None,
        templates=templates or None,
        looks=tuple(sorted({look for each in raised for look in each.looks})) or None,
    )


def _because(text: str) -> str:
    if not text.strip():
        raise UsageError("--because is empty", remedy='say why, for whoever reads it later: --because "..."')
    return whole(text.strip())


def _refuse_said(found: Kept, incident: str, directory: Path, now: datetime) -> None:
    if any(entry.id == incident and entry.holds(now) for entry in found.exceptions):
        raise UsageError(
            f"incident {incident} is dismissed already",
            where=directory / exceptions.FILE,
            remedy=f'remove its entry (id = "{incident}") first, to take that back',
        )
    if incident in found.confirmed:
        raise UsageError(
            f"incident {incident} is confirmed already",
            where=directory / CONFIRMED,
            remedy=f'remove its line ("id":"{incident}") first, to take that back',
        )


@contextlib.contextmanager
def _turn(directory: Path) -> Iterator[None]:
    """Let one person after the other say something. Raises OutputError where somebody takes too long."""
    if not directory.is_dir():
        raise UsageError(
            "is no directory of a watch's state",
            where=directory,
            remedy="name the directory of vestige watch --state",
        )
    path = directory / LOCK
    with refusals(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        until = time.monotonic() + PATIENCE_S
        while not _locked(handle):
            if time.monotonic() > until:
                raise OutputError(
                    "somebody else is dismissing or confirming",
                    where=path,
                    remedy="let that end, then try again",
                )
            time.sleep(0.05)
        yield
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _older_first(path: Path, older: int) -> Iterator[bytes]:
    """Whole lines of a file and of those that it was turned over to, the oldest first."""
    with contextlib.ExitStack() as stack:
        found, seen = [], set()
        # The youngest is opened first: one that is turned over meanwhile is met again, and none is missed.
        for name in (path, *(path.with_name(f"{path.name}.{number}") for number in range(1, older + 2))):
            with contextlib.suppress(FileNotFoundError):
                file = stack.enter_context(name.open("rb"))
                inode = os.fstat(file.fileno()).st_ino
                if inode not in seen:
                    found.append(file)
                seen.add(inode)
        for file in reversed(found):
            while line := file.readline(LONGEST_LINE):
                # The last line may be about to be written.
                if line.endswith(b"\n") or len(line) == LONGEST_LINE:
                    yield line


def _newest(lines: Iterable[bytes]) -> tuple[dict[str, Row], int]:
    """The last line about each incident, and how many lines are none."""
    rows: dict[str, Row] = {}
    unread = 0
    for line in lines:
        try:
            row = _incident(checked.load(line))
        except (ValueError, KeyError, TypeError):
            unread += bool(line.strip())
            continue
        rows[row["id"]] = row
    return rows, unread


def _incident(plain: Row) -> Row:
    """A line about an incident. Raises ValueError or KeyError where it is none."""
    for name in ("id", "host", "state"):
        checked.text(plain[name], name)
    for name in ("first", "last"):
        if plain[name] is not None:
            seconds_of(checked.text(plain[name], name))
    checked.whole(plain["alerts"], "alerts", 0, 1 << 53)
    # Of older lines, nobody counted repeats.
    if plain.get("last_repeat") is not None:
        seconds_of(checked.text(plain["last_repeat"], "last_repeat"))
    checked.whole(plain.get("repeats", 0), "repeats", 0, 1 << 53)
    for name in ("reasons", "raised", "evidence"):
        for each in _list(plain[name], name):
            checked.mapping(each, name)
    for reason in plain["reasons"]:
        checked.text(reason["says"], "says")
        if "contribution" in reason:
            # Nats: of a detector that was taught by labels.
            checked.real(reason["contribution"], "contribution", -1e9, 1e9)
        else:
            checked.real(reason["p_value"], "p_value", 0, 1)
    for raised in plain["raised"]:
        made = Raised(**raised)
        checked.text(made.event, "event")
        checked.texts(made.looks, "looks")
        checked.whole(made.alerts, "alerts", 0, 1 << 53)
        if made.template is not None:
            checked.text(made.template, "template")
    return plain


def _list(value: Any, name: str) -> Sequence[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{name} is {checked.shown(value)}, not a list")
    return value
