"""Memory stays flat however long the export is, but for the dataset's own index."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PREPARE = """
import resource, sys
from pathlib import Path
from vestige.engine import HERE
from vestige.sources.events.options import EventOptions
from vestige.sources.events.prepare import prepare
prepare(Path(sys.argv[1]), Path(sys.argv[2]), EventOptions(), engine=HERE)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""

LIVE = """
import resource, sys
from pathlib import Path
from vestige.sources.events.live import live
from vestige.sources.events.options import EventOptions
from vestige.sources.events.prepare import rules_for, schema_for
schema = schema_for(rules_for(EventOptions()), EventOptions())
assert sum(len(one.place) for one in live([Path(sys.argv[1])], schema)) > 10_000
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def write(path: Path, events: int) -> Path:
    with path.open("w") as file:
        file.write("timestamp,machine,event,label\n")
        for n in range(events):
            late = n * 7919 % 1000
            file.write(
                f"{1_772_438_400 + n - late},host-{n % 211},detector.{n * n % 97},{int(n % 97 == 0)}\n"
            )
    return path


def peak(script: str, *arguments: Path) -> int:
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], check=True, capture_output=True, text=True
    )
    return int(done.stdout)


@pytest.mark.parametrize("script", [PREPARE, LIVE], ids=["prepare", "live"])
def test_memory_is_flat_in_the_length_of_the_export(tmp_path: Path, script: str) -> None:
    short, long = write(tmp_path / "short.csv", 150_000), write(tmp_path / "long.csv", 600_000)
    small = peak(script, short, tmp_path / "d1")
    large = peak(script, long, tmp_path / "d2")
    index = 0 if script == LIVE else 3 * 21 * 450_000
    assert large <= 1.10 * small + index
