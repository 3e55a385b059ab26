"""Memory stays flat however long the log is, but for the dataset's own index."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

INDEX_BYTES = 21
"""What a window's own arrays take while a log is read: all that may grow."""
SHORT, LONG = 20_000, 300_000
"""`benchmarks/bench_logs.py 20000 2000000` measures the promise at its full length."""

LINE = "2015-10-18 18:{:02}:{:02},000 {} [worker {}] a.Server: took {} ms for 10.0.{}.{} in /srv/a{}\n"

PREPARE = """
import resource, sys
from pathlib import Path
from vestige.engine import HERE
from vestige.reading.prepare import prepare
from vestige.sources.logs.options import LogOptions
from vestige.sources.logs.reader import LogReader
class Measured(LogReader):
    def finish(self, account, writer):
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
        super().finish(account, writer)
corpus = Path(sys.argv[1])
prepare(Measured.of_corpus(corpus, LogOptions(format="hadoop")), corpus, Path(sys.argv[2]), engine=HERE)
"""

LIVE = """
import resource, sys
from pathlib import Path
from vestige.reading.live import read_windows
from vestige.reading.steps import Evidence
from vestige.sources.logs.options import LogOptions
from vestige.sources.logs.corpora import rules_for
from vestige.sources.logs.reader import LogReader
from vestige.sources.logs.schema import schema_for
schema = schema_for(rules_for(LogOptions(format="hadoop")), length=10, stride=1)
batches = read_windows(LogReader(schema), Evidence((Path(sys.argv[1]),), "live"))
assert sum(len(batch) for batch in batches) > 10_000
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def write(path: Path, lines: int) -> Path:
    with path.open("w") as file:
        for n in range(lines):
            level = "ERROR" if n % 97 == 0 else "INFO"
            file.write(LINE.format(n // 60 % 60, n % 60, level, n % 9, n, n % 250, n % 199, n % 7))
    return path


def peak(script: str, *arguments: Path) -> int:
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], check=True, capture_output=True, text=True
    )
    return int(done.stdout)


@pytest.mark.parametrize("script", [PREPARE, LIVE], ids=["prepare", "live"])
def test_memory_is_flat_in_the_length_of_the_log(tmp_path: Path, script: str) -> None:
    short, long = write(tmp_path / "short.log", SHORT), write(tmp_path / "long.log", LONG)
    small = peak(script, short, tmp_path / "d1")
    large = peak(script, long, tmp_path / "d2")
    index = 0 if script == LIVE else INDEX_BYTES
    assert large - index * LONG <= 1.10 * (small - index * SHORT)
