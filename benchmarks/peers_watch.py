"""A watch beside AMiner: processor time for the same lines, five pairs of runs.

    python benchmarks/peers_watch.py [AMINER] [LINES]  # by default the program `aminer` of Debian's package

AMiner (logdata-anomaly-miner, GPL-3.0, a program of its own) has a parser that was written for these kinds of
lines, and detects new kinds of lines and new sequences of three. The watch learnt to read them by itself, and
judges each line by all its looks, within a budget. Both start, read the file to its end, and stop.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench_watch import detector_in, lines

LINES, PAIRS = 300_000, 5
KINDS = (
    ("request ", "n", " from ", "ip", " begins"),
    ("cache looked up for request ", "n"),
    ("request ", "n", " answered with 200 in ", "n", " ms"),
    ("connection of worker ", "n", " closed"),
    ("job ", "n", " of queue ", "n", " took ", "n", " ms"),
)
VALUES = {"n": "DecimalIntegerValueModelElement", "ip": "IpAddressDataModelElement"}


def config(log: Path, home: Path) -> str:
    """What AMiner is to read, how, and what it looks for."""
    parser = ['  - {id: date, type: DateTimeModelElement, name: date, date_format: "%Y-%m-%dT%H:%M:%S"}',
              '  - {id: ms, type: DelimitedDataModelElement, name: ms, delimiter: ":"}',
              '  - {id: colon, type: FixedDataModelElement, name: colon, args: ": "}',
              "  - {id: rest, type: AnyByteDataModelElement, name: rest}"]  # fmt: skip
    for kind, parts in enumerate(KINDS):
        names = []
        for at, part in enumerate(parts):
            name = f"k{kind}p{at}"
            names.append(name)
            args = "" if part in VALUES else f', args: "{part}"'
            model = VALUES.get(part, "FixedDataModelElement")
            parser.append(f"  - {{id: {name}, type: {model}, name: {name}{args}}}")
        parser.append(
            f"  - {{id: e{kind}, type: SequenceModelElement, name: e{kind}, args: [{', '.join(names)}]}}"
        )
    events = ", ".join(f"e{kind}" for kind in range(len(KINDS)))
    parser.append(f"  - {{id: event, type: FirstMatchModelElement, name: event, args: [{events}, rest]}}")
    parser.append(
        "  - {id: START, start: True, type: SequenceModelElement, name: model, "
        "args: [date, ms, colon, event]}"
    )
    for folder in ("state", "log"):
        (home / folder).mkdir(exist_ok=True)
    learn = "output_logline: False, learn_mode: True"
    return "\n".join(
        [
            "LearnMode: True", "LogResourceList:", f'  - "file://{log}"', "AminerUser: root",
            "AminerGroup: root", f"Core.PersistenceDir: {home / 'state'}", f"Core.LogDir: {home / 'log'}",
            "Parser:", *parser, "Input:", '  timestamp_paths: ["/model/date"]', "Analysis:",
            f"  - {{type: NewMatchPathDetector, id: path, persistence_id: path, {learn}}}",
            f"  - {{type: EventSequenceDetector, id: seq, seq_len: 3, persistence_id: seq, {learn}}}",
            "EventHandlers:", "  - {id: out, type: StreamPrinterEventHandler}", "",
        ]
    )  # fmt: skip


def spent_s(*command: str | Path) -> float:
    """Processor seconds of a program, and of those that it starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Both in turns, five times."""
    aminer = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("aminer")
    count = int(sys.argv[2]) if len(sys.argv) > 2 else LINES
    os.environ["OMP_WAIT_POLICY"] = "passive"
    with tempfile.TemporaryDirectory(prefix="vestige-peers-") as place:
        home = Path(place)
        detector, log = detector_in(home), home / "app.log"
        log.write_text("".join(lines(20_000, count, odd=True)))
        watch = (sys.executable, "-m", "vestige", "-l", "error", "watch", detector, log, "--once")
        # Functions are made machine code once.
        spent_s(*watch)
        ratios = []
        for number in range(PAIRS):
            begun = home / str(number)
            begun.mkdir()
            (begun / "config.yml").write_text(config(log, begun))
            ours, theirs = spent_s(*watch), spent_s(aminer, "-f", "-o", "-c", begun / "config.yml")
            ratios.append(theirs / ours)
            print(f"watch {count / ours:,.0f} lines/s, AMiner {count / theirs:,.0f}, by processor time",
                  flush=True)  # fmt: skip
        print(f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
