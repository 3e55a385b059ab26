"""Short runs of the fuzzers: kernels compiled with every index checked, some hundreds of mutated inputs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"


@pytest.mark.parametrize(("fuzzer", "inputs", "least"), [("fuzz_traces", 3000, 100), ("fuzz_perf", 1000, 50)])
def test_mutated_bytes_bring_no_crash_no_hang_and_no_read_outside_the_buffer(
    fuzzer: str, inputs: int, least: int
) -> None:
    command = [sys.executable, str(BENCHMARKS / f"{fuzzer}.py"), "--inputs", str(inputs), "--seconds", "60"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "nothing found" in done.stdout
    assert int(done.stdout.split()[0]) > least
