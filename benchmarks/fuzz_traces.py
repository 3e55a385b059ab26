"""Fuzzing the trace decoder: no crash, no hang, no read outside its buffer, on random and mutated bytes.

    .venv/bin/python benchmarks/fuzz_traces.py                    # one minute, 1,000,000 inputs at most
    .venv/bin/python benchmarks/fuzz_traces.py --seconds 600 --seed 7
    .venv/bin/python benchmarks/fuzz_traces.py --guided           # by coverage, where `atheris` is installed

The kernels run compiled, with Numba's check of every index; with `--guided` as plain Python, whose branches
atheris sees. An input that breaks an invariant of `check` ends the run and is shown; a hang ends it by alarm.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

VECTORS = Path(__file__).resolve().parents[1].parent / "shared/data/intel-pt/vectors"
PSB = b"\x02\x82" * 8
LONGEST_INPUT, LONGEST_SECONDS = 4096, 20


def check(data: bytes, cut: int) -> None:
    """What must hold for any bytes, and for any place to cut them."""
    from vestige.sources.traces import tokens
    from vestige.sources.traces.packets.columns import Packets, decode, packets
    from vestige.sources.traces.packets.kinds import Kind
    from vestige.sources.traces.packets.quality import Quality
    from vestige.sources.traces.regions import Regions

    whole, fused = Quality(), Quality()
    rows = decode(data, whole)
    pieces = [data[:cut], data[cut : cut + 1], data[cut + 1 :]]
    again = Packets.joined(packets(pieces))
    for one, other in zip(rows._columns(), again._columns(), strict=True):
        assert np.array_equal(one, other), "the cut makes a difference"
    assert len(rows) <= 2 * len(data), "more rows than bytes can give"
    assert whole.n_bytes == len(data)
    assert 0 <= whole.skipped + whole.cut_off <= len(data)
    assert not len(rows) or int(rows.offset.max()) < len(data), "a packet beyond the end"
    known = Regions(
        *(
            np.array(one, dtype)
            for one, dtype in (
                ([0x1000, 1 << 47], "u8"),
                ([1 << 40, (1 << 64) - 1], "u8"),
                ([3, 4], "u2"),
                ([0, 1 << 46], "u8"),
            )
        )
    )
    cut_up = list(tokens.events(pieces, known, quality=fused))
    for one, other in zip(cut_up, tokens.events([data], known), strict=True):
        assert all(map(np.array_equal, one, other)), "the cut makes a difference to values"
    for (one, _), other in zip(cut_up, tokens.values([data], known), strict=True):
        assert np.array_equal(one, other), "places make a difference to values"
    values = sum(len(chunk) for chunk, _ in cut_up)
    assert whole == fused, "the two decoders differ"
    target = np.isin(rows.kind, [Kind.TIP, Kind.TIP_PGE, Kind.TIP_PGD]) & (rows.bits >> np.uint64(5) != 0)
    assert values == rows.n_bits.sum(dtype=int) + target.sum(), "not every branch and target has its value"


def seeds() -> list[bytes]:
    """The shared vectors where they are, and a few bytes of our own."""
    found = [path.read_bytes()[:LONGEST_INPUT] for path in sorted(VECTORS.glob("*.pt"))]
    return [PSB + bytes(range(256)), PSB[:-1] + PSB, b"\x19" + PSB * 2, PSB + b"\x02\x63\x80\x04\x0c", *found]


def mutated(source: list[bytes], rng: random.Random) -> bytes:
    """One input: a piece of a seed with bytes changed, dropped, doubled, or another's spliced in."""
    if rng.random() < 0.1:
        return PSB * rng.randint(0, 1) + rng.randbytes(rng.randint(0, 300))
    data = bytearray(rng.choice(source))
    start = rng.randrange(len(data))
    data = data[start : start + rng.randint(1, 400)] if rng.random() < 0.8 else data
    for _ in range(rng.randint(0, 8)):
        at = rng.randrange(len(data) + 1)
        what = rng.randrange(5)
        if what == 0 and at < len(data):
            data[at] = rng.randrange(256)
        elif what == 1:
            del data[at : at + rng.randint(1, 20)]
        elif what == 2:
            data[at:at] = data[at : at + rng.randint(1, 40)]
        elif what == 3:
            data[at:at] = rng.choice([PSB, PSB[1:], b"\x02\x82", b"\x02\x63\x80", b"\x05", b"\xff" * 10])
        else:
            other = rng.choice(source)
            data[at:at] = other[rng.randrange(len(other)) :][: rng.randint(1, 40)]
    return (PSB if rng.random() < 0.5 else b"") + bytes(data)


def blind(seconds: float, inputs: int, seed: int) -> int:
    """Mutated inputs until the time or the inputs are used up; returns how many."""
    rng, source, done = random.Random(seed), seeds(), 0
    check(b"", 0)  # compiles
    end = time.monotonic() + seconds
    while done < inputs and time.monotonic() < end:
        data = mutated(source, rng)
        guarded(data, rng.randrange(len(data) + 1))
        done += 1
    return done


def guarded(data: bytes, cut: int) -> None:
    """`check` with an alarm, and the input shown where it fails."""
    signal.alarm(LONGEST_SECONDS)
    try:
        check(data, cut)
    except BaseException:
        print(f"input (cut at {cut}): {data.hex()}", file=sys.stderr)
        raise
    finally:
        signal.alarm(0)


def guided(seconds: float, seed: int) -> None:
    """Hand over to atheris; it ends the process itself."""
    import atheris

    with atheris.instrument_imports(include=["vestige.sources.traces"]):
        check(PSB, 3)

    def one(data: bytes) -> None:
        check(data, len(data) // 2)

    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(seeds()):
            (Path(folder) / str(number)).write_bytes(data[:600])
        limits = [f"-max_total_time={int(seconds)}", f"-seed={seed}", "-timeout=20", "-max_len=600"]
        atheris.Setup([sys.argv[0], *limits, folder], one)
        atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--guided", action="store_true")
    options = parser.parse_args()
    from vestige.native import BUILDS

    if options.guided:
        os.environ["NUMBA_DISABLE_JIT"] = os.environ[BUILDS] = "1"
        guided(options.seconds, options.seed)
        return
    os.environ["NUMBA_BOUNDSCHECK"] = os.environ[BUILDS] = "1"
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NUMBA_CACHE_DIR"] = folder  # what is kept beside the modules was compiled without checks
        print(f"{blind(options.seconds, options.inputs, options.seed)} inputs, nothing found")


if __name__ == "__main__":
    main()
