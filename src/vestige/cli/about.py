"""`vestige models` and `vestige doctor`."""

from __future__ import annotations

import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

import typer

from vestige import extras


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("models")(models)
    app.command("doctor")(doctor)


def models() -> None:
    """List the detectors, what they take, and what they are.

    Example: vestige models
    """
    from rich.table import Table

    from vestige.cli import tables
    from vestige.models import registry

    table = Table()
    for column in ("name", "takes", "what it is"):
        table.add_column(column)
    for row in sorted(registry.describe(), key=lambda row: row.baseline):
        about = row.about
        if row.baseline:
            about += " (baseline)"
        table.add_row(*map(tables.plain, (row.name, row.takes, about)))
    tables.show(table)


def doctor() -> None:
    """Check this installation: versions, libraries, cores, memory, disk, and that nothing is missing.

    Exits with status 1 when something is missing. Example: vestige doctor
    """
    from vestige.runs.config import versions
    from vestige.sources import registry as sources

    for name, version in versions().items():
        typer.echo(f"{name:20} {version}")
    typer.echo(f"{'cores':20} {os.cpu_count()}")
    typer.echo(f"{'memory':20} {_memory()}")
    typer.echo(f"{'free in temp':20} {shutil.disk_usage(tempfile.gettempdir()).free / 2**30:.1f} GiB")
    typer.echo(f"{'sources':20} {', '.join(sources.names())}")
    typer.echo(f"{'CUDA':20} {_cuda()}")
    for extra in extras.MODULES:
        lacking = extras.missing(extra)
        state = f"not installed: {extras.command(extra)}" if lacking else "installed"
        typer.echo(f"{f'extra {extra}':20} {state}")
    needed = (
        "xgboost",
        "sklearn",
        "zstandard",
        "safetensors",
        "numba",
    )
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        typer.echo(f"missing: {', '.join(missing)}; install again with the constraints file", err=True)
        raise typer.Exit(1)
    typer.echo("everything is there")


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
