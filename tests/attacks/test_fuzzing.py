"""The fuzzer of evidence for some hundred inputs; `make fuzz` runs it, and those of traces, for minutes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.attacks.effort import EFFORT

FUZZER = Path(__file__).resolve().parents[2] / "benchmarks" / "fuzz_evidence.py"


def test_evidence_changed_at_random_is_read_or_refused(tmp_path: Path) -> None:
    inputs = str(200 * EFFORT)
    command = [sys.executable, str(FUZZER), "--inputs", inputs, "--seconds", str(600 * EFFORT), "--seed", "1"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=700 * EFFORT
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())
    assert {"logs: read", "events: read", "manifest: refused"} <= set(told)
