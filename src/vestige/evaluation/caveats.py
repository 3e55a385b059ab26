"""What weakens a run's figures, in plain sentences: for the terminal's caption and the report's head."""

from __future__ import annotations

from vestige.escaping import visible
from vestige.evaluation.results import RunResults

PROBE, SYMBOLS = "metadata_shortcut", "label_determined_by_symbol"
LINE = 600
"""Characters of one caveat that are shown."""


def outdone(results: RunResults) -> str:
    """That what sees no evidence scores above models, where it does; otherwise nothing.

    Only of models judged window by window: the probe is, too.
    """
    probe = next((check.figure for check in results.audit if check.name == PROBE), None)
    if probe is None:
        return ""
    beaten = [
        f"{model.name} ({model.macro_f1.estimate:.3f})"
        for model in results.models
        if model.pooling is None and model.macro_f1.estimate is not None and model.macro_f1.estimate < probe
    ]
    if not beaten:
        return ""
    return (
        f"Recording, hour and position alone, without a look at the evidence, score macro F1 {probe:.3f} "
        f"on the test part: more than {', '.join(beaten)}."
    )


def untested(results: RunResults) -> str:
    """How many profiles the test part has, where it lacks some; which it has where profiles are held out;
    otherwise nothing."""
    lacking = results.split.untested_profiles
    if "profiles_disjoint" in results.split.promises:
        tried = results.split.parts["test"].per_profile
        held = ", ".join(name for name in results.split.unseen_profiles if tried.get(name, True))
        return (
            f"Held out whole, nothing of it in training: the profile {held}. "
            "No figure says anything of others."
        )
    if not lacking or not results.detectors:
        return ""
    tested = results.detectors[0].per_profile
    tested_profiles = len(tested.rows) + tested.omitted
    return (
        f"{tested_profiles} of {tested_profiles + len(lacking)} profiles are tested: the test part has no "
        f"{', '.join(lacking)}, and no figure says anything of it."
    )


def saturated(results: RunResults) -> str:
    """That alert thresholds of models lie where scores saturate, and the remedy; otherwise nothing."""
    found = [
        f"{model.name} ({model.threshold.value:.6g})" for model in results.models if model.threshold.saturated
    ]
    if not found:
        return ""
    return (
        f"The alert threshold lies where scores saturate: {', '.join(found)}. Normal windows of validation "
        "score nearly 1, too, so that the last digits decide what alerts. Remedy: a policy that allows more "
        "alerts (vestige evaluate RUN --threshold fpr=0.05), a training that stops earlier (--epochs), or "
        "another model."
    )


def audit_lines(results: RunResults) -> list[str]:
    """A line for each check that failed or warns, failures first; what a sentence of the run says already
    is not said again."""
    return [
        visible(f"audit {status}: {check.name}: {check.detail}", LINE)
        for status in ("fail", "warn")
        for check in results.audit
        if check.status == status and not (check.name == SYMBOLS and results.symbols is not None)
    ]
