"""What runs on a node of a Ray cluster: one piece of work, in a process that Ray started."""

from __future__ import annotations

import os
import platform
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from vestige import __version__
from vestige.engine import places, shipping
from vestige.engine.local import LocalEngine
from vestige.engine.places import Places, Sight
from vestige.engine.worker import THREADS, Done, Result, as_bug, work
from vestige.errors import UsageError, VestigeError

_FUNCTION = places.Kept()
"""The function of the map that this process works for."""
_PROCESS = uuid.uuid4().hex
"""A name that no other process of the cluster has."""


@dataclass(frozen=True)
class Order:
    """What all pieces of one map have in common. `token`: a name that only this map has, and that of a file
    in `writes`, by which a node tells whether it sees that folder. `unseen`: take it that it sees nothing."""

    level: int
    cwd: str
    token: str
    writes: str | None
    isolate: bool
    unseen: bool
    version: str = __version__


class Reply(NamedTuple):
    """What became of a piece: a pickled `Done` or `Bug`; the files that come home, into the folder `home`;
    and what was shipped to the node called `node`."""

    result: bytes
    home: str
    files: list[shipping.ComingFile]
    node: str
    shipped: list[Sight]
    shipped_bytes: int


def run(
    order: Order, function: bytes, number: int, payload: bytes, reads: list[Sight], evidence: Any
) -> Reply:
    """Work on the items in `payload`, the first of them with this number."""
    for name in THREADS:
        os.environ.setdefault(name, "1")
    node = platform.node()
    if (refusal := other_version(order)) is not None:
        return _refused(refusal, node)
    if Path(order.cwd).is_dir():
        os.chdir(order.cwd)
    folder = str(shipping.node_folder(order.token))
    spot = places_of(order)
    try:
        shipped = fetch(order, reads, spot, evidence)
        _make_room(order, spot, folder)
    except OSError as error:
        # Such as a full disk of the node: it is no item's fault, but every item's result.
        return Reply(places.dumps(_failed(payload, number, error)), "", [], node, [], 0)
    try:
        fn = _FUNCTION.loads(order.token, function, spot)
        items = places.loads(payload, spot.here)
        result: Any = _work(order, fn, number, items)
    except Exception as error:  # noqa: BLE001 - a fault of the program is the caller's, who raises it
        result = as_bug(error)
    files = []
    if spot.attempt and spot.attempt.startswith(folder):
        files = shipping.pack(spot.attempt)
    return Reply(places.dumps(result, spot), spot.home, files, node, spot.copied, shipped)


def _work(order: Order, fn: Callable[[Any], Any], number: int, items: list[Any]) -> Done:
    if not order.isolate:
        return work(fn, number, items, order.level)
    # A process of Ray's maps memory of its store, so that limits of address space would end it; and who
    # kills it takes the other items with it. One more fork is cheap.
    return work(_Isolated(fn, items), number, list(range(len(items))), order.level)


class _Isolated:
    """Gives one item's result after the other, each worked on in a process that it may kill."""

    def __init__(self, fn: Callable[[Any], Any], items: list[Any]) -> None:
        self._outcomes = LocalEngine(1).map(fn, items, chunk=len(items), isolate=True)

    def __call__(self, index: int) -> Any:  # noqa: ARG002 - they come in order
        return next(self._outcomes).unwrap()


def other_version(order: Order) -> UsageError | None:
    """The error for a node that has another version than the machine of the caller."""
    if order.version == __version__:
        return None
    what = f"the node {platform.node()} has vestige {__version__}, this machine {order.version}"
    return UsageError(what, remedy="install the same version on every node")


def places_of(order: Order) -> Places:
    """Where things lie on this node, before anything is shipped to it."""
    return Places(order.cwd, str(shipping.node_folder(order.token) / "copies"))


def fetch(order: Order, reads: list[Sight], spot: Places, evidence: Any) -> int:
    """Bring copies of what this node does not see, and add it to `spot.copied`. `evidence`: the actor that
    reads on the caller's machine. Returns how many bytes came.

    Raises OSError where a copy cannot be written, as on a full disk, and what Ray raises where the actor is
    gone or cannot read.
    """
    for sight in reads:
        if order.unseen or places.look(Path(sight.path), sight.given) != sight:
            shipping.make_node_folder(order.token)
            spot.copied.append(sight)
    folder = str(shipping.node_folder(order.token))
    return sum(
        shipping.fetch(evidence, sight.path, spot.copy_of(sight.path), folder) for sight in spot.copied
    )


def _make_room(order: Order, spot: Places, folder: str) -> None:
    """A folder for what is written, of this process alone: another that had the same items before may have
    been cut off, or go on."""
    if order.writes is None:
        return
    name = f"{_PROCESS}-{os.getpid()}"
    spot.writes, spot.home = order.writes, str(Path(order.writes, name))
    spot.attempt = str(Path(folder, name))
    if not order.unseen and Path(order.writes, order.token).exists():
        spot.attempt = spot.home
    else:
        shipping.make_node_folder(order.token)
    Path(spot.attempt).mkdir(exist_ok=True)


def _failed(payload: bytes, number: int, error: VestigeError | OSError) -> Done:
    results: list[Result] = [(None, error)] * len(places.loads(payload))
    return Done(number, results, [])


def _refused(error: VestigeError, node: str) -> Reply:
    return Reply(places.dumps(as_bug(error)), "", [], node, [], 0)
