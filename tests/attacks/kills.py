"""Kills at random moments, and whether the same command then comes to the same thing.

    python -m tests.attacks.kills --kills 100 --seed 1 PLACE

A corpus is simulated; `run` (two detectors, `--resume`), `prepare` and `learn` are each done once
undisturbed. Then each is started again and again in another folder and killed (SIGKILL) after a random part
of the time that it took, until so many kills are spent; then it is let end. What it left must be what the
undisturbed one left: the same weights, the same split, the same dataset; nothing else lies beside it.
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

VERBS: dict[str, list[str]] = {
    "run": [
        "--format",
        "bgl",
        "--split",
        "host",
        "-m",
        "gbt",
        "-m",
        "gru",
        "--epochs",
        "3",
        "--resamples",
        "100",
        "-t",
        "1",
        "-j",
        "1",
        "--resume",
    ],
    "prepare": ["--format", "bgl", "-j", "1"],
    "learn": ["-j", "1"],
}
SAME = {
    "run": ("*/weights.safetensors", "*/booster.ubj", "split.json", "dataset/index/*", "dataset/streams/*"),
    "prepare": ("index/*", "streams/*", "tables/*"),
    "learn": ("weights.safetensors",),
}


def command(verb: str, corpus: Path, out: Path) -> list[str]:
    return [sys.executable, "-m", "vestige", verb, "logs", str(corpus), *VERBS[verb], "-o", str(out)]


def left(verb: str, out: Path) -> dict[str, str]:
    """Digests of what must be the same."""
    files = [file for pattern in SAME[verb] for file in sorted(out.glob(pattern))]
    assert files, f"{verb} left nothing in {out}"
    return {str(file.relative_to(out)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def disturbed(verb: str, corpus: Path, out: Path, kills: int, whole_s: float, rng: random.Random) -> int:
    """Start and kill until it ends well; how often it was killed."""
    killed = 0
    while True:
        process = subprocess.Popen(
            command(verb, corpus, out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        if killed < kills:
            time.sleep(rng.uniform(0, whole_s))
            process.send_signal(signal.SIGKILL)
        _, told = process.communicate()
        if process.returncode == 0:
            return killed
        if process.returncode == -signal.SIGKILL:
            killed += 1
            continue
        raise SystemExit(f"{verb} after {killed} kills: {told[-2000:]}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("place", type=Path, metavar="PLACE")
    arguments.add_argument("--kills", type=int, default=100)
    arguments.add_argument("--seed", type=int, default=1)
    asked = arguments.parse_args()
    rng, place = random.Random(asked.seed), asked.place
    corpus, counts = place / "corpus", dict.fromkeys(VERBS, 0)
    simulate = ["simulate", "logs", str(corpus), "--messages", "4000", "--anomalies", "0.06", "--seed", "1"]
    subprocess.run([sys.executable, "-m", "vestige", *simulate], check=True, stdout=subprocess.DEVNULL)
    took: dict[str, float] = {}
    for verb in VERBS:
        begun = time.monotonic()
        subprocess.run(
            command(verb, corpus, place / verb / "whole"), check=True, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        took[verb] = time.monotonic() - begun
    while sum(counts.values()) < asked.kills:
        for verb in VERBS:
            folder = place / verb / "killed"
            more = min(rng.randint(1, 4), asked.kills - sum(counts.values()))
            counts[verb] += disturbed(verb, corpus, folder / "out", more, took[verb], rng)
            assert left(verb, folder / "out") == left(verb, place / verb / "whole"), verb
            assert [one.name for one in folder.iterdir()] == ["out"], verb
            shutil.rmtree(folder)
    print(json.dumps({"kills": counts, "same": True}))  # noqa: T201 - for whoever started it


if __name__ == "__main__":
    main()
