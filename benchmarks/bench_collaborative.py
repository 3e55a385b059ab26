"""The collaborative transformer against the same architecture written plainly: ratios from paired runs.

    python benchmarks/bench_collaborative.py [--quick] [--messages 10 50] [--threads 2] [--pairs 5]

Runs go in turns, A B A B; a line is the median over the pairs of (time of plain) / (time of ours), with the
smallest and the largest pair: above 1 is faster. A training step is zeroed slopes, forward, backward and Adam
(``fused=True`` for ours, which is what the documentation recommends; a line without Adam stands beside it).
The plain model is ``tests/nn/transformers/reference.py``: a product for each map, attention by hand, a loop
over glimpses, ``torch.nn.Dropout``. Inputs have no padding, but for the lines that say so. ``--cpu-time``
counts what the process used, for one thread on a machine that others use too. Lines with bf16 are ours with
products rounded to bfloat16, where the processor can, against the plain model in float32. ``--memory``:
instead, the peak of a fresh process above what it held before the run, ours / plain.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

import peak
from bench_array_lstm import rounded
from pairs import Asked, Pair, here

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.nn.transformers.reference import PlainCollaborative

from vestige.nn import CollaborativeTransformer, TransformerConfig, quantize_int8
from vestige.nn.products import can_round

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn

VOCABULARY, BATCH, VECTORS = 5_000, 32, 5
TARGETS = {"train": 1.4, "infer": 1.5, "infer, int8": 2.1}


class Case:
    """Both models with the same weights, frozen embeddings and inputs, as the original trains them."""

    def __init__(self, tokens: int, padded: bool = False) -> None:
        torch.manual_seed(0)
        config = TransformerConfig(len_messages=tokens, len_sequences=VECTORS)
        self.plain = PlainCollaborative(config, VOCABULARY)
        self.ours = CollaborativeTransformer(config, VOCABULARY)
        self.ours.load_state_dict(self.plain.state_dict())
        for model in (self.plain, self.ours):
            model.text_embedding.embedding.weight.requires_grad = False
        self.int8 = quantize_int8(self.ours)
        trained = [
            [part for part in model.parameters() if part.requires_grad] for model in (self.plain, self.ours)
        ]
        self.adams = (torch.optim.Adam(trained[0], 1e-4), torch.optim.Adam(trained[1], 1e-4, fused=True))
        self.inputs = (*_text(tokens, padded), torch.randn(BATCH, VECTORS, config.sequences_fsize))
        self.labels = torch.randint(0, 2, (BATCH,))

    def train(self, which: int, adam: bool = True) -> None:
        model, optimizer = (self.plain, self.ours)[which].train(), self.adams[which]
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(*self.inputs), self.labels).backward()
        if adam:
            optimizer.step()

    @torch.no_grad()
    def infer(self, model: nn.Module) -> Tensor:
        logits: Tensor = model.eval()(*self.inputs)
        return logits


def _text(tokens: int, padded: bool) -> tuple[Tensor, None]:
    """Full messages; or 2 to 10 tokens each, as the logs of this project have, and padding."""
    text = torch.randint(1, VOCABULARY, (BATCH, tokens))
    if padded:
        lengths = torch.randint(2, min(tokens, 10) + 1, (BATCH, 1))
        text[torch.arange(tokens) >= lengths] = 0
    return text, None


def ratios(
    plain: Callable[[], object], ours: Callable[[], object], pairs: int, clock: Callable[[], float]
) -> tuple[list[float], float, float]:
    """Ratios of ``pairs`` pairs run in turns after one for warming up, and the two median times."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(pairs + 1):
        for run, taken in ((plain, times[0]), (ours, times[1])):
            start = clock()
            run()
            taken.append(clock() - start)
    found = [a / b for a, b in zip(times[0][1:], times[1][1:], strict=True)]
    return found, statistics.median(times[0][1:]), statistics.median(times[1][1:])


def rows(asked: Asked) -> Iterator[Pair]:
    """Training steps and inference on one thread, beside the plain model; ours also with rounded products."""
    torch.set_num_threads(1)
    for tokens in (10,) if asked.quick else (10, 50):
        case = Case(tokens)
        infer, train = partial(case.infer, case.plain), partial(case.train, 0)
        bound = "products of the plain model's size (torch.mm)"
        runs = {
            "training step": (train, partial(case.train, 1), "the same, plainly"),
            "inference": (infer, partial(case.infer, case.ours), "the same, plainly"),
            "inference, int8": (infer, partial(case.infer, case.int8), "the same, plainly, float32"),
        }
        for what, (plain, ours, other) in runs.items():
            yield Pair(
                f"collaborative transformer, {tokens} tokens, {what}",
                "vestige.nn",
                other,
                here(ours),
                here(plain),
                bound,
                here(products(plain)),
                burner=what == "inference" and tokens == 10,
            )
        if can_round():
            for what in ("training step", "inference"):
                plain, ours, other = runs[what]
                yield Pair(
                    f"collaborative transformer, {tokens} tokens, {what}, products in bfloat16",
                    "vestige.nn",
                    f"{other}, float32",
                    here(rounded(ours)),
                    here(plain),
                    f"{bound}, in bfloat16",
                    here(rounded(products(plain))),
                )


def products(work: Callable[[], object]) -> Callable[[], None]:
    """As many floating-point operations as `work` does in products of matrices, as large ones."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counted:
        work()
    side = 512
    a, b, into = (torch.randn(side, side) for _ in range(3))
    times = max(1, round(counted.get_total_flops() / (2 * side**3)))

    def multiply() -> None:
        for _ in range(times):
            torch.mm(a, b, out=into)

    return multiply


def report(tokens: int, threads: int, pairs: int, clock: Callable[[], float]) -> None:
    torch.set_num_threads(threads)
    full, padded = Case(tokens), Case(tokens, padded=True)
    runs = {
        "infer": (partial(full.infer, full.plain), partial(full.infer, full.ours)),
        "infer, int8": (partial(full.infer, full.plain), partial(full.infer, full.int8)),
        "infer, padded": (partial(padded.infer, padded.plain), partial(padded.infer, padded.ours)),
        "train": (partial(full.train, 0), partial(full.train, 1)),
        "train, no Adam": (partial(full.train, 0, adam=False), partial(full.train, 1, adam=False)),
        "train, padded": (partial(padded.train, 0), partial(padded.train, 1)),
    }
    if can_round():
        for what in ("infer", "train"):
            plain, ours = runs[what]
            runs[f"{what}, bf16"] = (plain, rounded(ours))
    for what, (plain, ours) in runs.items():
        found, plain_time, our_time = ratios(plain, ours, pairs, clock)
        target = f">= {TARGETS[what]}" if what in TARGETS else ""
        spread = f"({min(found):.2f}-{max(found):.2f})"
        line = f"{threads:7} {tokens:8} {what:15} {plain_time * 1e3:8.1f} {our_time * 1e3:8.1f}"
        print(f"{line}   {statistics.median(found):5.2f} {spread:13} {target}", flush=True)


def report_parity(tokens: int) -> None:
    """How the quantised copy decides, after some training on labels that the first token gives away."""
    case, agreed, apart, spread = Case(tokens), [], [], []
    for _ in range(12):
        case.inputs = (*_text(tokens, padded=True), torch.randn(BATCH, VECTORS, 384))
        case.labels = (case.inputs[0][:, 0] % 2 == 0).long()
        case.train(1)
    case.int8 = quantize_int8(case.ours)
    for _ in range(16):
        case.inputs = (*_text(tokens, padded=True), torch.randn(BATCH, VECTORS, 384))
        exact, rounded = case.infer(case.ours), case.infer(case.int8)
        agreed.append((exact.argmax(1) == rounded.argmax(1)).float().mean().item())
        apart.append((exact - rounded).abs().max().item())
        spread.append((exact[:, 1] - exact[:, 0]).std().item())
    print(
        f"\nint8 against float32, {tokens} tokens: the same decision in {statistics.mean(agreed):.1%} of"
        f" {16 * BATCH} windows; logits differ by {max(apart):.3f} at most, margins spread by"
        f" {statistics.mean(spread):.3f}"
    )


def peak_above_start(what: str, which: int, tokens: int) -> None:
    """In a process of its own: print the bytes that one run adds at its peak."""
    torch.set_num_threads(1)
    small, case = Case(4), Case(tokens)

    def run(one: Case) -> None:
        if what == "train":
            one.train(which, adam=False)
        else:
            one.infer((one.plain, one.ours)[which])

    run(small)  # imports, thread pools
    print(peak.above_start(partial(run, case)))


def report_memory(tokens: int) -> None:
    for what in ("train", "infer"):
        command = [sys.executable, __file__, "--messages", str(tokens), "--peak", what]
        plain, ours = (
            int(subprocess.run([*command, which], check=True, capture_output=True, text=True).stdout)
            for which in "01"
        )
        print(
            f"{tokens:6} {what:6} plain {plain / 2**20:6.0f} MiB, ours / plain {ours / plain:.2f}", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--messages", type=int, nargs="+", default=[10, 50], help="tokens of a message")
    parser.add_argument("--threads", type=int, nargs="+", default=[2])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--cpu-time", action="store_true", help="what the process used, not what passed")
    parser.add_argument("--quick", action="store_true", help="10 tokens, three pairs")
    parser.add_argument("--memory", action="store_true", help="peak memory, not time")
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        what, which = arguments.peak
        peak_above_start(what, int(which), arguments.messages[0])
        return
    if arguments.memory:
        for tokens in arguments.messages:
            report_memory(tokens)
        return
    if arguments.quick:
        arguments.messages, arguments.pairs = [10], 3
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    print(f"{'threads':7} {'tokens':>8} {'what':15} {'plain ms':>8} {'ours ms':>8}   ratio (spread)")
    for threads in arguments.threads:
        for tokens in arguments.messages:
            report(tokens, threads, arguments.pairs, clock)
    report_parity(arguments.messages[0])


if __name__ == "__main__":
    main()
