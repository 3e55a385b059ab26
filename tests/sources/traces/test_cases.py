"""Inputs after public bug reports, beside the project: each is read right, or refused for its cause."""

from __future__ import annotations

from pathlib import Path

import pytest

from vestige.errors import EvidenceError
from vestige.reading.steps import Evidence
from vestige.sources.traces.options import TraceOptions
from vestige.sources.traces.reader import TraceReader, TraceStream

CASES = Path(__file__).resolve().parents[3].parent / "shared/cases/traces"
SHORT = ["tool+0x100", "tool taken", "tool not taken", "tool taken", "libc.so.6+0x420", "libc.so.6 taken", "tool+0x1010"]  # fmt: skip  # noqa: E501
VIEWER = ["reader.exe+0x1200", "reader.exe taken", "ntdll.dll+0x420"]
READ = {
    "P01/corpus/run1": [
        *SHORT, "libc.so.6+0x500", "libc.so.6 not taken", "tool+0x1100",
    ],
    "P02/corpus/run1": ["reader.exe+0x1000", "reader.exe taken", "ntdll.dll+0x1166", "kernel32.dll+0xb729"],
    "P03/corpus/run1": VIEWER,
    "P04/corpus/run1": VIEWER,
    "P06/corpus/run1": SHORT,
    "P10/corpus/r1": ["reader.exe+0x1200", "reader.exe taken", "gdi32.dll+0x420"],
    "P10/corpus/r2": ["reader.exe+0x1200", "reader.exe taken", "gdi32.dll+0x420"],
    "P13/corpus/run1": [
        "tool+0x10", "[vsyscall]+0x400", "libwide.so+0x123", "libwide.so+0x456", "[vdso]+0xa0",
    ],
    "P15/corpus/run1": [
        "libc.so.6+0x9ca4", "libc.so.6 not taken", "libc.so.6 not taken", "libc.so.6+0x9d10",
        "libc.so.6 taken",
    ],
    "P16/corpus/run1": [
        "tool+0x10", "tool taken", "libb.so.1 taken", "libb.so.1 not taken", "libb.so.1+0x900",
        "libc.so.6+0x30", "libc.so.6 taken",
    ],
    "P19/corpus/run2": SHORT,
    "P21/corpus/run1": [
        "tool+0x10", "tool taken", "[kernel] 0xffffffff81a00010", "[kernel] taken", "[kernel] not taken",
        "libc.so.6+0x420",
    ],
    "P24/corpus/run1": SHORT,
    "P25/corpus/run1": SHORT,
    "P26/corpus/run1": VIEWER,
    "P27/corpus/run1": [
        "reader.exe+0x1200", "reader.exe taken", "<unmapped> 0x7ff600000100", "ntdll.dll+0x420",
    ],
}  # fmt: skip


def _case(name: str) -> Path:
    if not (CASES / name).exists():
        pytest.skip(f"{CASES / name} is not there: the shared cases lie beside the project")
    return CASES / name


def _read(path: Path) -> tuple[TraceStream, list[str], str]:
    """The stream of a case's only recording, its events as texts, and its program."""
    reader = TraceReader.of_corpus(TraceOptions())
    (unit,) = reader.units(Evidence((path,))).units
    stream, texts, sample = reader.open(unit), [], ""
    while not stream.ended:
        block = stream.read(1000)
        if block is not None:
            texts += reader.text(block.values, block.symbols)
            sample = block.recordings[0].sample
    return stream, texts, sample


@pytest.mark.parametrize("name", READ)
def test_events_are_the_right_ones(name: str) -> None:
    assert _read(_case(name))[1] == READ[name]


def test_a_trace_is_the_same_raw_and_in_a_perf_data() -> None:
    raw, recorded = (_read(_case(f"P01/corpus2/{run}"))[1] for run in ("raw", "perf"))
    assert len(raw) == 11_592
    assert recorded == raw


def test_a_perf_data_alone_has_its_maps_within(tmp_path: Path) -> None:
    alone = tmp_path / "perf.data"
    alone.write_bytes((_case("P01/corpus/run1") / "trace_0").read_bytes())
    assert _read(alone)[1:] == (READ["P01/corpus/run1"], "tool")


@pytest.mark.parametrize(("run", "program"), [("alpha1", "alpha"), ("alpha2", "alpha"), ("beta1", "beta"), ("beta2", "beta")])  # fmt: skip  # noqa: E501
def test_the_program_is_no_library_that_lies_below_it(run: str, program: str) -> None:
    assert _read(_case(f"P07/corpus/{run}"))[2] == program


def test_files_of_one_name_are_two_events_and_that_is_told() -> None:
    stream, texts, _ = _read(_case("P09/corpus/run1"))
    name = "_speedups.cpython-311-x86_64-linux-gnu.so+0x1230"
    assert texts == ["python3.11+0x10", f"markupsafe/{name}", f"simplejson/{name}"]
    assert "different files have one name" in stream.summary["warnings"][0]


def test_names_in_a_map_are_read_as_the_kernel_escapes_them() -> None:
    stream, texts, _ = _read(_case("P11/corpus/run1"))
    assert (texts[0], texts[1][-11:]) == ("my  tool+0x10", "x.so.4+0x20")
    assert [text.split(" +")[0] for text in texts[2:]] == ["<no file>", "<no file>"]
    assert stream.summary["quality"]["map_lines_skipped"] == 0


def test_closures_in_unlinked_files_are_alike_in_every_run() -> None:
    first, second = (_read(_case(f"P12/corpus/{run}"))[1] for run in ("r1", "r2"))
    assert first == second == ["tool+0x10", "<no file> +0x10", "<no file> +0x10"]


def test_files_of_other_names_are_named_in_the_message() -> None:
    with pytest.raises(EvidenceError) as caught:
        TraceReader.of_corpus(TraceOptions()).units(Evidence((_case("P19/corpus") / "run1",)))
    assert "perf.data-aux-idx0.bin, perf.data-aux-idx1.bin" in str(caught.value)
    assert "trace_0" in str(caught.value)
    (told,) = [str(defect) for defect in _read(_case("P19/corpus/run2"))[0].defects]
    assert told == "run2: only trace_0 is read, not trace_1"


@pytest.mark.parametrize(("name", "skipped"), [("P24/corpus/run1", 0), ("P25/corpus/run1", 13)])
def test_what_was_lost_is_counted_and_no_more(name: str, skipped: int) -> None:
    stream = _read(_case(name))[0]
    quality = stream.summary["quality"]
    assert (quality["skipped_bytes"], quality["errors"]) == (skipped, 0)
    assert [defect.why.split()[0] for defect in stream.defects] == [str(skipped)] * bool(skipped)


@pytest.mark.parametrize("run", ["run1", "run2", "run3"])
def test_skippable_frames_lose_nothing(run: str) -> None:
    stream, texts, _ = _read(_case(f"P23/corpus/{run}"))
    assert texts == SHORT * 3
    assert stream.defects == []
