"""`vestige models` and `vestige doctor`."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from vestige import extras


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("models")(models)
    app.command("doctor")(doctor)


NEEDED = ("xgboost", "sklearn", "zstandard", "safetensors", "numba")
"""Libraries without which nothing works."""
AsJson = Annotated[bool, typer.Option("--json", help="for programs: one JSON object instead of tables")]
"""`--json`, as every verb has it that shows tables."""


def models(as_json: AsJson = False) -> None:
    """List the detectors, what they take, and what they are.

    Example: vestige models
    """
    from rich.table import Table

    from vestige.cli import tables
    from vestige.models import registry

    rows = sorted(registry.describe(), key=lambda row: row.baseline)
    if as_json:
        tables.show_json({"models": [asdict(row) for row in rows]})
        return
    table = Table()
    for column in ("name", "takes", "what it is"):
        table.add_column(column)
    for row in rows:
        about = row.about
        if row.baseline:
            about += " (baseline)"
        table.add_row(*map(tables.plain, (row.name, row.takes, about)))
    tables.show(table, least=("takes",))


def doctor(as_json: AsJson = False) -> None:
    """Check this installation: versions, libraries, cores, memory, disk, and that nothing is missing.

    Exits with status 1 when something is missing. Example: vestige doctor
    """
    from vestige.cli import tables
    from vestige.runs.config import versions
    from vestige.sources import registry as sources

    missing = [name for name in NEEDED if find_spec(name) is None]
    found: dict[str, Any] = {
        "versions": versions(),
        "cores": os.cpu_count(),
        "memory": _memory(),
        "free in temp": f"{shutil.disk_usage(tempfile.gettempdir()).free / 2**30:.1f} GiB",
        "sources": sources.names(),
        "CUDA": _cuda(),
        "extras": {
            extra: f"not installed: {extras.command(extra)}" if extras.missing(extra) else "installed"
            for extra in extras.MODULES
        },
        "missing": missing,
    }
    if as_json:
        tables.show_json(found)
    else:
        _say(found)
    if missing:
        typer.echo(f"missing: {', '.join(missing)}; install again with the constraints file", err=True)
        raise typer.Exit(1)


def _say(found: dict[str, Any]) -> None:
    lines = dict(found.pop("versions"))
    lines |= {f"extra {name}": state for name, state in found.pop("extras").items()}
    missing = found.pop("missing")
    for name, value in (found | lines).items():
        shown = ", ".join(value) if isinstance(value, list) else value
        typer.echo(f"{name:20} {shown}")
    if not missing:
        typer.echo("everything that is required is there")


def _memory() -> str:
    facts = Path("/proc/meminfo")
    if not facts.is_file():
        return "unknown"
    kib = int(facts.read_text(encoding="ascii").split("MemTotal:")[1].split()[0])
    return f"{kib / 2**20:.1f} GiB"


def _cuda() -> str:
    if find_spec("torch") is None:
        return "torch, of the extra neural, is not installed"
    import torch

    if not torch.cuda.is_available():
        return "none: training runs on the CPU"
    return torch.cuda.get_device_name(0)
