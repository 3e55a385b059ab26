"""Threads of OpenMP wait without spinning, in workers too, unless the user says otherwise."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

DOCTOR = "import sys; sys.argv = ['vestige', 'doctor']; from vestige.cli.main import run; run()"
WORKERS = """
import os
import vestige.cli.main
from vestige.engine import LocalEngine

print([outcome.unwrap() for outcome in LocalEngine(2).map(os.getenv, ["OMP_WAIT_POLICY"] * 2)])
"""


def _run(code: str, **variables: str) -> str:
    """What a fresh interpreter prints, with these environment variables of OpenMP and no others."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**others, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="other OpenMP libraries show other things")
@pytest.mark.parametrize(("own", "spins"), [({}, False), ({"OMP_WAIT_POLICY": "active"}, True)])
def test_the_policy_is_set_before_torch_loads_openmp(own: dict[str, str], spins: bool) -> None:
    # libgomp shows its settings as it reads them, which is once, when it is loaded. A policy that is not set
    # is shown as passive, but spins: the count of spins tells.
    printed = _run(DOCTOR, OMP_DISPLAY_ENV="VERBOSE", **own)
    counts = [int(line.split("'")[1]) for line in printed.splitlines() if "GOMP_SPINCOUNT" in line]
    assert counts
    assert [count > 0 for count in counts] == [spins] * len(counts)


@pytest.mark.parametrize(("own", "found"), [({}, "passive"), ({"OMP_WAIT_POLICY": "active"}, "active")])
def test_worker_processes_inherit_the_policy(own: dict[str, str], found: str) -> None:
    assert _run(WORKERS, **own).strip() == str([found, found])
