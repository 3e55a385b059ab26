"""The page of the board, as Markdown and as HTML, made from what runs wrote in `metrics.json`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vestige.board import evidence
from vestige.board.cells import ALWAYS, Cell, CellRecord, SetPlace, cells_of, code_digest
from vestige.board.sets import LabelledSet, split_name
from vestige.escaping import visible
from vestige.evaluation.record import IntervalResult
from vestige.evaluation.report import compose
from vestige.evaluation.results import DetectorResults, RunResults
from vestige.models import registry
from vestige.runs.directory import RunDirectory
from vestige.runs.options import SplitOptions
from vestige.storage import write_text

MARKDOWN, HTML = "board.md", "board.html"
METRICS = ("macro_f1", "average_precision", "recall", "fpr")
NORMALS = frozenset(registry.CLASSICAL) - {"tfidf"}
"""Detectors of the task classify that learn from normal windows alone."""


@dataclass(frozen=True)
class Row:
    """A detector on a split: figures as text, and the command that made them."""

    name: str
    role: str
    learns: str
    validation: str
    figures: list[str]
    gain: str
    chosen: bool = False


@dataclass(frozen=True)
class Gain:
    """Ours that was best on validation beside the trivial or classical detector that was, on the same
    resamples of the test part, as text. `least`: the gain that would just have been beyond doubt, with the
    spread that this one has; `shown`: whether it is."""

    ours: str
    trivial: str
    gain: str
    least: str
    shown: str


@dataclass
class SplitBoard:
    """A set by one of its splits."""

    set: LabelledSet
    name: str
    rows: list[Row] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    untrusted: str = ""
    clusters: str = ""
    gain: Gain | None = None


@dataclass
class Board:
    """All that the page shows."""

    command: str
    code: str
    splits: list[SplitBoard]
    absent: list[tuple[str, str]]
    done: int
    wanted: int
    seconds: float
    processor_seconds: float
    counted: int
    """Cells that say their processor time: those of earlier versions do not."""
    other_code: int


def read(
    out: Path, sets: Sequence[LabelledSet], models: Sequence[str], *, data: Path | None, command: str
) -> Board:
    """What is there so far. Raises DatasetError for results that are damaged."""
    board = Board(command, code_digest(), [], [], 0, 0, 0.0, 0.0, 0, 0)
    for chosen in sets:
        place = SetPlace(out, chosen)
        cells = cells_of(place, models)
        missing = evidence.absent(chosen, data)
        if missing and not any(cell.note.is_file() for cell in cells):
            board.absent.append((chosen.name, missing))
            continue
        where = evidence.lies_at(chosen, data, place.evidence)
        for options in chosen.splits:
            mine = [cell for cell in cells if cell.options == options]
            board.splits.append(_split(board, place, options, mine, where))
    return board


def _split(
    board: Board, place: SetPlace, options: SplitOptions, cells: Sequence[Cell], where: Path
) -> SplitBoard:
    found = SplitBoard(place.set, split_name(options))
    if place.set.simulate:
        found.commands.append(place.simulate_command)
    found.commands += [place.read_command(where), place.split_command(options)]
    judged: dict[str, tuple[DetectorResults, RunResults]] = {}
    waiting: list[str] = []
    runs: dict[str, RunResults | None] = {}
    for cell in cells:
        record = cell.record
        board.wanted += 1
        if record is None:
            waiting.append(cell.model)
            continue
        if record.status != "done":
            board.done += record.status == "unfit"
            found.missing.append(f"{cell.model}: {visible(record.why, 300)}")
            continue
        if record.run not in runs:
            runs[record.run] = _results(cell.folder / record.run, found)
            board.seconds += record.seconds
            board.processor_seconds += record.processor_seconds
            found.commands += record.commands
        results = runs[record.run]
        if results is None:
            found.missing.append(f"{cell.model}: its results are gone")
            continue
        board.done += 1
        board.counted += record.processor_seconds > 0
        board.other_code += record.code != board.code
        _take(judged, results)
        if not found.clusters:
            _facts(found, results, record)
    if waiting:
        found.missing.append(f"still to be computed: {', '.join(waiting)}")
    ranked = sorted(judged.values(), key=lambda pair: -(pair[0].validation_macro_f1 or 0.0))
    usable = next((one.name for one, _ in ranked if one.usable), "")
    found.rows = [_row(one, results, chosen=one.name == usable) for one, results in ranked]
    found.gain = gain_of(ranked)
    return found


def _results(run: Path, found: SplitBoard) -> RunResults | None:
    """What a run was judged to be; how often its test part was opened is told."""
    directory = RunDirectory(run)
    times = directory.openings
    found.facts.append(f"test part of the run `{run.name}`: opened {times} time{'' if times == 1 else 's'}")
    return directory.results


def _take(judged: dict[str, tuple[DetectorResults, RunResults]], results: RunResults) -> None:
    """Models as their own run judged them; baselines, which each run has, of the first."""
    for detector in results.detectors:
        if detector.kind == "model" or detector.name not in judged:
            judged[detector.name] = (detector, results)


def _facts(found: SplitBoard, results: RunResults, record: CellRecord) -> None:
    test = results.split.parts.get("test")
    if test is not None:
        classes = ", ".join(f"{count:,} {visible(name, 40)}" for name, count in test.per_class.items())
        found.facts.append(
            f"test part: {test.windows:,} windows of {test.recordings:,} recordings ({classes})"
        )
    count = results.clusters.count
    found.clusters = f"{count} {results.clusters.unit}{'' if count == 1 else 's'}"
    found.facts += [f"split: {note}" for note in results.split.notes if "drawn by the seed" in note]
    found.facts.append(f"intervals: {results.clusters.description}")
    found.facts.append(
        f"digests: dataset {results.digests.get('dataset', '')[:16]}, split {record.split[:16]}, "
        f"code {record.code[:16]}"
    )
    if results.synthetic:
        found.facts.append("simulated by vestige: it shows that the pipeline works, and nothing of the world")
    if not results.clusters.trusted:
        found.untrusted = results.clusters.reason


def _role(one: DetectorResults) -> str:
    return "baseline" if one.is_baseline else "classical" if one.name in ALWAYS else "model"


def gain_of(ranked: Sequence[tuple[DetectorResults, RunResults]]) -> Gain | None:
    """Of the first that is ours over what else was best on validation in the run that judged it; None where
    there is nothing of ours, or nothing else."""
    ours = next((pair for pair in ranked if _role(pair[0]) == "model"), None)
    if ours is None:
        return None
    one, results = ours
    others = [each for each in results.detectors if _role(each) != "model"]
    if not others:
        return None
    other = max(others, key=lambda each: each.validation_macro_f1 or 0.0)
    found, name = _paired(one.name, other, results)
    apart, run = next((pair for pair in ranked if _role(pair[0]) != "model"), (other, results))
    # A baseline is in every run, and is judged alike in each.
    better = run is not results and apart.name not in {each.name for each in results.detectors}
    if better:
        # Of another run there are no resamples to pair with: what it reached is told beside.
        name = f"{name}; {apart.name}, of another run, reached {_number(apart.macro_f1.estimate)}"
    if found is None or found.estimate is None:
        return Gain(one.name, name, "-", "-", "no")
    least, shown = "-", "no"
    if found.low is not None:
        least = f"{found.estimate - found.low:+.3f}"
        if found.low > 0 and not better:
            shown = "yes" if results.clusters.trusted else "no: too few clusters"
    return Gain(one.name, name, _interval(found, "+.3f"), least, shown)


def _paired(ours: str, other: DetectorResults, results: RunResults) -> tuple[IntervalResult | None, str]:
    """The gain of `ours` over another one, and that one's name. Of the baselines it is the one that the run
    compares with: of several that are equally good on validation, it names one."""
    if other.is_baseline:
        comparison = next((each for each in results.comparisons if each.model == ours), None)
        return (None, other.name) if comparison is None else (comparison.gain, comparison.baseline)
    for pair in results.pairs:
        if (pair.first, pair.second) == (ours, other.name):
            return pair.gap, other.name
        if (pair.second, pair.first) == (ours, other.name):
            return _mirrored(pair.gap), other.name
    return None, other.name


def _mirrored(gap: IntervalResult) -> IntervalResult:
    """The same gap, seen from the other side."""
    turned = {"estimate": gap.estimate, "low": gap.high, "high": gap.low}
    return gap.model_copy(update={name: None if value is None else -value for name, value in turned.items()})


def _row(one: DetectorResults, results: RunResults, *, chosen: bool) -> Row:
    comparison = next((each for each in results.comparisons if each.model == one.name), None)
    role = _role(one)
    gain = "" if comparison is None or one.is_baseline else _interval(comparison.gain, "+.3f")
    if gain and comparison is not None:
        gain = f"{gain} over {comparison.baseline}: {comparison.outcome}"
    normals = one.name in NORMALS or registry.task_of(one.name) == "next"
    return Row(
        one.name,
        role,
        "normals" if normals else "labels",
        _number(one.validation_macro_f1),
        [_interval(one.metrics.get(name)) for name in METRICS],
        gain,
        chosen,
    )


def _number(value: float | None, form: str = ".3f") -> str:
    return "-" if value is None else format(value, form)


def _interval(found: IntervalResult | None, form: str = ".3f") -> str:
    if found is None or found.estimate is None:
        return "-"
    if found.low is None or found.high is None:
        return f"{found.estimate:{form}}"
    return f"{found.estimate:{form}} [{found.low:{form}}, {found.high:{form}}]"


INTRODUCTION = (
    "Every labelled set at hand by every detector by a split that holds out what an attacker or an update "
    "changes: spans of time, templates, hosts, samples. Never windows at random. Cells are computed by "
    "ordinary runs with commands of their own; figures are those of their metrics.json, as they came out.",
    "Rows stand in the order of macro F1 on validation, which alone chooses; the first that can be put to "
    "work is marked *. Learns: from `labels`, or from `normals` alone (labels of the validation part then "
    "choose the boundary). Recall and FPR are at the threshold of fpr=0.01 on validation. The gain is in "
    "macro F1, paired, over the trivial baseline that was best on validation; `better` needs its interval "
    "above 0 over that one and over the best in hindsight.",
)
HEADER = ("detector", "", "learns", "validation", "macro F1", "AP", "recall", "FPR", "gain over a baseline")


def markdown(board: Board) -> str:
    """The page as Markdown."""
    lines = ["# The board", "", *(line for text in INTRODUCTION for line in (text, "")), *_state(board)]
    lines += _gains(board)
    for split in board.splits:
        lines += ["", f"## {split.set.name}, `{split.name}`", "", f"{split.set.about}.", ""]
        lines += [f"- {fact}" for fact in split.facts]
        if split.untrusted:
            lines.append(f"- the intervals cannot be trusted: {split.untrusted}")
        if split.rows:
            lines += ["", *_table(HEADER, (_cells(row) for row in split.rows))]
        if split.missing:
            lines += ["", "Not in the table:", "", *(f"- {_escaped(text)}" for text in split.missing)]
        if split.set.published:
            lines += ["", "Published by others:", ""]
            rows = (
                (each.detector, f"{each.figure} {each.value:g}", each.split, each.source, each.note)
                for each in split.set.published
            )
            lines += _table(("detector", "figure", "split", "source", "can it be compared?"), rows)
        if split.commands:
            lines += [
                "",
                "<details><summary>Commands</summary>",
                "",
                "```",
                *split.commands,
                "```",
                "</details>",
            ]
    return "\n".join(lines) + "\n"


GAINS_HEADER = (
    "set, split",
    "clusters",
    "ours",
    "not ours",
    "gain",
    "least that would be seen",
    "beyond doubt",
)
ABOUT_GAINS = (
    "Of ours (gbt, ngram, blend, or what was named) and of the trivial and classical detectors, the one that "
    "was best on validation, and the paired gain in macro F1 with its 95% interval. The least that would be "
    "seen is the gain whose interval, as wide as this one is downwards, would just lie above 0: it is the "
    "power of the test part."
)


def _gains(board: Board) -> list[str]:
    rows = [
        (f"{split.set.name}, {split.name}", split.clusters, split.gain)
        for split in board.splits
        if split.gain
    ]
    if not rows:
        return []
    cells = [
        (name, clusters, gain.ours, gain.trivial, gain.gain, gain.least, gain.shown)
        for name, clusters, gain in rows
    ]
    return ["", "## What is gained", "", ABOUT_GAINS, "", *_table(GAINS_HEADER, cells)]


def _state(board: Board) -> list[str]:
    took = f"it took {board.seconds / 3600:.2f} hours"
    if board.processor_seconds:
        hours = f"{board.processor_seconds / 3600:.2f} hours of one core"
        took += f"; of {board.counted} cells the processor time is known: {hours}"
    lines = [
        f"**{board.done} of {board.wanted} cells are computed**; {took}. The same command goes on with the "
        "rest, and can be cut off at any moment:",
        "",
        "```",
        board.command,
        "```",
    ]
    if board.other_code:
        lines += [
            "",
            f"{board.other_code} cells were computed by another version of the code than this page.",
        ]
    lines += ["", *(f"- {name} is not here: {why}" for name, why in board.absent)]
    return lines


def _cells(row: Row) -> tuple[str, ...]:
    name = f"{row.name} *" if row.chosen else row.name
    return name, row.role, row.learns, row.validation, *row.figures, row.gain


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(map(_escaped, row)) + " |" for row in (header, ["---"] * len(header), *rows)]


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def write(board: Board, out: Path) -> tuple[Path, Path]:
    """Write both pages into the folder of the board."""
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / MARKDOWN, markdown(board))
    write_text(
        out / HTML,
        compose("board.html.j2", {}, board=board, introduction=INTRODUCTION, about_gains=ABOUT_GAINS),
    )
    return out / MARKDOWN, out / HTML
