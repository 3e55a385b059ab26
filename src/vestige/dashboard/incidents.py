"""What a watch has found, as a page shows it: its state read again whenever it has changed."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vestige import checked
from vestige.dashboard.events import Day, Drift, Watch, shown
from vestige.dashboard.neighbours import Followed
from vestige.errors import CheckpointError, UsageError, VestigeError
from vestige.scoring.budgeting import AlertBudget
from vestige.service import exceptions, feedback
from vestige.service import state as states
from vestige.service.daily import Daily
from vestige.service.drift import LEVEL, Promise
from vestige.service.feedback import Kept
from vestige.service.incidents import Row, seconds_of

LOOK_S = 1.0
"""How often the state is looked at, unless reading it takes a tenth of that or more."""
SHARE = 0.1
"""Of the time is spent on reading it, at most."""
MOST_CHOICES = 200
"""Hosts and looks that incidents can be chosen by."""
LISTED_TEXT = 260
"""Characters of a text in the list."""
MOST_TEXT = 4_000
"""Characters of a text where one incident is shown."""
AGAIN = "vestige learn --again DETECTOR EVIDENCE -o NEW"


@dataclass(frozen=True)
class Wanted:
    """Which incidents are asked for. `begin` and `end`: Unix seconds; one whose time nobody knows is
    always within them. `said`: confirmed, dismissed, or `nothing` where nobody said anything. `text` stands
    in an event, a template, a reason or the evidence."""

    host: str = ""
    look: str = ""
    state: str = ""
    said: str = ""
    text: str = ""
    begin: float | None = None
    end: float | None = None

    def takes(self, row: Row, said: str | None) -> bool:
        """Whether an incident is one of them."""
        if (self.host and row["host"] != self.host) or (self.state and row["state"] != self.state):
            return False
        if self.said and (said or "nothing") != self.said:
            return False
        if self.look and self.look not in looks_of(row):
            return False
        return self._within(row) and (not self.text or self.text.casefold() in _words(row))

    def _within(self, row: Row) -> bool:
        first, last = seconds_of(row["first"]), seconds_of(row["last"])
        if self.begin is not None and last is not None and last < self.begin:
            return False
        return not (self.end is not None and first is not None and first > self.end)


@dataclass(frozen=True)
class Known:
    """All that was read of a state at one time."""

    kept: Kept
    followed: Followed
    event: Watch

    def chosen(self, wanted: Wanted, most: int) -> dict[str, Any]:
        """The newest incidents that are wanted, at most so many, as the list shows them; how many others
        there are, and of which reading this is."""
        rows = [row for row in self.kept.rows.values() if wanted.takes(row, self.kept.said(row["id"]))]
        newest = [_listed(row, self.kept.said(row["id"])) for row in reversed(rows[-most:])]
        return {
            "revision": self.event.revision,
            "incidents": shown(newest, LISTED_TEXT),
            "others": len(rows) - len(newest),
            "kept": len(self.kept.rows),
        }

    def one(self, incident: str) -> dict[str, Any]:
        """All that is kept of an incident, with the lines beside its evidence. Raises UsageError where there
        is none."""
        row = self.kept.find(incident)
        beside = self.followed.beside(row["evidence"])
        said = self.kept.said(row["id"])
        why = [each.because for each in self.kept.exceptions if each.id == row["id"]]
        if said == "confirmed":
            why = [self.kept.confirmed[row["id"]].get("because") or ""]
        evidence = [
            {**place, "before": lines.before, "after": lines.after, "why": lines.why}
            for place, lines in zip(row["evidence"], beside, strict=True)
        ]
        found = {**_listed(row, said), "reasons": row["reasons"], "raised": row["raised"]}
        return dict(shown({**found, "because": why, "evidence": evidence}, MOST_TEXT))


class WatchState:
    """The state of a watch in `directory`, which may be in use. Safe between threads."""

    def __init__(self, directory: Path, detectors: Collection[str]) -> None:
        """Read it for the first time; `detectors` are the digests of those whose state it may be.

        Raises UsageError where it is no state, or that of another detector; CheckpointError or
        DefinitionError where it is damaged.
        """
        self.directory = directory
        self._digests, self._lock, self._revision = frozenset(detectors), threading.Lock(), 0
        self._stamp: list[tuple[int, int, int] | None] = []
        self._due = 0.0
        self.known = self._read()

    def look(self) -> Watch | None:
        """What there is now, if it has changed since the last time, and it is time to look."""
        if time.monotonic() < self._due:
            return None
        return self.refresh()

    def refresh(self) -> Watch | None:
        """What there is now, if it has changed."""
        with self._lock:
            stamp = self._changed()
            if stamp == self._stamp:
                return None
            try:
                self.known = self._read()
            except (VestigeError, OSError) as error:
                self._stamp, self._due = stamp, time.monotonic() + LOOK_S
                self._revision += 1
                event = self.known.event.model_copy(update={"error": str(error), "revision": self._revision})
                self.known = Known(self.known.kept, self.known.followed, event)
            return self.known.event

    def _changed(self) -> list[tuple[int, int, int] | None]:
        names = (states.FILE, feedback.INCIDENTS, exceptions.FILE, feedback.CONFIRMED)
        found: list[tuple[int, int, int] | None] = []
        for name in names:
            try:
                status = (self.directory / name).stat()
            except OSError:
                found.append(None)
                continue
            found.append((status.st_ino, status.st_size, status.st_mtime_ns))
        return found

    def _read(self) -> Known:
        began, self._stamp = time.monotonic(), self._changed()
        kept = feedback.kept(self.directory)
        before = states.load(self.directory) or {}
        if self._digests and before.get("detector") not in self._digests:
            raise UsageError(
                "is the state of another detector",
                where=self.directory / states.FILE,
                remedy="name the detector that watches, or the directory of its state",
            )
        try:
            self._revision += 1
            known = Known(kept, Followed.of(before, self.directory), self._event(kept, before))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(
                f"the state cannot be read ({error!r})", where=self.directory, remedy=states.REMEDY
            ) from error
        taken = time.monotonic() - began
        self._due = time.monotonic() + max(LOOK_S, taken / SHARE)
        return known

    def _event(self, kept: Kept, before: dict[str, Any]) -> Watch:
        said = [kept.said(incident) for incident in kept.rows]
        budget = None if before["budget"] is None else AlertBudget.of(before["budget"])
        stamp = self._stamp[0]
        rows = kept.rows.values()
        return Watch(
            revision=self._revision,
            state=str(self.directory),
            saved=None if stamp is None else stamp[2] / 1e9,
            incidents=kept.count,
            open=sum(row["state"] == "open" for row in rows),
            confirmed=said.count("confirmed"),
            dismissed=said.count("dismissed"),
            steps=checked.whole(before["steps"], "steps", 0, 1 << 53),
            alerts=checked.whole(before["alerts"], "alerts", 0, 1 << 53),
            promised=None if budget is None else budget.promised,
            held_back=None if budget is None else budget.spent.held_back,
            days=_days(before, budget),
            drift=_drift(before),
            hosts=sorted({row["host"] for row in rows})[:MOST_CHOICES],
            looks=sorted({look for row in rows for look in looks_of(row)})[:MOST_CHOICES],
            told=kept.told(),
        )


def looks_of(row: Row) -> list[str]:
    """The looks that raised an incident."""
    return sorted({look for raised in row["raised"] for look in raised["looks"]})


def moment(text: str) -> float | None:
    """Unix seconds of a time (ISO 8601; UTC unless it says otherwise); None of an empty text.

    Raises ValueError."""
    if not text:
        return None
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    try:
        return found.timestamp()
    except OverflowError as error:
        raise ValueError(f"{text} is no time") from error


def _listed(row: Row, said: str | None) -> dict[str, Any]:
    """An incident as a list shows it."""
    raised = max(row["raised"], key=lambda each: each["alerts"], default=None)
    event = "" if raised is None else raised["template"] or raised["event"]
    return {
        "id": row["id"],
        "host": row["host"],
        "state": row["state"],
        "said": said,
        "first": row["first"],
        "last": row["last"],
        "alerts": row["alerts"],
        "looks": looks_of(row),
        "event": event,
        "reason": row["reasons"][0]["says"] if row["reasons"] else "",
    }


def _words(row: Row) -> str:
    told = [reason["says"] for reason in row["reasons"]]
    told += [str(raised[name] or "") for raised in row["raised"] for name in ("event", "template")]
    told += [str(place.get("text") or "") for place in row["evidence"]]
    return "\n".join(told).casefold()


def _days(before: dict[str, Any], budget: AlertBudget | None) -> list[Day]:
    # A state that was saved before days were counted has none.
    found = Daily.of(before.get("daily", {})).days
    return [
        Day(
            day=date,
            windows=day.windows,
            alerts=day.alerts,
            dismissed=day.dismissed,
            promised=None if budget is None else budget.alpha * day.windows,
        )
        for date, day in sorted(found.items())
    ]


def _drift(before: dict[str, Any]) -> Drift | None:
    if before["promise"] is None:
        return None
    promise = Promise.of(before["promise"])
    if not promise.bets:
        return None
    row = promise.row(AGAIN, None)
    says = str(row["reasons"][0]["says"])
    if not promise.told:
        says = (
            "The promise holds as far as can be told: no more windows are as rare as an alert than were "
            "promised."
        )
    return Drift(
        broken=promise.told,
        e_value=math.exp(min(promise.log_e, 700.0)),
        limit=1 / LEVEL,
        since=row["since"],
        windows=row["windows"],
        rare=row["rare"],
        expected=row["expected"],
        looks=row["looks"],
        events={each["event"]: each["alerts"] for each in row["events"]},
        hosts={each["host"]: each["alerts"] for each in row["hosts"]},
        says=says,
    )
