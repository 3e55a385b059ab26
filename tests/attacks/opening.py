"""Opens hostile files while the interpreter reports what it does.

`python -m tests.attacks.opening PLACE EFFORT`

Prints, for every kind of file, how many were tried and how many of them refused, as JSON. Whatever a file
that is merely opened must never do ends it with code 3.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from tests.attacks.hostile import changed, places, sealed, unsealed
from vestige import checkpoint
from vestige.checkpoint import HEADER
from vestige.errors import VestigeError
from vestige.evaluation.predictions import Predictions
from vestige.evaluation.results import RunResults
from vestige.models import registry as models
from vestige.reading.windows import WindowSet
from vestige.runs.config import RunConfig
from vestige.service import state as watch_state
from vestige.sources import registry as sources
from vestige.splits.split import Split
from vestige.triage.spreadsheet import rows_of

NEVER = (
    "exec", "compile", "import", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork",
    "os.remove",
    "os.rename", "os.link", "os.symlink", "os.chmod", "socket.", "ctypes.dlopen", "pickle.find_class",
    "marshal.loads", "shutil.", "code.__new__", "function.__new__",
)  # fmt: skip
"""Events of the interpreter (PEP 578) that no file is to bring about. What is imported is imported before."""


def watch(root: Path, reported: list[str]) -> Callable[[str, tuple[Any, ...]], None]:
    """A hook that ends the process for any of `NEVER`, for a file outside of `root`, and for writing."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if not reported:
            return
        if event == "compile" and arguments[1] == "<unknown>":
            return  # `ast.literal_eval` of a NumPy header: a tree of constants, which nothing runs
        if event.startswith(NEVER):
            end(f"{event} {arguments!r:.200} by {reported[0]}")
        if event == "open" and arguments[0] != os.devnull:  # where a panic of Polars goes
            path, mode, flags = arguments
            written = any(letter in str(mode or "") for letter in "wax+") or (flags or 0) & (
                os.O_WRONLY | os.O_RDWR | os.O_CREAT
            )
            if written or (isinstance(path, str | bytes) and not is_ours(os.fsdecode(path), root)):
                end(f"opened {path!r} ({mode}) by {reported[0]}")

    return hook


def is_ours(path: str, root: Path) -> bool:
    """Whether a file lies below the directory that is opened, links resolved, or is our own code's data."""
    return os.path.realpath(path).startswith((str(root.resolve()), str(PACKAGE), sys.prefix, sys.base_prefix))


PACKAGE = Path(checkpoint.__file__).resolve().parents[1]


def end(what: str) -> NoReturn:
    """At once, whoever would catch an exception."""
    os.write(2, f"VIOLATION: {what}\n".encode())
    os._exit(3)


def triaged(place: Path) -> object:
    """A triage's table, as an operator gives it back."""
    return list(rows_of(place / "triage.csv", ("cluster", "label")))


JSON_KINDS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "split": ("run/split.json", lambda place: Split.load(place / "run/split.json")),
    "metrics": ("run/metrics.json", lambda place: RunResults.load(place / "run/metrics.json")),
    "run": ("run/config.json", lambda place: RunConfig.load(place / "run")),
    "dataset": ("run/dataset/schema.json", lambda place: WindowSet.open(place / "run/dataset").verify()),
    "watch": ("state.json", watch_state.load),
}
PREDICTIONS = "run/gbt/predictions.parquet"
BYTE_KINDS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "checkpoint": ("run/gbt/booster.ubj", lambda place: checkpoint.load(place / "run/gbt")),
    "recordings": ("run/dataset/recordings.parquet", JSON_KINDS["dataset"][1]),
    "predictions": (PREDICTIONS, lambda place: Predictions.load(place / PREDICTIONS)),
    "triage": ("triage.csv", triaged),
}  # fmt: skip


def bytes_of(whole: bytes, rng: random.Random) -> bytes:
    """The bytes cut, or a few of them changed."""
    if rng.random() < 0.3:
        return whole[: rng.randrange(len(whole))]
    mutated = bytearray(whole)
    for _ in range(rng.choice((1, 2, 8))):
        mutated[rng.randrange(len(mutated))] = rng.randrange(256)
    return bytes(mutated)


def hostile(place: Path, effort: int) -> list[tuple[str, Path, bytes, Callable[[Path], object]]]:
    """Files to be opened: kind, path, content, how."""
    rng = random.Random(11)
    tries = []
    for kind, (name, load) in JSON_KINDS.items():
        plain = json.loads((place / name).read_text())
        chosen = list(places(plain))
        for _ in range(40 * effort):
            content = json.dumps(changed(plain, rng, chosen)).encode()
            tries.append((kind, place / name, content, load))
    for kind, (name, load) in BYTE_KINDS.items():
        whole = (place / name).read_bytes()
        tries += [(kind, place / name, bytes_of(whole, rng), load) for _ in range(20 * effort)]
    header = unsealed(place / "run/gbt" / HEADER)
    chosen = list(places(header))
    for _ in range(20 * effort):
        content = sealed(changed(header, rng, chosen)).encode()
        load = BYTE_KINDS["checkpoint"][1]
        tries.append(("checkpoint", place / "run/gbt" / HEADER, content, load))
    return tries


def main(place: Path, effort: int) -> None:
    for name in sources.names():
        sources.get(name)
    for name in models.names():
        models.get(name)
    tries = hostile(place, effort)
    kept = {file: file.read_bytes() for _, file, _, _ in tries}
    reported: list[str] = []
    # Everything once unchanged and once changed, so that what is imported late is there.
    for kind, file, content, load in tries[:: max(1, len(tries) // 60)]:
        attempt(kind, file, content, load, place)
        file.write_bytes(kept[file])
    for _, load in (*JSON_KINDS.values(), *BYTE_KINDS.values()):
        load(place)
    sys.addaudithook(watch(place, reported))
    counts: dict[str, list[int]] = {}
    for kind, file, content, load in tries:
        found = counts.setdefault(kind, [0, 0])
        found[0] += 1
        file.write_bytes(content)
        reported[:] = [kind]
        found[1] += attempt(kind, None, content, load, place)
        reported.clear()
        file.write_bytes(kept[file])
    print(json.dumps(counts))  # noqa: T201 - for whoever started it


def attempt(
    kind: str, file: Path | None, content: bytes, load: Callable[[Path], object], place: Path
) -> bool:
    """Whether it was refused, and not by anything but an error of ours."""
    if file is not None:
        file.write_bytes(content)
    try:
        load(place)
    except VestigeError:
        return True
    return False


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
