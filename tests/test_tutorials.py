"""Tutorials are typed, command by command, in an empty folder: they work, and print what they show."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import warm
from tests.sources.events.evtx_files import Event, evtx
from tests.sources.traces.perf_data import PerfData
from vestige.simulators import registry

ROOT = Path(__file__).resolve().parents[1]
TUTORIALS = ROOT / "docs/tutorials"
BLOCK = re.compile(
    r"^(?P<told><!-- not executed: [^\n]+ -->\n)?```(?P<kind>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def two_event_logs(folder: Path) -> None:
    """A log of some days of one machine, and one of another day on which something new ran."""
    usual = (
        "C:\\Windows\\explorer.exe",
        "C:\\Windows\\System32\\svchost.exe",
        "C:\\Program Files\\office.exe",
    )
    seconds = [(1_700_000_000 + 300 * n, usual[(n // 3 if n % 7 else n) % 3]) for n in range(1200)]
    later = [(1_700_400_000 + 300 * n, usual[n % 3]) for n in range(30)]
    later[20] = (later[20][0], "C:\\Users\\Public\\mimikatz.exe")
    for name, rows in (("normal.evtx", seconds), ("today.evtx", later)):
        events = [Event(at * 10_000_000, data=(("Image", image),)) for at, image in rows]
        (folder / name).write_bytes(evtx(events, a_chunk=50))


def a_perf_recording(folder: Path) -> None:
    """A simulated recording with its memory map, as `perf record` would have left both."""
    source = registry.get("traces")
    options = source.options.model_validate(
        {"programs": 2, "recordings": 2, "kilobytes": 4, "map": "maps", "seed": 9}
    )
    source.write(folder / "simulated", options)
    recording = next(path.parent for path in sorted((folder / "simulated").rglob("trace_0")))
    made = PerfData()
    made.comm(77, (recording / "info.txt").read_text().splitlines()[0][:15])
    for line in (recording / "mapping.txt").read_text().splitlines():
        span, rights, offset, *rest = line.split(maxsplit=5)
        start, end = (int(part, 16) for part in span.split("-"))
        if "x" in rights and len(rest) == 3:
            made.map(77, start, end - start, rest[2], offset=int(offset, 16))
    made.data(0, (recording / "trace_0").read_bytes(), cpu=0, tid=77)
    (folder / "today").mkdir()
    (folder / "today/perf.data").write_bytes(made.bytes())


PREPARED: dict[str, Callable[[Path], None]] = {
    "windows-events": two_event_logs,
    "perf-data": a_perf_recording,
}


def pairs(page: str) -> list[tuple[str, str]]:
    """Every block of commands that is executed, with what the page shows of its output."""
    found: list[tuple[str, str]] = []
    for block in BLOCK.finditer(page):
        if block["kind"] == "sh" and not block["told"]:
            found.append((block["text"], ""))
        elif block["kind"] == "text":
            found[-1] = (found[-1][0], block["text"])
    return found


def plain(text: str) -> list[str]:
    """Lines without their numbers, which may change with the program, and without how they are laid out."""
    return [" ".join(re.sub(r"\d+", "0", line).split()) for line in text.splitlines()]


def missing(shown: str, printed: str) -> list[str]:
    """What a page shows and no line of the output begins with. `...` at a line's end stands for its rest."""
    lines = plain(printed)
    wanted = [line.removesuffix("...").strip() for line in plain(shown)]
    return [line for line in wanted if not any(found.startswith(line) for found in lines)]


def test_there_are_tutorials_and_what_is_shown_is_looked_for() -> None:
    assert {path.stem for path in TUTORIALS.glob("*.md")} >= {
        *PREPARED,
        "log-without-labels",
        "labelled-set",
        "telemetry",
    }
    marked = "<!-- not executed: no page here -->\n```sh\nb\n```\n"
    page = f"```sh\na\n```\n\n{marked}\n```sh\nc\n```\n\n```text\nout 3\n```\n"
    assert pairs(page) == [("a\n", ""), ("c\n", "out 3\n")]
    assert missing("3 steps of ...\n", "said\n 17 steps of 2 hosts\n") == []
    assert missing("3 steps of 2\n", "steps of 2\n") == ["0 steps of 0"]


@pytest.mark.parametrize("name", sorted(path.stem for path in TUTORIALS.glob("*.md")))
def test_a_tutorial_does_what_it_says(name: str, tmp_path: Path) -> None:
    shim = tmp_path / "bin/vestige"
    shim.parent.mkdir()
    asked = warm.script(shim)
    folder = tmp_path / "work"
    folder.mkdir()
    if name in PREPARED:
        PREPARED[name](folder)
    path = f"{shim.parent}:{os.environ['PATH']}"
    environment = {**os.environ, **asked, "PATH": path, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    commands = pairs((TUTORIALS / f"{name}.md").read_text(encoding="utf-8"))
    assert len(commands) >= 4
    for text, shown in commands:
        done = subprocess.run(
            ["bash", "-euc", text],
            cwd=folder, env=environment, pass_fds=[int(asked[warm.CALLS])], capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        printed = done.stdout + done.stderr
        assert done.returncode == 0, f"{text}\n{printed}"
        assert missing(shown, printed) == [], f"{text}\n{printed}"
