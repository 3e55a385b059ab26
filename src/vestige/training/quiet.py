"""Lightning without its tips, advertisements and hints; vestige's own messages and warnings stay."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator

LOGGERS = ("pytorch_lightning", "lightning_fabric", "lightning")
MODULES = r"(pytorch_lightning|lightning_fabric|lightning_utilities|torchmetrics)(\..*)?$"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """While it lasts, only Lightning's errors are heard."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [one.level for one in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=MODULES)
        for one in loggers:
            one.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for one, level in zip(loggers, levels, strict=True):
                one.setLevel(level)
