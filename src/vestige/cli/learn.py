"""`vestige learn SOURCE`: what is normal, without labels."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import BaseModel

from vestige.cli.options import Address, EngineName, parse_settings, with_options
from vestige.cli.preview import pointing_to_preview
from vestige.cli.sources import add_verb
from vestige.sources import registry as sources

if TYPE_CHECKING:
    from vestige.evaluation.learnt import Learnt
    from vestige.sources.base import Source


CONTAMINATION = (0.01, 0.05)
"""Shares of what is learnt from that are planted to show how that moves the figures."""

BudgetOption = Annotated[
    str,
    typer.Option(help="alerts that you want to read: 5/day, 1/hour, 20/week; or 1/1000, of so many windows"),
]
Model = Annotated[
    str,
    typer.Option(
        "-m",
        "--model",
        help="what says which event follows: ngram, or a network (slower): gru, lstm, array_lstm, "
        "attention_array_lstm, stochastic_array_lstm, transformer",
    ),
]
Contamination = Annotated[
    bool,
    typer.Option(
        "--contamination",
        help="learn twice more, with 1% and then 5% of attacks mixed in, and show how the figures change",
    ),
]
Jobs = Annotated[
    int | None, typer.Option("-j", "--jobs", min=1, help="processes for reading; default: every core")
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    add_verb(
        app,
        "learn",
        "Learn what is normal from evidence without labels, and say what that is worth.",
        learn_command,
        sources,
        besides={"--again": again},
    )


def learn_command(source: Source[Any]) -> Callable[..., None]:
    """`vestige learn` for one source."""

    def learn(
        evidence: Annotated[
            Path, typer.Argument(help="file or directory of raw evidence; - is standard input")
        ],
        options: BaseModel,
        output: Annotated[Path, typer.Option("-o", "--output", help="directory for the detector")],
        budget: BudgetOption = "5/day",
        model: Model = "ngram",
        settings: Annotated[
            list[str], typer.Option("--set", help="hyper-parameter NAME=VALUE (repeatable)")
        ] = [],
        contamination: Contamination = False,
        seed: Annotated[int, typer.Option(min=0, help="seed of all random draws")] = 0,
        jobs: Jobs = None,
        engine: EngineName = "local",
        address: Address = None,
        overwrite: Annotated[bool, typer.Option("--overwrite", help="replace an earlier detector")] = False,
    ) -> None:
        from vestige.cli import progress
        from vestige.engine import choose
        from vestige.evaluation.budget import Budget
        from vestige.pipeline.learn import learn as learn_normal

        with pointing_to_preview(source, evidence, options):
            learnt = learn_normal(
                source,
                evidence,
                output,
                options=options,
                budget=Budget.parse(budget),
                model=model,
                hyper=parse_settings(settings),
                seed=seed,
                command=shlex.join(["vestige", *sys.argv[1:]]),
                engine=choose(engine, jobs=jobs, address=address),
                overwrite=overwrite,
                contamination=CONTAMINATION if contamination else (),
                progress=progress.bar,
            )
        _say(learnt, output)

    learn.__doc__ = f"""Learn what is normal from {source.name} evidence without labels.

    It learns from what came first, takes ranks among what came next, and checks itself on what came last.
    Labels that the evidence may have are not looked at. It needs 200 steps at the least; for a budget by the
    day, a week of evidence says more than an hour.

    Example: vestige learn {source.name} EVIDENCE -o normal --budget 5/day
    """
    return with_options(learn, options=source.options)


def again(
    detector: Annotated[
        Path, typer.Argument(help="the detector that is learnt again: a directory that vestige learn wrote")
    ],
    evidence: Annotated[
        Path, typer.Argument(help="newer evidence: a file or directory; - is standard input")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="directory for the new detector")],
    state: Annotated[
        Path | None,
        typer.Option(
            "--state",
            help="what vestige watch --state remembers: of its incidents, those that were confirmed are kept "
            "out of learning, those that were dismissed are learnt as normal, and both are counted",
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="alerts that you want to read, such as 5/day [default: as for the detector]"),
    ] = None,
    jobs: Jobs = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="replace an earlier detector in the output directory")
    ] = False,
) -> None:
    """Learn again from newer evidence, as a detector was learnt, and say what would change with the new one.

    The new one is a shadow: the detector stays as it is, and nothing uses the new one before you do. Both are
    judged on the last part of the evidence, which the new one never saw: alerts beside the budget, those that
    would vanish, appear and stay, what is found of the same planted anomalies, and of incidents that people
    confirmed or dismissed.

    Example: vestige learn --again normal /var/log -o newer --state watch-state
    """
    from vestige.cli import progress
    from vestige.engine import choose
    from vestige.evaluation.budget import Budget
    from vestige.pipeline.again import Said, learn_again

    said: list[Said] = []
    if state is not None:
        from vestige.service import feedback

        said = [Said.of(row, what) for row, what in feedback.kept(state).spoken_of()]
    learnt = learn_again(
        detector,
        evidence,
        output,
        said=said,
        budget=None if budget is None else Budget.parse(budget),
        command=shlex.join(["vestige", *sys.argv[1:]]),
        engine=choose(jobs=jobs),
        overwrite=overwrite,
        progress=progress.bar,
    )
    _say(learnt, output, state)


def _say(learnt: Learnt, out: Path, before: Path | None = None) -> None:
    """What came of learning, and what to do next; `before` is the state of the watch before."""
    from vestige.cli import tables
    from vestige.evaluation.learnt import FILE
    from vestige.evaluation.learnt_page import PAGE_FILE, sentences

    sizes = (part.windows for part in (learnt.learn, learnt.calibrate, learnt.check))
    of_parts = "learnt from {:,} windows, calibrated with {:,}, checked on {:,}; parted "
    typer.echo(of_parts.format(*sizes) + learnt.parted)
    for sentence in sentences(learnt):
        typer.echo(sentence)
    if learnt.contamination:
        tables.show(tables.contamination(learnt.contamination))
    if learnt.again is not None:
        tables.show(tables.again(learnt.again))
        for title, some in (("vanish", learnt.again.vanished), ("appear", learnt.again.appeared)):
            if some:
                tables.show(tables.stretches(f"alerts that would {title}, the strangest", some))
    if learnt.strangest:
        tables.show(tables.stretches("the strangest stretches of what was checked", learnt.strangest))
    if learnt.warnings:
        tables.show(tables.cautions("what to be careful about", learnt.warnings, FILE))
    typer.echo(f"all of it: {out / PAGE_FILE}")
    typer.echo(f"score new evidence: vestige score {out} EVIDENCE --alerts-only")
    after = "" if before is None else f" --after {shlex.quote(str(before))}"
    typer.echo(f"follow what grows: vestige watch {out} EVIDENCE --state STATE{after}")
