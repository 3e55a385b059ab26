"""What gradient checkpointing saves, and what it costs: the highest memory and the time of training steps.

    python benchmarks/bench_checkpointing.py [--device cuda] [--layers 8] [--hidden 512] [--batch 512]

Each way runs in a process of its own, in turns (A B A B ...), five pairs unless told otherwise. Memory is the
highest that the process held over what it held before the first step: the resident set on a CPU, what PyTorch
allocated on CUDA. Ratios are of pairs; the median and the range of them are told.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

STEPS = 4


def step_in_here(arguments: argparse.Namespace) -> dict[str, float]:
    """Megabytes, and seconds a step, on the clock and of the processor, of one way."""
    import torch

    from vestige.nn import CollaborativeTransformer, TransformerConfig

    torch.manual_seed(0)
    config = TransformerConfig(
        embed_size=arguments.hidden,
        hidden_size=arguments.hidden,
        projection_size=4 * arguments.hidden,
        heads=8,
        layers=arguments.layers,
        len_messages=arguments.tokens,
        len_sequences=arguments.tokens,
        checkpointing=arguments.way == "checkpointing",
    )
    device = torch.device(arguments.device)
    model = CollaborativeTransformer(config, 1_000).to(device)
    text = torch.randint(1, 1_000, (arguments.batch, arguments.tokens), device=device)
    vectors = torch.randn(arguments.batch, arguments.tokens, 384, device=device)

    def held() -> float:
        if device.type == "cuda":
            return torch.cuda.max_memory_allocated() / 2**20
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10

    before, seconds, processor = held(), [], []
    for _ in range(STEPS):
        began, spent = time.perf_counter(), time.process_time()
        model(text, None, vectors).square().sum().backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
        processor.append(time.process_time() - spent)
        model.zero_grad(set_to_none=False)
    memory = held() - before
    return {"megabytes": memory, "seconds": min(seconds[1:]), "processor seconds": min(processor[1:])}


def main() -> None:
    """Run the pairs, and print their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--way", default="")
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(step_in_here(arguments)))
        return
    ratios: dict[str, list[float]] = {"megabytes": [], "seconds": [], "processor seconds": []}
    for pair in range(arguments.pairs):
        found = {}
        for way in ("kept", "checkpointing"):
            command = [sys.executable, *sys.argv, "--way", way]
            told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found[way] = json.loads(told.splitlines()[-1])
        for name, values in ratios.items():
            values.append(found["checkpointing"][name] / found["kept"][name])
        print(f"pair {pair + 1}: {found}")
    for name, values in ratios.items():
        told = f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
        print(f"{name}, checkpointing over kept: {told}")


if __name__ == "__main__":
    main()
