"""The state of every random generator a training draws from: kept, restored, and given back to the caller."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor


def capture() -> tuple[dict[str, Any], dict[str, Tensor]]:
    """State of Python's, numpy's and torch's generators: what is JSON-ready, and what is a tensor."""
    version, words, gauss = random.getstate()
    _, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    plain = {"python": [version, gauss], "numpy": [int(position), int(has_gauss), float(cached)]}
    tensors = {
        "python": torch.tensor(words, dtype=torch.int64),
        "numpy": torch.from_numpy(np.asarray(keys).astype(np.int64)),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        tensors |= {f"cuda.{n}": state for n, state in enumerate(torch.cuda.get_rng_state_all())}
    return plain, tensors


def restore(plain: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Put every generator where `capture` found it."""
    version, gauss = plain["python"]
    random.setstate((version, tuple(tensors["python"].tolist()), gauss))
    position, has_gauss, cached = plain["numpy"]
    np.random.set_state(("MT19937", tensors["numpy"].numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(tensors["torch"])
    if torch.cuda.is_available():
        for n in range(torch.cuda.device_count()):
            if f"cuda.{n}" in tensors:
                torch.cuda.set_rng_state(tensors[f"cuda.{n}"], n)


def seed_all(seed: int) -> None:
    """Start every generator from `seed`."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@contextlib.contextmanager
def isolated() -> Iterator[None]:
    """Whatever is drawn inside, the caller's generators go on as if nothing had been drawn."""
    before = capture()
    try:
        yield
    finally:
        restore(*before)
