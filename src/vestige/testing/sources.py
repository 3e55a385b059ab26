# ruff: noqa: S101 - assertions are what this file is for
"""The contract of a source."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from vestige.reading.encoding import Batch, Encoder
from vestige.reading.windows import WindowSet
from vestige.sources import registry
from vestige.sources.base import LiveBatch, Source


def check_source(
    source: Source | str,
    corpus: Path,
    directory: Path,
    *,
    options: BaseModel | None = None,
    evidence: Sequence[Path] | None = None,
    part: Path | None = None,
) -> None:
    """Assert that a source (or the registered one of that name) keeps the contract on `corpus`.

    Preparing twice must give equal bytes; windows read live from `evidence` (the files of the corpus in
    sorted order, if not given) must equal those of a dataset of stride 1; an encoder fitted on some
    recordings must not depend on the others, and come back equal from its JSON; the probe must be
    stable. `part` is a corpus with some of the recordings, unchanged (a copy of the first half of the
    files, if not given). Raises AssertionError that says what fails. Datasets go under `directory`.
    """
    chosen = registry.get(source) if isinstance(source, str) else source
    settings = chosen.options() if options is None else options
    windows = chosen.prepare(corpus, directory / "first", settings)
    chosen.prepare(corpus, directory / "second", settings)
    assert len(windows), f"{chosen.name}: the corpus gave no window"
    _check_bytes(chosen, directory / "first", directory / "second")
    some = _first_half(corpus, directory / "half") if part is None else part
    encoder = _check_sealed(chosen, windows, chosen.prepare(some, directory / "third", settings))
    _check_round_trip(chosen, encoder, windows)
    _check_probe(chosen, encoder, windows)
    files = sorted(file for file in corpus.rglob("*") if file.is_file()) if evidence is None else evidence
    if windows.schema.stride == 1 and windows.schema.target != "recording":
        _check_live(chosen, encoder, windows, files)


def _check_bytes(source: Source, first: Path, second: Path) -> None:
    ours, theirs = _digests(first), _digests(second)
    assert ours.keys() == theirs.keys(), f"{source.name}: preparing twice gave other files"
    for name, digest in ours.items():
        assert digest == theirs[name], f"{source.name}: preparing twice gave another {name}"


def _first_half(corpus: Path, place: Path) -> Path:
    files = sorted(file for file in corpus.rglob("*") if file.is_file())
    assert len(files) > 1, f"{corpus} needs at least two files"
    for file in files[: len(files) // 2]:
        target = place / file.relative_to(corpus)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    return place


def _check_sealed(source: Source, windows: WindowSet, part: WindowSet) -> Encoder:
    """Fitted on some recordings, with the others in the dataset or without, it must be the same."""
    mine = windows.recordings["id"].is_in(part.recordings["id"].to_list()).to_numpy()
    training = windows.select(mine[windows.recording])
    assert len(training) == len(part), f"{source.name}: a recording gives other windows among others"
    encoder = source.fit_encoder(training)
    assert source.fit_encoder(part).to_dict() == encoder.to_dict(), (
        f"{source.name}: the encoder depends on recordings that it was not fitted on"
    )
    return encoder


def _check_round_trip(source: Source, encoder: Encoder, windows: WindowSet) -> None:
    state = json.loads(json.dumps(encoder.to_dict(), allow_nan=False))
    back = source.load_encoder(state, windows.schema)
    assert back.to_dict() == encoder.to_dict(), f"{source.name}: the encoder's state does not survive JSON"
    assert back.inputs == encoder.inputs, f"{source.name}: the loaded encoder produces other inputs"
    rows = np.arange(min(len(windows), 256))
    ours, theirs = (_encode(one, windows, rows) for one in (encoder, back))
    _assert_equal(ours, theirs, f"{source.name}: the loaded encoder gives another")


def _check_probe(source: Source, encoder: Encoder, windows: WindowSet) -> None:
    schema = windows.schema.fitted(encoder.inputs)
    first, second = (_live_inputs(encoder, source.probe(schema)) for _ in range(2))
    assert all(len(X) for X in first.values()), f"{source.name}: the probe has no window"
    _assert_equal(first, second, f"{source.name}: the probe is not stable in")


def _check_live(source: Source, encoder: Encoder, windows: WindowSet, files: Sequence[Path]) -> None:
    at = 0
    schema = windows.schema.fitted(encoder.inputs)
    for batch in source.live(files, schema):
        inputs = _live_inputs(encoder, batch)
        n = len(batch.place)
        assert at + n <= len(windows), f"{source.name}: live reading gives more windows than the dataset has"
        prepared = _encode(encoder, windows, np.arange(at, at + n))
        _assert_equal(prepared, inputs, f"{source.name}: windows {at}..{at + n} read live have another")
        at += n
    assert at == len(windows), f"{source.name}: {at} windows read live, {len(windows)} in the dataset"


def _encode(encoder: Encoder, windows: WindowSet, rows: NDArray[np.int64]) -> Batch:
    bound = encoder.bind(windows.table(encoder.symbols))
    return bound.encode(windows.gather(rows), _names(encoder))


def _live_inputs(encoder: Encoder, batch: LiveBatch) -> Batch:
    return encoder.bind(batch.symbols).encode(batch.steps, _names(encoder))


def _names(encoder: Encoder) -> tuple[str, ...]:
    return tuple(one.name for one in encoder.inputs)


def _assert_equal(ours: Batch, theirs: Batch, what: str) -> None:
    for name, values in ours.items():
        same = np.array_equal(values, theirs[name], equal_nan=values.dtype.kind == "f")
        assert same, f"{what} {name}"


def _digests(root: Path) -> dict[str, str]:
    files = sorted(file for file in root.rglob("*") if file.is_file())
    return {str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
