"""Watching: evidence followed as it grows, judged, alerts sent, and all of it remembered.

After a kill at any moment the next life goes on where the last saved state stands. What a file got behind
that is taken back first, so that nothing is there twice.
"""

from __future__ import annotations

import shlex
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from vestige import checked, native, storage
from vestige.checkpoint import Loaded, load
from vestige.errors import CheckpointError
from vestige.evidence.defects import counted
from vestige.evidence.files import STDIN, holds_bytes
from vestige.log import get
from vestige.reading import live
from vestige.reading.looks import NormalEncoder
from vestige.reading.steps import NO_TIME, Reader, StepBlock
from vestige.reading.times import rfc3339
from vestige.reading.windower import WindowBatch, Windower
from vestige.scoring.budgeting import AlertBudget
from vestige.scoring.judged import JudgedBatch
from vestige.scoring.normal import NormalScorer
from vestige.scoring.repeats import Candidate, Repeats, key_of
from vestige.scoring.silence import Heard, Silent
from vestige.scoring.windows import judge_batches, judge_example, round_products, rows_of
from vestige.service import feedback
from vestige.service import state as states
from vestige.service.clocks import Clocks
from vestige.service.daily import Daily
from vestige.service.drift import Promise
from vestige.service.exceptions import Exceptions
from vestige.service.follow import Follower, still_followed
from vestige.service.inbox import Inbox, inbox_of
from vestige.service.incidents import Incidents
from vestige.service.listening import Listening
from vestige.service.sharding import Shard, require_apart, require_same
from vestige.service.sinks import Sink, Standing
from vestige.service.sinks.files import FileSink
from vestige.service.sinks.lines import whole
from vestige.training.interrupt import StopRequests

SCAN_S, POLL_S, SAVE_S = 1.0, 0.4, 5.0
"""How often new files are looked for, open ones are read, and the state is saved. A round of reading costs as
much as many lines: what comes one by one is gathered meanwhile."""
IDLE_S = POLL_S
"""After nothing came of a file for so long, its last message, which may go on, is judged as it is; once more
if it does. No longer than from one look to the next: the second one finds that nothing came, and a third is
not waited for."""
WAITED_S = 5.0
"""After so long it is said that nothing came."""
MANY = 2_000
"""Steps of one round of reading from which on there is a backlog, and no time to wait for more."""

MOST_LAST = 4_096
"""Recordings whose last alert is kept, since it may be corrected: those that alerted last."""

log = get(__name__)


@dataclass(frozen=True)
class WatchOptions:
    """`once`: to the end of what is there, and stop. `every`: every step is written, not alerts alone.
    `idle_s`: after so long a quiet time, what is held back because more of it may follow is judged. `save_s`:
    how often the state is saved. `shard`: the part of the evidence that is followed. `after`: the state of
    the watch before; what people said of its incidents is taken over. `rounded`: products are rounded to
    bfloat16."""

    once: bool = False
    every: bool = False
    idle_s: float = IDLE_S
    save_s: float = SAVE_S
    shard: Shard | None = None
    after: Path | None = None
    rounded: bool = False

    @property
    def precision(self) -> str:
        """What `--precision` calls how products are computed."""
        return "bf16" if self.rounded else "32"


@dataclass
class Watch:
    """A detector at work on growing evidence; see `start`.

    `kept` is the state's own file of incidents; `promise` tests that of the budget, and `again` is the
    command that learns again; `dismissed` counts the alerts that each exception has hidden.
    """

    loaded: Loaded
    digest: str
    directory: Path | None
    follower: Follower
    windower: Windower
    scorer: NormalScorer | None
    incidents: Incidents
    sinks: tuple[Sink, ...]
    options: WatchOptions
    kept: FileSink | None = None
    exceptions: Exceptions | None = None
    promise: Promise | None = None
    again: str = "vestige learn"
    inbox: Inbox | None = None
    listening: Listening | None = None
    dismissed: Counter[str] = field(default_factory=Counter)
    repeats: Repeats = field(default_factory=Repeats)
    daily: Daily = field(default_factory=Daily)
    clocks: Clocks = field(default_factory=Clocks)
    heard: Heard | None = None
    paths: tuple[Path, ...] = ()
    alerts: int = 0
    steps: int = 0
    _lock: ExitStack = field(default_factory=ExitStack)
    _saved: float = field(default_factory=time.monotonic)
    _last: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Of recordings whose last window alerted, that alert: it may be corrected."""
    _live: bool = False
    """Whether all that was there has been read, so that what comes is new."""
    _listened: float = field(default_factory=time.monotonic)

    @classmethod
    def start(
        cls,
        detector: Path,
        evidence: Iterable[Path],
        sinks: Sequence[Sink],
        *,
        state: Path | None = None,
        options: WatchOptions | None = None,
        listen: Sequence[str] = (),
    ) -> Self:
        """Begin to watch, or go on where the state in the directory `state` stands.

        What comes at the places `listen` lies in an inbox in `state`, and is followed as well.

        Raises CheckpointError for a detector or a state that cannot be trusted, UsageError for the state of
        another detector, for places where nobody can listen and for products that cannot be rounded,
        OutputError where another watch is at work in it, DefinitionError for exceptions that are wrong.
        """
        chosen = options or WatchOptions()
        with ExitStack() as stack:
            for sink in sinks:
                stack.callback(sink.close)
            loaded, digest = load(detector), states.detector_digest(detector)
            if chosen.rounded:
                round_products(loaded)
            judge_example(loaded)
            lock = stack.enter_context(ExitStack())
            if state is not None:
                # Before anything is taken back that another watch may be writing.
                with storage.writing(state):
                    state.mkdir(parents=True, exist_ok=True)
                lock.enter_context(storage.locked(state))
            before = None if state is None else states.load(state, digest)
            reader, paths = loaded.reader(), tuple(evidence)
            inbox, listening = inbox_of(reader, state, listen), None
            if inbox is not None and listen:
                listening = Listening(listen, inbox)
                stack.callback(listening.close)
            if chosen.shard is not None:
                require_apart(reader, paths)
            require_same(chosen.shard, before, state)
            try:
                watch = cls(
                    loaded,
                    digest,
                    state,
                    _follower(reader, paths, inbox, chosen, before),
                    Windower(reader, live.scored(reader)),
                    NormalScorer.of(loaded),
                    Incidents(),
                    tuple(sinks),
                    chosen,
                    again=_again(detector, paths, state),
                    inbox=inbox,
                    listening=listening,
                    paths=tuple(path if path == STDIN else path.absolute() for path in paths),
                    _lock=lock,
                )
                watch._take_up(before, stack)
            except (KeyError, TypeError, ValueError, IndexError) as error:
                raise CheckpointError(
                    f"the state cannot be taken up ({error!r})", where=state, remedy=states.REMEDY
                ) from error
            # From here on they are closed when watching ends.
            stack.pop_all()
            return watch

    def _take_up(self, before: dict[str, Any] | None, stack: ExitStack) -> None:
        """Go on where the state stands, or begin."""
        if self.scorer is not None:
            self.promise = Promise.start(self.scorer.budget.alpha, self.loaded.schema.length)
            if isinstance(self.loaded.encoder, NormalEncoder):
                self.heard = Heard.of(self.loaded.encoder, self.scorer.budget.alpha)
        if self.directory is not None:
            if self.options.after is not None:
                feedback.take_over(self.options.after, self.directory)
            self.exceptions = Exceptions.of(self.directory)
            self.kept = feedback.sink(self.directory)
            stack.callback(self.kept.close)
        if before is not None:
            self._restore(before)
        if self.options.shard is not None:
            self.incidents.share(self.options.shard.number, self.options.shard.of)
        if before is None and self.directory is not None:
            # Ids go on where somebody has removed the state, and kept the incidents.
            self.incidents.go_on_after(feedback.highest(self.directory))

    def run(self) -> None:
        """Watch until everything was read (`once`), or somebody asks to stop (Ctrl-C, SIGTERM)."""
        with ExitStack() as stack:
            stop = stack.enter_context(StopRequests(self._tell_of_stop))
            stack.callback(self._close)
            # A kill before the next save must find where files stood before anything was written.
            self.save()
            if self.listening is not None:
                self.listening.start()
            self._watch(stop)
            self.follower.tell_unread()
            self.save()
        self._tell()

    def save(self) -> None:
        """Have all that was written on disk, and then where everything stands."""
        self._flush(self._all_sinks())
        self._saved = time.monotonic()
        if self.directory is None:
            return
        budget = None if self.scorer is None else self.scorer.budget.to_dict()
        follower = self.follower.state()
        states.save(
            self.directory,
            self.digest,
            {
                "precision": self.options.precision,
                "follower": follower,
                "windower": self.windower.state(),
                "budget": budget,
                "promise": None if self.promise is None else self.promise.to_dict(),
                "incidents": self.incidents.to_dict(),
                "dismissed": self.dismissed,
                "repeats": self.repeats.to_dict(),
                "last": self._last,
                "heard": None if self.heard is None else self.heard.to_dict(time.monotonic()),
                "saved_s": time.time(),
                "sinks": {sink.spec: sink.position() for sink in self.sinks},
                "kept": None if self.kept is None else self.kept.position(),
                "daily": self.daily.to_dict(),
                # Where a page finds the lines beside the evidence of an incident.
                "evidence": [str(path) for path in self.paths],
                "shard": None if self.options.shard is None else str(self.options.shard),
                "steps": self.steps,
                "alerts": self.alerts,
            },
        )
        if self.inbox is not None:
            self.inbox.sweep(follower)
        native.release_linker()

    def _restore(self, before: dict[str, Any]) -> None:
        # A state that was saved before products could be rounded is of scores in float32.
        was, now = before.get("precision", WatchOptions().precision), self.options.precision
        if was != now:
            log.warning(
                "the state is of a watch with --precision %s and goes on with %s: the same evidence gets "
                "slightly other scores from here on",
                was,
                now,
            )
        self.windower.restore(before["windower"])
        self.incidents = Incidents.of(before["incidents"])
        self.steps, self.alerts = int(before["steps"]), int(before["alerts"])
        if self.scorer is not None and before["budget"] is not None:
            self.scorer.budget = AlertBudget.of(before["budget"])
            self.promise = Promise.of(before["promise"])
        self.dismissed = Counter({str(name): int(n) for name, n in before["dismissed"].items()})
        if "repeats" in before:
            self.repeats = Repeats.of(before["repeats"])
        self._last = dict(before.get("last", {}))
        self._restore_heard(before)
        # A state that was saved before days were counted has none.
        self.daily = Daily.of(before.get("daily", {}))
        for sink in self.sinks:
            if sink.spec in before["sinks"]:
                sink.restore(before["sinks"][sink.spec])
        if self.kept is not None:
            self.kept.restore(before["kept"])

    def _restore_heard(self, before: dict[str, Any]) -> None:
        """Go on listening to what is followed still; a state that was saved before there were silences has
        none."""
        if self.heard is None or before.get("heard") is None:
            return
        old, paths = set(before.get("evidence", ())), set(map(str, self.paths))
        if not (old <= paths or paths <= old):
            log.info("other evidence is watched than before: silences are listened for anew")
            return
        left = old - paths
        plain = still_followed(checked.mapping(before["heard"], "heard"), before["follower"]["names"], left)
        # Who looks once a day wants to know what was silent since; who goes on after a while knows nothing of
        # that while.
        more_s = max(time.time() - float(before["saved_s"]), 0.0) if self.options.once else 0.0
        self.heard.restore(plain, time.monotonic(), more_s=more_s, once=self.options.once)
        self._live = self.options.once

    def _watch(self, stop: StopRequests) -> None:
        scanned, some, begun, started = 0.0, False, False, time.monotonic()
        while not _asked(stop):
            now = time.monotonic()
            # However much there is to read, what is new is looked for meanwhile.
            if now - scanned >= SCAN_S or (self.options.once and not some):
                self.follower.scan()
                if self.exceptions is not None:
                    self.exceptions.refresh()
                scanned = now
            some, before = False, self.steps
            for block in self.follower.read():
                some = True
                self._take(block)
                self._save_in_time()
                if _asked(stop):
                    return
            if some and self.options.once:
                continue
            if not some and self.follower.ended:
                self._end()
                return
            backlog = self.steps - before >= MANY
            # However much there is of others, whoever is quiet has nothing more to say for now.
            for block in self.follower.release(self.options.idle_s):
                self._take(block, new=False)
            self._pass_clock(listen=not backlog)
            self.follower.tell_waiting(WAITED_S)
            early = self.options.once or backlog or not (self.steps or now - started >= WAITED_S)
            if not begun and not early:
                begun = self._tell_begun()
            self._save_in_time()
            self._flush(self.sinks)
            if not backlog:
                time.sleep(POLL_S)

    def _tell_begun(self) -> bool:
        """Say that all there was is read, or that nothing could be; True: it was said."""
        if self.steps:
            log.info("all there was is read: %d steps, %d alerts; what comes is waited for",
                     self.steps, self.alerts)  # fmt: skip
        elif any(path != STDIN and holds_bytes(path) for path in self.paths):
            then = "nothing" if self.options.once else "nothing so far"
            log.warning("%s could be read: the detector was learnt from %s, and reads nothing else",
                        then, self.loaded.schema.source)  # fmt: skip
        return True

    def _end(self) -> None:
        for block in self.follower.release():
            self._take(block, new=False)
        self._listened = -SCAN_S
        self._pass_clock(listen=True)
        if not self.steps:
            self._tell_begun()
        if self.directory is None:
            # Nobody will go on here: what looks ahead, and what is open, ends.
            self._judge(self.windower.flush())
            self._write(self.incidents.close_all())

    def _pass_clock(self, *, listen: bool) -> None:
        """What comes of time alone, by this machine's clock: incidents close, and, where all there is was
        read (`listen`), what is silent for too long is told."""
        now = time.monotonic()
        if listen and self.heard is not None and now - self._listened >= SCAN_S:
            self._listened = now
            self._write(self._silent(self.heard.pass_clock(now)))
        self._live |= listen
        self._write(self.incidents.pass_clock(time.time()))

    def _take(self, block: StepBlock, *, new: bool = True) -> None:
        """`new`: it was just read; what was held back may have been written long ago."""
        self.steps += len(block)
        self._judge(self.windower.push(block), new=new)

    def _judge(self, batches: Iterable[WindowBatch], *, new: bool = True) -> None:
        for judged in judge_batches(self.loaded, batches):
            self.daily.take(judged.batch.t_ns[int(judged.batch.corrects) :])
            self.clocks.take(judged.batch)
            self._take_back(judged.batch)
            rows: Iterable[dict[str, Any]]
            if self.scorer is not None:
                hiding = None
                if self.exceptions is not None and self.exceptions.entries:
                    hiding = self._hiding
                rows = self.scorer.rows(
                    judged,
                    alerts_only=not self.options.every,
                    hiding=hiding,
                    repeats=self.repeats,
                    repeated=self.incidents.repeat,
                )
            else:
                rows = rows_of(judged, self.loaded, explain=True)
            lines: list[dict[str, Any]] = []
            for row in rows:
                if row["alert"] or "dismissed" in row:
                    lines += self._alert(row)
                if self.options.every or row["alert"] or row.get("corrects"):
                    lines.append(row)
            self._keep_last(judged.batch)
            if self.heard is not None:
                heard = self.heard.take(judged, time.monotonic(), live=self._live and new)
                lines += self._silent(heard)
            lines += self._pass_time(judged.batch)
            lines += self._drift(judged)
            self._write(lines)

    def _hiding(self, alert: dict[str, Any]) -> str | None:
        """By which exception an alert of a detector of what is normal is fine."""
        found = None if self.exceptions is None else self.exceptions.hiding(alert)
        return None if found is None else found.id

    def _alert(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        """What comes of an alert: lines about incidents. One that was dismissed is no alert any more."""
        if self.promise is not None:
            self.promise.remember(row)
        if self.scorer is None and (because := self._hiding(row)) is not None:
            # Where there is no budget, nothing has to be known before.
            row |= {"alert": False, "dismissed": because}
        self.daily.alert(row.get("time"), dismissed="dismissed" in row)
        if "silence" not in row:
            self._last.pop(str(row.get("recording")), None)
            self._last[str(row.get("recording"))] = row
            while len(self._last) > MOST_LAST:
                del self._last[next(iter(self._last))]
        if "dismissed" in row:
            self.dismissed[row["dismissed"]] += 1
            return []
        self.alerts += 1
        key = row.pop("key", None)
        lines = self.incidents.take(row)
        if key is not None:
            self.repeats.name(key, row["incident"])
        return lines

    def _take_back(self, batch: WindowBatch) -> None:
        """Forget which recordings these windows go on in; what the first one corrects is counted no more."""
        names = [batch.recordings[number].id for number in np.unique(batch.recording).tolist()]
        last = [self._last.pop(name, None) for name in names]
        if not batch.corrects or not len(batch):
            return
        first = names.index(batch.recordings[int(batch.recording[0])].id)
        if (alert := last[first]) is None:
            return
        self.daily.take_back(alert.get("time"), dismissed="dismissed" in alert)
        if "dismissed" in alert:
            self.dismissed[alert["dismissed"]] -= 1
            return
        self.alerts -= 1
        self.incidents.take_back(alert)

    def _keep_last(self, batch: WindowBatch) -> None:
        """Of the alerts of these windows, keep those that stand last in their recordings."""
        for number in np.unique(batch.recording).tolist():
            name = batch.recordings[number].id
            if name in self._last:
                at = int(np.flatnonzero(batch.recording == number)[-1])
                place = batch.place.row(at, named=True)
                if any(self._last[name].get(key) != value for key, value in place.items()):
                    del self._last[name]

    def _silent(self, found: list[Silent]) -> list[dict[str, Any]]:
        """What comes of silences: alerts, and lines about incidents."""
        lines: list[dict[str, Any]] = []
        if self.heard is None or self.scorer is None:
            return lines
        for silent in found:
            row = silent.row()
            entity, at_s = silent.host or silent.recording, silent.at_ns / 1e9
            again = Candidate(key_of(entity, f"{silent.recording}\n{silent.about}"), at_s)
            if (because := self._hiding(row)) is not None:
                row |= {"alert": False, "dismissed": because}
            elif self.repeats.take_repeat(again):
                self.incidents.repeat(self.repeats.incident_of(again.key), row)
                self.heard.told(silent, really=True, shown=False)
                continue
            elif self.scorer.budget.spend(silent.log_p, entity):
                self.repeats.tell(again)
                row["key"] = again.key
            else:
                # Longer, it is rarer.
                self.heard.told(silent, really=False)
                continue
            self.heard.told(silent, really=True, shown="dismissed" not in row)
            lines += self._alert(row)
            if self.options.every or row["alert"]:
                lines.append(row)
        return lines

    def _pass_time(self, batch: WindowBatch) -> list[dict[str, Any]]:
        """Close incidents of which the evidence went on for long enough without an alert."""
        if not self.incidents.open:
            return []
        lines: list[dict[str, Any]] = []
        for number in np.unique(batch.recording).tolist():
            name, last = batch.recordings[number], int(batch.t_ns[batch.recording == number].max())
            if last != NO_TIME:
                for entity in dict.fromkeys((whole(name.host), whole(name.id))):
                    lines += self.incidents.pass_time(entity, last / 1e9)
        return lines

    def _drift(self, judged: JudgedBatch) -> list[dict[str, Any]]:
        """A line where these windows have broken the promise; of all lines there is one."""
        if self.promise is None:
            return []
        batch, strangeness = judged.batch, judged.judgement.strangeness
        # A window that takes the place of another was counted.
        new = slice(int(batch.corrects), None)
        names = [name.id for name in batch.recordings]
        if not self.promise.take(-strangeness[new], batch.recording[new], names, batch.t_ns[new]):
            return []
        row = self.promise.row(self.again, rfc3339(batch.t_ns[-1:])[0])
        log.warning("the promise is broken: %s", row["reasons"][0]["says"])
        return [row]

    def _write(self, rows: list[dict[str, Any]]) -> None:
        if not rows:
            return
        for sink in self.sinks:
            sink.write(rows)
        if self.kept is not None:
            self.kept.write([row for row in rows if row.get("kind") == "incident"])

    def _flush(self, sinks: Iterable[Sink]) -> None:
        """Have what was written outlive this process, and sinks hear how alerts stand to the budget."""
        for sink in sinks:
            if self.scorer is not None:
                sink.stand(Standing.of(self.alerts, self.scorer.budget, self.daily))
            sink.flush()

    def _all_sinks(self) -> tuple[Sink, ...]:
        return self.sinks if self.kept is None else (*self.sinks, self.kept)

    def _save_in_time(self) -> None:
        if time.monotonic() - self._saved >= self.options.save_s:
            self.save()

    def _close(self) -> None:
        # The last one first; where one fails, the others are closed all the same.
        with ExitStack() as stack:
            stack.callback(self._lock.close)
            for sink in reversed(self._all_sinks()):
                stack.callback(sink.close)
            stack.callback(self.follower.close)
            if self.listening is not None:
                stack.callback(self.listening.close)

    def _tell_of_stop(self, name: str) -> None:
        kept = "the state is saved" if self.directory else "nothing is remembered (--state DIR does that)"
        log.info("%s: %s, and watching ends", name, kept)

    def _tell(self) -> None:
        log.info(
            "%d steps, %d alerts, %d incidents (%d open)",
            self.steps, self.alerts, self.incidents.count, len(self.incidents.open),
        )  # fmt: skip
        if back := self.windower.out_of_order:
            log.warning("%s came with a time before that of the one before: judged as they came",
                        counted(back, "step"))  # fmt: skip
        if self.directory is not None and self.exceptions is not None:
            for sentence in feedback.kept(self.directory, self.exceptions.entries).told():
                log.info("%s", sentence)
        if self.scorer is not None:
            self.scorer.tell()
        if self.listening is not None:
            for sentence in self.listening.told():
                log.warning("%s", sentence)
        for sink in self._all_sinks():
            for sentence in sink.told():
                log.warning("%s: %s", sink.name, sentence)


def _follower(
    reader: Reader[Any],
    paths: Sequence[Path],
    inbox: Inbox | None,
    options: WatchOptions,
    before: dict[str, Any] | None,
) -> Follower:
    return Follower(
        reader,
        paths,
        inbox=None if inbox is None else inbox.folder,
        once=options.once,
        state=None if before is None else before["follower"],
        takes=None if options.shard is None else options.shard.takes,
    )


def _again(detector: Path, paths: Sequence[Path], state: Path | None) -> str:
    """The command that learns again, which takes a file or a directory."""
    where = "EVIDENCE"
    if len(paths) == 1 and paths[0] != STDIN:
        where = shlex.quote(str(paths[0]))
    said = "" if state is None else f" --state {shlex.quote(str(state))}"
    return f"vestige learn --again {shlex.quote(str(detector))} {where} -o NEW{said}"


def _asked(stop: StopRequests) -> bool:
    """Whether somebody asked to stop by now."""
    return stop.name is not None
