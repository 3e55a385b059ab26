"""The search's memory: an Optuna study in a journal file, a JSON object a line; nothing in it is a pickle.

Every trial is drawn by a sampler whose seed follows from the search's seed and the number of trials before it
alone: one worker gives the same trials each time, also after a kill.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vestige import checked, log
from vestige.errors import CheckpointError, UsageError
from vestige.models.space import Choice, Parameter, Space, Value

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

FILE = "journal.jsonl"
NAME = "vestige"
STARTUP, WARMUP = 5, 3
"""Trials, and epochs of each, before a trial is ended early because it is below the median of the others."""
RANDOM = 10
"""Trials that are drawn at random before the sampler learns from them."""
DIED = "died"
PROCESS_DIED = "the process that worked on it died (the system ends what takes too much memory)"
REASON, SETTINGS = "reason", "settings"
"""What a trial tells of itself: why it did not end well, and the values that it drew."""
logger = log.get(__name__)


def require() -> None:
    """Raise UsageError where Optuna is not installed."""
    try:
        importlib.import_module("optuna")
    except ModuleNotFoundError as error:
        if error.name != "optuna":
            raise
        raise UsageError(
            "vestige tune needs Optuna, which is not installed", remedy="pip install 'vestige[tune]'"
        ) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """While it lasts Optuna says nothing of its own: what happens is told by vestige's log."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"optuna(\..*)?$")
        try:
            yield
        finally:
            optuna.logging.set_verbosity(before)


def create(folder: Path) -> None:
    """Begin a journal in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).touch()


def repair(folder: Path) -> None:
    """After a kill: cut off half a line at the journal's end, and take away a lock that nobody holds.

    Raises CheckpointError for a journal that is missing or holds a line that is no JSON object. Nobody else
    may be writing it: the caller holds the lock of the run's directory.
    """
    path = folder / FILE
    if not path.is_file():
        raise CheckpointError(
            "the search's journal is missing", where=path, remedy="search anew with --overwrite"
        )
    (folder / f"{FILE}.lock").unlink(missing_ok=True)
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        logger.info("%s: the last line was cut off in the middle of writing, and is left out", path)
        with path.open("r+b") as file:
            file.truncate(whole)
    for row, line in enumerate(content[:whole].splitlines(), start=1):
        try:
            checked.load(line)
        except ValueError as error:
            raise CheckpointError(
                f"the search's journal cannot be read ({error})",
                where=path,
                row=row,
                remedy="search anew with --overwrite",
            ) from error


def open_study(folder: Path, *, seed: int = 0) -> optuna.Study:
    """The study of the journal in `folder`; `seed` and the number of trials in it decide the next one.

    Raises CheckpointError for a journal whose entries do not follow from one another.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    path = folder / FILE
    try:
        backend = JournalFileBackend(str(path), JournalFileOpenLock(str(path)))
        study = optuna.create_study(
            storage=JournalStorage(backend),
            study_name=NAME,
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=WARMUP),
        )
        number = sum(trial.state.name == "RUNNING" for trial in study.get_trials(deepcopy=False))
        number += len(counted(study))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, AssertionError) as error:
        raise CheckpointError(
            f"the search's journal makes no sense ({type(error).__name__}: {error})",
            where=path,
            remedy="search anew with --overwrite",
        ) from error
    own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    study.sampler = optuna.samplers.TPESampler(seed=own, n_startup_trials=RANDOM, constant_liar=True)
    return study


def ask(trial: optuna.Trial, name: str, parameter: Parameter) -> Value:
    """A value of the parameter, as the trial draws it."""
    if isinstance(parameter, Choice):
        chosen = trial.suggest_categorical(name, parameter.values)
        assert chosen is not None  # noqa: S101 - no choice holds it
        return chosen
    if parameter.whole:
        return trial.suggest_int(name, int(parameter.low), int(parameter.high), log=parameter.log)
    return trial.suggest_float(name, float(parameter.low), float(parameter.high), log=parameter.log)


def defaults_of(space: Space, defaults: dict[str, Any]) -> dict[str, Value] | None:
    """The defaults of what is searched, to be tried first; None where one lies outside the space."""
    chosen: dict[str, Value] = {}
    for name, parameter in space.items():
        if not parameter.holds(defaults.get(name)):
            return None
        chosen[name] = defaults[name]
    return chosen


def begin(study: optuna.Study, space: Space, defaults: dict[str, Any]) -> None:
    """Have the defaults tried first, where the space holds them."""
    first = defaults_of(space, defaults)
    if first is None:
        outside = [name for name, parameter in space.items() if not parameter.holds(defaults.get(name))]
        logger.info("the defaults are not tried: the space leaves out that of %s", ", ".join(outside))
        return
    study.enqueue_trial(first, user_attrs={"defaults": True})


def take_up(study: optuna.Study) -> int:
    """After a kill: what was under way is run again. Returns how many trials that are."""
    import optuna

    half = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name == "RUNNING"]
    for trial in half:
        # One that was not drawn to its end is drawn anew, by the same seed.
        if SETTINGS in trial.user_attrs:
            kept = {name: value for name, value in trial.user_attrs.items() if name == "defaults"}
            study.enqueue_trial(trial.params, user_attrs={**kept, "again": trial.number})
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    return len(half)


def bury(study: optuna.Study) -> list[int]:
    """Once no worker is left: trials whose process died count as failed. Returns their numbers."""
    import optuna

    lost = [trial.number for trial in study.get_trials(deepcopy=False) if trial.state.name == "RUNNING"]
    if lost:
        study.set_user_attr(DIED, [*study.user_attrs.get(DIED, []), *lost])
    for number in lost:
        study.tell(number, state=optuna.trial.TrialState.FAIL)
    return lost


def reason_of(study: optuna.Study, trial: FrozenTrial) -> str:
    """Why a trial failed; empty for one that did not, or was cut off and is run again."""
    if trial.number in study.user_attrs.get(DIED, []):
        return PROCESS_DIED
    return str(trial.user_attrs.get(REASON, ""))


def counted(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that ended, well or not: none that waits, is under way, or was cut off."""
    ended = [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]
    return [trial for trial in ended if trial.state.name != "FAIL" or reason_of(study, trial)]
