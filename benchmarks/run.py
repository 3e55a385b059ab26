"""Every paired benchmark, one after the other, and what came out as a table for each processor.

    python benchmarks/run.py                      # make bench: what this code has not been measured for yet
    python benchmarks/run.py --minutes 15         # the most important first; what time was left out is said
    python benchmarks/run.py --only reading      # some scripts; --force measures again what is known
    python benchmarks/run.py --quick              # tiny sizes, to see that it works; kept nowhere
    python benchmarks/run.py --check              # make bench-check: which ratios fell by a quarter?
    python benchmarks/run.py --before ../before   # beside another checkout of this project, too

Each script runs in a process of its own and yields pairs (see pairs.py). Each row is kept at once in
results.json, with a digest of the code: a run that was stopped goes on where it was. results.md is written
from it. Figures of other processors stay as they are. `--check` measures this code into checked.json and
compares it with results.json: of the idle machine both clocks, beside a burner the processor's alone. It ends
with exit code 1 where a ratio fell, and with 2 where there is nothing to compare with.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pairs import CLOCKS, FOLDER, Asked, Row, measure

RESULTS, TABLE, CHECKED = (FOLDER / name for name in ("results.json", "results.md", "checked.json"))
SOURCE = FOLDER.parent / "src" / "vestige"
STOPPED = 128 + signal.SIGTERM
FALL = 0.75
"""A ratio below this share of what it was has fallen."""
SCRIPTS = (
    "reading", "array_lstm", "traces", "epoch", "sequences", "telemetry", "events", "export",
    "collaborative", "validate", "digests", "engine", "judging",
)  # fmt: skip
"""By importance: time may not last for all."""
APART = {
    "before": "whole commands beside another checkout, with a table of its own",
    "checkpointing": "memory against time",
    "grouping": "grouping accuracy, no time",
    "index": "growth of memory, no pairs",
    "learn": "growth of time and memory, no pairs",
    "logs": "growth of memory, no pairs",
    "ray": "a cluster: equality, a killed node, memory",
    "rounded_accuracy": "accuracy, no time",
    "template_folds": "quality, no time",
    "threads": "one thread and several beside a burner: a table of its own",
    "watch": "latency and memory, no pairs",
}
"""Scripts that do not run here, and why: each is run by itself."""
HEAD = """# Speed, as it came out

Written by `make bench` (`benchmarks/run.py`; `make bench-peers` installs the peers). A ratio is the other's
time over ours: median, least and most of pairs run in turns. Above 1, ours is faster. The processor's time is
that of all threads and processes; it says more than the wall's where the machine has other work, which *load*
tells: the load average when the row began. *Over bound* is the processor time of ours over that of the bound,
which no program could beat. *burner* is beside a process of nice 10 that never rests. Seconds are medians."""
FOOT = (
    "- AMiner is no package of pip's, and so not among the peers: `peers_watch.py` runs that of Debian\n"
    "  (`logdata-anomaly-miner`) beside `watch --once`; docs/watch.md tells what came out."
)
Kept = dict[str, Any]


def processor() -> str:
    """Model, family and number of cores: the key that figures are kept under."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    known = dict(part.split(":", 1) for part in lines if ":" in part)
    fields = {name.strip(): value.strip() for name, value in known.items()}
    numbers = f"family {fields.get('cpu family', '?')} model {fields.get('model', '?')}"
    extra = "".join(
        f", {flag}" for flag in ("amx_tile", "avx512f") if flag in fields.get("flags", "").split()
    )
    return f"{fields.get('model name', 'unknown')} ({numbers}, {len(os.sched_getaffinity(0))} cores{extra})"


def code_digest(script: str) -> str:
    """Of the program, the frame and the script: what a figure was measured for."""
    files = [*sorted(SOURCE.rglob("*.py")), FOLDER / "pairs.py", FOLDER / f"bench_{script}.py"]
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(FOLDER.parent)}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def load(path: Path) -> Kept:
    """What was kept: by processor, by script. Raises SystemExit where the file is no such thing."""
    if not path.is_file():
        return {}
    try:
        kept = json.loads(path.read_text())
    except ValueError as error:
        sys.exit(f"{path} is no JSON ({error}): restore it from the repository, or remove it")
    if not isinstance(kept, dict):
        sys.exit(f"{path} is no table of processors: restore it from the repository, or remove it")
    return kept


def save(path: Path, kept: Kept) -> None:
    """All or nothing: a run that is killed leaves what was there."""
    beside = path.with_suffix(".part")
    beside.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    beside.replace(path)


def one_script(script: str, asked: Asked, known: set[str]) -> None:
    """In a process of its own: measure what is not known yet, and print a row a line."""
    sys.path.insert(0, str(FOLDER))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(STOPPED))  # temporary folders are removed
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the work prints is no row
    for pair in importlib.import_module(f"bench_{script}").rows(asked):
        if pair.name in known:
            continue
        for row in measure(pair, asked.pairs):
            print(json.dumps(row.to_dict()), file=out, flush=True)


def rows_of(script: str, arguments: list[str], until: float) -> Iterator[Row]:
    """Rows of a script's process, which is ended when time is up. Raises TimeoutError then, and RuntimeError
    where it failed."""
    command = [sys.executable, str(Path(__file__)), "--one", script, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    wait = min(max(0.0, until - time.monotonic()), threading.TIMEOUT_MAX)
    timer = threading.Timer(wait, os.killpg, (process.pid, signal.SIGTERM))
    timer.start()
    try:
        for line in process.stdout:
            yield Row.from_dict(json.loads(line))
        code = process.wait()
    finally:
        timer.cancel()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
    if code and time.monotonic() >= until:  # whatever it makes of the signal: a training saves its state
        raise TimeoutError
    if code:
        raise RuntimeError(f"it ended with {code}: what it said stands above")


def run(given: argparse.Namespace, path: Path | None) -> Kept:
    """Measure, keep, and say each row; returns what is kept of this processor."""
    kept = load(path) if path else {}
    mine: Kept = kept.setdefault(processor(), {})
    until = time.monotonic() + 60 * given.minutes if given.minutes else math.inf
    arguments = ["--pairs", str(given.pairs), *(["--quick"] if given.quick else [])]
    if given.before:
        arguments += ["--before", str(given.before.resolve())]
    for script in given.only or SCRIPTS:
        digest = code_digest(script)
        entry = mine.get(script, {})
        if entry.get("code") != digest or given.force:
            entry = {"code": digest, "rows": [], "ended": ""}
        # A peer that was missing may be there now.
        if entry["ended"] == "done" and not any(row["missing"] for row in entry["rows"]):
            print(f"{script}: measured for this code already", flush=True)
            continue
        if time.monotonic() >= until:
            print(f"{script}: not measured, time was up", flush=True)
            continue
        known = sorted({row["name"] for row in entry["rows"] if not row["missing"]})
        entry["rows"] = [row for row in entry["rows"] if not row["missing"]]
        entry["when"] = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        print(f"\n{script}", flush=True)
        try:
            for row in rows_of(script, [*arguments, "--known", json.dumps(known)], until):
                entry["rows"].append(row.to_dict())
                print(f"  {said(row)}", flush=True)
                mine[script] = entry
                if path:
                    save(path, kept)
            entry["ended"] = "done"
        except TimeoutError:
            entry["ended"] = "stopped: time was up"
        except RuntimeError as error:
            entry["ended"] = f"failed: {error}"
        if entry["ended"] != "done":
            print(f"  {entry['ended']}", flush=True)
        if entry["rows"] or script not in mine:
            mine[script] = entry
        if path:
            save(path, kept)
    return mine


def said(row: Row) -> str:
    """A row for a terminal."""
    if row.wall is None or row.processor is None:
        return f"{row.name}: {row.other} missing: {row.missing}"
    wall, busy = (_ratio(row, clock) for clock in CLOCKS)
    return f"{row.name}, {row.load}: {row.other} / {row.ours}: wall {wall}, processor {busy}"


def _ratio(row: Row, clock: str) -> str:
    found = getattr(row, clock)
    return f"{_short(found.ratio)} ({_short(found.low)}-{_short(found.high)})"


def _short(ratio: float) -> str:
    """With two decimals; a small one, which these would leave nothing of, with two significant digits."""
    if ratio >= 0.1 or ratio == 0:
        return f"{ratio:.2f}"
    return f"{ratio:.2g}"


def table(kept: Kept) -> str:
    """results.md: a table for each processor."""
    lines = [HEAD]
    for name, scripts in sorted(kept.items()):
        lines += ["", f"## {name}"]
        for script in [one for one in SCRIPTS if one in scripts]:
            entry = scripts[script]
            state = "" if entry["ended"] == "done" else f"; {entry['ended'] or 'not finished'}"
            lines += ["", f"### bench_{script}.py ({entry['when']}, code {entry['code']}{state})", ""]
            lines += [
                "| what | ours | other | | wall | processor | ours, s | over bound | pairs | load |",
                "|" + "---|" * 10,
            ]
            rows = [Row.from_dict(row) for row in entry["rows"]]
            lines += [_line(row) for row in rows]
            notes = dict.fromkeys(f"{row.name}: {row.note}." for row in rows if row.note)
            lines += ["", *(f"- {note}" for note in notes)] if notes else []
    lines += ["", "## Not in this table", ""]
    lines += [f"- `bench_{name}.py`: {why}." for name, why in APART.items()]
    lines += [FOOT, ""]
    return "\n".join(lines)


def _line(row: Row) -> str:
    head = f"| {row.name} | {row.ours} | {row.other} |"
    if row.wall is None or row.processor is None:
        return f"{head} missing: {row.missing} | | | | | | |"
    bound = "" if row.processor.bound is None else f"{row.processor.bound:.2f} x {row.bound}"
    cells = (
        row.load,
        *(_ratio(row, clock) for clock in CLOCKS),
        f"{row.wall.ours:.3g}, {row.processor.ours:.3g}",
    )
    return f"{head} {' | '.join((*cells, bound, str(row.pairs), str(row.machine)))} |"


def fallen(before: Kept, now: Kept) -> list[str]:
    """A line for each ratio that is less than three quarters of what it was; of rows that both have."""
    found = []
    for script, entry in now.items():
        rows = (Row.from_dict(row) for row in before.get(script, {}).get("rows", []))
        old = {(row.name, row.other, row.load): row for row in rows}
        for row in map(Row.from_dict, entry["rows"]):
            was = old.get((row.name, row.other, row.load))
            if was is None:
                continue
            for clock in CLOCKS if row.load == "idle" else CLOCKS[1:]:
                then, new = getattr(was, clock), getattr(row, clock)
                if then is not None and new is not None and new.ratio < FALL * then.ratio:
                    what = f"{row.name}, {row.load}, {row.other} / {row.ours}"
                    found.append(f"{script}: {what}: {clock} {then.ratio:.2f} before, {new.ratio:.2f} now")
    return found


def check(given: argparse.Namespace) -> int:
    """Measure this code beside what was kept."""
    kept = load(RESULTS).get(processor())
    if not kept:
        print(f"{RESULTS.name} has no figures of this processor, {processor()}: run `make bench` first")
        return 2
    given.only = given.only or [script for script in SCRIPTS if script in kept]
    now = run(given, CHECKED)
    found = fallen(kept, {script: now[script] for script in given.only if script in now})
    compared = sum(len(now[script]["rows"]) for script in given.only if script in now)
    unfinished = [script for script in given.only if now.get(script, {}).get("ended") != "done"]
    print(
        "\n" + "\n".join(found or ["no ratio fell by more than a quarter"]) + f"\n({compared} rows compared)"
    )
    if unfinished:
        print(f"not compared, or in part: {', '.join(unfinished)}")
    return 1 if found else 2 if not compared else 0


def main(results: Path = RESULTS, page: Path = TABLE) -> int:
    """See the top of this file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=SCRIPTS, help="scripts, in this order")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--minutes", type=float, help="stop after so long")
    parser.add_argument("--quick", action="store_true", help="tiny sizes; results are not kept")
    parser.add_argument("--force", action="store_true", help="measure again what is known")
    parser.add_argument("--check", action="store_true", help="compare with results.json")
    parser.add_argument("--before", type=Path, help="another checkout of this project")
    parser.add_argument("--one", choices=SCRIPTS, help=argparse.SUPPRESS)
    parser.add_argument("--known", type=json.loads, default=[], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.pairs < 1:
        parser.error("--pairs has to be 1 or more")
    if given.before and not (given.before / "src" / "vestige").is_dir():
        parser.error(f"{given.before} is no checkout of this project: it has no src/vestige")
    if given.one:
        one_script(given.one, Asked(given.quick, given.pairs, given.before), set(given.known))
        return 0
    if given.check:
        return check(given)
    mine = run(given, None if given.quick else results)
    if not given.quick:
        page.write_text(table(load(results)))
    chosen = given.only or SCRIPTS
    return 1 if any(mine.get(script, {}).get("ended", "").startswith("failed") for script in chosen) else 0


if __name__ == "__main__":
    sys.exit(main())
