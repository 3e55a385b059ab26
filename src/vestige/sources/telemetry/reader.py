"""Telemetry through the reading core: an episode is a unit, a recording, and one block of seconds on the
grid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from vestige.errors import EvidenceError
from vestige.escaping import visible
from vestige.evidence.defects import DETAIL, FILE, Defect
from vestige.evidence.files import SHIPPING
from vestige.evidence.simulated import is_simulated
from vestige.log import get
from vestige.reading.steps import (
    ChunkStream,
    Evidence,
    Listing,
    Position,
    Reader,
    RecordingInfo,
    StepBlock,
    Steps,
    Unit,
)
from vestige.reading.symbols import NoSymbols, SymbolTable
from vestige.schema import Schema
from vestige.sources.telemetry import index
from vestige.sources.telemetry.encoder import GRID, TelemetryEncoder
from vestige.sources.telemetry.episode import Episode
from vestige.sources.telemetry.extract import Extracted, bounded, episodes, extract
from vestige.sources.telemetry.faults import Fault, FaultError, Verdict
from vestige.sources.telemetry.faults import verdict as worst
from vestige.sources.telemetry.grid import ends
from vestige.sources.telemetry.kernels import Grid
from vestige.sources.telemetry.layout import schema_for
from vestige.sources.telemetry.manifest import FILE_NAMES, NAME
from vestige.sources.telemetry.options import TelemetryOptions, options_of
from vestige.sources.telemetry.places import by_channel, tell
from vestige.sources.telemetry.probe import START_NS, made_up
from vestige.sources.telemetry.store import LINK

if TYPE_CHECKING:
    from vestige.reading.dataset import DatasetWriter
    from vestige.reading.prepare import Account

UNUSABLE: tuple[Verdict, ...] = ("rejected", "errored")
Known = tuple[str, list[str], str | None]
"""Verdict, reasons, and the manifest's digest of an episode, from the index of its store."""
UNKNOWN: Known = ("", [], None)
EPISODES: dict[str, pl.DataType] = {"id": pl.String(), "verdict": pl.String(), "faults": pl.List(pl.String)}

log = get(__name__)


@dataclass(frozen=True)
class EpisodeUnit(Unit):
    """An episode in `folder` of the store `root`; `root` itself where that is empty. `limited`: within the
    limits of one episode, in a process of its own."""

    root: Path = Path()
    folder: str = ""
    limited: bool = True

    @property
    def paths(self) -> tuple[Path, ...]:
        """See `Unit.paths`."""
        return (self.root / self.folder,)


class TelemetryReader(Reader[EpisodeUnit]):
    """Reads episodes on the grid of a schema's settings."""

    whole = True
    isolate = True

    def __init__(self, schema: Schema, options: TelemetryOptions | None = None) -> None:
        """`options`: those of a corpus; without them no labels are read."""
        self.schema = schema
        self._options, self._settings = options, options_of(schema)
        self._labelled = options is not None
        self._known: dict[str, Known] = {}

    def __getstate__(self) -> dict[str, Any]:
        # What an index says of all episodes is of use where the dataset is finished, and not to workers.
        return {**self.__dict__, "_known": {}}

    @classmethod
    def of_corpus(cls, options: TelemetryOptions) -> TelemetryReader:
        """For a store whose labels are read."""
        return cls(schema_for(options), options)

    def units(self, evidence: Evidence) -> Listing[EpisodeUnit]:
        """Episodes in the order of their paths: of stores, or folders of single ones.

        Of a corpus, what `vestige validate` has found in the store (`options.index`, else what lies in it) is
        taken over, where the manifest is still the same: episodes that it rejected are not read. Raises
        EvidenceError where there is no episode, for one by itself that is still being recorded, and for an
        index of another store.
        """
        listing: Listing[EpisodeUnit] = Listing([])
        for path in evidence.paths:
            _refuse_growing(path)
            found = episodes(path)
            if not found.paths:
                raise EvidenceError(f"holds no episodes: {visible(found.links[0])} is {LINK}", where=path)
            listing.left_out += [Defect(link, None, FILE, f"link:folder: {LINK}") for link in found.links]
            folders = found.paths
            if evidence.mode == "follow":
                shipped = [folder for folder in folders if not folder or (path / folder / NAME).exists()]
                growing = sorted(set(folders).difference(shipped))
                listing.left_out += [Defect(folder, None, FILE, SHIPPING) for folder in growing]
                folders = shipped
            if self._options is not None:
                folders = self._usable(path, self._options.index, listing.left_out)
                self._labelled = _names_labels(path, folders)
            alone = len(found.paths) == 1
            for folder in folders:
                unit = EpisodeUnit(
                    folder or path.name, folder or str(path), None, alone, evidence.mode,
                    root=path, folder=folder, limited=not alone or self._options is not None,
                )  # fmt: skip
                listing.units.append(unit)
        return listing

    def open(self, unit: EpisodeUnit, *, resume: Position | None = None) -> EpisodeStream:
        """See `Reader.open`."""
        corpus = self._options is not None
        return EpisodeStream(
            unit, self.schema, self._settings, corpus=corpus, labelled=self._labelled, resume=resume
        )

    def symbols(self) -> SymbolTable:
        """See `Reader.symbols`: there are none."""
        return NoSymbols()

    def text(self, values: Steps, symbols: SymbolTable) -> list[str]:  # noqa: ARG002
        """See `Reader.text`: what a second was like."""
        return [tell(step_C) for step_C in values[GRID]]

    def numbers(self, values: Steps) -> list[dict[str, float | None]]:
        """See `Reader.numbers`: in the shortest form that tells them apart."""
        return [by_channel(step_C) for step_C in values[GRID]]

    def probe(self) -> list[StepBlock]:
        """A made-up episode, `probe.EXTRA` seconds longer than a window."""
        seconds = self._settings.grid_seconds
        grid = made_up(self.schema.length, seconds)
        t_ns = ends(START_NS, len(grid), seconds)
        return [_block(grid, t_ns, None, RecordingInfo("probe"), "probe", seconds)]

    def finish(self, account: Account, writer: DatasetWriter) -> None:
        """See `Reader.finish`. Raises EvidenceError where no episode could be used."""
        if not account.units:
            raise account.nothing("no episode of it can be used")
        rows, faults = [], Counter[str]()
        for unit, summary in account.units:
            verdict, reasons, digest = self._known.get(unit.folder, UNKNOWN)
            if digest != summary["digest"]:
                verdict, reasons = summary["verdict"], []
            named = list(dict.fromkeys([*reasons, *summary["faults"]]))
            faults.update(named)
            rows.append({"id": summary["id"], "verdict": verdict, "faults": named})
        verdicts = Counter(row["verdict"] for row in rows)
        writer.table(TelemetryEncoder.symbols, pl.DataFrame(rows, schema=EPISODES))
        origin = f"A window's label is the {self._settings.classes} that the lab noted for its last second."
        if not account.labelled:
            origin = "The store has no labels."
            log.warning("the store has no labels: nothing of it can be classified")
        writer.notes.update(
            episodes=len(rows),
            accepted=verdicts["accepted"],
            degraded=verdicts["degraded"],
            faults=dict(sorted(faults.items())),
            label_origin=origin,
            synthetic=is_simulated(account.corpus),
        )

    def _usable(self, corpus: Path, given: Path | None, left_out: list[Defect]) -> list[str]:
        """The episodes that neither their names nor an index of the store rule out."""
        found = episodes(corpus)
        file = corpus / index.NAME if given is None else given
        if given is not None or file.is_file():
            self._known = _known(file, self._settings.grid_seconds, ours=given is None)
        if given is not None and not _is_of(corpus, self._known, found.paths):
            raise EvidenceError(
                f"is the index of another store: none of its {len(self._known):,} episodes is in {corpus} "
                "as it was swept",
                where=given,
                remedy="give the index of this store, or leave out --index",
            )
        usable = []
        for folder in found.paths:
            verdict, reasons, digest = self._known.get(folder, UNKNOWN)
            if folder in found.repeated:
                why = f"repeated_id:episode: {found.repeated[folder]} has the same id"
            elif verdict in UNUSABLE and digest is not None and digest == _digest(corpus, folder):
                why = f"{verdict}: {', '.join(reasons)}"
            else:
                usable.append(folder)
                continue
            left_out.append(Defect(folder, None, FILE, why))
        return usable


class EpisodeStream(ChunkStream):
    """An episode, which is read as a whole."""

    def __init__(
        self,
        unit: EpisodeUnit,
        schema: Schema,
        options: TelemetryOptions,
        *,
        corpus: bool,
        labelled: bool,
        resume: Position | None = None,
    ) -> None:
        """`corpus`: it is read for a dataset."""
        super().__init__(resume)
        self._unit, self._schema, self._corpus, self._labelled = unit, schema, corpus, labelled
        self._options = options
        self._read: Extracted | None = None

    @property
    def taken(self) -> int:
        """See `StepStream.taken`: bytes as the manifest has them."""
        return 0 if self._read is None else self._read.bytes

    @property
    def digests(self) -> dict[str, str]:
        """See `StepStream.digests`: that of the manifest, and through it of all files."""
        return {} if self._read is None else {self._id(self._read): self._read.digest}

    @property
    def summary(self) -> dict[str, Any]:
        """The episode's verdict and faults, and its manifest's digest."""
        read = self._read
        if read is None:
            return {}
        return {
            "id": self._id(read),
            "verdict": read.verdict,
            "faults": [f"{fault.code}:{fault.subject}" for fault in read.faults],
            "digest": read.digest,
            "format": f"{read.manifest.schema_version}, steps of {read.seconds} s",
            "why": f"its {NAME} says so; files: {', '.join(file.path for file in read.manifest.files)}",
            "warnings": [
                f"{channel}: {count:,} of its readings are taken for none, for the counter went on "
                "as if it had not been read"
                for channel, count in read.forgotten.items()
            ],
        }

    def _id(self, read: Extracted) -> str:
        """What the recording is called: in a dataset by its folder in the store or its own id, where people
        read by its folder or as it was given."""
        if self._corpus:
            return self._unit.folder or read.manifest.episode_id
        return self._unit.name

    def _begin(self) -> dict[str, Any]:
        return {}

    def _next(self) -> StepBlock | None:
        if self._read is not None:
            return None
        unit, options = self._unit, self._options
        classes = self._schema.classes if self._labelled else None
        work = bounded if unit.limited else extract
        seconds = options.grid_seconds
        read = self._read = work(unit.root, unit.folder, classes, options.classes, seconds)
        self._ended = True
        self.defects = [Defect(unit.name, None, DETAIL, str(fault)) for fault in read.faults]
        manifest = read.manifest
        info = RecordingInfo(
            self._id(read),
            host=manifest.host.id,
            sample=manifest.sample.sha256 or "",
            profile=manifest.profile,
            t_start_ns=manifest.t_start_ns,
            t_end_ns=manifest.t_end_ns,
        )
        return _block(read.grid, read.t_ns, read.label, info, unit.name, seconds)


def describe(evidence: Path, recording: str, schema: Schema) -> RecordingInfo | None:
    """What the episode that scoring calls `recording` says of itself; without `changes` where its labels
    cannot be read, None where it is not of `evidence` or cannot be read at all."""
    alone = (evidence / NAME).is_file()
    if alone and recording != str(evidence):
        return None
    try:
        with Episode(evidence, "" if alone else recording) as episode:
            manifest = episode.manifest
            return RecordingInfo(
                recording,
                host=manifest.host.id,
                sample=manifest.sample.sha256 or "",
                profile=manifest.profile,
                t_start_ns=manifest.t_start_ns,
                t_end_ns=manifest.t_end_ns,
                changes=_changes(episode, schema),
            )
    except FaultError:
        return None


def _changes(episode: Episode, schema: Schema) -> tuple[tuple[int, str], ...]:
    try:
        labels = episode.labels()
    except FaultError:
        return ()
    changes = tuple(labels.select("t_wall_ns", options_of(schema).classes).iter_rows())
    return changes if all(name in schema.classes for _, name in changes) else ()


def _block(grid: Grid, t_ns: Any, label: Any, info: RecordingInfo, file: str, seconds: int) -> StepBlock:
    return StepBlock(
        recordings=(info,),
        recording=np.zeros(len(grid), dtype=np.uint32),
        values={GRID: grid},
        t_ns=t_ns,
        label=label,
        symbols=NoSymbols(),
        file=file,
        place={"second": np.arange(1, len(grid) + 1, dtype=np.int64) * seconds},
        ended=np.array([True]),
    )


def _refuse_growing(path: Path) -> None:
    """Raise EvidenceError for the folder of an episode that has no manifest yet."""
    if any((path / name).exists() for name in FILE_NAMES) and not (path / NAME).exists():
        raise EvidenceError(
            f"an episode that is still being recorded or shipped: it has no {NAME} yet",
            where=path,
            remedy="score it when that is there: clocks and the beginning of its seconds are known only then",
        )


def _names_labels(store: Path, folders: Iterable[str]) -> bool:
    """Whether the store has labels: whether any manifest that can be read names them. Of a store that has,
    the episodes without them are faulty."""
    readable = False
    for folder in folders:
        try:
            with Episode(store, folder) as episode:
                if episode.manifest.file("labels") is not None:
                    return True
                readable = True
        except FaultError:
            continue
    return not readable


def _known(file: Path, seconds: int, *, ours: bool) -> dict[str, Known]:
    """What an index says of episodes on a grid of steps of `seconds`; one that somebody named is never to be
    removed."""
    columns = ("path", "verdict", "reasons", "validator_version", "manifest_sha256")
    try:
        rows = index.read(file).select(*columns).iter_rows()
    except EvidenceError as error:
        if ours:
            raise
        remedy = "give the file that vestige validate STORE -o FILE wrote"
        raise EvidenceError(error.what, where=file, remedy=remedy) from error
    return {
        path: (*_on_grid(verdict, why, rules, seconds), digest) for path, verdict, why, rules, digest in rows
    }


def _on_grid(verdict: Verdict, why: list[str], rules: str | None, seconds: int) -> tuple[Verdict, list[str]]:
    """A verdict and its reasons, less those that an index gives for another grid than ours."""
    short = list(map(_short, why))
    kept = [reason for reason in short if not reason.startswith(tuple(f"{code}:" for code in index.PACED))]
    if len(kept) == len(short) or index.judged_for(rules) == seconds:
        return verdict, short
    return worst(Fault(reason.partition(":")[0], "") for reason in kept), kept


def _is_of(corpus: Path, known: dict[str, Known], folders: list[str]) -> bool:
    """Whether an index knows any episode of a store, manifest and all: folders are soon called alike."""
    here = (folder for folder in folders if known.get(folder, UNKNOWN)[2] is not None)
    return any(known[folder][2] == _digest(corpus, folder) for folder in here)


def _digest(corpus: Path, folder: str) -> str | None:
    """Of the manifest as it is now: an episode that was shipped again has another."""
    try:
        with Episode(corpus, folder) as episode:
            return episode.digest
    except FaultError:
        return None


def _short(reason: str) -> str:
    """`code:subject` of a reason, without the particulars."""
    return ":".join(reason.split(":")[:2])
