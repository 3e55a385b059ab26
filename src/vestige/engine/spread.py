"""One map over a cluster: which pieces are under way, in what order outcomes leave, what is done again."""

from __future__ import annotations

import secrets
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Generic

import ray
from ray import exceptions as lost
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from vestige import log
from vestige.engine import node, places, shipping
from vestige.engine.base import ClusterError, Item, Outcome, Value, WorkerDiedError
from vestige.engine.places import Sight
from vestige.engine.worker import Bug, Done

IN_HAND = 2
"""Pieces a processor that a cluster is given: one to work on, and one so that it need not wait."""
AHEAD = 4
"""Pieces a processor that are drawn and not yet yielded: bounds what lies in the cluster's memory."""
ATTEMPTS = 3
"""So often a piece of one item alone may be lost with a worker or a node before it is given up: the first
times it may be the node's fault."""
LOOK_S = 10.0
"""Every so many seconds it is looked whether the cluster is still there: Ray itself would end this process, a
minute after the head is gone."""
LOST = (
    lost.WorkerCrashedError, lost.NodeDiedError, lost.OutOfMemoryError, lost.ObjectLostError,
    lost.ActorDiedError, lost.ActorUnavailableError, lost.TaskCancelledError,
)  # fmt: skip
"""What says that a worker or a node is gone, with what it held."""
GONE = (lost.RaySystemError, lost.LocalRayletDiedError, lost.RpcError, ConnectionError)
"""What says that the cluster is gone."""

logger = log.get("vestige.engine")


@dataclass
class Piece(Generic[Item]):
    """Items under way together, the first at index `first`; `attempts` were lost."""

    first: int
    items: list[Item]
    reply: Any
    attempts: int = 0


class Spread(Generic[Item, Value]):
    """One `RayEngine.map`. `most`: pieces at a time, where a person set a limit.

    The driver holds one result at a time: others wait in the object stores of the nodes until their turn.
    """

    def __init__(
        self,
        fn: Callable[[Item], Value],
        items: Iterable[Item],
        *,
        most: int | None,
        processors: int,
        chunk: int,
        ordered: bool,
        isolate: bool,
        reads: Callable[[Item], Sequence[Path]] | None,
        writes: Path | None,
        unseen: bool,
    ) -> None:
        self._items, self._chunk, self._ordered, self._reads = iter(items), chunk, ordered, reads
        self._most, self._ahead = most or IN_HAND * processors, AHEAD * processors
        self._writes = None if writes is None else places.absolute(writes)
        token = secrets.token_hex(16)
        self._order = node.Order(log.level(), str(Path.cwd()), token, self._writes, isolate, unseen)
        self._function = places.dumps_function(fn)
        self._pieces: dict[int, Piece[Item]] = {}
        self._running: dict[Any, int] = {}
        self._next = self._drawn = 0
        self._ended = False
        self._evidence: Any = None
        self._pulse = Pulse()
        self._told: set[str] = set()
        self._files: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()

    def outcomes(self) -> Iterator[Outcome[Item, Value]]:
        """Every item's outcome, see `Engine.map`."""
        try:
            self._begin()
            while True:
                self._hand_out()
                if not self._pieces:
                    break
                piece = self._finished()
                yield from self._outcomes_of(piece)
            self._tell()
        except GONE as error:
            self._pulse.lost = True
            raise lost_cluster(str(error)) from error
        finally:
            if not self._pulse.lost:
                self._end()

    def _begin(self) -> None:
        if self._reads is not None:
            self._evidence = start_evidence()
        if self._writes is not None:
            Path(self._writes, self._order.token).touch()
        self._function = ray.put(self._function)
        self._run = ray.remote(node.run).options(max_retries=0, num_cpus=1)

    def _hand_out(self) -> None:
        """Draw items and give them to the cluster, as long as there is room for more."""
        while not self._ended and len(self._running) < self._most and len(self._pieces) < self._ahead:
            items = list(islice(self._items, self._chunk))
            self._ended = len(items) < self._chunk
            if items:
                self._submit(Piece(self._drawn, items, None))
            self._drawn += len(items)

    def _submit(self, piece: Piece[Item]) -> None:
        reads: dict[str, Sight] = {}
        if self._reads is not None:
            for item in piece.items:
                reads |= {str(path): places.look(path) for path in self._reads(item)}
        payload = places.dumps(piece.items)
        piece.reply = self._run.remote(
            self._order, self._function, piece.first, payload, list(reads.values()), self._evidence
        )
        self._pieces[piece.first] = piece
        self._running[piece.reply] = piece.first

    def _finished(self) -> Piece[Item]:
        """The next piece whose outcomes may leave; waits for it."""
        while True:
            found = self._next if self._ordered else next(iter(self._done()), -1)
            if found in self._pieces and self._pieces[found].reply not in self._running:
                return self._pieces[found]
            done, _ = ray.wait(list(self._running), num_returns=1, timeout=LOOK_S, fetch_local=False)
            for reply in done:
                del self._running[reply]
            self._pulse.look()
            # What is done makes room for more, although an earlier one is still waited for.
            self._hand_out()

    def _done(self) -> Iterator[int]:
        return (first for first, piece in self._pieces.items() if piece.reply not in self._running)

    def _outcomes_of(self, piece: Piece[Item]) -> Iterator[Outcome[Item, Value]]:
        del self._pieces[piece.first]
        try:
            reply: node.Reply = ray.get(piece.reply)
            result: Bug | Done = places.loads(reply.result)
            if reply.files:
                shipping.unpack(reply.files, reply.home)
        except LOST as error:
            yield from self._again(piece, error)
            return
        except lost.RayTaskError as error:
            if not isinstance(error.cause, LOST):
                raise _cannot_run(error) from error
            yield from self._again(piece, error)
            return
        piece.reply = None
        self._count(reply)
        if isinstance(result, Bug):
            result.error.add_note(f"On a node of the cluster:\n{result.traceback}")
            raise result.error
        log.replay(result.records)
        self._next = piece.first + len(piece.items)
        for at, (item, (value, failed)) in enumerate(zip(piece.items, result.results, strict=True)):
            yield Outcome(item, piece.first + at, value, failed)

    def _again(self, piece: Piece[Item], why: Exception) -> Iterator[Outcome[Item, Value]]:
        """Do again what was lost, each item in a piece of its own."""
        attempts = piece.attempts + (len(piece.items) == 1)
        logger.debug("lost with a worker or a node: %s", why)
        if attempts >= ATTEMPTS:
            self._next = piece.first + 1
            what = f"the processes that worked on it died, {ATTEMPTS} times"
            yield Outcome(piece.items[0], piece.first, error=WorkerDiedError(what))
            return
        for at, item in enumerate(piece.items):
            self._submit(Piece(piece.first + at, [item], None, attempts))

    def _count(self, reply: node.Reply) -> None:
        if not reply.shipped:
            return
        if reply.node not in self._told:
            self._told.add(reply.node)
            logger.info(
                "the node %s does not see %s as this machine does: evidence is shipped to it",
                reply.node, reply.shipped[0].given,
            )  # fmt: skip
        self._files[reply.node] += len(reply.shipped)
        self._bytes[reply.node] += reply.shipped_bytes

    def _tell(self) -> None:
        for name in sorted(self._told):
            logger.info("%.1f MB of evidence were shipped to the node %s", self._bytes[name] / 1e6, name)

    def _end(self) -> None:
        """Nothing goes on, and nothing is left on the nodes."""
        if not ray.is_initialized():
            return
        for reply in self._running:
            ray.cancel(reply, force=True)
        if self._writes is not None:
            Path(self._writes, self._order.token).unlink(missing_ok=True)
        clean(self._order.token)
        if self._evidence is not None:
            ray.kill(self._evidence)


class Pulse:
    """Whether the head of the cluster is still there: looked at every `LOOK_S` seconds."""

    def __init__(self) -> None:
        self._head = str(ray.get_runtime_context().gcs_address)
        self._looked, self._missed = time.monotonic(), 0
        self.lost = False

    def look(self) -> None:
        """Raise ClusterError where the head was not there the last two times."""
        if time.monotonic() - self._looked < LOOK_S:
            return
        self._looked = time.monotonic()
        self._missed = 0 if _is_there(self._head) else self._missed + 1
        if self._missed == 2:
            self.lost = True
            raise lost_cluster("its head does not answer any more")


def start_evidence() -> Any:
    """The actor on this machine that ships evidence to nodes which do not see it."""
    home = _on(ray.get_runtime_context().get_node_id())
    kind = ray.remote(shipping.Evidence)
    return kind.options(num_cpus=0, max_concurrency=4, scheduling_strategy=home).remote()


def _on(node_id: str) -> Any:
    return NodeAffinitySchedulingStrategy(node_id, soft=False)


def clean(token: str) -> None:
    """Remove what lies on the nodes for one map."""
    remove = ray.remote(shipping.remove_node_folder)
    try:
        left = [
            remove.options(num_cpus=0, max_retries=0, scheduling_strategy=_on(node["NodeID"])).remote(token)
            for node in ray.nodes()
            # One that died is taken for alive for a while yet, and would be waited for.
            if node["Alive"] and _is_there(f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}")
        ]
        ray.wait(left, num_returns=len(left), timeout=LOOK_S)
    except (lost.RayError, ConnectionError, RuntimeError) as error:
        logger.debug("nothing could be removed from the nodes: %s", error)


def _is_there(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=LOOK_S / 2).close()
    except OSError:
        return False
    return True


def lost_cluster(why: str) -> ClusterError:
    """The error for whoever worked on a cluster that is not there any more."""
    return ClusterError(
        f"the cluster was lost: {why.strip().splitlines()[0]}",
        remedy="repeat the command when it is there again; ray status says so",
    )


def _cannot_run(error: Exception) -> Exception:
    """A node that could not even begin."""
    text = str(error)
    if "ModuleNotFoundError" in text or "failed to import" in text:
        return ClusterError(
            "a node of the cluster cannot import vestige",
            remedy="install it there, in the Python that Ray runs with: pip install 'vestige[ray]'",
        )
    return ClusterError(f"a node of the cluster cannot work: {text.strip().splitlines()[-1]}")
