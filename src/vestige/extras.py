"""Extras: what is installed only by who asks for it, and the command that adds it.

`pip install vestige` brings what most people need. What needs more asks for it here, through `require`,
before any evidence is read: the error names the command.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from vestige.errors import UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

MODULES: dict[str, tuple[str, ...]] = {
    "neural": ("torch", "pytorch_lightning"),
    "text": ("sentence_transformers",),
    "dashboard": ("fastapi", "uvicorn"),
    "ray": ("ray",),
    "tune": ("optuna",),
    "onnx": ("onnx", "onnxruntime"),
}
"""The modules that each extra of `pyproject.toml` brings."""


def plugins(group: str, name: str = "") -> Iterable[EntryPoint]:
    """What installed packages offer to a group of entry points, all of it or what is called `name`."""
    # Every installed package is looked at, which takes longer than much that is done with what is ours.
    from importlib.metadata import entry_points

    if name:
        return entry_points(group=group, name=name)
    return entry_points(group=group)


def missing(extra: str) -> list[str]:
    """The modules of an extra that are not installed; nothing is imported to know that."""
    return [name for name in MODULES[extra] if find_spec(name) is None]


def command(extra: str) -> str:
    """What a person types to add an extra."""
    return f"pip install 'vestige[{extra}]'"


def require(extra: str, what: str, *, instead: str = "") -> None:
    """Raise UsageError where an extra that `what` needs is not installed; `instead`: what does without it."""
    lacking = missing(extra)
    if not lacking:
        return
    remedy = command(extra)
    if instead:
        remedy += f", or {instead}"
    names = " and ".join(name.replace("_", "-") for name in lacking)
    raise UsageError(f"{what} needs {names}, not installed here", remedy=remedy)
