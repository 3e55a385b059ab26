"""A cluster that Ray runs: `RayEngine`.

Ray is imported when there is work to do, and told to keep to itself: no usage statistics, no dashboard, no
lines of its own on the terminal; a cluster that is started here listens on the loopback interface alone.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vestige
from vestige import extras, log
from vestige.engine.base import ClusterError, Item, Outcome, Value
from vestige.errors import UsageError

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_NUM_REDIS_GET_RETRIES": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_TQDM_PATCH_PRINT": "0",
}
"""Settings of Ray that are made before it is imported, unless the environment makes them."""
LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Setting of Ray, in spite of its name on every system: 0 binds all that it starts to 127.0.0.1."""
ELSEWHERE = ("198.51.100.1", 9)
"""An address that nobody has; the way to it leaves this machine by the interface that others see."""
KNOCK_S = 5.0
"""Seconds within which a cluster must answer at its address."""


@dataclass(frozen=True)
class RayEngine:
    """Works on the nodes of the Ray cluster at `address`. See `Engine`.

    `address`: HOST:PORT of its head, `auto` for the one that this machine is a node of, None for one that is
    started on this machine alone and ends with this process. `jobs`: pieces that are worked on at a time, at
    most; None: one for every processor of the cluster. `unseen`: ship all evidence, as if no node saw it.
    Raises UsageError for fewer than one job, for an address that is none, and where Ray is not installed;
    ClusterError where there is no cluster.
    """

    jobs: int | None = None
    address: str | None = None
    unseen: bool = False

    def __post_init__(self) -> None:
        if self.jobs is not None and self.jobs < 1:
            raise UsageError(f"{self.jobs} processes cannot work", remedy="--jobs 1 or more")
        if self.address not in {None, "auto"}:
            _host_and_port(str(self.address))

    @property
    def workers(self) -> int:
        """See `Engine.workers`."""
        processors = int(connect(self.address).cluster_resources().get("CPU", 0))
        return max(1, min(processors, self.jobs or processors))

    def map(
        self,
        fn: Callable[[Item], Value],
        items: Iterable[Item],
        *,
        ordered: bool = True,
        chunk: int = 1,
        isolate: bool = False,
        small: bool = False,  # noqa: ARG002 - processes of a cluster may be there already
        reads: Callable[[Item], Sequence[Path]] | None = None,
        writes: Path | None = None,
    ) -> Iterator[Outcome[Item, Value]]:
        """See `Engine.map`. `fn` may also be a function of a script or a notebook."""
        connect(self.address)
        from vestige.engine.spread import Spread

        return Spread(
            fn,
            items,
            most=self.jobs,
            processors=self.workers,
            chunk=chunk,
            ordered=ordered,
            isolate=isolate,
            reads=reads,
            writes=writes,
            unseen=self.unseen,
        ).outcomes()


def connect(address: str | None) -> Any:
    """The `ray` module, connected; a connection that there is already is used as it is."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if address is None or _on_loopback_alone(address):
        os.environ.setdefault(LOOPBACK, "0")
    extras.require("ray", "--engine ray")
    import ray

    if ray.is_initialized():
        return ray
    if address not in {None, "auto"}:
        _knock(str(address))
    _join(ray, address)
    return ray


def _join(ray: Any, address: str | None) -> None:
    from ray.job_config import JobConfig

    # Where workers find this package; Ray itself tells them the folders of a script, and where it runs.
    ours = JobConfig(_py_driver_sys_path=[str(Path(vestige.__file__).parents[1])])
    settings: dict[str, Any] = {"address": "local", "include_dashboard": False}
    if address is not None:
        settings = {"address": address}
    before = signal.getsignal(signal.SIGTERM)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # What Ray's library writes while it joins comes as an error, too.
            with log.silent_stderr():
                ray.init(**settings, job_config=ours, log_to_driver=False, logging_level=logging.CRITICAL)
        _keep_off_output(ray)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError, ray.exceptions.RayError) as error:
        raise _no_cluster(address, error) from error
    finally:
        # Ray puts its own in its place, which would end the process without what is to be saved first.
        if threading.current_thread() is threading.main_thread() and before is not None:
            signal.signal(signal.SIGTERM, before)


def _keep_off_output(ray: Any) -> None:
    """Log what Ray tells its driver: it would print that to standard output, amid our own."""
    logger = log.get("vestige.engine")

    def told(data: dict[str, Any], **_: Any) -> None:
        for line in data["lines"]:
            logger.debug("Ray: %s", line)

    ray._private.worker.print_to_stdstream = told


def _no_cluster(address: str | None, error: Exception) -> ClusterError:
    why = str(error).strip().splitlines() or [type(error).__name__]
    if address == "auto":
        return ClusterError(
            f"this machine is a node of no Ray cluster that runs: {why[0]}",
            remedy="start one: ray start --head; or leave --address out, for one of this machine alone",
        )
    if address is None:
        return ClusterError(f"Ray cannot be started on this machine: {why[0]}", remedy="--engine local")
    before = str(error.__cause__ or error.__context__ or "")
    if "AuthToken" in before:
        return ClusterError(
            f"the Ray cluster at {address} wants its token",
            remedy="set RAY_AUTH_MODE=token, and have the token of its head in ~/.ray/auth_token",
        )
    return ClusterError(
        f"the Ray cluster at {address} cannot be joined: {' '.join(why[:3])}",
        remedy="this machine must be one of its nodes, with the same versions of Ray and Python: ray start "
        f"--address {address}",
    )


def _host_and_port(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if not colon or not host or "/" in host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise UsageError(
            f"--address: {address!r} is no address of a cluster",
            remedy="auto, or HOST:PORT as ray start --head says it, such as 10.0.0.5:6379",
        )
    return host.strip("[]"), int(port)


def _on_loopback_alone(address: str) -> bool:
    """Whether a cluster of this machine is bound to its loopback interface. Ray would look for a head that is
    given as 127.0.0.1 at the machine's own address, for 40 seconds, unless it is told."""
    if address == "auto":
        return False
    host, port = _host_and_port(address)
    if host not in {"127.0.0.1", "localhost"}:
        return False
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
            way.connect(ELSEWHERE)  # which sends nothing
            own = way.getsockname()[0]
        socket.create_connection((own, port), timeout=KNOCK_S).close()
    except OSError:
        return True
    return False


def _knock(address: str) -> None:
    """Raise ClusterError where nobody answers: Ray itself would wait for long, and say it in many lines."""
    try:
        socket.create_connection(_host_and_port(address), timeout=KNOCK_S).close()
    except OSError as error:
        raise ClusterError(
            f"nothing answers at {address}: {error.strerror or error}",
            remedy="give the address of a head that runs, as ray start --head said it; ray status asks it",
        ) from error
