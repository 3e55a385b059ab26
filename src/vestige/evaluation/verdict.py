"""The verdict of a run in an operator's words: which detector to use, or none and why, and what to type.

Validation alone chooses the detector. The test part says how far to believe that one, and is asked about no
other: a detector that only turned out best on it would be believed for its luck.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vestige.evaluation.caveats import PROBE
from vestige.evaluation.results import DetectorResults, RunResults, Verdict

HOST_ONLY = "reads what no deployed agent can see"
ONE_SCORE = "gives everything the same score"
"""Why a detector is `unusable`."""
NONE = "Verdict: use none of these detectors."
MANY_HOSTS = 3
"""Hosts from which on a split by host is worth proposing."""
SAME_OPTIONS = "with the other options of this run"


@dataclass(frozen=True)
class Reason:
    """Why no detector is to be put to work, and what helps against that: in words, and what to type."""

    text: str
    next_step: str
    commands: list[str]


def verdict_of(results: RunResults, kept: Mapping[str, Path], run: Path) -> Verdict:
    """The verdict on what was judged.

    `kept` is the folder of each detector that was kept, by its name, and `run` the directory of the run:
    whoever judges that keeps them all.
    """
    chosen = results.ranked[0]
    if not chosen.usable:
        nothing = _nothing_usable(results)
        return Verdict(
            outcome="none",
            title=NONE,
            why=[nothing.text],
            next_step=nothing.next_step,
            commands=nothing.commands,
        )
    reasons = [*_of_the_run(results), *_of_the_detector(results, chosen)]
    score = ""
    if chosen.name in kept:
        score = _score(chosen, kept[chosen.name])
    else:
        reasons.append(
            Reason(
                f"{chosen.name}, the best on validation, is no detector of this folder.",
                "Judge the whole run, which keeps it",
                [f"vestige evaluate {shlex.quote(str(run))}"],
            )
        )
    said = [_choice(results, chosen), _belief(chosen), _alerts(chosen)]
    said += _beside(results, chosen, kept)
    if reasons:
        # The worst comes first, and decides what to do next.
        return Verdict(
            outcome="none",
            title=NONE,
            detector=chosen.name,
            score=score,
            why=[*(reason.text for reason in reasons), *said],
            next_step=reasons[0].next_step,
            commands=reasons[0].commands,
        )
    return Verdict(
        outcome="use",
        title=f"Verdict: use {chosen.name}.",
        detector=chosen.name,
        score=score,
        why=said,
        next_step="Put it to work",
        commands=[score],
    )


def _nothing_usable(results: RunResults) -> Reason:
    """None of them all can be put to work."""
    causes = {detector.unusable for detector in results.detectors}
    text = f"None of them can be put to work: each {' or '.join(sorted(causes))}."
    if causes != {HOST_ONLY}:
        return _more_evidence(results, text)
    return Reason(
        text,
        f"Train on what a deployed agent sees, {SAME_OPTIONS}",
        [f"vestige run {results.source} EVIDENCE --view realistic -o ANOTHER_RUN"],
    )


def _of_the_run(results: RunResults) -> list[Reason]:
    """What forbids to believe any figure of the run, the worst first."""
    found = []
    if results.leakage_allowed:
        found.append(
            _split_again(results, "The audit found a way from the test part into training: no figure counts.")
        )
    if results.synthetic:
        found.append(
            Reason(
                "The evidence was written by vestige itself: what learnt from it knows no real host.",
                "Learn from evidence of your own",
                [f"vestige run {results.source} EVIDENCE -o ANOTHER_RUN"],
            )
        )
    if results.split.in_distribution:
        text = (
            f"The split ({results.split.recipe}) tests on what looks like the training part: that says "
            "nothing of new hosts or later days."
        )
        found.append(_split_again(results, text))
    validation = results.split.parts.get("validation")
    present = []
    if validation is not None:
        present = [name for name, windows in validation.per_class.items() if windows]
    if len(present) == 1:
        text = f"All of the validation part is {present[0]}: nothing there says which detector is the best."
        found.append(_split_again(results, text))
    if not results.clusters.trusted:
        found.append(
            _more_evidence(
                results, f"The test part is too small to believe any figure: {results.clusters.reason}."
            )
        )
    return found


def _of_the_detector(results: RunResults, chosen: DetectorResults) -> list[Reason]:
    """What the test part says against the detector that validation chose."""
    found = []
    least = chosen.macro_f1.low
    if least is None:
        # No resample moves the figure; below, the exact bounds of what it alerts on decide.
        least = chosen.macro_f1.estimate
    if least is None or least <= chance(chosen):
        text = f"On the test part {chosen.name}, best on validation, is not shown to do better than guessing."
        found.append(_more_evidence(results, text))
    probe = next((check.figure for check in results.audit if check.name == PROBE), None)
    reached = chosen.macro_f1.estimate
    if chosen.pooling is None and probe is not None and reached is not None and reached < probe:
        text = (
            f"Recording, hour and position alone, without a look at the evidence, reach macro F1 "
            f"{probe:.3f} on the test part: more than {chosen.name} ({reached:.3f})."
        )
        found.append(_more_evidence(results, text))
    recall, fpr = chosen.metrics["recall"], chosen.metrics["fpr"]
    if recall.low is None or fpr.estimate is None or recall.low <= fpr.estimate:
        text = f"{chosen.name} is not shown to alert on anomalous {_judged(chosen)} more than on normal ones."
        found.append(_more_evidence(results, text))
    against = next((each for each in results.comparisons if each.model == chosen.name), None)
    if against is not None and against.gain.high is not None and against.gain.high < 0:
        text = (
            f"Validation and test part contradict one another: {chosen.name} was better than "
            f"{against.baseline} on the one and is worse, beyond doubt, on the other."
        )
        found.append(_more_evidence(results, text))
    return found


def _choice(results: RunResults, chosen: DetectorResults) -> str:
    usable = sum(detector.usable for detector in results.detectors)
    return (
        f"Validation alone chose {chosen.name}: macro F1 {chosen.validation_macro_f1 or 0:.3f} there, the "
        f"best of {usable} that can be put to work."
    )


def chance(chosen: DetectorResults) -> float:
    """The macro F1 of guessing, which looks at nothing: 1 / classes of the test part.

    Who guesses each class as often as it comes hits a class of share p with precision and recall p, so that
    its F1 is p, and the shares add up to 1. No other rate of guessing does better, and to call everything the
    most frequent class does worse.
    """
    return 1 / max(sum(row.support > 0 for row in chosen.per_class), 1)


def _belief(chosen: DetectorResults) -> str:
    own = chosen.macro_f1
    between = "no interval"
    if own.low is not None and own.high is not None:
        between = f"95% {own.low:.3f} to {own.high:.3f}"
    return (
        f"On the test part, which chose nothing, its macro F1 is {own.estimate or 0:.3f} ({between}); "
        f"guessing has {chance(chosen):.3f}."
    )


def _alerts(chosen: DetectorResults) -> str:
    counted, judged = chosen.alerting, _judged(chosen)
    text = (
        f"At its threshold ({chosen.threshold.policy}) it alerts there on {counted.tp:,} of "
        f"{counted.tp + counted.fn:,} anomalous {judged}, and on {counted.fp:,} of "
        f"{counted.fp + counted.tn:,} normal ones"
    )
    a_day = counted.alerts_per_day
    if a_day is not None and _in_time(chosen):
        form = ",.1f"
        if a_day < 1:
            # A rare alert is not none.
            form = ".2g"
        text += f"; that is {a_day:{form}} alerts a day"
    return f"{text}."


def _beside(results: RunResults, chosen: DetectorResults, kept: Mapping[str, Path]) -> list[str]:
    """What else is to be known of the choice: that a baseline may do as well, and what it left out."""
    said = []
    for each in results.comparisons:
        if each.model == chosen.name and each.outcome != "better" and each.baseline != chosen.name:
            said.append(each.sentence)
            if each.baseline in kept:
                said.append(
                    f"{each.baseline} is simpler, and kept as well: {_score(chosen, kept[each.baseline])}"
                )
    reached = chosen.validation_macro_f1 or 0.0
    said += [
        f"{other.name} had macro F1 {other.validation_macro_f1:.3f} on validation, but it {other.unusable}."
        for other in results.models
        if not other.usable and (other.validation_macro_f1 or 0.0) > reached
    ]
    return said


def _score(judged: DetectorResults, folder: Path) -> str:
    """What to type to put the detector in a folder to work, as it was judged."""
    command = f"vestige score {shlex.quote(str(folder))} NEW_EVIDENCE"
    if judged.pooling is not None:
        command += " --by-recording"
    return command


def _judged(chosen: DetectorResults) -> str:
    """What was judged, for people to read: of pooled scores, whole recordings."""
    if chosen.pooling is None:
        return "windows"
    return "recordings"


def _in_time(judged: DetectorResults) -> bool:
    """Whether what was judged comes one after the other: recordings that are judged whole are a collection,
    however their steps are numbered."""
    return judged.pooling is None and judged.alerting.alerts_per_day is not None


def _more_evidence(results: RunResults, text: str) -> Reason:
    """A reason that only more evidence can take away; where labels are few, normal can be learnt without."""
    return Reason(
        text,
        f"Run on more evidence, {SAME_OPTIONS}; or learn what is normal, which needs no labels",
        [
            f"vestige run {results.source} MORE_EVIDENCE -o ANOTHER_RUN",
            f"vestige learn {results.source} EVIDENCE -o DETECTOR",
        ],
    )


def _split_again(results: RunResults, text: str) -> Reason:
    """A reason that another split takes away: by time if there are times, or by host if many."""
    hosts = max((part.hosts for part in results.split.parts.values()), default=0)
    now, has_times = results.split.recipe, _in_time(results.detectors[0])
    recipes = [("time", has_times), ("host", hosts >= MANY_HOSTS), ("sample", True)]
    another = next((name for name, fits in recipes if fits and name != now), f"{now} --split-seed ANOTHER")
    return Reason(
        text,
        f"Split the evidence in another way, {SAME_OPTIONS}",
        [f"vestige run {results.source} EVIDENCE --split {another} -o ANOTHER_RUN"],
    )
