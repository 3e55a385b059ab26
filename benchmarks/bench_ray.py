"""A corpus of many files on a Ray cluster of three nodes of this machine.

Is the dataset the same, does a node that is killed in the middle take anything with it, and does the memory
of the driver grow with the corpus?

    python benchmarks/bench_ray.py --files 250 1000 --lines 200

Every dataset is compared byte for byte with that of local processes. Times are of this machine, whose cores
the nodes share: they say what a cluster costs, not what several machines gain.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

from vestige.engine.cluster import LOOPBACK, QUIET

for name, value in {**QUIET, LOOPBACK: "0"}.items():
    os.environ.setdefault(name, value)

from ray.cluster_utils import Cluster  # noqa: E402 - reads the settings above

from vestige.simulators.logs.options import SimulateOptions  # noqa: E402
from vestige.simulators.logs.write import simulate  # noqa: E402

NODES = 3
STORE_BYTES = 200 << 20


def corpus(root: Path, files: int, lines: int) -> Path:
    """So many files of so many lines: simulated messages, dealt out anew."""
    simulate(root / "seed", SimulateOptions(hosts=2, messages=10_000, seed=1))
    text = [line for path in sorted((root / "seed").rglob("*.log")) for line in path.open("rb")]
    made = root / f"{files}"
    made.mkdir()
    for number in range(files):
        start = number * lines
        taken = (text[at % len(text)] for at in range(start, start + lines))
        (made / f"{number:06}.log").write_bytes(b"".join(taken))
    shutil.rmtree(root / "seed")
    return made


def digest(folder: Path) -> str:
    """SHA-256 of all files of a folder, with their names."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            total.update(str(path.relative_to(folder)).encode())
            total.update(path.read_bytes())
    return total.hexdigest()[:16]


def prepare(logs: Path, out: Path, *engine: str) -> tuple[float, float]:
    """Seconds, and the peak of resident memory of the process that a person started (MB)."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "vestige", "-l", "error", "prepare", "logs", str(logs), "-o", str(out)]
    with Path(os.devnull).open("wb") as nowhere:
        actions = [(os.POSIX_SPAWN_DUP2, nowhere.fileno(), 1)]
        child = os.posix_spawn(
            sys.executable, [*command, "--format", "bgl", *engine], os.environ, file_actions=actions
        )
        _, status, used = os.wait4(child, 0)
    if status:
        sys.exit(f"vestige prepare ended with {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - begun, used.ru_maxrss / 1024


def kill_later(cluster: Cluster, seconds: float) -> threading.Timer:
    """Kill the last node of a cluster, with all its processes, after so many seconds."""
    node = cluster.list_all_nodes()[-1]
    timer = threading.Timer(seconds, cluster.remove_node, (node,), {"allow_graceful": False})
    timer.start()
    return timer


def main() -> None:
    """Print a line for each corpus and way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, nargs="+", default=[250, 1000])
    parser.add_argument("--lines", type=int, default=200, help="of each file")
    asked = parser.parse_args()
    size = {"num_cpus": 1, "object_store_memory": STORE_BYTES, "node_ip_address": "127.0.0.1"}
    cluster = Cluster(initialize_head=True, head_node_args={**size, "include_dashboard": False})
    for _ in range(NODES - 1):
        cluster.add_node(**size)
    ray = ("--engine", "ray", "--address", cluster.address)
    print(f"{'files':>8} {'lines':>12}  {'way':<22} {'seconds':>8} {'driver MB':>10}  digest")
    with tempfile.TemporaryDirectory(prefix="vestige-bench-") as folder:
        for files in asked.files:
            logs = corpus(Path(folder), files, asked.lines)
            ways = {"local": (), "ray": ray, "ray, a node killed": ray}
            found = {}
            for way, engine in ways.items():
                out = Path(folder) / "dataset"
                killing = None
                if way.endswith("killed"):
                    killing = kill_later(cluster, 0.5 * found["ray"][0])
                seconds, memory = prepare(logs, out, *engine)
                if killing is not None:
                    died = killing.finished.is_set()
                    killing.cancel()
                    if not died:
                        print("the node outlived the reading")
                    cluster.add_node(**size)
                found[way] = seconds, memory, digest(out)
                shutil.rmtree(out)
                print(
                    f"{files:>8,} {files * asked.lines:>12,}  {way:<22} {seconds:>8.1f} {memory:>10.0f}  "
                    f"{found[way][2]}",
                    flush=True,
                )
            shutil.rmtree(logs)
            if len({one[2] for one in found.values()}) > 1:
                sys.exit("the datasets differ")
    cluster.shutdown()


if __name__ == "__main__":
    main()
