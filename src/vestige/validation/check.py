"""One episode: everything that is wrong with it, and so its verdict."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from vestige.sources.telemetry import stamps, values
from vestige.sources.telemetry.episode import Episode
from vestige.sources.telemetry.faults import Fault, FaultError, Verdict, verdict
from vestige.sources.telemetry.fields import COLLECTORS, RATE_HZ, SAMPLED, CollectorName
from vestige.sources.telemetry.manifest import Manifest
from vestige.sources.telemetry.tables import stamp
from vestige.validation.options import ValidateOptions


@dataclass
class Finding:
    """What a sweep knows of one episode: `path` in the store, faults, and what the manifest says."""

    path: str
    faults: list[Fault] = field(default_factory=list)
    digest: str | None = None
    manifest: Manifest | None = None
    rows: dict[CollectorName, int] = field(default_factory=dict)
    in_transit: bool = False

    @property
    def verdict(self) -> Verdict:
        """The worst that any fault calls for."""
        return verdict(self.faults)


def check(store: Path, path: str, known: str | None, options: ValidateOptions) -> Finding | None:
    """Check the episode at `path` of `store`; None where its manifest's digest is `known`."""
    finding = Finding(path)
    try:
        with Episode(store, path) as episode:
            finding.digest = episode.digest
            if episode.digest == known:
                return None
            finding.manifest = episode.manifest
            _Check(episode, finding, options).run()
    except FaultError as error:
        finding.in_transit = error.fault[:2] == ("absent", "manifest")
        finding.faults.append(error.fault)
    return finding


class _Check:
    def __init__(self, episode: Episode, finding: Finding, options: ValidateOptions) -> None:
        self.episode, self.manifest, self.options = episode, episode.manifest, options
        self.finding, self.faults = finding, finding.faults
        self.first_ns: int | None = None

    def run(self) -> None:
        """Each check goes on where another one failed: all reasons are listed."""
        self.faults += self.episode.strangers()
        steps: list[Callable[[], None]] = [
            functools.partial(self._collector, collector) for collector in COLLECTORS
        ]
        for step in (*steps, self._labels):
            try:
                step()
            except FaultError as error:
                self.faults.append(error.fault)
        if not self.manifest.sealed:
            self._fault("unsealed", "episode")
        named = {file.source for file in self.manifest.files if file.rows}
        if not {"proc", "guest"} & named:
            self._fault("no_rows", "episode")

    def _fault(self, code: str, subject: str, detail: str = "") -> None:
        self.faults.append(Fault(code, subject, detail))

    def _collector(self, collector: CollectorName) -> None:
        columns: tuple[str, ...] | None = ()
        if self.options.deep:
            columns = None  # all of them, not the stamps and `seq` alone
        found = self.episode.table(collector, columns)
        if found is None:
            self._fault("missing", collector)
            return
        table, defects = found
        self.finding.rows[collector] = table.height
        wrong = stamps.faults(table, collector, self.manifest)
        if self.options.deep:
            wrong += values.faults(table, collector, self.options.gate)
        self.faults += [*defects, *wrong]
        if not table[stamp(collector, self.manifest)].null_count():
            self._times(table, collector)

    def _times(self, table: pl.DataFrame, collector: CollectorName) -> None:
        """Rows that lie in the episode against those that there should be."""
        t_ns = stamps.unix_ns(table, collector, self.manifest, str(self.episode.path))
        if len(t_ns):
            first_ns = int(t_ns.min())
            if self.first_ns is None or first_ns < self.first_ns:
                self.first_ns = first_ns
        if collector not in SAMPLED:
            if len(t_ns) < (least := self.options.connections(self.manifest.profile)):
                self._fault("few_flows", collector, f"{len(t_ns):,} of at least {least:,}")
            return
        slow = stamps.too_slow(t_ns, table, collector, self.options.grid_seconds)
        expected = self.manifest.seconds * RATE_HZ / self.options.grid_seconds
        self.faults += slow
        if not slow and len(t_ns) < self.options.gate * expected:
            self._fault("few_rows", collector, f"{len(t_ns):,} of {expected:,.0f}")

    def _labels(self) -> None:
        """They begin no later than the rows do (rows may lie up to a second before the episode)."""
        first_ns = self.episode.labels()["t_wall_ns"][0]
        if self.first_ns is not None and first_ns > max(self.first_ns, self.manifest.t_start_ns):
            self._fault("labels", "labels", "they begin after the rows do")
