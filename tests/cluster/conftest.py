"""The cluster, and engines that work on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import NODE, NODES
from tests.pipeline.conftest import prepared
from vestige.engine.cluster import RayEngine

__all__ = ["prepared"]


@pytest.fixture(scope="package")
def cluster() -> Iterator[Any]:
    """A test that takes a node away puts another one in its place."""
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    for _ in range(NODES - 1):
        made.add_node(wait=False, **NODE)
    made.wait_for_nodes()
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture
def engine(cluster: Any) -> RayEngine:
    return RayEngine(address=cluster.address)


@pytest.fixture
def blind(cluster: Any) -> RayEngine:
    """Nodes that see none of this machine's files."""
    return RayEngine(address=cluster.address, unseen=True)
