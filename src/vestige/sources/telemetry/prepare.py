"""Reading a store of episodes into a dataset: workers make grids, one process writes them in order."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from vestige.engine import LOCAL, Engine
from vestige.errors import EvidenceError, VestigeError
from vestige.evidence.simulated import is_simulated
from vestige.reading.dataset import DatasetWriter
from vestige.sources.base import Progress
from vestige.sources.telemetry import index
from vestige.sources.telemetry.encoder import GRID, TelemetryEncoder
from vestige.sources.telemetry.episode import Episode
from vestige.sources.telemetry.extract import Extracted, bounded, episodes
from vestige.sources.telemetry.faults import FaultError, Verdict
from vestige.sources.telemetry.layout import schema_for
from vestige.sources.telemetry.options import TelemetryOptions

CHUNK = 8
"""Episodes that a worker gets at a time."""
MOST_NOTES = 1000
UNUSABLE: tuple[Verdict, ...] = ("rejected", "errored")
Known = tuple[str, list[str], str | None]
UNKNOWN: Known = ("", [], None)
EPISODES: dict[str, pl.DataType] = {"id": pl.String(), "verdict": pl.String(), "faults": pl.List(pl.String)}

log = logging.getLogger(__name__)


@dataclass
class Account:
    """What became of the episodes of a store. `known`: verdict, reasons and the manifest's digest from its
    index, by folder."""

    known: dict[str, Known] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    refused: VestigeError | None = None
    faults: Counter[str] = field(default_factory=Counter)

    def take(self, one: Extracted) -> None:
        """Count an episode that is used."""
        verdict, reasons, digest = self.known.get(one.folder, UNKNOWN)
        if digest != one.digest:
            verdict, reasons = one.verdict, []
        met = [f"{fault.code}:{fault.subject}" for fault in one.faults]
        named = list(dict.fromkeys([*reasons, *met]))
        self.faults.update(named)
        self.rows.append({"id": one.folder, "verdict": verdict, "faults": named})

    def leave(self, folder: str, reason: str, error: VestigeError | None = None) -> None:
        """Count an episode that is not."""
        self.refused = self.refused or error
        self.skipped.append({"episode": folder, "reason": reason})

    def notes(self) -> dict[str, Any]:
        """For the dataset."""
        verdicts = Counter(row["verdict"] for row in self.rows)
        return {
            "episodes": len(self.rows),
            "accepted": verdicts["accepted"],
            "degraded": verdicts["degraded"],
            "faults": dict(sorted(self.faults.items())),
            "skipped_episodes": len(self.skipped),
            "skipped": self.skipped[:MOST_NOTES],
        }


def prepare(
    corpus: Path,
    out: Path,
    options: TelemetryOptions,
    *,
    engine: Engine = LOCAL,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write the dataset: a recording an episode that is accepted or degraded.

    What `vestige validate` has found in the store (`options.index`, else what lies in it) is taken over,
    where the manifest is still the same: episodes that it rejected are not read. An episode that cannot be
    read is left out and noted. Raises EvidenceError where none is left or the index is of another store,
    OutputError where `out` cannot be written; then nothing is left behind.
    """
    schema = schema_for(options)
    account = Account()
    todo = _usable(corpus, account, options.index)
    work = partial(bounded, corpus, classes=schema.classes, by=options.classes)
    done = 0
    with DatasetWriter(out, schema, overwrite=overwrite) as writer:
        outcomes = engine.map(work, todo, chunk=CHUNK, isolate=True)
        for number, outcome in enumerate(outcomes, 1):
            if outcome.error is None:
                _add(writer, outcome.unwrap(), account)
                done += outcome.unwrap().bytes
            else:
                _leave(account, outcome.item, outcome.error)
            if progress is not None:
                progress(done, done * len(todo) // number)
        if not account.rows:
            raise account.refused or EvidenceError("no episode of it can be used", where=corpus)
        writer.table(TelemetryEncoder.symbols, pl.DataFrame(account.rows, schema=EPISODES))
        writer.notes.update(account.notes() | _origin(corpus, options))
    if account.skipped:
        first = account.skipped[0]
        log.warning(
            "%d episodes were left out, the first %s: %s",
            len(account.skipped), first["episode"], first["reason"],
        )  # fmt: skip


def _add(writer: DatasetWriter, one: Extracted, account: Account) -> None:
    manifest = one.manifest
    writer.begin(
        id=one.folder or manifest.episode_id,
        host=manifest.host.id,
        sample=manifest.sample.sha256 or "",
        profile=manifest.profile,
    )
    if one.label is None:
        raise ValueError("the episode was extracted without labels")
    writer.extend({GRID: one.grid}, t_ns=one.t_ns, label=one.label)
    writer.close_recording(one.digest)
    account.take(one)


def _leave(account: Account, folder: str, error: VestigeError | OSError) -> None:
    if isinstance(error, FaultError):
        account.leave(folder, str(error.fault), error)
    elif isinstance(error, VestigeError):
        account.leave(folder, error.what, error)
    else:
        account.leave(folder, str(error))


def _usable(corpus: Path, account: Account, given: Path | None) -> list[str]:
    """The episodes that neither their names nor an index of the store rule out."""
    found = episodes(corpus)
    file = corpus / index.NAME if given is None else given
    if given is not None or file.is_file():
        account.known = _known(file, ours=given is None)
    if given is not None and not _is_of(corpus, account.known, found.paths):
        raise EvidenceError(
            f"is the index of another store: none of its {len(account.known):,} episodes is in {corpus} "
            "as it was swept",
            where=given,
            remedy="give the index of this store, or leave out --index",
        )
    usable = []
    for folder in found.paths:
        verdict, reasons, digest = account.known.get(folder, UNKNOWN)
        if folder in found.repeated:
            account.leave(folder, f"repeated_id:episode: {found.repeated[folder]} has the same id")
        elif verdict in UNUSABLE and digest is not None and digest == _digest(corpus, folder):
            account.leave(folder, f"{verdict}: {', '.join(reasons)}")
        else:
            usable.append(folder)
    return usable


def _known(file: Path, *, ours: bool) -> dict[str, Known]:
    """What an index says; one that somebody named is never to be removed."""
    try:
        rows = index.read(file).select("path", "verdict", "reasons", "manifest_sha256").iter_rows()
    except EvidenceError as error:
        if ours:
            raise
        remedy = "give the file that vestige validate STORE -o FILE wrote"
        raise EvidenceError(error.what, where=file, remedy=remedy) from error
    return {path: (verdict, list(map(_short, why)), digest) for path, verdict, why, digest in rows}


def _is_of(corpus: Path, known: dict[str, Known], folders: list[str]) -> bool:
    """Whether an index knows any episode of a store, manifest and all: folders are soon called alike."""
    here = (one for one in folders if known.get(one, UNKNOWN)[2] is not None)
    return any(known[one][2] == _digest(corpus, one) for one in here)


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


def _origin(corpus: Path, options: TelemetryOptions) -> dict[str, Any]:
    return {
        "label_origin": f"A window's label is the {options.classes} that the lab noted for its last second.",
        "synthetic": is_simulated(corpus),
    }
