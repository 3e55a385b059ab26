"""Reading logs: `prepare` of this checkout beside another one, in pairs A B A B, and beside other tools.

    git worktree add ../before v0.4.0
    .venv/bin/python benchmarks/bench_reading.py ../before           # every load, 5 pairs, 60 MB each
    .venv/bin/python benchmarks/bench_reading.py ../before --megabytes 240 --only bgl access
    .venv/bin/python benchmarks/bench_reading.py ../before --quick         # tiny, to see that it works
    .venv/bin/python benchmarks/bench_reading.py --megabytes 2400 --only bgl   # two workers alone

Every run is a process of its own; processor time is that of all its processes, so that a busy machine changes
it little. Of the ratios old/new the median, the least and the most are given: 4.0 means four times as fast.
The loads `bgl` and `linux` are the lines of the real samples, over and over, with the numbers in their
contents drawn anew, where the samples lie beside the project; else the formats' own examples. `json`
and `access` are our own, and so are those that are made to be hard: `numbers` (eight numbers of any width in
each line), `utf8` (each line has a letter beyond ASCII), `traces` (messages of 31 lines), `long` (lines of
1 MB). Where the formats of the two checkouts differ, they do different work.

Second table: two workers against one, and beside them two processes that know nothing of each other, each of
which prepares its half of the file: no way to share the work out can be faster on this machine.

Other tools over the load `bgl`, one process and one thread each, are rows of
`python benchmarks/run.py --only reading`, which needs no other checkout.
"""

from __future__ import annotations

import argparse
import ctypes
import random
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path

from bench_before import CONSOLE, HERE, PR_SET_CHILD_SUBREAPER, Side, Took, _reap, measured, processor_s
from pairs import Asked, Pair, command, pass_over, peers_python, why_missing
from vestige.sources.logs.format import load

COPIED = 1 << 24
"""Bytes of a file that are copied at a time."""
SAMPLES = HERE.parent / "shared/data/loghub"
WORDS = "error\nfailed\ncannot\nlogin\n"
"""Labels of the loads whose logs have none: an earlier checkout may want some."""
NUMBER = re.compile(r"(?<!\w)(\d+)(?!\w)")
JSON = r"""
header = '{{"ts":"<Time>Z","level":"<Level>","host":"<Host>","pid":<Pid>,"msg":"<Content>'
time = { Time = "%Y-%m-%dT%H:%M:%S.%f" }
example = ['{"ts":"2024-05-06T07:08:09.250Z","level":"INFO","host":"web-1","pid":7,"msg":"started"}']
"""
_BLANK, _WORD = "[ \t]", "[^ \t]+"
_FIELD = f"{_WORD}{_BLANK}+"
HEADER = (
    f"^({_FIELD}){{4}}[0-9]{{4}}(-[0-9]{{1,2}}){{3}}(\\.[0-9]{{1,2}}){{2}}\\.[0-9]{{1,9}}{_BLANK}+"
    f"({_FIELD}){{3}}{_WORD}({_BLANK}|$)"
)
"""The header of `bgl` for `grep`, in whose brackets a backslash is a backslash."""
GREP = 'test "$(grep -cE "$0" "$1")" = "$2"'
"""Its count is looked at: into /dev/null it writes, and so looks for, no more than the first line."""
TOOLS = {
    "Drain3": (
        "drain3",
        """
import sys
from drain3 import TemplateMiner
from drain3.template_miner_config import TemplateMinerConfig
miner = TemplateMiner(config=TemplateMinerConfig())
count = 0
for line in open(sys.argv[1], encoding="utf-8", errors="replace"):
    miner.add_log_message(line.split(None, 9)[-1])
    count += 1
assert count == int(sys.argv[2]), count
""",
        "it makes templates of contents that were cut out for it, and nothing else",
    ),
    "LogLead": (
        "loglead",
        """
import sys
from loglead.loaders import BGLLoader
found = BGLLoader(filename=sys.argv[1]).execute()
assert len(found) == int(sys.argv[2]), len(found)
""",
        "its loader cuts lines into columns and reads times; it makes no templates",
    ),
    "Polars": (
        "polars",
        """
import sys
import polars as pl
lines = pl.read_csv(sys.argv[1], has_header=False, separator="\\n", quote_char=None, new_columns=["line"])
groups = r"^(\\S+)\\s+(\\S+)\\s+(\\S+)\\s+(\\S+)\\s+(\\S+)\\s+(\\S+)\\s+(\\S+)\\s+(\\S+)\\s+(\\S+)\\s*(.*)$"
table = lines.select(pl.col("line").str.extract_groups(groups)).unnest("line")
table = table.with_columns(pl.col("5").str.to_datetime("%Y-%m-%d-%H.%M.%S%.6f", strict=False))
assert table.height == int(sys.argv[2]), table.height
""",
        "it cuts lines into columns by an expression and reads times; it makes no templates",
    ),
}
"""Other tools: their module, a script that reads the file `argv[1]` of `argv[2]` lines, and what it does."""
ALONE = {"POLARS_MAX_THREADS": "1", "LC_ALL": "C", "PYTHONPATH": ""}


@dataclass(frozen=True)
class Load:
    """A kind of evidence: endless lines, and the options of `prepare` beside the file."""

    lines: Callable[[random.Random], Iterator[bytes]]
    options: tuple[object, ...]


def _sample(name: str, draw: random.Random) -> Iterator[bytes]:
    """Lines of a real sample, the numbers in their contents drawn anew."""
    chosen = load(name.lower())
    path = SAMPLES / name / f"{name}_2k.log"
    known = list(chosen.example)
    if path.is_file():
        known = path.read_text("utf-8", "replace").splitlines()
    cuts = []
    for line in known:
        match = chosen.compiled().match(line)
        if match is not None:
            cuts.append((line[: match.start("Content")].encode(), NUMBER.split(match["Content"])))
    for head, parts in cycle(cuts):
        parts[1::2] = (str(draw.getrandbits(3 * len(part))) for part in parts[1::2])
        yield head + "".join(parts).encode()


def _json(draw: random.Random) -> Iterator[bytes]:
    levels, hosts = ("INFO", "WARN", "ERROR"), [f"web-{number}" for number in range(9)]
    texts = ("user {} logged in from 10.0.{}.{}", "order {} took {} ms", "cannot open /srv/{}/part-{}.bin",
             "cache miss for key {:032x}", "worker {} started", "shutting down")  # fmt: skip
    for number in range(1 << 60):
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(1_714_000_000 + number // 20))
        values = (draw.randrange(1 << 20), draw.randrange(256), draw.randrange(256))
        text = draw.choice(texts).format(*values)
        yield (
            f'{{"ts":"{stamp}.{draw.randrange(1000):03}Z","level":"{draw.choice(levels)}",'
            f'"host":"{draw.choice(hosts)}","pid":{draw.randrange(1 << 15)},"msg":"{text}"}}'
        ).encode()


def _access(draw: random.Random) -> Iterator[bytes]:
    paths = (
        "/",
        "/index.html",
        "/item/{}?page={}",
        "/api/v1/users/{}/orders/{}",
        "/static/app-{:x}.js",
        "/login",
    )
    agents = ("Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0", "curl/7.88.1")
    for number in range(1 << 60):
        stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(1_714_000_000 + number // 9))
        client = f"10.{draw.randrange(256)}.{draw.randrange(256)}.{draw.randrange(256)}"
        path = draw.choice(paths).format(draw.randrange(100_000), draw.randrange(500))
        yield (
            f'{client} - - [{stamp}] "GET {path} HTTP/1.1" {draw.choice((200, 200, 304, 404))} '
            f'{draw.randrange(1 << 17)} "https://www.example.org/" "{draw.choice(agents)}"'
        ).encode()


def _numbers(draw: random.Random) -> Iterator[bytes]:
    examples = zip(load("bgl").example, ("12", "cannot"), strict=True)
    heads = [line.rpartition(f" {word}")[0].encode() for line, word in examples]
    for head in cycle(heads):
        yield head + b" " + b" ".join(b"%d" % draw.getrandbits(draw.randint(1, 60)) for _ in range(8))


def _utf8(draw: random.Random) -> Iterator[bytes]:
    return (line + " für Müller".encode() for line in _sample("BGL", draw))


def _traces(draw: random.Random) -> Iterator[bytes]:
    for number in range(1 << 60):
        level = (b"INFO", b"ERROR")[number % 2]
        of_second, request = number % 1000, draw.getrandbits(30)
        yield b"2015-10-18 18:01:47,%03d %s [main] a.b.C: request %d failed" % (of_second, level, request)
        yield b"java.io.IOException: connection %d reset by peer" % draw.getrandbits(20)
        for depth in range(29):
            yield b"\tat org.example.server.Handler$%d.run(Handler.java:%d)" % (depth, draw.randrange(900))


def _long(_: random.Random) -> Iterator[bytes]:
    for line in cycle(load("bgl").example):
        yield line.encode() + b" word" * 200_000


LOADS = {
    "bgl": Load(lambda draw: _sample("BGL", draw), ("--format", "bgl")),
    "linux": Load(lambda draw: _sample("Linux", draw), ("--format", "linux", "--label", "words:words")),
    "json": Load(_json, ("--format", "json.toml", "--label", "words:words")),
    "access": Load(_access, ("--format", "access", "--label", "words:words")),
    "numbers": Load(_numbers, ("--format", "bgl")),
    "utf8": Load(_utf8, ("--format", "bgl")),
    "traces": Load(_traces, ("--format", "hadoop")),
    "long": Load(_long, ("--format", "bgl")),
}


def write(path: Path, lines: Iterator[bytes], n_bytes: int) -> int:
    """Write lines until there are so many bytes; how many lines they are."""
    size = count = 0
    with path.open("wb") as file:
        while size < n_bytes:
            size += file.write(next(lines) + b"\n")
            count += 1
    return count


def shown(ratios: list[float]) -> str:
    """The median of ratios, the least and the most."""
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def prepared(side: Side, file: Path, load_: Load, jobs: int = 1) -> Took:
    """One run of `prepare`."""
    return measured(side, "prepare", ("prepare", "logs", file, *load_.options, "--jobs", jobs))


def beside(old: Side, new: Side, file: Path, name: str, lines: int, pairs: int) -> None:
    """A row of the first table."""
    runs = [[prepared(side, file, LOADS[name]) for side in (old, new)] for _ in range(pairs + 1)][1:]
    busy = [[took[1] for took in run] for run in runs]
    before, after = (statistics.median(run[at] for run in busy) for at in (0, 1))
    faster = shown([first / second for first, second in busy])
    print(f"{name:<9}{before:>7.2f}{after:>7.2f}  {faster:<20}{lines / after:>10.0f}", flush=True)


def apart(side: Side, halves: list[Path], load_: Load) -> Took:
    """Both halves of a file prepared at once, by two processes that know nothing of each other."""
    outs = [half.with_name("out") for half in halves]
    begun, before = time.perf_counter(), processor_s()
    running = [
        side.start("prepare", "logs", half, *load_.options, "--jobs", 1, "-o", out)
        for half, out in zip(halves, outs, strict=True)
    ]
    for each in running:
        side.end(each)
    took = time.perf_counter() - begun, processor_s() - before
    for out in outs:
        shutil.rmtree(out)
    return took


def halved(file: Path, folder: Path) -> list[Path]:
    """The file as two of equal size, cut at the end of a line, each in a folder of its own."""
    halves = []
    with file.open("rb") as source:
        for size in (file.stat().st_size // 2, file.stat().st_size):
            half = folder / f"half-{len(halves)}" / file.name
            half.parent.mkdir()
            with half.open("wb") as out:
                while out.tell() < size and (block := source.read(min(COPIED, size - out.tell()))):
                    out.write(block)
                out.write(source.readline())
            halves.append(half)
    return halves


def by_two(side: Side, file: Path, name: str, pairs: int) -> None:
    """Two rows of the second table."""
    load_ = LOADS[name]
    with tempfile.TemporaryDirectory(dir=side.folder) as folder:
        halves = halved(file, Path(folder))
        runs = [
            (prepared(side, file, load_), prepared(side, file, load_, 2), apart(side, halves, load_))
            for _ in range(pairs + 1)
        ][1:]
    for at, what in ((1, "two workers"), (2, "two processes apart")):
        more = shown([run[at][1] / run[0][1] for run in runs])
        faster = shown([run[0][0] / run[at][0] for run in runs])
        print(f"{name:<9}{what:<21}{more:<21}{faster}", flush=True)


def rows(asked: Asked) -> Iterator[Pair]:
    """`prepare` beside each tool, and beside another checkout where one is given."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        file, out = root / "bgl.log", root / "out"
        lines = write(file, LOADS["bgl"].lines(random.Random(7)), asked.size(150_000_000, 1_000_000))
        ours = command(
            sys.executable,
            "-c",
            CONSOLE,
            "prepare",
            "logs",
            file,
            "--format",
            "bgl",
            "--jobs",
            1,
            "-o",
            out,
            env={"PYTHONPATH": str(HERE / "src")},
            after=partial(shutil.rmtree, out),
        )
        words = (f"reading {file.stat().st_size / 1e6:.0f} MB of BGL, {lines:,} lines", "prepare, one job")
        for name, (module, script, does) in TOOLS.items():
            runs = command(peers_python(), "-c", script, file, lines, env=ALONE)
            yield Pair(
                f"{words[0]}: {name}",
                words[1],
                name,
                ours,
                runs,
                "one pass over the file",
                pass_over(file),
                burner=name == "Drain3",
                note=does,
                missing=why_missing(module),
            )
        missing = "" if shutil.which("grep") else "there is no grep"
        grep = command("sh", "-c", GREP, HEADER, file, lines, env=ALONE)
        note = "it only counts the lines that have the header"
        bound = ("one pass over the file", pass_over(file))
        yield Pair(f"{words[0]}: grep", words[1], "grep -cE", ours, grep, *bound, note=note, missing=missing)
        if asked.before is not None:
            yield from _beside_checkout(root, asked.before, asked)


def _beside_checkout(root: Path, before: Path, asked: Asked) -> Iterator[Pair]:
    sides = Side(HERE, root / "new"), Side(before, root / "old")
    for side in sides:
        side.folder.mkdir()
        (side.folder / "words").write_text(WORDS)
        (side.folder / "json.toml").write_text(JSON)
    for name, load_ in LOADS.items():
        file = root / f"{name}.log"
        write(file, load_.lines(random.Random(7)), asked.size(30_000_000, 1_000_000))
        ours, other = (
            command(
                sys.executable,
                "-c",
                CONSOLE,
                "prepare",
                "logs",
                file,
                *load_.options,
                "--jobs",
                1,
                "-o",
                "out",
                cwd=side.folder,
                env={"PYTHONPATH": str(side.source / "src")},
                after=partial(shutil.rmtree, side.folder / "out"),
            )
            for side in sides
        )
        yield Pair(f"prepare {name}", "this checkout", "the other checkout", ours, other)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old", type=Path, nargs="?", help="another checkout of this project")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=60, help="of each load")
    parser.add_argument("--only", nargs="*", default=list(LOADS), choices=list(LOADS), help="loads")
    parser.add_argument("--quick", action="store_true", help="tiny loads and one pair")
    given = parser.parse_args()
    if given.old is not None and not (given.old / "src" / "vestige").is_dir():
        parser.error(f"{given.old} is no checkout: it has no src/vestige")
    size, pairs = given.megabytes * 1_000_000, given.pairs
    if given.quick:
        size, pairs = 200_000, 1
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        new = Side(HERE, root / "new")
        sides = [new] if given.old is None else [Side(given.old.resolve(), root / "old"), new]
        for side in sides:
            side.folder.mkdir()
            (side.folder / "words").write_text(WORDS)
            (side.folder / "json.toml").write_text(JSON)
        files, counts = {}, {}
        for name in given.only:
            files[name] = root / f"{name}.log"
            counts[name] = write(files[name], LOADS[name].lines(random.Random(7)), size)
        print(f"{size / 1e6:.0f} MB each, {pairs} pairs after one that does not count")
        if given.old is None:
            print("no other checkout is named: the first table is left out")
        else:
            print("prepare   old s  new s  old/new             lines/s new", flush=True)
            for name, file in files.items():
                beside(sides[0], new, file, name, counts[name], pairs)
        print(f"\n{'prepare':<30}CPU of two / one     wall of one / two", flush=True)
        for name in [name for name in ("bgl", "access") if name in files]:
            by_two(new, files[name], name, pairs)
        _reap()


if __name__ == "__main__":
    main()
