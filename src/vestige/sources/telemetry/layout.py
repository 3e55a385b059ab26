"""What a window of telemetry means: its classes, the grid as its stream, the settings behind its numbers."""

from __future__ import annotations

from vestige.schema import Schema, Stream
from vestige.sources.base import ATTACK_CLASSES
from vestige.sources.telemetry import channels, grid
from vestige.sources.telemetry.encoder import GRID, INPUTS
from vestige.sources.telemetry.options import TelemetryOptions

VERSION = 1
CLASSES = {
    "phase": ("clean", "armed", "infecting", "infected_running", "dormant"),
    "label": ("benign", "malicious"),
}
"""By what is told apart; the first class is the negative one."""
ATTACKS = {"phase": ("infecting", "infected_running", "dormant"), "label": ("malicious",)}


def schema_for(options: TelemetryOptions) -> Schema:
    """The schema of a dataset read with `options`; nothing of it is fitted."""
    return Schema(
        "telemetry",
        VERSION,
        CLASSES[options.classes],
        options.length,
        options.stride,
        (Stream(GRID, "float32", (len(channels.CHANNELS),), pad=None),),
        INPUTS,
        padded=False,
        settings={
            "channels": channels.settings(),
            "grid": grid.settings(options.grid_seconds),
            "classes": options.classes,
            ATTACK_CLASSES: list(ATTACKS[options.classes]),
        },
    )
