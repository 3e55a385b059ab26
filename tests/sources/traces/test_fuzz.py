"""A short run of the fuzzer: kernels compiled with every index checked, a few thousand mutated inputs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FUZZER = Path(__file__).resolve().parents[3] / "benchmarks/fuzz_traces.py"


def test_mutated_bytes_bring_no_crash_no_hang_and_no_read_outside_the_buffer() -> None:
    command = [sys.executable, str(FUZZER), "--inputs", "3000", "--seconds", "60"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "nothing found" in done.stdout
    assert int(done.stdout.split()[0]) > 100
