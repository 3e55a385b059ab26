"""Importing this makes the kernel ready to run: the server that forks workers does so once, for all."""

from __future__ import annotations

from vestige.sources.logs.blocks import Block
from vestige.sources.logs.format import load
from vestige.sources.logs.kernel.reader import KernelParser
from vestige.sources.logs.labels import LabelRule
from vestige.sources.logs.parse import Rules

_chosen = load("plain")
KernelParser(Rules(_chosen, LabelRule("none")), smallest=0).parse(
    Block("\n".join(_chosen.example).encode(), 0, 1)
)
