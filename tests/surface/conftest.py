"""Lines of a log that were never in a file, and a detector that learnt from them."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random

import pytest

import vestige
from vestige import TrainedDetector

START = datetime(2026, 3, 2)  # noqa: DTZ001 - syslog's times have no zone
ODD = "sshd[911]: error: maximum authentication attempts exceeded for root"


def line(number: int, message: str) -> str:
    return f"{START + timedelta(seconds=45 * number):%b %d %H:%M:%S} web-1 {message}"


@pytest.fixture(scope="session")
def lines() -> list[str]:
    """1,500 lines of three programs; some with a second line that belongs to them."""
    random = Random(7)
    found = []
    for number in range(1500):
        message = (
            f"sshd[{random.randrange(200, 999)}]: Accepted publickey for user{random.randrange(9)}",
            "cron[71]: (root) CMD (run-parts /etc/cron.hourly)",
            f"kernel[0]: eth0: link becomes ready, {random.randrange(900, 1000)} Mbps",
        )[number % 3]
        found.append(line(number, message))
        if number % 50 == 0:
            found.append("    at a frame of a stack trace")
    return found


@pytest.fixture(scope="session")
def detector(lines: list[str], tmp_path_factory: pytest.TempPathFactory) -> TrainedDetector:
    return vestige.learn(lines, tmp_path_factory.mktemp("surface") / "normal", budget="1/300")
