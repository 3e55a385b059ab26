"""What the terminal shows of datasets, splits and detectors; what evidence holds is shown as plain text."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import typer
from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from vestige import log
from vestige.escaping import LONGEST, visible
from vestige.evidence.defects import MOST_NOTED, LeftOut, counted, counted_defects
from vestige.reading.told import warnings_of_notes

if TYPE_CHECKING:
    from pathlib import Path

    from vestige.checkpoint import Loaded
    from vestige.evaluation.again import Again
    from vestige.evaluation.learnt import Contaminated, Learnt
    from vestige.evaluation.parts import Stretch
    from vestige.evaluation.results import Verdict
    from vestige.pipeline.on_evidence import JudgedOn
    from vestige.reading.overview import Overview
    from vestige.reading.windows import WindowSet
    from vestige.splits import SideCounts, Split
    from vestige.timeline.run import Outcome


SHOWN = 25
"""Rows of a table of recordings."""
SHARES = ("unmapped", "no_file", "lost")
QUALITY = ("bytes", "events", *SHARES, "errors", "overflows")
SENTENCE = 1_000
"""Characters of a sentence that quotes what evidence holds."""
MASKED = r"<[a-z_]{1,32}>"
"""A placeholder of a masked value."""
FOLDED = 12
"""Columns that a text needs at least where it may be folded."""
WIDE, NARROW = 1 << 14, 110
"""Columns where nobody looks on: nothing is cut; and of a terminal that has no room for all of a table."""


def show(what: RenderableType, *, least: Sequence[str] = ()) -> None:
    """Print to standard output, as wide as the terminal; where that is none, as wide as it takes.

    Of a table that has no room, columns are left out, and named below it: those named in `least`, in that
    order, then from the right. The first column says what a row is about, and always stays whole.
    """
    to = log.console(width=width())
    left_out: list[str] = []
    if isinstance(what, Table):
        what, left_out = _narrowed(what, to, least)
    to.print(what)
    if left_out:
        to.print(plain(f"a wider terminal also shows: {', '.join(left_out)}"))


def show_json(what: dict[str, Any]) -> None:
    """Print JSON to standard output: ASCII only, so whatever it holds cannot disturb a terminal."""
    typer.echo(json.dumps(what, indent=1))


def _narrowed(table: Table, to: Console, least: Sequence[str]) -> tuple[Table, list[str]]:
    """The table as far as there is room for it, and the names of the columns that are left out."""
    table = copy(table)
    table.columns = [replace(column) for column in table.columns]
    left_out: list[str] = []
    name = table.columns[0]
    if all(len(str(cell).split()) < 2 for cell in name._cells):
        name.no_wrap = True  # else it would share with the others what is missing, and be cut
    while len(table.columns) > 2 and _least_width(table, to) > to.width:
        headings = [_heading(column) for column in table.columns]
        chosen = next((name for name in least if name in headings[1:]), headings[-1])
        at = len(headings) - 1 - headings[::-1].index(chosen)
        del table.columns[at]
        left_out.append(chosen)
    for column in table.columns:
        column.min_width = None  # there is room for it; where there is any, Rich makes tables too wide
    return table, left_out


def _least_width(table: Table, to: Console) -> int:
    """The columns of a terminal without which words of a table are cut; texts that may be folded are, down to
    `FOLDED` characters a line."""
    measured = copy(table)
    measured.columns = [
        replace(column, max_width=max(FOLDED, column.min_width or 0))
        if column.overflow == "fold" and at
        else column
        for at, column in enumerate(table.columns)
    ]
    return Measurement.get(to, to.options.update(width=WIDE), measured).minimum


def _heading(column: Column) -> str:
    return " ".join(str(column.header).split())


def width() -> int:
    """Columns that there are to print in."""
    console = log.console()
    if console.is_terminal or "COLUMNS" in os.environ:
        return console.width
    return WIDE


def plain(value: str, longest: int = LONGEST) -> Text:
    """A cell, title or caption that says what it holds: no markup, no emoji, no control characters."""
    return Text(visible(value, longest))


def _rows(title: str, rows: list[tuple[str, str]]) -> Table:
    table = Table(title=plain(title), show_header=False, title_justify="left")
    for name, value in rows:
        table.add_row(plain(name), plain(value))
    return table


def _worded(value: Any) -> str:
    """A note as a person would write it, not as Python does."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_worded(each)}" for name, each in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(_worded(each) for each in value) or "none"
    return str(value)


def dataset(windows: WindowSet) -> Table:
    """A dataset: its size, classes, schema, and the notes of its extractor."""
    schema = windows.schema
    counts = np.array(windows.recordings["n_windows"].to_list()).reshape(-1, len(schema.classes)).sum(axis=0)
    rows = [
        ("source", schema.source),
        ("recordings", str(windows.recordings.height)),
        ("hosts", str(windows.recordings["host"].n_unique())),
        ("windows", f"{len(windows)} of {schema.length} steps, stride {schema.stride}"),
        *((f"  {name}", f"{count:.0f}") for name, count in zip(schema.classes, counts, strict=True)),
        ("schema digest", schema.digest),
    ]
    rows += [
        (name.replace("_", " "), _worded(value))
        for name, value in windows.notes.items()
        if name not in {"left_out", "left_out_counts", "warnings", "forms"}
    ]
    counts = LeftOut.of_notes(windows.notes, windows.path).counts
    rows.append(("left out", counted_defects(counts) or "nothing"))
    return _rows(f"dataset {windows.path}", rows)


def left_out(windows: WindowSet) -> Table | None:
    """What of the evidence was not read, and why, a row each; None where everything was."""
    found = LeftOut.of_notes(windows.notes, windows.path)
    if not found.counts:
        return None
    table = Table(title=plain("what was not read"), title_justify="left")
    for name in ("file", "row", "left out", "why"):
        table.add_column(name, overflow="fold", justify="right" if name == "row" else "left")
    for defect in found.first[:SHOWN]:
        row = ""
        if defect.row is not None:
            row = f"{defect.row:,}"
        table.add_row(*map(plain, (defect.file, row, defect.what, defect.why)))
    more = sum(found.counts.values()) - min(len(found.first), SHOWN)
    if more > 0:
        table.caption = plain(f"and {more:,} more: left_out in schema.json has the first {MOST_NOTED:,}")
    return table


def doubtful(windows: WindowSet) -> Table | None:
    """What is doubtful about how the evidence was read, a sentence a row; None where nothing is."""
    warnings = warnings_of_notes(windows.notes, windows.path)
    return cautions("what is doubtful", warnings, "schema.json") if warnings else None


def cautions(title: str, warnings: Sequence[str], file: str) -> Table:
    """Warnings, a sentence a row; `file` has them all."""
    table = Table(title=plain(title), title_justify="left", show_header=False)
    for text in warnings[:SHOWN]:
        table.add_row(plain(text, SENTENCE))
    if len(warnings) > SHOWN:
        table.caption = plain(f"and {len(warnings) - SHOWN:,} more: warnings in {file}")
    return table


def quality(windows: WindowSet) -> Table | None:
    """What each recording is worth, a row each, where the source says so; those that lost most first."""
    if not windows.has_table("quality"):
        return None
    frame = windows.table("quality").sort(
        "lost", "overflows", "unmapped", "recording", descending=[True, True, True, False]
    )
    table = Table(title=plain("recordings, those that lost most first"), title_justify="left")
    table.add_column("recording", overflow="fold")
    for name in QUALITY:
        table.add_column(plain(name.replace("_", " ")), overflow="fold", justify="right")
    for row in frame.head(SHOWN).iter_rows(named=True):
        figures = (f"{row[name]:.2%}" if name in SHARES else f"{row[name]:,}" for name in QUALITY)
        table.add_row(plain(row["recording"]), *map(plain, figures))
    if frame.height > SHOWN:
        table.caption = plain(f"and {frame.height - SHOWN:,} more: tables/quality.parquet")
    return table


def verdict(found: Verdict) -> str:
    """The verdict of a run, line by line. No line is broken: its commands are there to be copied."""
    lines = [found.title, *(f"  {sentence}" for sentence in found.why)]
    if found.all_the_same:
        lines += [f"To see all the same what {found.detector} says:", f"  {found.score}"]
    lines += [f"{found.next_step}:", *(f"  {command}" for command in found.commands)]
    return "\n".join(visible(line, SENTENCE) for line in lines)


def timelines(found: Outcome, columns: int) -> Table:
    """Recordings, the most surprising first: how often and where first each left all modules, and with which
    it was alike. Names are never cut: where there are few `columns` they wrap, and lesser figures are left
    out."""
    table = Table(title=plain("recordings, the most surprising first"), title_justify="left")
    figures = ("highest", "left") if columns < NARROW else ("highest", "mean", "left", "cluster")
    for name in ("recording", "label", *figures, "where first"):
        table.add_column(name, overflow="fold", justify="right" if name in figures else "left")
    for timeline, cluster in list(zip(found.timelines, found.clusters, strict=True))[:SHOWN]:
        told = {
            "highest": f"{timeline.highest:.2f}",
            "mean": f"{timeline.mean:.3f}",
            "left": f"{timeline.times_left:,}",
            "cluster": "" if cluster is None else str(cluster),
        }
        cells = [timeline.recording, timeline.truth, *(told[name] for name in figures)]
        if timeline.departures:
            first = timeline.departures[0]
            cells.append(f"{first.left} to {first.to}")
        table.add_row(*map(plain, cells))
    if len(found.timelines) > SHOWN:
        table.caption = plain(f"and {len(found.timelines) - SHOWN:,} more")
    return table


def split(made: Split, sides: SideCounts, classes: tuple[str, ...]) -> Table:
    """A split: how many windows of each class on each side, and what it cannot test."""
    title = f"split by {made.recipe}"
    if made.in_distribution:
        title += " - in-distribution"
    table = Table(title=plain(title), title_justify="left")
    for column in ("part", "windows", *classes, "recordings"):
        table.add_column(plain(column), justify="left" if column == "part" else "right")
    recordings = sides.present.sum(axis=1)
    for part, (name, n) in enumerate(sides.windows.items()):
        table.add_row(name, *map(str, (n, *sides.by_class[part], recordings[part])))
    for name, count in (("purged", sides.purged), ("left out", sides.left_out)):
        if count:
            table.add_row(name, str(count))
    notes = list(made.notes)
    for what, profiles in (
        ("untested", made.untested_profiles),
        ("unvalidated", made.unvalidated_profiles),
        ("unseen", made.unseen_profiles),
    ):
        if profiles:
            from vestige.splits import listed

            notes.append(f"{what} profiles: {listed(profiles)}")
    table.caption = plain("; ".join(notes))
    return table


def trained(directories: list[Path], run: Path) -> Table:
    """What was trained: rounds, and macro F1 on validation; the test part was not looked at."""
    from vestige.runs.directory import RunDirectory

    table = Table(title=plain(f"trained in {run}"), title_justify="left")
    for column in ("detector", "view", "rounds", "validation macro F1", "alert threshold"):
        table.add_column(column, justify="left" if column in {"detector", "view"} else "right")
    for folder in map(RunDirectory, directories):
        header, history = folder.header, folder.history_file
        rounds = reached = threshold = "-"
        if history.is_file():
            rounds = str(len(history.read_text().splitlines()) - 1)
        if header.notes.validation_macro_f1 is not None:
            reached = f"{header.notes.validation_macro_f1:.3f}"
        if header.threshold is not None:
            threshold = f"{header.threshold:.4g}"
        cells = (str(header.model["name"]), header.view, rounds, reached, threshold)
        table.add_row(*map(plain, cells))
    return table


def detector(loaded: Loaded) -> Table:
    """A trained detector: what it is, what it reads, and when it raises an alert."""
    schema = loaded.schema
    inputs = (taken for taken in schema.inputs if taken.name in loaded.detector.input_names)
    threshold = "none"
    if loaded.detector.task == "normal":
        threshold = "a p-value, which the budget moves as evidence comes"
    elif loaded.threshold is not None:
        threshold = f"{loaded.threshold:.6g}"
    rows = [
        ("model", loaded.detector.name),
        ("source", schema.source),
        ("classes", ", ".join(schema.classes)),
        ("inputs", ", ".join(f"{taken.name} ({taken.kind})" for taken in inputs)),
        ("window", f"{schema.length} steps"),
        ("alert threshold", threshold),
        ("schema digest", schema.digest),
    ]
    return _rows("detector", rows)


def learnt(found: Learnt) -> Table:
    """What a detector learnt without labels, from what, and whether it kept its promise."""
    rows = [
        ("learnt from", found.evidence),
        ("looks", ", ".join(found.looks)),
        ("budget", f"{found.budget}: one window in {1 / found.alpha:,.0f}"),
        ("parted", found.parted),
    ]
    parts = {"  to learn": found.learn, "  to calibrate": found.calibrate, "  to check": found.check}
    for name, part in parts.items():
        told = f"{counted(part.windows, 'window')} of {counted(part.recordings, 'recording')}"
        if part.begin is not None:
            told += f", from {_short(part.begin)} to {_short(part.end)}"
        rows.append((name, told))
    promised, came = found.promised, found.came
    rows.append(("promised", f"{promised.rate:.3g} alerts a {promised.unit} at most"))
    bounds = ""
    if came.low is not None and came.high is not None:
        bounds = f", 95% between {came.low:.3g} and {came.high:.3g}"
    kept = "kept" if found.kept else "not kept"
    rows.append(("came", f"{came.rate:.3g} a {came.unit}{bounds}: the promise was {kept}"))
    if found.whole is not None:
        rows.append(
            ("whole recordings", f"learnt from {found.whole.learnt:,}: --by-recording judges by them")
        )
    rows += [("doubtful", warning) for warning in found.warnings[:SHOWN]]
    if found.left_out:
        rows.append(("left out", counted_defects(found.left_out)))
    for defect in found.left_out_first[:SHOWN]:
        where = defect.file if defect.row is None else f"{defect.file}:{defect.row}"
        rows.append(("", f"{where}: {defect.what}: {defect.why}"))
    return _rows("learnt without labels", rows)


def contamination(rows: list[Contaminated]) -> Table:
    """How the figures of a check move where some of what was learnt from was planted, a column a share."""
    table = Table(title="where some of what it learnt from was an attack", title_justify="left")
    table.add_column("")
    for row in rows:
        table.add_column(f"{row.share:.1%}", justify="right")
    table.add_row(f"alerts a {rows[0].came.unit}", *(f"{row.came.rate:.3g}" for row in rows))
    for kind in rows[0].found:
        found = (row.found[kind] for row in rows)
        cells = (f"{each.share:.0%} ({each.low:.0%} to {each.high:.0%})" for each in found)
        table.add_row(plain(f"found of {kind}"), *cells)
    return table


def again(found: Again) -> Table:
    """What would change with a detector in the place of an earlier one, both judged on the same windows."""
    table = Table(title=plain(f"in place of {found.earlier}"), title_justify="left")
    for name in ("", "before", "after", "more (95%)"):
        table.add_column(name, justify="left" if not name else "right")
    unit, change = found.after.unit, found.difference
    table.add_row(f"alerts a {unit}", *(f"{rate.rate:.3g}" for rate in (found.before, found.after)), "")
    table.add_row(
        f"stretches of alerts a {unit}",
        *(f"{found.stay.rate + rate.rate:.3g}" for rate in (found.vanish, found.appear)),
        f"{change.more:+.3g} ({change.low:+.3g} to {change.high:+.3g})",
    )
    for each in found.found:
        more = each.difference
        table.add_row(
            plain(f"found of {each.kind}"),
            *(
                f"{share.share:.0%} ({share.low:.0%} to {share.high:.0%})"
                for share in (each.before, each.after)
            ),
            f"{more.more:+.0%} ({more.low:+.0%} to {more.high:+.0%})",
        )
    return table


def judged_on(found: JudgedOn) -> Table:
    """What a detector is worth on labelled evidence, a metric a row, with 95% intervals."""
    from vestige.evaluation.catalogue import METRICS

    table = Table(title=plain(f"{found.detector} on {found.evidence}"), title_justify="left")
    for name in ("metric", "", "95% interval"):
        table.add_column(name, justify="left" if name == "metric" else "right")
    for metric in METRICS:
        figure = found.metrics[metric.name]
        if figure.estimate is None:
            continue
        between = "-"
        if figure.low is not None and figure.high is not None:
            between = f"{figure.low:{metric.form}} to {figure.high:{metric.form}}"
        name = metric.title
        if metric.at_threshold:
            name += " of its alerts"
        table.add_row(*map(plain, (name, f"{figure.estimate:{metric.form}}", between)))
    return table


def judged_size(found: JudgedOn) -> str:
    """How much a detector was judged on, how often it alerts, and what weakens its figures, line by line."""
    test = found.test
    size = f"{counted(len(test), found.unit)}, {int(test.positive.sum()):,} of them anomalous"
    alerts = f"{found.alerts:,} alert"
    if test.days():
        alerts += f", {found.alerts / test.days():.3g} a day"
    return "\n".join(visible(line, SENTENCE) for line in (f"{size}; {alerts}", *found.doubts))


def overview(found: Overview) -> Text:
    """What is to be said of evidence, line by line: as what it is read and why, how much it is, what was not
    read, and what is doubtful."""
    lines = [*_formats(found), _sizes(found), _unread(found)]
    warnings = found.warnings()
    lines += [f"doubtful: {warning}" for warning in warnings[:SHOWN]]
    if len(warnings) > SHOWN:
        lines.append(f"doubtful: and {len(warnings) - SHOWN:,} more, which --json names")
    return Text("\n").join(plain(line, SENTENCE) for line in lines)


def _formats(found: Overview) -> list[str]:
    lines = []
    for name, read in list(found.told.formats.items())[:SHOWN]:
        line = f"read as {name}"
        if len(found.told.formats) > 1:
            line += f" ({read.units:,} files; the first: {read.first})"
        if read.why:
            line += f": {read.why}"
        lines.append(line)
    return lines


def _sizes(found: Overview) -> str:
    line = f"{counted(found.steps, 'step')} of {counted(found.recordings, 'recording')}"
    if found.hosts:
        line += f" on {counted(len(found.hosts), 'host')}"
    if found.time_range is not None:
        first, last = map(_short, found.time_range)
        line += f", from {first} to {last}"
    if not found.has_labels:
        return f"{line}; without labels"
    counts = zip(found.classes, found.labels.tolist(), strict=True)
    return f"{line}; labels: {', '.join(f'{name} {count:,}' for name, count in counts)}"


def _unread(found: Overview) -> str:
    left_out = found.left_out
    if not left_out.counts:
        return "all of it was read"
    line = f"not read: {counted_defects(left_out.counts)}"
    if left_out.first:
        line += f"; the first: {left_out.first[0]}"
    return line


def raw_lines(file: str, lines: list[str]) -> Table:
    """The first lines of a file as they lie there."""
    table = Table(title=plain(f"the first lines of {file}, as they are"), title_justify="left")
    table.add_column("line", justify="right")
    table.add_column("text", overflow="fold")
    for number, line in enumerate(lines, 1):
        table.add_row(str(number), plain(line))
    return table


def stretches(title: str, found: list[Stretch]) -> Table:
    """Stretches of the part that was checked, as they come."""
    table = Table(title=title, title_justify="left")
    table.add_column("once in", justify="right")
    for name in ("time", "where", "text"):
        table.add_column(name, overflow="fold")
    for stretch in found:
        where = ":".join(str(part) for name, part in stretch.place.items() if name != "offset")
        cells = (f"{1 / stretch.p_value:,.0f}", _short(stretch.time), where, stretch.text)
        table.add_row(*(plain(cell) for cell in cells))
    return table


def _short(time: str | None) -> str:
    """A time without the zeros at the end of its fraction; empty where there is none."""
    if time is None:
        return ""
    return time.removesuffix("Z").rstrip("0").removesuffix(".") + "Z"


def steps(rows: list[dict[str, Any]]) -> Table:
    """Steps, a row each; what was masked in their texts stands out. Where none has a time there is no column
    for it, and where nothing names a host the recording stands in its place."""
    host = "host" if any(row["host"] for row in rows) else "recording"
    names = [host, "text", "label"]
    if any(row["time"] for row in rows):
        names.insert(0, "time")
    table = Table()
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        cells = row | {"time": _short(row["time"])}
        texts = {name: plain(cells[name] or "") for name in names}
        texts["text"].highlight_regex(MASKED, style="cyan")
        table.add_row(*texts.values())
    return table
