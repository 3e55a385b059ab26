"""What is learnt without labels says what it would catch, beside trivial detectors, and writes a page."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from vestige.evaluation.budget import Budget
from vestige.evaluation.learnt import FILE, Learnt
from vestige.evaluation.learnt_page import PAGE_FILE
from vestige.pipeline.learn import learn
from vestige.sources import registry

STEPS = (
    "connection opened by the gate", "request was parsed", "lease of the page renewed", "page was sent",
    "connection closed by the gate", "counter written to the ledger", "cache entry dropped",
)  # fmt: skip
LINES = 1_500


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Learnt from a log that goes round in a circle, a line every five seconds."""
    folder = tmp_path_factory.mktemp("self_check")
    times = (datetime.fromtimestamp(1_780_000_000 + 5 * number, UTC) for number in range(LINES))
    lines = (f"{t:%Y-%m-%d %H:%M:%S} INFO web: {STEPS[n % len(STEPS)]}" for n, t in enumerate(times))
    (folder / "app.log").write_text("\n".join(lines) + "\n")
    source = registry.get("logs")
    learn(
        source,
        folder / "app.log",
        folder / "d",
        options=source.options(),
        budget=Budget.parse("1/100"),
        seed=3,
    )
    return folder / "d"


def test_it_says_what_it_would_catch(out: Path) -> None:
    found = Learnt.load(out / FILE).sensitivity
    assert found is not None
    shares = {row.what: row.by["normal"].share for row in found.rows}
    assert shares["one message never seen"] == 1.0
    assert shares["two neighbours out of order"] == 1.0
    assert shares["3 messages in a row missing"] == 1.0
    assert found.verdict.startswith("would catch nearly all messages never seen")
    assert all(row.of == 100 for row in found.rows if row.kind in {"foreign", "swapped", "dropped"})
    larger = {row.what: row.by["normal, 10 times the budget"] for row in found.rows}
    assert all(larger[what].share + larger[what].anyway >= share for what, share in shares.items())


def test_trivial_detectors_stand_beside(out: Path) -> None:
    found = Learnt.load(out / FILE).sensitivity
    assert found is not None
    assert list(found.beside) == ["new template", "STIDE", "isolation forest", "length", "rate alone"]
    row = next(row for row in found.rows if row.what == "two neighbours out of order")
    assert row.by["STIDE"].share == 1.0
    assert row.by["new template"].share == 0.0
    assert all(trivial.times <= 1 for trivial in found.beside.values())


def test_the_page_is_written(out: Path) -> None:
    page = (out / PAGE_FILE).read_text()
    assert "What is normal:" in page
    assert "two neighbours out of order" in page
    assert "<script" not in page
