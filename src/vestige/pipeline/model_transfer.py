"""Detectors that come from elsewhere, or go elsewhere: a header and its weights at paths of one's choice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vestige import checkpoint
from vestige.errors import UsageError
from vestige.evaluation.results import CheckResult
from vestige.models import registry
from vestige.pipeline.experiment import Experiment
from vestige.pipeline.fitting import TrainingPlan
from vestige.runs.config import RunConfig
from vestige.runs.options import ModelTransferOptions
from vestige.storage import refuse_files

CHECK = "trained_elsewhere"


def plan_of(transfer: ModelTransferOptions, plan: TrainingPlan) -> TrainingPlan:
    """The plan with the detector that `--use-model` names as its only one.

    Raises CheckpointError when the two files are no intact checkpoint, UsageError where `--save-model` would
    have several detectors to save.
    """
    if transfer.use_model is not None:
        loaded = checkpoint.load_files(transfer.use_model, transfer.use_weights)
        name = loaded.detector.name
        task, view = registry.get(name).task, loaded.header.view
        plan = replace(plan, models=(name,), task=task, view=view, settings={})
    if transfer.save_model is not None and len(plan.names) > 1:
        raise UsageError(
            f"--save-model: there are {len(plan.names)} detectors ({', '.join(plan.names)})",
            remedy="train one: --model NAME",
        )
    return plan


def refuse_taken(transfer: ModelTransferOptions, *, overwrite: bool) -> None:
    """Raise OutputError, before anything is read, where a file that is to be written is there already."""
    refuse_files(transfer.output_sets, transfer.save_model, transfer.save_weights, overwrite=overwrite)


def import_model(experiment: Experiment, transfer: ModelTransferOptions, name: str, directory: Path) -> None:
    """Put the detector that `--use-model` names into its folder of the run.

    Raises CheckpointError when it learnt from inputs that mean something else.
    """
    if transfer.use_model is None:
        raise ValueError("there is nothing to take")
    checkpoint.load_files(transfer.use_model, transfer.use_weights, schema=experiment.windows.schema)
    sidecar = registry.get(name).sidecar
    weights = transfer.use_weights or transfer.use_model.parent / sidecar
    target = directory / checkpoint.HEADER
    checkpoint.copy_files(transfer.use_model, weights, target, directory / sidecar)


def export_model(transfer: ModelTransferOptions, name: str, directory: Path) -> None:
    """Copy the run's detector to where `--save-model` and `--save-weights` say."""
    if transfer.save_model is not None and transfer.save_weights is not None:
        header, weights = directory / checkpoint.HEADER, directory / registry.get(name).sidecar
        checkpoint.copy_files(header, weights, transfer.save_model, transfer.save_weights)


def check(config: RunConfig) -> list[CheckResult]:
    """What the report has to say of a detector that this run did not train."""
    if not config.trained_elsewhere:
        return []
    names = ", ".join(config.models)
    detail = f"{names} was trained elsewhere: nothing shows that it never saw the evidence of the test part"
    return [CheckResult(name=CHECK, status="warn", detail=detail)]
