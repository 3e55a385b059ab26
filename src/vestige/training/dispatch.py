"""`train`: check what is to be learnt from, fit the standardisation, and hand over to the right loop."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from vestige.errors import SplitError, UsageError
from vestige.models.base import Detector
from vestige.models.fitting import FitProgress, FittedDetector, benign, fit_standardize
from vestige.reading.encoding import EncodedWindows
from vestige.training import history
from vestige.training.config import TrainingConfig
from vestige.training.errors import StoppedError
from vestige.training.history import Report, Row
from vestige.training.interrupt import stop_reason
from vestige.training.progress import quiet, rounds
from vestige.training.resampling import resample

log = logging.getLogger(__name__)
RESUME_FILE = "resume.safetensors"


def train(
    detector: Detector,
    train: EncodedWindows,
    validation: EncodedWindows,
    config: TrainingConfig,
    directory: Path,
    *,
    resume: bool = False,
    progress: bool = True,
    report: Report | None = None,
) -> list[Row]:
    """Train `detector` in place; returns the history, which also goes to `directory/history.csv`.

    What standardises its inputs is fitted on `train` alone. A neural detector ends with the weights of
    its best epoch (task classify: validation macro F1, of equals the lower loss; next: validation loss). A
    detector of the task next learns from, and is validated on, windows of class 0 alone. With `resume`,
    training goes on from the state that `directory/resume.safetensors` holds and ends as if it had never
    stopped; without such a file it starts afresh. `progress` shows a bar where standard error is a
    terminal. `report` is handed the validation figure after each epoch of a neural detector.

    Raises SplitError for a part that cannot be learnt from, CheckpointError for a state that is damaged
    or belongs to another training, StoppedError on Ctrl-C and SIGTERM (state saved; of a detector that learns
    in one go nothing is, and it is raised only where another process started the training), and TrainingError
    when the loss is no longer a number.
    """
    train, validation = _checked(detector, train, validation)
    real, train = train, resample(detector, train, config.resample, config.seed)
    if isinstance(detector, FittedDetector):
        if resume:
            log.info("%s learns in one go, nothing to resume: training starts afresh", detector.name)
        with rounds(detector.name, show=progress) as show:
            rows = detector.fit(train, validation, seed=config.seed, progress=_stoppable(detector.name, show))
        if rows:
            history.write(directory, rows)
        return rows
    with quiet():
        from vestige.models.neural import NeuralDetector
        from vestige.training.loop import fit_neural
    if not isinstance(detector, NeuralDetector):
        raise TypeError(f"{detector.name} is neither a FittedDetector nor a NeuralDetector")
    fit_standardize(detector, real, seed=config.seed)
    return fit_neural(
        detector,
        train,
        validation,
        config,
        directory / RESUME_FILE,
        resume=resume,
        progress=progress,
        report=report,
    )


def _stoppable(name: str, show: FitProgress | None) -> FitProgress:
    """`show`, which ends the training where the process that started this one asks for it: the signal that
    a person sends does not reach it here (see `interrupt`)."""

    def tell(done: int, total: int) -> None:
        if (reason := stop_reason()) is not None:
            raise StoppedError(
                f"the training of {name} was stopped by {reason}; it learns in one go, so nothing of it is "
                "kept",
                remedy="repeat the command with --resume: what is finished is kept, this one is trained anew",
            )
        if show is not None:
            show(done, total)

    return tell


def discard_resume_state(directory: Path) -> None:
    """Remove what a training in `directory` kept for resuming, once its checkpoint is saved."""
    (directory / RESUME_FILE).unlink(missing_ok=True)


def _checked(
    detector: Detector, train: EncodedWindows, validation: EncodedWindows
) -> tuple[EncodedWindows, EncodedWindows]:
    """The parts as the detector's task needs them."""
    remedy = "choose another split, or a corpus with more recordings of every class"
    for part, windows in (("training", train), ("validation", validation)):
        if not len(windows):
            raise SplitError(f"the {part} part has no windows", remedy=remedy)
    if detector.task == "next":
        if train.schema.length < 2:
            raise UsageError(
                f"{detector.name} predicts a window's last step from those before: there are none",
                remedy="prepare windows of at least 2 steps",
            )
        return benign(train, "training"), benign(validation, "validation")
    if detector.task == "normal":
        return train, validation
    present = np.unique(train.label)
    if len(present) < 2:
        only = train.schema.classes[int(present[0])]
        raise SplitError(f"every training window is {only!r}: nothing to tell apart", remedy=remedy)
    return train, validation
