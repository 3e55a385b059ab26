"""Learning: `train` fits any detector on training windows, stops early on validation, and can resume.

Importing this package imports neither torch nor Lightning; only training a neural detector does.
"""

from vestige.training.config import TrainingConfig
from vestige.training.errors import StoppedError, TrainingError
from vestige.training.job import forget, train

__all__ = ["StoppedError", "TrainingConfig", "TrainingError", "forget", "train"]
