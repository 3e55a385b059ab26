"""Blocks of rows on worker threads, each of which runs its matrix products alone.

Rows of a batch never meet inside a recurrent layer, so a thread takes its rows through the whole sequence
without waiting for the others at every step, and torch's own threads do not spin beside the kernels.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_pools: dict[int, ThreadPoolExecutor] = {}
_lock = threading.Lock()
os.register_at_fork(after_in_child=_pools.clear)  # a child has the pool's objects, not its threads


def run_all(jobs: Sequence[Callable[[], None]]) -> None:
    """Run every job; a single one on the calling thread, with all of torch's threads for its products."""
    if len(jobs) == 1:
        jobs[0]()
        return
    for future in [_pool(len(jobs)).submit(job) for job in jobs]:
        future.result()


def _pool(size: int) -> ThreadPoolExecutor:
    with _lock:
        if size not in _pools:
            _pools[size] = _new_pool(size)
        return _pools[size]


def _new_pool(size: int) -> ThreadPoolExecutor:
    threads = torch.get_num_threads()
    started = threading.Barrier(size + 1)

    def single() -> None:
        # torch keeps the count per thread once set, but also notes it for threads not yet started.
        torch.set_num_threads(1)

    pool = ThreadPoolExecutor(size, thread_name_prefix="vestige-nn", initializer=single)
    for _ in range(size):
        pool.submit(started.wait)
    started.wait()
    torch.set_num_threads(threads)
    return pool
