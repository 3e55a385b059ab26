"""What an episode says of itself, for those who look at it while it is scored."""

from __future__ import annotations

from pathlib import Path

from vestige.schema import Schema
from vestige.sources.base import RecordingInfo
from vestige.sources.telemetry.episode import Episode
from vestige.sources.telemetry.faults import FaultError
from vestige.sources.telemetry.manifest import NAME


def describe_recording(evidence: Path, recording: str, schema: Schema) -> RecordingInfo | None:
    """Of the episode that `live` calls `recording`; without `changes` where its labels cannot be read."""
    alone = (evidence / NAME).is_file()
    if alone and recording != str(evidence):
        return None
    try:
        with Episode(evidence, "" if alone else recording) as episode:
            manifest = episode.manifest
            return RecordingInfo(
                host=manifest.host.id,
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
    changes = tuple(labels.select("t_wall_ns", schema.settings["classes"]).iter_rows())
    return changes if all(name in schema.classes for _, name in changes) else ()
