"""What a person types with `--engine ray`: the same files, the same tables and the same log as here."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tests import warm
from tests.board.test_board import data
from tests.cluster import NODE, need
from tests.engine.test_seam import FEW, files
from tests.terminal import on_terminal, plain
from vestige.engine import HERE, LocalEngine
from vestige.engine.cluster import LOOPBACK, QUIET, RayEngine
from vestige.simulators.logs.options import SimulateOptions
from vestige.simulators.logs.write import simulate
from vestige.simulators.telemetry.write import simulate as write_episodes
from vestige.sources import registry as sources
from vestige.validation.options import ValidateOptions
from vestige.validation.sweep import validate

need("ray", "vestige[ray]")
__all__ = ["data"]

GARBLED = b"- 1117838570 2005.06.03 web-1 2005-06-03-15.42.50.363779 web-1 RAS KERNEL INFO caf\xe9 au lait\n"


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine files, one of them with bytes that are no text, so that there is something to tell."""
    root = tmp_path_factory.mktemp("typed") / "logs"
    simulate(root, SimulateOptions(hosts=3, messages=2_000, seed=3))
    with (root / "web-1" / "app.log").open("ab") as file:
        file.write(GARBLED)
    return root


@pytest.fixture
def on_ray(cluster: Any) -> list[str]:
    return ["--engine", "ray", "--address", cluster.address]


def environment() -> dict[str, str]:
    """That of a person who knows nothing of Ray's settings."""
    return {name: value for name, value in os.environ.items() if name not in {*QUIET, LOOPBACK}}


def typed(*arguments: object) -> tuple[str, list[str]]:
    """What a command printed and logged, which must end well; the log without its times."""
    done = warm.vestige(*arguments, env=environment())
    assert done.returncode == 0, done.stderr
    return done.stdout, [line.partition(" ")[2] for line in done.stderr.splitlines()]


def test_a_dataset_is_the_same_and_bar_and_warnings_are_on_the_terminal(
    logs: Path, on_ray: list[str], tmp_path: Path
) -> None:
    command = ("prepare", "logs", logs, "--format", "bgl", "-o")
    _, said = typed(*command, tmp_path / "here", "-j", 1)
    shown = plain(on_terminal([*command, tmp_path / "there", *on_ray], environment()))
    assert files(tmp_path / "there") == files(tmp_path / "here")
    assert len(said) == 1
    assert "bytes that are no text" in said[0]
    assert said[0] in shown
    size = sum(file.stat().st_size for file in logs.rglob("*.log"))
    steps = {(int(done), int(total)) for done, total in re.findall(r"(\d+)/(\d+) +bytes", shown)}
    assert (size, size) in steps
    assert {total for _, total in steps} == {size}


def test_what_is_learnt_is_the_same_and_so_are_its_scores(
    logs: Path, on_ray: list[str], tmp_path: Path
) -> None:
    learn = ("learn", "logs", logs, "--format", "bgl", "-o")
    printed, said = typed(*learn, tmp_path / "here", "-j", 1)
    assert typed(*learn, tmp_path / "there", *on_ray)[1] == said
    here, there = (known(tmp_path / name) for name in ("here", "there"))
    assert here == there
    score = ("score", tmp_path / "here", logs)
    printed, said = typed(*score)
    assert len(printed.splitlines()) > 2_000
    assert typed(*score, *on_ray) == (printed, said)


OWN = {"created", "command", "digest"}
"""What a detector says of when and how it was made; the digest is of a file that says so."""


def known(folder: Path) -> dict[str, Any]:
    """What a detector learnt: all of its files but the page, which shows the command."""
    found: dict[str, Any] = dict(files(folder))
    del found["report.html"]
    for name in ("learnt.json", "model.json"):
        found[name] = without(json.loads(found[name]))
    return found


def without(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without(each) for name, each in value.items() if name not in OWN}
    if isinstance(value, list):
        return [without(each) for each in value]
    return value


def test_a_sweep_that_was_stopped_on_the_cluster_goes_on_there(
    on_ray: list[str], engine: RayEngine, tmp_path: Path
) -> None:
    store, deep = tmp_path / "store", ValidateOptions(deep=True)
    write_episodes(store, FEW, engine=HERE)
    here = validate(store, deep, output=tmp_path / "here.parquet", engine=HERE)

    def stop(done: int, _of: int | None) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        validate(store, deep, output=tmp_path / "there.parquet", engine=engine, progress=stop, part_size=3)
    printed, _ = typed("validate", store, "--deep", "-o", tmp_path / "there.parquet", *on_ray)
    assert "12 synthetic episodes, 6 of them unchanged" in printed
    assert_frame_equal(pl.read_parquet(tmp_path / "there.parquet"), here.rows)


def test_a_board_has_the_same_table(data: Path, on_ray: list[str], tmp_path: Path) -> None:
    here, there, read = tmp_path / "here", tmp_path / "there", Path("sets", "sessions", "dataset")
    command = ("board", "--data", data, "--list", data / "sets.toml", "--sets", "sessions", "-j", 1, "-o")
    typed(*command, here)
    # The classical detectors take seconds: their cells stay, what the nodes read decides over another's.
    shutil.copytree(here, there, ignore=shutil.ignore_patterns("sets", "next*", "board.*"))
    printed, _ = typed(*command, there, *on_ray)
    assert "10 of 10 cells are computed" in printed
    assert files(there / read) == files(here / read)
    assert table(there) == table(here)
    assert any("next_ngram" in row for row in table(there))


def table(board: Path) -> list[str]:
    """The rows of a board's page."""
    page = (board / "board.md").read_text(encoding="utf-8")
    return [line for line in page.splitlines() if line.startswith("|")]


def test_a_node_that_dies_while_a_dataset_is_prepared_takes_nothing_with_it(
    cluster: Any, engine: RayEngine, logs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source, many, killed = sources.get("logs"), tmp_path / "many", list[int]()
    many.mkdir()
    lines = b"".join(file.read_bytes() for file in sorted(logs.rglob("*.log"))).splitlines(keepends=True)
    for number in range(100):
        (many / f"{number:02}.log").write_bytes(b"".join(lines[10 * number :][:500]))
    options = source.options(format="bgl")
    source.prepare(many, tmp_path / "here", options, engine=LocalEngine(1))
    doomed = cluster.list_all_nodes()[-1]

    def kill(done: int, total: int | None) -> None:
        if not killed and done > (total or 0) / 4:
            killed.append(done)
            cluster.remove_node(doomed, allow_graceful=False)

    logging.getLogger("vestige").propagate = True
    caplog.set_level(logging.DEBUG, logger="vestige")
    try:
        source.prepare(many, tmp_path / "there", options, engine=engine, progress=kill)
    finally:
        cluster.add_node(**NODE)
    assert "lost with a worker or a node" in caplog.text
    assert files(tmp_path / "there") == files(tmp_path / "here")
