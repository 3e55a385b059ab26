"""The kinds of anomalies that are planted, each at three strengths, with a sentence for people."""

from __future__ import annotations

from dataclasses import dataclass

SPANS = (1, 10, 60)
"""A silence lasts a minute, ten minutes, an hour; where steps are rarer, as many times a longer unit."""


@dataclass(frozen=True)
class Kind:
    """A kind of planted anomaly, at strengths given by `amounts`; `sentences` say what each is, `{step}` and
    `{steps}` being the source's words, `{span}` a duration. `of` says it in the plural, for a verdict."""

    name: str
    of: str
    amounts: tuple[int, ...]
    sentences: tuple[str, ...]


KINDS = (
    Kind(
        "foreign", "{steps} never seen", (1, 3, 10),
        ("one {step} never seen", "3 {steps} never seen", "10 {steps} never seen"),
    ),
    Kind(
        "dropped", "missing {steps}", (1, 3, 10),
        ("one {step} missing", "3 {steps} in a row missing", "10 {steps} in a row missing"),
    ),
    Kind(
        "doubled", "doubled {steps}", (1, 3, 10),
        ("one {step} twice", "3 {steps} in a row, each twice", "10 {steps} in a row, each twice"),
    ),
    Kind(
        "swapped", "{steps} out of order", (1, 3, 10),
        ("two neighbours out of order", "3 pairs out of order", "10 pairs out of order"),
    ),
    Kind(
        "burst", "bursts", (3, 10, 30),
        ("10 {steps} at 3 times their rate", "10 {steps} at 10 times their rate",
         "10 {steps} at 30 times their rate"),
    ),
    Kind("silence", "silences", SPANS, ("silence of {span}", "silence of {span}", "silence of {span}")),
    Kind(
        "value", "values never seen", (1, 3, 10),
        ("one {step} with a value never seen", "3 {steps} with a value never seen",
         "10 {steps} with a value never seen"),
    ),
    Kind(
        "frequent", "rare sequences that became frequent", (3, 10, 30),
        ("a rare sequence of 3 {steps}, 3 times", "a rare sequence of 3 {steps}, 10 times",
         "a rare sequence of 3 {steps}, 30 times"),
    ),
    Kind(
        "spike", "spikes of a channel", (1, 3, 10),
        ("a channel 10 deviations too high in one step", "a channel 10 deviations too high in 3 steps",
         "a channel 10 deviations too high in 10 steps"),
    ),
    Kind(
        "shift", "shifts of a channel", (1, 3, 10),
        ("a channel one deviation higher for a window", "a channel 3 deviations higher for a window",
         "a channel 10 deviations higher for a window"),
    ),
    Kind(
        "flat", "channels that stand still", (10, 30, 60),
        ("a channel stands still for 10 steps", "a channel stands still for 30 steps",
         "a channel stands still for 60 steps"),
    ),
    Kind(
        "exchanged", "exchanged channels", (1, 2, 4),
        ("two channels exchanged for a window", "2 pairs of channels exchanged for a window",
         "4 pairs of channels exchanged for a window"),
    ),
    Kind(
        "lost", "lost collectors", (3, 10, 30),
        ("a collector lost for 3 steps", "a collector lost for 10 steps", "a collector lost for 30 steps"),
    ),
)  # fmt: skip
"""Every kind with its strengths, the weakest first."""
