"""From recordings to a dataset: whole, flat, the same however it is read; what is damaged is left out."""

from __future__ import annotations

import errno
import gzip
import shutil
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.reading.raw import live, probe
from vestige.cli import tables
from vestige.engine import HERE, Engine, LocalEngine
from vestige.errors import EvidenceError, OutputError
from vestige.evidence.expand import Expander
from vestige.reading.prepare import prepare
from vestige.reading.windows import MANIFEST, WindowSet
from vestige.schema import UNK
from vestige.sources.traces.encoder import TraceEncoder
from vestige.sources.traces.maps import read_map
from vestige.sources.traces.options import TraceOptions
from vestige.sources.traces.reader import TraceReader
from vestige.sources.traces.schema import schema_for
from vestige.sources.traces.source import TraceSource
from vestige.testing import check_source

SHORT = TraceOptions(sequence_len=16)
CHUNKS = TraceOptions(sequence_len=16, sliding_window=False)
MERGED = TraceOptions(sequence_len=16, own_code="merge")
TARGETS = TraceOptions(sequence_len=16, tip_only=True)
SHARED = Path(__file__).parents[4] / "shared/data/intel-pt/real/arcus"


def _prepared(corpus: Path, out: Path, options: TraceOptions, *, engine: Engine = HERE) -> WindowSet:
    return TraceSource().prepare(corpus, out, options, engine=engine)


@pytest.mark.parametrize(
    "options", [SHORT, CHUNKS, TARGETS, MERGED], ids=["sliding", "chunks", "tip-only", "merged"]
)
def test_the_source_keeps_its_contract(tiny_corpus: Path, tmp_path: Path, options: TraceOptions) -> None:
    check_source("traces", tiny_corpus, tmp_path, options=options)


@pytest.mark.parametrize("options", [SHORT, TARGETS, CHUNKS], ids=["all", "tip-only", "chunks"])
def test_what_is_read_live_is_what_was_prepared(
    small_corpus: Path, tmp_path: Path, options: TraceOptions
) -> None:
    source, windows = TraceSource(), _prepared(small_corpus, tmp_path / "dataset", options)
    encoder = source.fit_encoder(windows)
    bound = encoder.bind(windows.table(encoder.symbols))
    place = source.place(windows, np.arange(len(windows)))
    at = 0
    for batch in live([small_corpus], windows.schema):
        here = slice(at, at + batch.place.height)
        ours = bound.encode(windows.gather(np.arange(here.start, here.stop)), ("tokens", "summary"))
        theirs = encoder.bind(batch.symbols).encode(batch.steps, ("tokens", "summary"))
        for name, inputs in ours.items():
            assert np.array_equal(inputs, theirs[name])
        assert batch.place.equals(place[here].select(batch.place.columns).cast(batch.place.schema))
        at = here.stop
    assert at == len(windows)


def test_several_readers_give_the_dataset_of_one(small_corpus: Path, tmp_path: Path) -> None:
    _prepared(small_corpus, tmp_path / "one", SHORT)
    reader = TraceReader.of_corpus(SHORT)
    reader.small = 0
    prepare(reader, small_corpus, tmp_path / "two", engine=LocalEngine(2))
    files = sorted((tmp_path / "one").rglob("*.*"))
    assert len(files) > 3
    for file in files:
        assert file.read_bytes() == (tmp_path / "two" / file.relative_to(tmp_path / "one")).read_bytes()


def test_chunks_lose_no_event_and_overlap_nowhere(small_corpus: Path, tmp_path: Path) -> None:
    sliding = _prepared(small_corpus, tmp_path / "sliding", SHORT)
    chunks = _prepared(small_corpus, tmp_path / "chunks", CHUNKS)
    steps = chunks.gather(names=("symbol",))["symbol"]
    assert int((steps != 0).sum()) == len(sliding)
    assert len(np.unique(chunks.steps())) == steps.size
    assert (steps[:, -1] != 0).all()


def test_a_sample_is_a_program_and_windows_carry_the_runs_label(small_corpus: Path, tmp_path: Path) -> None:
    windows = _prepared(small_corpus, tmp_path / "dataset", SHORT)
    assert sorted(windows.recordings["sample"].unique()) == [f"program-00{n}" for n in range(4)]
    assert windows.schema.target == "recording"
    for recording in range(windows.recordings.height):
        labels = np.unique(windows.label[windows.recording == recording])
        assert len(labels) == 1
        profile = windows.recordings["profile"][recording]
        assert bool(labels[0]) == (profile in {"rop", "middle", "shellcode"})


def test_addresses_of_no_module_share_a_token_and_keep_their_text(small_corpus: Path, tmp_path: Path) -> None:
    windows = _prepared(small_corpus, tmp_path / "dataset", SHORT)
    table = windows.table("symbols")
    outside = table.filter(pl.col("token").eq("<unmapped>"))
    assert outside.height > 1
    assert outside["text"].n_unique() == outside.height
    benign = windows.select(windows.label == 0)
    encoder = TraceSource().fit_encoder(benign)
    tokens = encoder.bind(table).encode(windows.gather(names=("symbol",)), ("tokens",))["tokens"]
    known = (encoder.inputs[0].vocabulary or ()).index("<unmapped>")
    assert (tokens == known).any()
    assert not (tokens[windows.label == 0] == known).any()


def test_own_code_merged_is_one_token_for_known_and_new_programs(small_corpus: Path, tmp_path: Path) -> None:
    options = TraceOptions(sequence_len=16, own_code="merge")
    windows = _prepared(small_corpus, tmp_path / "dataset", options)
    new = (windows.recordings["sample"] == "program-003").to_numpy()[windows.recording]
    source = TraceSource()
    encoder = source.fit_encoder(windows.select(~new))
    vocabulary = encoder.inputs[0].vocabulary or ()
    assert not any(one.startswith("program-") for one in vocabulary)
    assert any(one.startswith("libc-2.31.so+") for one in vocabulary)
    table = windows.table("symbols")
    mine = table.with_row_index("row").filter(module="program-003", kind=1)["row"].to_numpy()
    tokens = encoder.bind(table).encode({"symbol": mine[None]}, ("tokens",))["tokens"]
    assert {vocabulary[one] for one in tokens[0]} == {"<own code>"}
    kept = source.fit_encoder(_prepared(small_corpus, tmp_path / "kept", SHORT))
    assert any(one.startswith("program-") for one in kept.inputs[0].vocabulary or ())


def test_a_new_target_is_unknown_once_and_then_known_to_be_the_same(
    small_corpus: Path, tmp_path: Path
) -> None:
    windows = _prepared(small_corpus, tmp_path / "dataset", SHORT)
    new = (windows.recordings["sample"] == "program-003").to_numpy()[windows.recording]
    encoder = TraceSource().fit_encoder(windows.select(~new))
    table = windows.table("symbols")
    mine = table.with_row_index("row").filter(module="program-003", kind=1)["row"].to_numpy()
    once, twice = [mine[0], mine[1], mine[2]], [mine[1], mine[0], mine[1]]
    batch = encoder.bind(table).encode({"symbol": np.array([once, twice])}, ("tokens", "summary"))
    same = len(encoder.inputs[0].vocabulary or ())
    assert batch["tokens"].tolist() == [[UNK, UNK, UNK], [same, UNK, same]]
    unseen = [one.name for one in encoder.inputs[1].features].index("unseen")
    assert batch["summary"][:, unseen].tolist() == [1, 1]


@pytest.mark.parametrize("options", [SHORT, CHUNKS], ids=["sliding", "chunks"])
def test_the_vocabulary_counts_what_training_shows_once(
    small_corpus: Path, tmp_path: Path, options: TraceOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = _prepared(small_corpus, tmp_path / "dataset", options)
    train = windows.select(np.random.default_rng(0).permutation(len(windows))[: len(windows) // 50])
    symbol = windows.streams["symbol"]
    counts = np.bincount(symbol[np.unique(train.steps())], minlength=len(train.table("symbols")))
    names = train.table("symbols")["token"].to_list()
    total: Counter[str] = Counter()
    for name, count in zip(names[1:], counts[1:].tolist(), strict=True):
        total[name] += count
    own = {one for one in names if one.startswith("<")}
    seen = [one for one in total if total[one] and one not in own]
    ranked = sorted(seen, key=lambda one: (-total[one], one))
    encoder = TraceEncoder.fit(train, size=1000)
    assert encoder == TraceSource().fit_encoder(train)
    assert [one for one in encoder.inputs[0].vocabulary or () if not one.startswith("<")] == ranked
    ends = [names[one] for one in symbol[windows.target_step]]
    unknown = np.mean([one not in own and one not in ranked for one in ends])
    assert encoder.unseen(windows)["events"] == pytest.approx(unknown)


def test_what_cannot_be_read_is_left_out_with_its_reason(small_corpus: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    shutil.copytree(small_corpus, corpus)
    first, second, third, fourth, fifth, sixth, seventh, *_ = sorted(filter(Path.is_dir, corpus.iterdir()))
    (first / "trace_0").write_bytes(b"no packets at all" * 100)
    (second / "mapping.txt").write_text("nothing\n")
    (third / "info.txt").write_text("x\nwho knows\n")
    packed = gzip.compress((fourth / "trace_0").read_bytes())
    (fourth / "trace_0").unlink()
    (fourth / "trace_0.gz").write_bytes(packed[:-20])
    (fifth / "trace_0").write_bytes(b"\x02\x82" * 8 + b"\x02\x23")
    (sixth / "trace_0").write_bytes(b"\x28\xb5\x2f\xfd" + bytes(50))
    (seventh / "trace_1").write_bytes(b"")
    windows = _prepared(corpus, tmp_path / "dataset", SHORT)
    left_out = windows.notes["left_out"]
    reasons = {one["file"]: one["why"] for one in left_out if one["what"] == "the file"}
    assert "no PSB" in reasons[first.name]
    assert "region" in reasons[second.name]
    assert "label" in reasons[third.name]
    assert "no event" in reasons[fifth.name]
    assert "the Zstandard data are cut off" in reasons[sixth.name]
    defects = [one for one in left_out if one["what"] != "the file"]
    assert [one["file"] for one in defects] == [fourth.name, seventh.name]
    assert "cut off" in defects[0]["why"]
    assert "not trace_1" in defects[1]["why"]
    assert windows.notes["recordings"] == 11
    assert not (tmp_path / "dataset/scratch").exists()


def test_a_run_that_names_too_many_modules_is_left_out(small_corpus: Path, tmp_path: Path) -> None:
    first = min(filter(Path.is_dir, small_corpus.iterdir()))
    names = read_map(first / "mapping.txt").names
    reader = TraceReader.of_corpus(SHORT)
    reader.most_modules = len(names)
    prepare(reader, small_corpus, tmp_path / "dataset", engine=HERE)
    windows = WindowSet.open(tmp_path / "dataset")
    assert windows.recordings["sample"].n_unique() == 1
    assert set(windows.table("symbols")["module"]) <= {"", *names}
    skipped = [one["why"] for one in windows.notes["left_out"]]
    assert len(skipped) == 16 - windows.recordings.height > 0
    assert all("modules" in one for one in skipped)


def test_a_decompression_bomb_is_refused_and_its_run_left_out(
    small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tight = partial(Expander, bomb_bytes=1 << 20)
    monkeypatch.setattr("vestige.evidence.stream.Expander", tight)
    corpus = tmp_path / "corpus"
    shutil.copytree(small_corpus, corpus)
    folder = min(one for one in corpus.iterdir() if one.is_dir())
    (folder / "trace_0").unlink()
    (folder / "trace_0.gz").write_bytes(gzip.compress(bytes(1 << 25), compresslevel=9))
    windows = _prepared(corpus, tmp_path / "dataset", SHORT)
    assert folder.name in {one["file"] for one in windows.notes["left_out"]}


def test_loss_is_a_figure_of_every_recording(small_corpus: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    shutil.copytree(small_corpus, corpus)
    folder = min(one for one in corpus.iterdir() if one.is_dir())
    data = bytearray((folder / "trace_0").read_bytes())
    data[1000:1004] = b"\x02\xff\x02\xff"
    (folder / "trace_0").write_bytes(bytes(data))
    quality = _prepared(corpus, tmp_path / "dataset", SHORT).table("quality")
    damaged = quality.filter(quality["recording"] == folder.name)
    assert damaged["errors"][0] >= 1
    assert damaged["lost"][0] > 0
    assert quality["overflows"].sum() > 0
    assert (quality["bytes"] > 0).all()
    shown = tables.quality(WindowSet.open(tmp_path / "dataset"))
    assert shown is not None
    assert shown.row_count == quality.height


def test_a_full_disk_is_no_fault_of_the_evidence(
    small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("vestige.sources.traces.symbols.Symbols.rows", full)
    with pytest.raises(OutputError, match="disk is full"):
        _prepared(small_corpus, tmp_path / "dataset", SHORT)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_behind_where_no_run_can_be_decoded(small_corpus: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    shutil.copytree(small_corpus, corpus)
    for trace in corpus.rglob("trace_0"):
        trace.write_bytes(b"nothing")
    with pytest.raises(EvidenceError, match="no recording could be decoded"):
        _prepared(corpus, tmp_path / "dataset", SHORT)
    assert not (tmp_path / "dataset").exists()
    with pytest.raises(EvidenceError, match="not a stream"):
        _prepared(Path("-"), tmp_path / "dataset", SHORT)


def test_the_probe_shows_every_kind_of_event() -> None:
    tokens = set(probe(schema_for(SHORT)).symbols["token"])
    assert {"<nowhere> taken", "<unmapped>", "<no file>", "probe+0x10", "libc.so.6+0x1034"} <= tokens


def test_real_runs_are_read_without_loss(tmp_path: Path) -> None:
    if not SHARED.is_dir():
        pytest.skip(f"no real recordings: {SHARED} is absent")
    windows = _prepared(SHARED, tmp_path / "dataset", TraceOptions(tip_only=True))
    quality = windows.table("quality")
    assert quality.height == 18
    assert quality["errors"].sum() == 0
    assert (windows.path / MANIFEST).is_file()
    hijacked = quality.filter(quality["unmapped"] > 0)
    assert set(hijacked["label"]) == {"malicious"}


@pytest.mark.parametrize("options", [SHORT, CHUNKS], ids=["sliding", "chunks"])
def test_a_window_for_every_event_of_many_is_warned_of(
    small_corpus: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    options: TraceOptions,
) -> None:
    reader = TraceReader.of_corpus(options)
    reader.many_windows = 100
    prepare(reader, small_corpus, tmp_path / "dataset", engine=HERE)
    windows = WindowSet.open(tmp_path / "dataset")
    told = "\n".join(one.getMessage() for one in caplog.records)
    assert ("--no-sliding-window" in told) == (options is SHORT)
    if options is SHORT:
        assert f"{len(windows):,} windows" in told
