"""Whatever lies beside the project is read to the last record, counted independently; what is not read has a
reason."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from vestige.errors import EvidenceError
from vestige.reading.steps import Evidence
from vestige.sources import registry

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the shared data lie beside the project")


def counted(source: str, path: Path, **options: object) -> tuple[Counter[str], list[str]]:
    """How many steps each file has, and the files that were left out."""
    kind = registry.get(source)
    reader = kind.corpus_reader(path, kind.options(**options))
    listing = reader.units(Evidence((path,)))
    steps: Counter[str] = Counter()
    left_out = [defect.file for defect in listing.left_out]
    for unit in listing.units:
        try:
            stream = reader.open(unit)
        except EvidenceError:
            left_out.append(Path(unit.id).name)
            continue
        while not stream.ended:
            block = stream.read(4096)
            if block is not None:
                steps[block.file] += len(block)
        left_out += [defect.file for defect in stream.defects]
    return steps, left_out


SYSTEMS = (
    "Android", "Apache", "BGL", "HDFS", "HPC", "Hadoop", "HealthApp", "Linux", "Mac", "OpenSSH", "OpenStack",
    "Proxifier", "Spark", "Thunderbird", "Windows", "Zookeeper",
)  # fmt: skip


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_line_of_the_samples_of_loghub_is_a_message(system: str) -> None:
    """The samples have a message a line, and nobody says in which format."""
    path = DATA / "loghub" / system / f"{system}_2k.log"
    lines = path.read_bytes().replace(b"\r\n", b"\n").removesuffix(b"\n").count(b"\n") + 1
    steps, left_out = counted("logs", path)
    assert lines == 2000
    assert dict(steps) == {path.name: lines}
    assert not left_out


def records_in(content: bytes) -> int:
    """How many records a text holds: lines that are no comment of Zeek; of audit, serial numbers."""
    lines = [line for line in content.split(b"\n") if line.strip() and not line.startswith(b"#")]
    if lines[0].startswith(b"type="):
        return len({line.partition(b"msg=audit(")[2].partition(b")")[0] for line in lines})
    return len(lines)


def test_every_record_of_the_exports_of_otrf_is_an_event(tmp_path: Path) -> None:
    archives = sorted((DATA / "otrf").glob("*.zip"))
    assert len(archives) > 8
    for archive in archives:
        place = tmp_path / archive.stem
        zipfile.ZipFile(archive).extractall(place)
        files = [file for file in place.rglob("*") if file.is_file()]
        wanted = sum(records_in(file.read_bytes()) for file in files)
        steps, left_out = counted("events", place)
        # What Zeek loaded has neither a time nor a machine: such a file is left out, by name.
        without = [file for file in files if file.name == "loaded_scripts.log"]
        assert left_out == [file.name for file in without], archive.name
        assert steps.total() == wanted - sum(records_in(file.read_bytes()) for file in without), archive.name


def test_every_alert_of_ait_is_an_event() -> None:
    wanted = {
        file.name: len(json.loads(gzip.decompress(file.read_bytes())))
        for file in (DATA / "ait-alerts").glob("*.json.gz")
    }
    steps, left_out = counted("events", DATA / "ait-alerts")
    assert len(wanted) == 14
    assert steps.total() == sum(wanted.values())
    assert not left_out


def test_every_event_of_published_sessions_is_one() -> None:
    files = sorted(file for file in (DATA / "sessions").glob("*/*") if file.is_file())
    assert len(files) > 15
    for file in files:
        lines = [line for line in file.read_text().split("\n") if "," in line]
        # A session ends with an event of its own.
        wanted = sum(len(line.partition(",")[2].split()) + 1 for line in lines)
        steps, left_out = counted("events", file, mapping="sessions", anomalous_files="*abnormal*")
        assert steps.total() == wanted, file.name
        assert not left_out
