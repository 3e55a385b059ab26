"""What all tests share: where the real data lie, and small datasets made from plain arrays."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two workers share two cores; spinning threads would not

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import settings

from tests import warm
from vestige import log
from vestige.reading.dataset import DatasetWriter
from vestige.reading.windows import WindowSet
from vestige.schema import Input, Schema, Stream, Target

warm.wait_for_no_disk()
settings.register_profile("vestige", deadline=None)
settings.load_profile("vestige")
TOGETHER = "tests/cluster/"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where tests run in several processes, those of a file run in one of them, which makes what they share
    once. All that need a cluster are as one file. With another `--dist` tests are dealt out as that says.

    (Marks of `xdist_group` have no effect with pytest 9.2 and pytest-xdist 3.8.)
    """
    if config.option.dist != "loadfile":
        return None
    from xdist.scheduler import LoadScopeScheduling

    config.option.loadscopereorder = False  # the file with most tests is not the one that takes longest

    class ByFile(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return TOGETHER if file.startswith(TOGETHER) else file

    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs a cluster begins first: it takes minutes, most of which it waits."""
    items.sort(key=lambda item: not item.nodeid.startswith(TOGETHER))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The data beside the project; a test that needs it skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"the real data are not beside this checkout ({SHARED})")
    return SHARED


ROOT = logging.getLogger("vestige")
UNTOUCHED = ROOT.level, ROOT.propagate, list(ROOT.handlers)


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """What one test does to the log does not reach the next, nor what a fixture of many tests did."""
    _forget()
    yield
    _forget()


def _forget() -> None:
    level, ROOT.propagate, ROOT.handlers[:] = UNTOUCHED
    ROOT.setLevel(level)
    log._early.taken()  # what was said before there was a file belongs to no other test's


def plain_schema(
    length: int = 4,
    stride: int = 1,
    classes: tuple[str, ...] = ("normal", "anomaly"),
    target: Target = "last",
) -> Schema:
    """A source that does not exist, with one stream of step numbers."""
    return Schema(
        source="plain",
        version=1,
        classes=classes,
        length=length,
        stride=stride,
        streams=(Stream("value", "int32"), Stream("t_ns", "int64", unit="ns")),
        inputs=(Input("tokens", "tokens"),),
        target=target,
    )


Recording = tuple[str, str, str, np.ndarray]
"""host, sample, profile, labels."""
MakeWindows = Callable[..., WindowSet]


@pytest.fixture
def make_windows(tmp_path: Path) -> MakeWindows:
    """Write a dataset of recordings given as (host, sample, profile, labels) and open it.

    Recording i starts at `i * gap_ns`; its steps are a second apart and hold consecutive numbers from 1 on,
    whose remainders plus 1 the table `remainders` has.
    """

    def make(
        recordings: list[Recording],
        *,
        length: int = 4,
        stride: int = 1,
        gap_ns: int = 0,
        target: Target = "last",
    ) -> WindowSet:
        path = tmp_path / f"dataset-{len(list(tmp_path.iterdir()))}"
        with DatasetWriter(path, plain_schema(length, stride, target=target)) as writer:
            value = 1
            for number, (host, sample, profile, labels) in enumerate(recordings):
                n = len(labels)
                t_ns = np.arange(n, dtype=np.int64) * 1_000_000_000 + number * gap_ns
                writer.begin(id=f"r{number}", host=host, sample=sample, profile=profile)
                writer.extend(
                    {"value": np.arange(value, value + n), "t_ns": t_ns},
                    t_ns=t_ns,
                    label=np.asarray(labels, np.uint8),
                )
                writer.close_recording(f"digest-{number}")
                value += n
            numbers = np.arange(value)
            writer.table("remainders", pl.DataFrame({f"of_{n}": numbers % n + 1 for n in (3, 7, 10)}))
        return WindowSet.open(path)

    return make
