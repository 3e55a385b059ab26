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
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=MODULES)
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
