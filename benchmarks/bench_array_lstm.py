"""The memory arrays against the same mathematics written plainly: ratios from paired runs, A B A B.

    python benchmarks/bench_array_lstm.py [--quick] [--shapes ABCD] [--threads 1 2] [--pairs 5] [--only WORD]
                                          [--no-memory | --no-speed]

Every line is the median over the pairs of (time of the other) / (time of ours), with the smallest and the
largest pair, so above 1 is faster; the floor and ``torch.nn.LSTM`` lines are ours / theirs, as their targets
are. Beside the wall clock's ratio stands that of processor time, all threads together: other work on the
machine disturbs it less. "plain / products" is the plain way's time over that of our products alone: what
we would reach if everything else cost nothing. Memory is the peak of a fresh process above what it held
before the call, ours / plain.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

import peak
from pairs import Asked, Pair, here, see_peers, why_missing

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "nn"))
from reference import KINDS, MASKED, reference

from vestige import nn
from vestige.nn.plan import Plan
from vestige.nn.products import add_product, padding_for, rounded_products
from vestige.nn.sequence import _ROWS_PER_PRODUCT
from vestige.nn.tape import Factors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class Shape:
    batch: int
    time: int
    inputs: int
    hidden: int
    lanes: int


SHAPES = {
    "A": Shape(1024, 10, 10, 128, 4),
    "B": Shape(256, 64, 128, 128, 4),
    "C": Shape(64, 256, 64, 256, 8),
    "D": Shape(8192, 32, 128, 128, 1),
}
# (kind, what) -> the project's target on each shape
TARGETS = {
    ("LSTM", "train"): {"A": 1.6, "B": 1.6, "D": 2.0},
    ("ArrayLSTM", "train"): {"A": 2.5, "B": 1.9, "C": 2.2},
    ("AttentionArrayLSTM", "train"): {"A": 2.8, "B": 2.0, "C": 2.3},
    ("AttentionArrayLSTM max", "train"): {"A": 2.8, "B": 2.0, "C": 2.3},
    ("StochasticArrayLSTM", "train"): {"A": 4.5, "B": 3.5, "C": 3.0},
    ("StochasticArrayLSTM", "train, plain by masks"): {"A": 4.5, "B": 3.5, "C": 3.0},
    ("LSTM", "train, gates recomputed"): {"A": 1.5, "B": 1.5, "D": 1.5},
    ("AttentionArrayLSTM", "train, gates recomputed"): {"A": 1.5, "B": 1.5, "C": 1.5},
    ("StochasticArrayLSTM", "train, gates recomputed"): {"A": 1.5, "B": 1.5, "C": 1.5},
    ("ArrayLSTM", "forward"): {"A": 1.6, "B": 1.6, "C": 1.6},
    ("StochasticArrayLSTM", "forward"): {"A": 2.9, "B": 2.9, "C": 2.9},
    ("ArrayLSTM", "train, gates recomputed"): {"A": 1.5, "B": 1.5, "C": 1.5},
    ("ArrayLSTM", "ours / floor"): {"A": 1.45, "B": 1.3, "C": 1.3},
    ("ArrayLSTM", "ours / k torch.nn.LSTM"): {"A": 0.85, "B": 0.85, "C": 0.85},
}
MEMORY_TARGETS = {"LSTM": 0.7, "StochasticArrayLSTM": 0.85}


class Case:
    """One layer on one shape: the runs that are timed against each other."""

    def __init__(self, kind: str, shape: Shape) -> None:
        torch.manual_seed(0)
        self.kind, self.shape = kind, shape
        self.x = torch.randn(shape.batch, shape.time, shape.inputs, requires_grad=True)
        self.weight = torch.randn(shape.batch, shape.time, shape.hidden)
        self.layer = self._layer(save_memory=False)
        self.saving = self._layer(save_memory=True)
        lanes = self.layer.k
        self.states = (
            torch.zeros(1, shape.batch, shape.hidden),
            torch.zeros(lanes, shape.batch, shape.hidden),
        )

    def _layer(self, save_memory: bool) -> nn.LSTM:
        sizes = (self.shape.inputs, self.shape.hidden)
        if self.kind == "LSTM":
            return nn.LSTM(*sizes, save_memory=save_memory)
        sizes = (*sizes, self.shape.lanes)
        if self.kind.startswith("Attention"):
            return nn.AttentionArrayLSTM(*sizes, self.kind.endswith("max"), save_memory=save_memory)
        return getattr(nn, self.kind)(*sizes, save_memory=save_memory)

    def _clear(self) -> None:
        self.x.grad = None
        self.layer.zero_grad()
        self.saving.zero_grad()

    def step(self, layer: torch.nn.Module) -> None:
        """A training step of somebody else's layer."""
        self.x.grad = None
        layer.zero_grad()
        layer(self.x)[0].backward(self.weight)

    def train(self, saving: bool = False) -> None:
        self._clear()
        (self.saving if saving else self.layer)(self.x)[0].backward(self.weight)

    def plain_train(self, kind: str | None = None) -> None:
        self._clear()
        weights = dict(self.layer.named_parameters())
        reference(kind or self.kind, weights, self.x, *self.states)[0].backward(self.weight)

    @torch.no_grad()
    def forward(self) -> None:
        self.layer(self.x)

    @torch.no_grad()
    def plain_forward(self) -> None:
        reference(self.kind, dict(self.layer.named_parameters()), self.x, *self.states)

    def products(self) -> Callable[[], None]:
        """The products of a training step as the fast path runs them on one thread, and nothing else."""
        shape = self.shape
        padding = padding_for(shape.hidden + shape.inputs + 1, self.x.device)
        sizes = (shape.batch, shape.time, shape.inputs, shape.hidden, self.layer.k)
        plan = Plan("sum", *sizes, padding=padding)
        maps = (self.layer.i2h, self.layer.h2h)
        weights = tuple(part for layer in maps for part in (layer.weight, layer.bias))
        rows = plan.shares(1)[0][0].stop
        blocks = -(-plan.batch // rows)
        forwards, backwards = (
            Factors.forwards(weights, rows, plan.padding).gate,
            Factors.backwards(weights, rows, True).gate,
        )
        steps = max(1, _ROWS_PER_PRODUCT // rows)
        operand, gates = (
            torch.randn(steps * rows, plan.operand_width),
            torch.randn(steps * rows, plan.gate_width),
        )

        def products() -> None:
            for _ in range(blocks * plan.steps):
                forwards.after(operand[:rows])
                backwards.after(gates[:rows])
            total = None
            for _ in range(blocks * plan.steps // steps):
                total = add_product(total, operand.t(), gates.t())

        return products

    def floor(self) -> Callable[[], None]:
        """The products of a training step and nothing else, by ``torch.mm`` on warm buffers."""
        shape, width = self.shape, self.shape.hidden + self.shape.inputs + 1
        gates = 4 * self.layer.k * shape.hidden
        weight, weight_grad = torch.randn(gates, width), torch.zeros(gates, width)
        operand, back = torch.randn(shape.batch, width), torch.empty(shape.batch, width)
        pre = torch.empty(shape.batch, gates)
        steps = max(1, 1024 // shape.batch)
        many, many_gates = torch.randn(steps * shape.batch, width), torch.randn(steps * shape.batch, gates)

        def products() -> None:
            for _ in range(shape.time):
                torch.mm(operand, weight.t(), out=pre)
                torch.mm(pre, weight, out=back)
            for _ in range(-(-shape.time // steps)):
                weight_grad.addmm_(many_gates.t(), many)

        return products

    def k_lstms(self) -> Callable[[], None]:
        layer = torch.nn.LSTM(self.shape.inputs, self.shape.hidden, batch_first=True)

        def train() -> None:
            for _ in range(self.shape.lanes):
                self.x.grad = None
                layer.zero_grad()
                layer(self.x)[0].backward(self.weight)

        return train


def comparisons(case: Case) -> Iterator[tuple[str, Callable[[], None], Callable[[], None]]]:
    """(what, numerator, denominator) for every line of a case."""
    yield "train", case.plain_train, case.train
    if case.kind == "StochasticArrayLSTM":
        yield "train, plain by masks", partial(case.plain_train, MASKED), case.train
        if torch.get_num_threads() == 1:
            yield "plain / products", case.plain_train, case.products()
            yield "plain by masks / products", partial(case.plain_train, MASKED), case.products()
    yield "forward", case.plain_forward, case.forward
    yield "train, gates recomputed", case.plain_train, partial(case.train, saving=True)
    if case.kind == "ArrayLSTM":
        yield "ours / floor", case.train, case.floor()
        yield "ours / k torch.nn.LSTM", case.train, case.k_lstms()


def rows(asked: Asked) -> Iterator[Pair]:
    """A training step of each layer, on one thread, beside the original, PyTorch's LSTM and the plain way."""
    torch.set_num_threads(1)
    shapes = {"small": Shape(32, 4, 10, 16, 2)} if asked.quick else SHAPES
    for name, kinds in {"small": KINDS, "A": KINDS, "B": KINDS, "C": KINDS[1:2]}.items():
        for kind in kinds if name in shapes else ():
            yield from _rows_of(Case(kind, shapes[name]), f"training step, {kind}, {name}", asked)


def _rows_of(case: Case, what: str, asked: Asked) -> Iterator[Pair]:
    floor = ("its products alone (torch.mm)", here(case.floor()))
    own = here(case.train)
    missing = why_missing("arrayLSTM")
    their = None if missing else here(original(case))
    burner = case.kind == "ArrayLSTM" and case.shape in (SHAPES["A"], Shape(32, 4, 10, 16, 2))
    yield Pair(
        f"{what}: original",
        "vestige.nn",
        "array-lstm 0.0.1",
        own,
        their,
        *floor,
        burner=burner,
        missing=missing,
    )
    if torch.cpu._is_avx512_bf16_supported():
        with rounded_products():
            alone = case.products()
        yield Pair(
            f"{what}: original, our products in bfloat16",
            "vestige.nn",
            "array-lstm 0.0.1",
            here(rounded(case.train)),
            their,
            "its products alone, in bfloat16",
            here(rounded(alone)),
            missing=missing,
        )
    if case.kind == "LSTM":
        layer = torch.nn.LSTM(case.shape.inputs, case.shape.hidden, batch_first=True)
        yield Pair(
            f"{what}: PyTorch", "vestige.nn", "torch.nn.LSTM", own, here(partial(case.step, layer)), *floor
        )
    if case.kind == "ArrayLSTM":
        yield Pair(f"{what}: k LSTMs", "vestige.nn", "k torch.nn.LSTM", own, here(case.k_lstms()), *floor)
        if asked.quick or case.shape != SHAPES["C"]:
            yield Pair(
                f"{what}: plain", "vestige.nn", "the same, plainly", own, here(case.plain_train), *floor
            )


def rounded(work: Callable[[], None]) -> Callable[[], None]:
    """The same work with rounded products."""

    def run() -> None:
        with rounded_products():
            work()

    return run


def original(case: Case) -> Callable[[], None]:
    """A training step of the original package's layer of this kind, on the same inputs."""
    see_peers()
    from arrayLSTM import LSTM, ArrayLSTM, extensions

    sizes = (case.shape.inputs, case.shape.hidden)
    if case.kind == "LSTM":
        layer = LSTM(*sizes)
    elif case.kind == "ArrayLSTM":
        layer = ArrayLSTM(*sizes, case.shape.lanes)
    elif case.kind.startswith("Attention"):
        layer = extensions.AttentionArrayLSTM(*sizes, case.shape.lanes, case.kind.endswith("max"))
    else:
        layer = extensions.StochasticArrayLSTM(*sizes, case.shape.lanes)
    return partial(case.step, layer)


def paired(above: Callable[[], None], below: Callable[[], None], pairs: int) -> list[tuple[float, float]]:
    """(wall clock, processor time) of the one over those of the other, pair by pair."""
    above()
    below()
    return [_over(_seconds(above), _seconds(below)) for _ in range(pairs)]


def _over(above: tuple[float, float], below: tuple[float, float]) -> tuple[float, float]:
    return above[0] / below[0], above[1] / below[1]


def _seconds(run: Callable[[], None]) -> tuple[float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - processor


def kinds_for(name: str) -> tuple[str, ...]:
    return ("LSTM",) if name == "D" else KINDS[1:] if name == "C" else KINDS


def report_speed(arguments: argparse.Namespace) -> None:
    heads = f"{'median':>6}  {'min-max':12} {'processor':>9}  target"
    print(f"{'thr':>3} {'shape':5} {'layer':22} {'what':25} {heads}")
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        for name in arguments.shapes:
            for kind in kinds_for(name):
                if arguments.only not in kind:
                    continue
                for what, above, below in comparisons(Case(kind, SHAPES[name])):
                    pairs = paired(above, below, arguments.pairs)
                    ratios, processor = ([pair[clock] for pair in pairs] for clock in (0, 1))
                    target = TARGETS.get((kind, what), {}).get(name)
                    sign = "<=" if what.startswith("ours") else ">="
                    spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
                    line = f"{threads:3} {name:5} {kind:22} {what:25} {statistics.median(ratios):6.2f}"
                    ending = f"{statistics.median(processor):9.2f}  {f'{sign} {target}' if target else ''}"
                    print(f"{line}  {spread:12} {ending}", flush=True)


def peak_above_start(kind: str, name: str, variant: str) -> None:
    """In a process of its own: print the bytes that one training step adds at its peak."""
    torch.set_num_threads(1)
    small = Case(kind, Shape(2, 2, 3, 16, 2))
    run = {"ours": Case.train, "saving": partial(Case.train, saving=True), "plain": Case.plain_train}[variant]
    run(small)  # imports, compiled kernels, thread pools
    case = Case(kind, SHAPES[name])
    print(peak.above_start(partial(run, case)))


def report_memory(arguments: argparse.Namespace) -> None:
    print(f"\n{'shape':5} {'layer':22} {'plain MiB':>9} {'ours':>6} {'gates recomputed':>17}   targets")
    for name in arguments.shapes:
        for kind in kinds_for(name):
            if arguments.only not in kind or kind.endswith("max"):
                continue
            plain, ours, saving = (_peak(kind, name, variant) for variant in ("plain", "ours", "saving"))
            target = MEMORY_TARGETS.get(kind, 0.7)
            line = f"{name:5} {kind:22} {plain / 2**20:9.0f} {ours / plain:6.2f} {saving / plain:17.2f}"
            print(f"{line}   <= {target}, <= 0.3", flush=True)


def _peak(kind: str, name: str, variant: str) -> int:
    command = [sys.executable, __file__, "--peak", kind, name, variant]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shapes", default="ABCD", help="which shapes, such as AB")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--only", default="", help="layers whose name contains this")
    parser.add_argument("--quick", action="store_true", help="shape A, one thread, no memory")
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--no-speed", action="store_true")
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        peak_above_start(*arguments.peak)
        return
    if arguments.quick:
        arguments.shapes, arguments.threads, arguments.no_memory = "A", [1], True
    if not arguments.no_speed:
        report_speed(arguments)
    if not arguments.no_memory:
        report_memory(arguments)


if __name__ == "__main__":
    main()
