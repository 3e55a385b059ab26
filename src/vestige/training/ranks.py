"""Several processes that train one detector together, a device each: which of them this one is.

The one that a person started has rank 0; it writes, logs and shows, and the others say nothing. Where they
must agree (whether to stop, whether the loss is still a number), each brings what it knows, and all get the
same answer.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnProcess

from vestige.errors import UsageError
from vestige.training.config import TrainingConfig
from vestige.training.errors import TrainingError

LOCAL, NODE, ADDRESS, PORT = "LOCAL_RANK", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT"
"""Variables of the environment, as PyTorch and Lightning know them."""
PATIENCE = 5.0
"""Seconds that the others, which have nothing to write, may take to end once this process has."""


@dataclass(frozen=True)
class Ranks:
    """`rank` of `world` processes; `local`: which of this node's."""

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def alone(self) -> bool:
        """Whether nobody else trains with this process."""
        return self.world == 1

    @property
    def first(self) -> bool:
        """Whether this process speaks and writes for all."""
        return self.rank == 0


def own(config: TrainingConfig) -> Ranks:
    """What this process is among those that `config` asks for.

    Raises UsageError where several were asked for and nobody said which one this is: whoever calls
    `vestige.training.train` by itself starts a process a device.
    """
    world = config.devices * config.nodes
    if world == 1:
        return Ranks()
    if LOCAL not in os.environ:
        raise UsageError(
            f"{world} processes are to train, and nobody said which of them this is ({LOCAL} is not set)",
            remedy="use vestige train or vestige run, which start them, or leave out --devices and --nodes",
        )
    local = int(os.environ[LOCAL])
    return Ranks(_node(config) * config.devices + local, world, local)


def _node(config: TrainingConfig) -> int:
    """The number of this node. Raises UsageError where there are several, and nobody said."""
    lacking = [name for name in (NODE, ADDRESS, PORT) if name not in os.environ]
    if config.nodes == 1:
        return 0
    if lacking:
        raise UsageError(
            f"--nodes {config.nodes}: the environment lacks {', '.join(lacking)}",
            remedy=f"start the same command on every node with {NODE}=0, 1, ... and, on all of them, the "
            f"{ADDRESS} and a free {PORT} of node 0",
        )
    return int(os.environ[NODE])


@contextlib.contextmanager
def started(config: TrainingConfig, work: Callable[[int], None]) -> Iterator[None]:
    """While the block trains as this node's first process, `work(local)` runs in the others' processes.

    `work` travels to them by its name. They end with the block, whatever ends it; one that died by itself
    is told as a TrainingError.
    """
    if config.devices * config.nodes == 1:
        yield
        return
    _node(config)
    # Not forked: this process may have threads, and a CUDA device.
    context = multiprocessing.get_context("spawn")
    others: list[SpawnProcess] = []
    told = {LOCAL: "0"}
    if config.nodes == 1:
        told |= {ADDRESS: "127.0.0.1", PORT: str(_free_port())}
    with _environment(told):
        try:
            with _deaf_to_ctrl_c():
                for local in range(1, config.devices):
                    process = context.Process(target=_other, args=(work, local))
                    process.start()
                    others.append(process)
            yield
            for process in others:
                process.join(PATIENCE)
        except RuntimeError as error:
            # What is told of a neighbour that is gone differs from one kind of network to the other.
            died = _dead(others)
            if not died:
                raise
            raise TrainingError(
                f"{died} of the {len(others) + 1} processes that train together died",
                remedy="look for what ended it (the system ends what takes too much memory), and go on with "
                "--resume",
            ) from error
        finally:
            for process in others:
                process.kill()
                process.join()


def _dead(others: list[SpawnProcess]) -> int:
    """How many ended otherwise than well."""
    for process in others:
        process.join(1.0)
    return sum(process.exitcode not in {None, 0} for process in others)


@contextlib.contextmanager
def _environment(told: dict[str, str]) -> Iterator[None]:
    """Variables of the environment, put back afterwards."""
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Have processes that are started meanwhile not hear Ctrl-C, which a terminal sends to all: it would end
    them in the middle of their imports, with a traceback. This process ends them; it hears a Ctrl-C once all
    have been started."""
    with _put_off(signal.SIGINT):
        # It lets SIGINT through when it is started, which the first process would see to.
        resource_tracker.ensure_running()
        # A new process is as deaf as the thread that starts it.
        deaf_to = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, deaf_to)


@contextlib.contextmanager
def _put_off(number: signal.Signals) -> Iterator[None]:
    """Have a signal do after the block what it does now: other threads than this one may still get it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = signal.signal(number, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        # None: whoever handled it before was not Python, and cannot be put back from here.
        signal.signal(number, signal.SIG_DFL if before is None else before)
    if came:
        signal.raise_signal(number)


def _other(work: Callable[[int], None], local: int) -> None:
    os.environ[LOCAL] = str(local)
    work(local)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
