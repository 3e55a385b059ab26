"""What can go wrong while training, each with its exit code."""

from __future__ import annotations

from typing import ClassVar

from vestige.errors import VestigeError


class TrainingError(VestigeError):
    """The training cannot go on: its loss is no longer a finite number."""

    exit_code: ClassVar[int] = 9


class StoppedError(VestigeError):
    """The training was asked to stop (Ctrl-C or SIGTERM); the error says how to go on."""

    exit_code: ClassVar[int] = 130
