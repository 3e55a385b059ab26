"""Fuzzing the reader of perf.data, and that of maps: no traceback, no hang, no memory beyond its bound.

    .venv/bin/python benchmarks/fuzz_perf.py                      # one minute, 1,000,000 inputs at most
    .venv/bin/python benchmarks/fuzz_perf.py --seconds 600 --seed 7

Files that a test's own encoder wrote (whole, piped, compressed, of a whole system) are mutated: bytes and
fields of records changed, cut, doubled and spliced. What is refused must be refused as evidence; an input
that does anything else ends the run and is shown; a hang ends it by alarm, and memory by the process's limit.
"""

from __future__ import annotations

import argparse
import random
import resource
import signal
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

LONGEST_SECONDS, MOST_MEMORY = 20, 3 << 30
NUMBERS = (0, 1, 7, 8, 64, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, 1 << 62, (1 << 63) - 1, (1 << 64) - 1)


def perf_seeds() -> list[bytes]:
    """Files in every form."""
    from tests.sources.traces.test_perf import moving, whole_system

    made = [moving(), moving(piped=True), moving().packed(), whole_system(switches=True)]
    return [one.bytes() for one in [*made, whole_system(switches=False)]]


def map_seeds() -> list[bytes]:
    """Maps in every form."""
    from tests.sources.traces import test_listings as forms

    texts = [forms.NARROW, forms.DLLLIST, forms.TABBED, forms.LINUX, forms.EVENTS, forms.TWO]
    texts += ["start,end,file\n0x1000,8192,a\n", '[{"PID": 5, "Base": 4096, "Path": "a"}]']
    return [text.encode() for text in texts]


def check_perf(data: bytes, folder: Path) -> None:
    """Whatever the bytes: recordings, each of which can be read, or an error of evidence."""
    from vestige.errors import EvidenceError
    from vestige.reading.steps import Evidence
    from vestige.sources.traces.options import TraceOptions
    from vestige.sources.traces.reader import TraceReader

    path = folder / "perf.data"
    path.write_bytes(data)
    reader = TraceReader.of_corpus(TraceOptions())
    try:
        units = reader.units(Evidence((path,))).units
    except EvidenceError:
        return
    assert sum(unit.size or 0 for unit in units) <= len(data), "more bytes than there are"
    for unit in units:
        try:
            stream = reader.open(unit)
        except EvidenceError:
            continue
        try:
            while not stream.ended:
                stream.read(1 << 12)
        except EvidenceError:
            pass
        finally:
            stream.close()


def check_map(data: bytes, folder: Path) -> None:
    """Whatever the text: regions in order, or an error of evidence."""
    from vestige.errors import EvidenceError
    from vestige.sources.traces.maps import Wanted, read_map

    path = folder / "mapping.txt"
    path.write_bytes(data)
    try:
        regions = read_map(path, wanted=Wanted("viewer.exe")).regions
    except EvidenceError:
        return
    assert (regions.ends[:-1] <= regions.starts[1:]).all(), "regions overlap"


def mutated(source: list[bytes], rng: random.Random) -> bytes:
    """One input: a seed with bytes and numbers changed, dropped, doubled, or another's spliced in."""
    data = bytearray(rng.choice(source))
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(data) + 1)
        what = rng.randrange(7)
        if what == 0 and at < len(data):
            data[at] = rng.randrange(256)
        elif what == 1:
            del data[at : at + rng.randint(1, 40)]
        elif what == 2:
            data[at:at] = data[at : at + rng.randint(1, 80)]
        elif what == 3:
            size = rng.choice((2, 4, 8))
            at -= at % 8
            data[at : at + size] = struct.pack("<Q", rng.choice(NUMBERS))[:size]
        elif what == 4:
            other = rng.choice(source)
            data[at:at] = other[rng.randrange(len(other)) :][: rng.randint(1, 80)]
        elif what == 5 and rng.random() < 0.2:
            del data[at:]
        else:
            data[at:at] = rng.choice([b"\n", b",", b"\t", b"-", b"0x", b"\0" * 8, b"[", b"{", b"\xff", b"\r"])
    return bytes(data)


def run(seconds: float, inputs: int, seed: int) -> int:
    """Mutated inputs until the time or the inputs are used up; returns how many."""
    rng, done = random.Random(seed), 0
    kinds: list[tuple[list[bytes], Callable[[bytes, Path], None]]] = [
        (perf_seeds(), check_perf),
        (map_seeds(), check_map),
    ]
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        check_perf(kinds[0][0][0], Path(folder))  # compiles
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
        while done < inputs and time.monotonic() < end:
            source, check = kinds[done % 2]
            data = mutated(source, rng)
            signal.alarm(LONGEST_SECONDS)
            try:
                check(data, Path(folder))
            except BaseException:
                print(f"input: {data.hex()}", file=sys.stderr)
                raise
            finally:
                signal.alarm(0)
            done += 1
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(f"{run(options.seconds, options.inputs, options.seed)} inputs, nothing found")


if __name__ == "__main__":
    main()
