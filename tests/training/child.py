"""A training in a process of its own: `python -m tests.training.child DIRECTORY [KILL_AT]`.

With KILL_AT the process kills itself (SIGKILL) while it encodes that many-th batch.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from vestige.errors import VestigeError
from vestige.training import TrainingConfig, train

from .toy import encoded, gru

CONFIG = TrainingConfig(
    epochs=3, batch_size=32, learning_rate=0.02, accumulate=2, threads=1, cache_mb=0, checkpoint_minutes=0
)


def main(directory: Path, kill_at: int) -> int:
    def trip(call: int) -> None:
        if call == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if call == 8:
            (directory / "under_way").touch()

    parts = (
        encoded(directory / "train", 300, noise=0.2, trip=trip),
        encoded(directory / "validation", 200, seed=1, noise=0.2),
    )
    epochs = {"epochs": CONFIG.epochs if kill_at else 2_000, "patience": 0}
    try:
        train(gru(), *parts, CONFIG.model_copy(update=epochs), directory / "run")
    except VestigeError as error:
        print(error)  # noqa: T201 - what the command line would do
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
