"""`vestige prepare SOURCE`, `vestige split`, `vestige inspect`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import BaseModel

from vestige.cli.about import AsJson
from vestige.cli.options import Address, EngineName, with_options
from vestige.cli.preview import pointing_to_preview
from vestige.cli.renamed import OutWasRenamed
from vestige.cli.sources import add_verb
from vestige.runs.options import SplitOptions
from vestige.sources import registry as sources

if TYPE_CHECKING:
    from vestige.sources.base import Source


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    add_verb(
        app,
        "prepare",
        "Read raw evidence of a source into a dataset directory.",
        prepare_command,
        sources,
        cls=OutWasRenamed,
    )
    app.command("split", cls=OutWasRenamed)(with_options(split, options=SplitOptions))
    app.command("inspect")(inspect)


def prepare_command(source: Source[Any]) -> Callable[..., None]:
    """`vestige prepare` for one source."""

    def prepare(
        corpus: Annotated[
            Path, typer.Argument(help="file or directory of raw evidence; - is standard input")
        ],
        options: BaseModel,
        output: Annotated[Path, typer.Option("-o", "--output", help="directory for the dataset")],
        jobs: Annotated[
            int | None, typer.Option("-j", "--jobs", min=1, help="processes; default: every core")
        ] = None,
        engine: EngineName = "local",
        address: Address = None,
        overwrite: Annotated[bool, typer.Option("--overwrite", help="replace an earlier dataset")] = False,
    ) -> None:
        from vestige.cli import progress, tables
        from vestige.engine import choose

        workers = choose(engine, jobs=jobs, address=address)
        with (
            pointing_to_preview(source, corpus, options),
            progress.bar(f"reading {corpus}", "bytes") as update,
        ):
            windows = source.prepare(
                corpus, output, options, engine=workers, overwrite=overwrite, progress=update
            )
        tables.show(tables.dataset(windows))

    prepare.__doc__ = f"""Read {source.name} evidence into a dataset directory, written whole or not at all.

    Example: vestige prepare {source.name} CORPUS -o dataset
    """
    return with_options(prepare, options=source.options)


def split(
    dataset: Annotated[Path, typer.Argument(help="a prepared dataset")],
    options: SplitOptions,
    output: Annotated[Path, typer.Option("-o", "--output", help="file for the split")] = Path("split.json"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace an existing file")] = False,
) -> None:
    """Assign recordings (or spans of time, or templates) to train, validation and test.

    Example: vestige split dataset --split time -o split.json
    """
    from vestige.cli import tables
    from vestige.pipeline.experiment import split_dataset
    from vestige.reading.windows import WindowSet
    from vestige.storage import refuse_files

    refuse_files(output, overwrite=overwrite)
    windows = WindowSet.open(dataset)
    made, sides = split_dataset(windows, options)
    made.save(output)
    tables.show(tables.split(made, sides, windows.schema.classes))


def inspect(  # noqa: PLR0912 - a branch for each part that may be there
    path: Annotated[Path, typer.Argument(help="a dataset, a run, or one trained detector")],
    as_json: AsJson = False,
) -> None:
    """Say what a dataset, a run or a trained detector holds, after checking that it is intact.

    Example: vestige inspect runs/bgl/gru
    """
    from vestige import checkpoint
    from vestige.cli import tables
    from vestige.evaluation.learnt import FILE as LEARNT
    from vestige.evaluation.learnt import Learnt
    from vestige.evaluation.table import results_table
    from vestige.pipeline.run import verify
    from vestige.reading.windows import WindowSet
    from vestige.runs.directory import RunDirectory

    if as_json:
        tables.show_json(_inspected(path))
        return
    if (path / "schema.json").is_file():
        windows = WindowSet.open(path)
        windows.verify()
        tables.show(tables.dataset(windows))
        if (left_out := tables.left_out(windows)) is not None:
            tables.show(left_out)
        if (doubtful := tables.doubtful(windows)) is not None:
            tables.show(doubtful)
        if (quality := tables.quality(windows)) is not None:
            tables.show(quality)
        return
    run = RunDirectory.open(path)
    if run.is_detector:
        tables.show(tables.detector(checkpoint.load(path)))
        if (path / LEARNT).is_file():
            tables.show(tables.learnt(Learnt.load(path / LEARNT)))
    elif run.is_run:
        verify(path)
        if run.results is None:
            typer.echo(f"trained, not judged: vestige evaluate {path}")
            return
        tables.show(results_table(run.results))
        if run.results.verdict is not None:
            typer.echo(tables.verdict(run.results.verdict))
    else:
        folders = list(run.detectors.values())
        for folder in folders:
            checkpoint.load(folder)
        tables.show(tables.trained(folders, path))
        if run.is_view:
            typer.echo(f"a view of a run; what it was judged to be: vestige inspect {run.home}")


def _inspected(path: Path) -> dict[str, Any]:
    """What a dataset, a run or a detector holds, after the same checks, as JSON values."""
    from vestige import checkpoint
    from vestige.evaluation.learnt import FILE as LEARNT
    from vestige.evaluation.learnt import Learnt
    from vestige.pipeline.run import verify
    from vestige.reading.windows import WindowSet
    from vestige.runs.directory import RunDirectory

    if (path / "schema.json").is_file():
        windows = WindowSet.open(path)
        windows.verify()
        return {
            "kind": "dataset",
            "windows": len(windows),
            "recordings": windows.recordings.height,
            "schema": windows.schema.to_dict(),
            "notes": windows.notes,
        }
    run = RunDirectory.open(path)
    if run.is_detector:
        header = checkpoint.load(path).header
        found = {"kind": "detector", "model": header.model["name"], "threshold": header.threshold}
        found |= {"policy": header.policy, "classes": header.classes, "schema": header.dataset_schema}
        if (path / LEARNT).is_file():
            found["learnt"] = Learnt.load(path / LEARNT).model_dump(mode="json")
        return found
    if run.is_run:
        verify(path)
        results = None
        if run.results is not None:
            results = run.results.model_dump(mode="json")
        return {"kind": "run", "config": run.config.model_dump(mode="json"), "results": results}
    for folder in run.detectors.values():
        checkpoint.load(folder)
    return {"kind": "view", "detectors": sorted(run.detectors)}
