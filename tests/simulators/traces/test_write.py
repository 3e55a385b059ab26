"""A simulated corpus: valid packets, the real layout, hijacks where it says they are."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from vestige.errors import OutputError
from vestige.evidence.files import MARKER
from vestige.simulators.traces.options import SimulateOptions
from vestige.simulators.traces.program import make_library, make_program
from vestige.simulators.traces.write import simulate
from vestige.sources.traces.corpus import find_recordings
from vestige.sources.traces.maps import read_map
from vestige.sources.traces.packets.columns import Packets, decode
from vestige.sources.traces.packets.kinds import Kind

OPTIONS = SimulateOptions(programs=4, recordings=4, kilobytes=16, overflows=60)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("traces") / "corpus"
    simulate(path, OPTIONS)
    return path


@pytest.fixture(scope="module")
def decoded(corpus: Path) -> dict[str, Packets]:
    return {one.id: decode(one.trace.path.read_bytes()) for one in find_recordings(corpus)[0]}


def test_every_packet_is_valid_and_of_every_sort(decoded: dict[str, Packets]) -> None:
    kinds = Counter(Kind(kind) for one in decoded.values() for kind in one.kind.tolist())
    wanted = {
        Kind.PSB, Kind.PSBEND, Kind.TNT_8, Kind.TNT_64, Kind.TIP, Kind.TIP_PGE, Kind.TIP_PGD, Kind.FUP,
        Kind.MODE_EXEC, Kind.CBR, Kind.TSC, Kind.TMA, Kind.MTC, Kind.CYC, Kind.OVF,
    }  # fmt: skip
    assert wanted <= set(kinds)
    assert not {Kind.UNKNOWN_OPCODE, Kind.UNKNOWN_PACKET} & set(kinds)


def test_compressions_psb_period_and_share_of_branches_are_those_of_real_traces(
    decoded: dict[str, Packets],
) -> None:
    assert len(decoded) > 0
    compressions: set[int] = set()
    for one in decoded.values():
        addresses = np.isin(one.kind, [Kind.TIP, Kind.TIP_PGE, Kind.TIP_PGD, Kind.FUP])
        compressions |= set((one.bits[addresses] >> np.uint64(5)).tolist())
        gaps = np.diff(one.offset[one.kind == Kind.PSB].astype(np.int64))
        assert ((gaps >= 4096) & (gaps < 4400)).all()
    assert compressions == {0, 1, 2, 3, 4, 6}
    every = Packets.joined(decoded.values())
    bits, targets = int(every.n_bits.sum()), int(np.isin(every.kind, [Kind.TIP, Kind.TIP_PGE]).sum())
    assert 0.8 <= bits / (bits + targets) <= 0.95


def test_benign_runs_stay_within_their_modules_and_hijacks_are_where_the_marker_says(
    corpus: Path, decoded: dict[str, Packets]
) -> None:
    report = json.loads((corpus / MARKER).read_text())
    assert report["planted"]["malicious"] == len(report["hijacks"]) == 8
    starts = {}
    for one in find_recordings(corpus)[0]:
        assert one.map is not None
        memory, packets = read_map(one.map), decoded[one.id]
        targets = np.isin(packets.kind, [Kind.TIP, Kind.TIP_PGE])
        ip, offset = packets.ip[targets], packets.offset[targets]
        region = np.searchsorted(memory.regions.starts, ip, side="right").astype(np.int64) - 1
        outside = (region < 0) | (ip >= memory.regions.ends[region])
        hijack = report["hijacks"].get(one.id)
        assert one.label == ("benign" if hijack is None else "malicious")
        if hijack is None:
            assert not outside.any()
        else:
            assert hijack["bytes"] == one.trace.size
            assert np.abs(offset.astype(np.int64) - hijack["offset"]).min() <= 3
            starts[hijack["attack"]] = bool(outside.any())
            assert (offset[outside] >= hijack["offset"]).all()
            module = hijack["left"].partition("+")[0]
            assert module in memory.names
    assert starts.get("shellcode", True)
    assert not starts.get("rop", False)


def test_equal_options_give_equal_files_and_others_others(corpus: Path, tmp_path: Path) -> None:
    simulate(tmp_path / "again", OPTIONS)
    assert _digest(tmp_path / "again") == _digest(corpus)
    simulate(tmp_path / "other", OPTIONS.model_copy(update={"seed": 1}))
    assert _digest(tmp_path / "other") != _digest(corpus)


def test_a_library_is_the_same_in_all_programs_and_the_program_its_own() -> None:
    first, second = make_program(0, 0), make_program(1, 0)
    assert first.modules[2] is second.modules[2] is make_library("libc-2.31.so", 0)
    assert first.modules[0].name != second.modules[0].name
    assert len(first.kind) != len(second.kind)


@pytest.mark.parametrize(("packing", "ending"), [("gz", ".gz"), ("zst", ".zst")])
def test_traces_may_be_packed_and_maps_be_of_proc(tmp_path: Path, packing: str, ending: str) -> None:
    options = SimulateOptions(programs=1, recordings=1, kilobytes=4, compress=packing, map="maps")
    simulate(tmp_path / "corpus", options)
    (recording,) = find_recordings(tmp_path / "corpus")[0]
    assert recording.trace.path.name == f"trace_0{ending}"
    assert recording.map is not None
    memory = read_map(recording.map)
    assert memory.program == "program-000"
    assert memory.skipped == 0


def test_what_somebody_else_wrote_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="did not write"):
        simulate(tmp_path / "corpus", OPTIONS, overwrite=True)


def _digest(root: Path) -> str:
    found = hashlib.sha256()
    for file in sorted(root.rglob("trace_0")):
        found.update(file.read_bytes())
    return found.hexdigest()
