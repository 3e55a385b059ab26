"""Windows of small files, frozen to text: a change here is a change of what every trained detector sees.

Where it is meant, raise `prepare.VERSION` and rewrite: `python -m tests.sources.events.test_golden`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.sources.events.exports import dataset

GOLDEN = Path(__file__).with_name("golden")
MAPPINGS = {
    "table.csv": "csv",
    "elastic.ndjson": "ecs",
    "findings.jsonl": "ocsf",
    "runs_test_abnormal_loop.txt": "sessions",
}


def render(path: Path, out: Path) -> str:
    """A line a window: recording, place, time, raw hash, label, and the events, oldest first."""
    windows = dataset(path, out, mapping=MAPPINGS[path.name], context=2)
    names = windows.table("events")["text"].to_list()
    steps = windows.gather()
    lines = []
    for row, recording in enumerate(windows.recording.tolist()):
        line, offset, t_ns, raw = (int(steps[name][row, -1]) for name in ("line", "offset", "t_ns", "raw"))
        window = " | ".join(names[at] for at in steps["event"][row])
        of = windows.recordings.row(recording, named=True)
        lines.append(
            f"{of['id']} ({of['host']}, {of['profile']}) {line}@{offset} {t_ns} {raw:016x} "
            f"{windows.label[row]} {window}\n"
        )
    bad = [f"{one['file']}:{one['row']}: {one['why']}\n" for one in windows.notes["left_out"]]
    return "".join([*lines, *bad])


@pytest.mark.parametrize("name", MAPPINGS)
def test_windows_are_as_frozen(name: str, tmp_path: Path) -> None:
    frozen = (GOLDEN / f"{name}.golden").read_text(encoding="utf-8")
    assert render(GOLDEN / name, tmp_path / "d") == frozen


def test_every_golden_file_belongs_to_an_export() -> None:
    assert {one.name.removesuffix(".golden") for one in GOLDEN.iterdir()} == set(MAPPINGS)


if __name__ == "__main__":
    for one in MAPPINGS:
        with tempfile.TemporaryDirectory() as folder:
            text = render(GOLDEN / one, Path(folder) / "d")
        (GOLDEN / f"{one}.golden").write_text(text, encoding="utf-8")
