"""An epoch over more than the process may hold."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "epoch_beyond_memory.py"


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts the memory of a process on Linux")
def test_an_epoch_touches_two_gigabytes_in_a_process_that_may_have_less(tmp_path: Path) -> None:
    """The script limits itself to 1.5 GB (`RLIMIT_DATA`): it ends where it asks for more."""
    done = subprocess.run(
        [sys.executable, SCRIPT, "2", "6"],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "2.0 GB of steps" in done.stdout
    (touched,) = re.findall(r"touched: (\d+)%", done.stdout)
    (resident,) = re.findall(r"([\d,]+) MB resident", done.stdout)
    assert int(touched) > 95
    assert int(resident.replace(",", "")) < 1500
