"""Kills at random moments, and whether the same command then comes to the same thing.

    python -m tests.attacks.kills --kills 100 --verbs run,tune --seed 1 PLACE

A corpus, a dataset, a store and a detector are made; each verb is done once undisturbed. Then it is started
again and again in another folder and killed (SIGKILL) after a random part of the time that it took, until so
many kills of each verb are spent, some before each end. What it left must be what the undisturbed one left:
the same weights, the same split, the same dataset, the same index, every alert once; nothing else lies beside
it. Counts are printed as they come: whoever stops it has them.

Each start is a fork of this process, which has imported what the verbs need: importing would take most of the
time, and most of the kills would hit it.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

from vestige.cli.main import run as run_verb
from vestige.engine import preload
from vestige.errors import OutputError

SMALL = ["--resamples", "100", "-t", "1", "-j", "1", "--resume"]
FEW = ["--set", "rounds=3", "--resume", "--threads", "1"]
VERBS: dict[str, list[str]] = {
    "run": ["logs", "corpus", "--format", "bgl", "--split", "host", "-m", "gbt", "-m", "ngram", *SMALL],
    "prepare": ["logs", "corpus", "--format", "bgl", "-j", "1"],
    "learn": ["logs", "corpus", "-j", "1"],
    "validate": ["store", "--deep", "--fail-on", "never", "-j", "1"],
    "tune": ["dataset", "--split", "split.json", "-m", "gbt", "--trials", "4", *FEW],
    "watch": ["detector", "corpus"],
}
"""What is typed after each verb, before `-o`. Of a watch, what it is given (see `watch`)."""
SAME = {
    "run": ("*/weights.safetensors", "*/booster.ubj", "split.json", "dataset/index/*", "dataset/streams/*"),
    "prepare": ("index/*", "streams/*", "tables/*"),
    "learn": ("weights.safetensors",),
    "validate": ("",),
    "tune": ("*/booster.ubj", "split.json"),
    "watch": ("alerts.jsonl",),
}
"""What must be the same, below the output."""
MADE = (
    ["simulate", "logs", "corpus", "--messages", "1500", "--anomalies", "0.06", "--seed", "1"],
    ["simulate", "telemetry", "store", "--hosts", "2", "--episodes", "12", "--seconds", "30", "--seed", "7"],
    ["prepare", "logs", "corpus", "--format", "bgl", "-j", "1", "-o", "dataset"],
    ["split", "dataset", "--split", "host", "-o", "split.json"],
    ["learn", "logs", "corpus", "--budget", "200/day", "-j", "1", "-o", "detector"],
)
HEAVY = (
    "jinja2", "numba", "optuna", "pydantic", "rich.progress", "rich.table", "safetensors.numpy",
    "scipy.optimize", "scipy.stats", "sklearn.ensemble", "sklearn.linear_model", "xgboost", "zstandard",
)  # fmt: skip
THREADS = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # Where pandas is installed scikit-learn imports it, and it PyArrow, whose allocator starts a thread.
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
"""Set before this is started: a process that has threads cannot be forked."""


def command(verb: str, out: Path) -> list[str]:
    return [verb, *VERBS[verb], "-o", str(out)]


def watch(detector: str, evidence: str, _: str, out: str) -> None:
    """`vestige watch --once --all`, which saves its state twenty times a second: a kill comes in between."""
    from vestige.service.sinks import make  # they import a library that starts threads
    from vestige.service.watch import Watch, WatchOptions

    sink = make(f"jsonl:{Path(out) / 'alerts.jsonl'}", Path(out))
    options = WatchOptions(once=True, every=True, save_s=0.05)
    Watch.start(Path(detector), [Path(evidence)], [sink], state=Path(out), options=options).run()


def import_all() -> None:
    """Import what takes longest of what verbs need, but for a library that starts threads (Polars)."""
    with preload.refused():
        for name in HEAVY:
            importlib.import_module(name)
    threads = len(list(Path("/proc/self/task").iterdir()))
    assert threads == 1, f"{threads} threads"
    gc.freeze()


def start(arguments: list[str], place: Path, told: Path) -> int:
    """Fork a process that does what is typed; its number."""
    number = os.fork()
    if number:
        return number
    os.chdir(place)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    sys.argv = ["vestige", *arguments]
    if arguments[0] == "watch":
        watch(*arguments[1:])
    else:
        run_verb()
    sys.exit(0)


def left(verb: str, out: Path) -> dict[str, str]:
    """Digests of what must be the same."""
    files = [file for pattern in SAME[verb] for file in (sorted(out.glob(pattern)) if pattern else [out])]
    assert files, f"{verb} left nothing in {out}"
    return {str(file.relative_to(out)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def disturbed(
    verb: str, place: Path, out: Path, kills: int, whole_s: float, rng: random.Random
) -> tuple[int, float]:
    """Start and kill until it ends well; how often it was killed, and how long the last start took."""
    killed, told = 0, place / "told"
    while True:
        begun = time.monotonic()
        number = start(command(verb, out), place, told)
        if killed < kills:
            time.sleep(rng.uniform(0, whole_s))
            os.kill(number, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
        # A kill between the last rename and the end leaves it whole: there is nothing to go on with.
        whole = killed and code == OutputError.exit_code and "already exists" in told.read_text()
        if code == 0 or whole:
            return killed, time.monotonic() - begun
        if code == -signal.SIGKILL:
            killed += 1
            continue
        raise SystemExit(f"{verb} after {killed} kills: {told.read_text()[-2000:]}")


def undisturbed(place: Path, arguments: list[str]) -> float:
    """Run a command to its end; the seconds that it took."""
    begun = time.monotonic()
    _, status = os.waitpid(start(arguments, place, place / "told"), 0)
    assert status == 0, (place / "told").read_text()
    return time.monotonic() - begun


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("place", type=Path, metavar="PLACE")
    arguments.add_argument("--kills", type=int, default=100, help="of each verb")
    arguments.add_argument("--verbs", default=",".join(VERBS))
    arguments.add_argument("--seed", type=int, default=1)
    asked = arguments.parse_args()
    if not os.environ.items() >= THREADS.items():
        again = [sys.executable, "-m", "tests.attacks.kills", *sys.argv[1:]]
        os.execve(sys.executable, again, os.environ | THREADS)  # noqa: S606 - ourselves
    rng, place = random.Random(asked.seed), asked.place.absolute()
    place.mkdir(parents=True)
    import_all()
    for made in MADE:
        undisturbed(place, made)
    verbs = asked.verbs.split(",")
    (place / "whole").mkdir()
    took = {verb: undisturbed(place, command(verb, place / "whole" / verb)) for verb in verbs}
    counts, ends = dict.fromkeys(verbs, 0), dict.fromkeys(verbs, 0)
    while min(counts.values()) < asked.kills:
        for verb in verbs:
            more = min(rng.randint(2, 12), asked.kills - counts[verb])
            if not more:
                continue
            folder = place / "killed"
            folder.mkdir()
            killed, seconds = disturbed(verb, place, folder / "out", more, took[verb], rng)
            # A machine has other work at times: what took so long once may take half of it now.
            took[verb] = (took[verb] + seconds) / 2
            counts[verb] += killed
            assert left(verb, folder / "out") == left(verb, place / "whole" / verb), verb
            assert [one.name for one in folder.iterdir()] == ["out"], verb
            shutil.rmtree(folder)
            ends[verb] += 1
        print(json.dumps({"kills": counts, "ends, all the same": ends}), flush=True)  # noqa: T201 - for whoever started it


if __name__ == "__main__":
    main()
