"""What a trial on a node tells whoever searches, without a cluster."""

from __future__ import annotations

import errno
import logging
import os
import platform
import secrets
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vestige.engine import node, places, shipping
from vestige.errors import UsageError
from vestige.tuning import on_node

ray = pytest.importorskip("ray", reason="needs Ray: pip install ray", exc_type=ImportError)


class FullDisk:
    """Evidence that comes to a node whose disk is full."""

    def __init__(self) -> None:
        self.walk = self

    def remote(self, path: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


def test_a_node_that_cannot_take_the_dataset_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(ray, "tune", SimpleNamespace(report=told.append), raising=False)
    order = node.Order(logging.INFO, str(tmp_path), secrets.token_hex(16), None, isolate=False, unseen=True)
    errand = on_node.Errand(order, b"", [places.look(tmp_path)], FullDisk())
    try:
        on_node.work({on_node.SETTINGS: {}}, errand=errand)
    finally:
        shipping.remove_node_folder(order.token)
    assert len(told) == 1
    report = places.loads(told[0][on_node.TOLD])
    assert (report.result, report.node) == (None, platform.node())
    error = report.fault.error
    assert isinstance(error, UsageError)
    assert error.what == f"the node {platform.node()} cannot be given the dataset: No space left on device"
    assert "--resume" in error.remedy
