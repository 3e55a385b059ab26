"""Whether a search can go on a Ray cluster, and what Ray Tune is told before it is imported.

Apart from `ray_tune`, which imports it.
"""

from __future__ import annotations

import importlib
import os

from vestige.errors import UsageError

QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
}
"""Settings of Ray Tune, unless the environment makes them: signals, files and lines are our own affair."""


def require() -> None:
    """Raise UsageError where Ray Tune cannot be imported."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    from vestige.engine.cluster import QUIET as OF_RAY

    for name, value in OF_RAY.items():
        os.environ.setdefault(name, value)
    try:
        importlib.import_module("ray.tune")
    except ImportError as error:
        raise UsageError(
            f"vestige tune --engine ray needs Ray Tune, which cannot be imported here ({error})",
            remedy="pip install 'vestige[tune,ray]' 'ray[tune]', on every node",
        ) from error
