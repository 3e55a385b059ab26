"""Windows of small files, frozen to text: a change here is a change of what every trained detector sees.

Where it is meant, raise `schema.VERSION` and rewrite: `python -m tests.sources.logs.test_golden`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reading.raw import live
from vestige.sources.logs.corpora import rules_for
from vestige.sources.logs.options import LogOptions
from vestige.sources.logs.schema import schema_for

GOLDEN = Path(__file__).with_name("golden")
LOGS = sorted(GOLDEN.glob("*.log"))


def render(path: Path) -> str:
    """A line a window: place, time, raw hash, and the messages, oldest first."""
    schema = schema_for(rules_for(LogOptions(format=path.stem, year="2005")), length=2, stride=1)
    lines = []
    for batch in live([path], schema):
        texts = batch.symbols["text"].to_list()
        for row, (name, line, offset) in enumerate(batch.place.rows()):
            t_ns, raw = batch.steps["t_ns"][row, -1], batch.steps["raw"][row, -1]
            window = " | ".join(repr(texts[at]) for at in batch.steps["message"][row])
            lines.append(f"{name}:{line}@{offset} {t_ns} {raw:016x} {window}\n")
    return "".join(lines)


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.stem)
def test_windows_are_as_frozen(path: Path) -> None:
    assert render(path) == path.with_suffix(".txt").read_text(encoding="utf-8")


def test_every_golden_file_belongs_to_a_log() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == {path.stem for path in LOGS}


if __name__ == "__main__":
    for log in LOGS:
        log.with_suffix(".txt").write_text(render(log), encoding="utf-8")
