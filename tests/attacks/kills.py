"""Kills at random moments, and whether the same command then comes to the same thing.

    python -m tests.attacks.kills --kills 100 --verbs run,tune --seed 1 PLACE

A corpus, a dataset and a store are made; each verb is done once undisturbed. Then it is started again and
again in another folder and killed (SIGKILL) after a random part of the time that it took, until so many kills
of each verb are spent, a few before each end. What it left must be what the undisturbed one left: the same
weights, the same split, the same dataset, the same index; nothing else lies beside it. Counts are printed as
they come: whoever stops it has them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from vestige.errors import OutputError

SMALL = ["--resamples", "100", "-t", "1", "-j", "1", "--resume"]
VERBS: dict[str, list[str]] = {
    "run": ["logs", "corpus", "--format", "bgl", "--split", "host", "-m", "gbt", "-m", "ngram", *SMALL],
    "prepare": ["logs", "corpus", "--format", "bgl", "-j", "1"],
    "learn": ["logs", "corpus", "-j", "1"],
    "validate": ["store", "--deep", "--fail-on", "never", "-j", "1"],
    "tune": ["dataset", "-m", "gbt", "--trials", "5", "--set", "rounds=5", "--resume", "--threads", "1"],
}
"""What is typed after each verb, before `-o`."""
SAME = {
    "run": ("*/weights.safetensors", "*/booster.ubj", "split.json", "dataset/index/*", "dataset/streams/*"),
    "prepare": ("index/*", "streams/*", "tables/*"),
    "learn": ("weights.safetensors",),
    "validate": ("",),
    "tune": ("*/booster.ubj", "split.json"),
}
"""What must be the same, below the output."""
MADE = (
    ["simulate", "logs", "corpus", "--messages", "3000", "--anomalies", "0.06", "--seed", "1"],
    ["simulate", "telemetry", "store", "--hosts", "2", "--episodes", "16", "--seconds", "40", "--seed", "7"],
    ["prepare", "logs", "corpus", "--format", "bgl", "-j", "1", "-o", "dataset"],
)


def command(verb: str, out: Path) -> list[str]:
    return [sys.executable, "-m", "vestige", verb, *VERBS[verb], "-o", str(out)]


def left(verb: str, out: Path) -> dict[str, str]:
    """Digests of what must be the same."""
    files = [file for pattern in SAME[verb] for file in (sorted(out.glob(pattern)) if pattern else [out])]
    assert files, f"{verb} left nothing in {out}"
    return {str(file.relative_to(out)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def disturbed(
    verb: str, place: Path, out: Path, kills: int, whole_s: float, rng: random.Random
) -> tuple[int, float]:
    """Start and kill until it ends well; how often it was killed, and how long the last start took."""
    killed = 0
    while True:
        begun = time.monotonic()
        process = subprocess.Popen(
            command(verb, out), cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        if killed < kills:
            time.sleep(rng.uniform(0, whole_s))
            process.send_signal(signal.SIGKILL)
        _, told = process.communicate()
        # A kill between the last rename and the end leaves it whole: there is nothing to go on with.
        whole = killed and process.returncode == OutputError.exit_code and "already exists" in told
        if process.returncode == 0 or whole:
            return killed, time.monotonic() - begun
        if process.returncode == -signal.SIGKILL:
            killed += 1
            continue
        raise SystemExit(f"{verb} after {killed} kills: {told[-2000:]}")


def undisturbed(place: Path, arguments: list[str]) -> float:
    """Run a command to its end; the seconds that it took."""
    begun = time.monotonic()
    quiet = subprocess.DEVNULL
    subprocess.run(arguments, cwd=place, check=True, stdout=quiet, stderr=quiet)
    return time.monotonic() - begun


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("place", type=Path, metavar="PLACE")
    arguments.add_argument("--kills", type=int, default=100, help="of each verb")
    arguments.add_argument("--verbs", default=",".join(VERBS))
    arguments.add_argument("--seed", type=int, default=1)
    asked = arguments.parse_args()
    rng, place = random.Random(asked.seed), asked.place.absolute()
    place.mkdir(parents=True)
    for made in MADE:
        undisturbed(place, [sys.executable, "-m", "vestige", *made])
    verbs = asked.verbs.split(",")
    (place / "whole").mkdir()
    took = {verb: undisturbed(place, command(verb, place / "whole" / verb)) for verb in verbs}
    counts, ends = dict.fromkeys(verbs, 0), dict.fromkeys(verbs, 0)
    while min(counts.values()) < asked.kills:
        for verb in verbs:
            folder = place / "killed"
            folder.mkdir()
            more = min(rng.randint(1, 6), asked.kills - counts[verb])
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
