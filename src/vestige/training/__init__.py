"""Learning: `train` fits any detector on training windows, stops early on validation, and can resume.

Importing this package imports nothing heavy: the command line reads `TrainingConfig` for its options.
Only training a neural detector imports torch and Lightning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vestige.training.config import TrainingConfig
from vestige.training.errors import StoppedError, TrainingError

if TYPE_CHECKING:
    from vestige.training.dispatch import discard_resume_state, train

__all__ = ["StoppedError", "TrainingConfig", "TrainingError", "discard_resume_state", "train"]


def __getattr__(name: str) -> Any:
    """The two functions that do the work, imported when they are first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from vestige.training import dispatch

    return {"discard_resume_state": dispatch.discard_resume_state, "train": dispatch.train}[name]
