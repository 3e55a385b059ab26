"""What needs a Ray cluster: three nodes on this machine, which all tests here share."""

from __future__ import annotations

import os

import pytest

from vestige.engine.cluster import LOOPBACK, QUIET
from vestige.tuning.cluster import QUIET as QUIET_SEARCH

NODES = 3
NODE = {"num_cpus": 1, "object_store_memory": 80 << 20, "node_ip_address": "127.0.0.1"}


def need(module: str, extra: str) -> None:
    """Skip a module of tests where `module` cannot be imported. Ray reads its settings at that moment."""
    for setting, value in {**QUIET, **QUIET_SEARCH, LOOPBACK: "0"}.items():
        os.environ.setdefault(setting, value)
    pytest.importorskip(module, reason=f"needs {module}: pip install '{extra}'", exc_type=ImportError)
