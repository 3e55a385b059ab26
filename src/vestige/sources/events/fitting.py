"""Whether a file of evidence fits a mapping, as its beginning shows, and which of several it fits best."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vestige.errors import EvidenceError, FormatError
from vestige.evidence.files import GIVE, is_binary
from vestige.sources.events import calls
from vestige.sources.events.kinds import KINDS, shown_by
from vestige.sources.events.layout import Layout
from vestige.sources.events.mapping import Mapping, every
from vestige.sources.events.parse import Rules
from vestige.sources.events.sample import (
    are_sequences,
    field_names,
    first_lines,
    first_records,
    is_json,
    known,
    share,
    shown_signs,
)
from vestige.sources.events.trial import Trial, attempt, doubts, how, read_sample

WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
FOREIGN = (
    (
        re.compile(rb".{4}LfLe", re.DOTALL),
        "an event log of Windows XP or Server 2003 (.evt), which is not read",
        "convert it on Windows: wevtutil export-log OLD.evt NEW.evtx /lf:true",
    ),
    (
        re.compile(rb"(?:\xef\xbb\xbf)?\s*+<(?:\?xml\s|Events?[\s>]|Objs\s)"),
        "the file is XML, which is not read",
        "an event log of Windows is read as it is (.evtx); otherwise export JSON, an object a line",
    ),
    (
        re.compile(rb"\s*+% time\s++seconds\s++usecs/call"),
        "a summary of strace (-c), which has no sequence of calls",
        "record it again without -c",
    ),
)
"""What is known and not read: how such files begin, what they are, and what helps."""
NOT_MET = "Its first records are read by no mapping that was learnt from, so that its events may all be new."
"""What is doubtful about a file that none of the mappings fits."""
MOST_SHOWN = 24
_TIME_ADVICE = (
    "say how times are written: --time-format '%d/%m/%Y %H:%M:%S', or --time-unit; the name of a time zone "
    "is not understood (what it means depends on who wrote it): put its offset there, such as -0400"
)


@dataclass(frozen=True)
class Fit:
    """What a file's beginning says: how it lies, by which mapping it is read, and why by that one."""

    layout: Layout
    why: str = ""
    warnings: tuple[str, ...] = ()


def check(sample: bytes, rules: Rules, where: str, anomalous_files: str = "", *, file: str = "") -> Fit:
    """How a file that fits `rules` lies, and why so.

    Raises EvidenceError when it is no text, or when more than half of its first records are bad: then the
    message names the first of them, what its fields are called, and the mappings that would fit.
    """
    if not sample:
        raise EvidenceError("the file is empty", where=where, remedy=GIVE)
    shown = shown_by(sample)
    if shown and KINDS[shown].packed:
        return _of_packed(shown, sample, rules, where)
    sample = first_lines(sample)
    if sample.startswith(WIDE):
        remedy = "convert it: iconv -f UTF-16 -t UTF-8 FILE"
        raise EvidenceError("the text is UTF-16", where=where, remedy=remedy)
    for pattern, what, remedy in FOREIGN:
        if pattern.match(sample):
            raise EvidenceError(what, where=where, remedy=remedy)
    if sample.count(b"\0", 0, 4096) > min(len(sample), 4096) // 4:
        raise EvidenceError("no text: it is full of NUL bytes", where=where)
    if is_binary(sample[:4096]):
        raise EvidenceError(
            "it is no text: most of its first bytes are none of UTF-8",
            where=where,
            remedy="give events as CSV, JSON or text, or .evtx files; of perf.data the source is traces",
        )
    if (fit := _of_calls(sample, rules, where, anomalous_files, file)) is not None:
        return _with_doubt(fit, rules)
    if rules.others:
        return _choose(sample, rules, where)
    try:
        trial = attempt(sample, rules, where, anomalous_files)
    except EvidenceError as error:
        if fitting := _fitting(sample, rules, where):
            error.remedy = f"--mapping {fitting[0]} fits this file"
        raise
    _refuse_unless_fits(trial, sample, rules, where)
    return Fit(trial.layout, how(trial), tuple(doubts(trial, sample)))


def _of_packed(shown: str, sample: bytes, rules: Rules, where: str) -> Fit:
    """How a file of that kind is read: its records are JSON of which the first ones choose the mapping."""
    kind = KINDS[shown]
    reader = kind.cutter(Layout(shown), rules.max_record)
    reader.feed(sample)
    blocks = [*reader.take(), *reader.finish()]
    if not blocks:
        what = f"{kind.called} without any record"
        if reader.faults:
            what = f"{kind.called} whose records cannot be read; the first: {reader.faults[0][1]}"
        raise EvidenceError(what, where=where)
    if rules.mapping.kind not in kind.read_by and not rules.others:
        what = f"{kind.called}, which is not read by the mapping {rules.mapping.name!r}"
        raise EvidenceError(what, where=where, remedy=f"--mapping {kind.advice} fits this file")
    fit = check(b"".join(block.data for block in blocks), rules, where)
    why = fit.why.replace(KINDS[fit.layout.kind].called, kind.called, 1)
    return replace(fit, layout=replace(fit.layout, kind=shown), why=why)


def _of_calls(sample: bytes, rules: Rules, where: str, anomalous_files: str, file: str) -> Fit | None:
    """How a file of system calls is read, where the mapping is of such, or `auto` and its lines show it."""
    kind = calls.kind_of(sample)
    mapping = rules.mapping
    if rules.others:
        mapping = next((choice for choice in rules.others if choice.kind == kind), mapping)
    if mapping.kind in {"strace", "pairs", "sequence"}:
        kind = mapping.kind
    elif mapping.kind != "syscalls":
        return None
    if kind is None:
        return None
    rules = Rules(mapping, rules.max_record)
    layout = replace(calls.about(kind, file or where, anomalous_files), mapping=mapping.name)
    trial = read_sample(sample, layout, rules)
    _refuse_unless_fits(trial, sample, rules, where)
    return Fit(layout, how(trial))


def _choose(sample: bytes, rules: Rules, where: str) -> Fit:
    """The best of the mappings that `rules` allow."""
    records = first_records(sample)
    special = known(records, rules.choices)
    plain = "jsonl" if is_json(sample) else "csv"
    general = [choice for choice in rules.choices if not choice.signs and choice.kind in {plain, "auto"}]
    refused: list[tuple[Mapping, EvidenceError | Trial]] = []
    chosen: Trial | None = None
    for mapping in _ordered(special, general, rules):
        try:
            trial = attempt(sample, rules.only(mapping.name), where)
        except EvidenceError as error:
            refused.append((mapping, error))
            continue
        if trial.fits and chosen is None and (trial.good or mapping.kind == "csv"):
            chosen = trial
        else:
            refused.append((mapping, trial))
        if chosen is not None and refused:
            break
    if chosen is None:
        raise _none_fits(sample, rules, where, refused)
    why = how(chosen)
    if chosen.mapping.signs:
        why += f", known by {shown_signs(records, chosen.mapping)}"
    if refused:
        why += f"; not {_rejection(*refused[0])}"
    return _with_doubt(Fit(chosen.layout, why, tuple(doubts(chosen, sample))), rules)


def _with_doubt(fit: Fit, rules: Rules) -> Fit:
    """The same, with a sentence where it is read by a mapping that was not met before."""
    if not rules.met or fit.layout.mapping in dict(rules.met):
        return fit
    return replace(fit, warnings=(*fit.warnings, NOT_MET))


def _ordered(special: Sequence[Mapping], general: Sequence[Mapping], rules: Rules) -> list[Mapping]:
    """The mappings in the order in which they are tried: those that were met go before others of their sort,
    and, where records show no signs, before the general ones."""
    met = dict(rules.met)
    first = [mapping for mapping in special if mapping.name in met]
    kinds = {mapping.kind for mapping in general}
    known = [mapping for mapping in rules.choices if mapping.name in met and mapping.kind in kinds]
    return list({mapping.name: mapping for mapping in (*first, *special, *known, *general)}.values())


def _rejection(mapping: Mapping, trial: EvidenceError | Trial) -> str:
    """Why a mapping was not taken, in a few words."""
    if isinstance(trial, EvidenceError):
        return f"{mapping.name}: {trial.what[:160]}"
    if not trial.fits and trial.first is not None:
        return f"{mapping.name}: {trial.first[1]} (line {trial.first[0]})"
    if mapping.signs:
        return f"{mapping.name}, which would fit too but is broader"
    return f"{mapping.name}, which reads it, too, by the names that any export may have"


def _none_fits(
    sample: bytes, rules: Rules, where: str, refused: Sequence[tuple[Mapping, EvidenceError | Trial]]
) -> EvidenceError:
    """What to say where no mapping fits: of the one that knows such files best, or the general one."""
    if are_sequences(sample):
        return FormatError(
            "no record has a time, a machine and an event: these look like sessions",
            where=where,
            row=1,
            remedy="--mapping sessions fits this file",
        )
    ranked = sorted(refused, key=lambda entry: isinstance(entry[1], EvidenceError) and entry[0].name == "csv")
    mapping, trial = ranked[0]
    if isinstance(trial, EvidenceError):
        return trial
    return _misfit(trial, sample, rules.only(mapping.name), where)


def _refuse_unless_fits(trial: Trial, sample: bytes, rules: Rules, where: str) -> None:
    if not trial.fits:
        raise _misfit(trial, sample, rules, where)


def _misfit(trial: Trial, sample: bytes, rules: Rules, where: str) -> FormatError:
    row, what = trial.first or (1, "unreadable")
    total = trial.bad + trial.good
    return FormatError(
        f"{trial.bad} of the first {total} records do not fit the mapping {rules.mapping.name!r}; "
        f"the first of them: {what}",
        where=where,
        row=row,
        remedy=_advice(what, sample, rules, where),
    )


def _fitting(sample: bytes, rules: Rules, where: str) -> list[str]:
    """The shipped mappings that would fit, best first."""
    shares: dict[str, float] = {}
    if kind := calls.kind_of(sample):
        return [mapping.name for mapping in every() if mapping.kind == kind]
    records = first_records(sample)
    for mapping in every():
        if mapping.kind == "sessions" and not are_sequences(sample):
            continue
        if mapping.signs and share(records, mapping) <= 0.5:
            continue
        try:
            trial = attempt(sample, Rules(mapping, rules.max_record), where)
        except EvidenceError:
            continue
        shares[mapping.name] = trial.good / max(1, trial.good + trial.bad)
    return [name for name in sorted(shares, key=lambda name: -shares[name]) if shares[name] > 0.5]


def _advice(what: str, sample: bytes, rules: Rules, where: str) -> str:
    """What helps against that first fault."""
    if fitting := [name for name in _fitting(sample, rules, where) if name != rules.mapping.name]:
        return f"mappings that would fit: {', '.join(fitting)}"
    if rules.mapping.kind == "sessions":
        return "a line of sessions is `name,event event ...`, or a sequence of numbers alone (docs/events.md)"
    if "the header" in what:
        return (
            "give the header and the rows equally many cells: a name is missing, or a delimiter is in a cell"
        )
    if re.fullmatch(r"'\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?' is no time", what):
        return (
            "it is a clock without a day: if another column has the day, join the two, as in "
            "--timestamp date+time --time-format '%m/%d/%Y/%H:%M:%S'"
        )
    if what.endswith("is no time"):
        return _TIME_ADVICE
    return _advice_on_fields(what, sample)


def _advice_on_fields(what: str, sample: bytes) -> str:
    names = field_names(first_records(sample))
    if not names:
        if is_json(sample):
            return "its JSON is damaged, or holds no objects: jq . FILE names the place"
        return "no shipped mapping fits either: name the fields (docs/events.md)"
    flags = {"no time": "--timestamp", "no machine": "--machine", "no event": "--event"}
    advice = f"name the field with {flags.get(what, '--timestamp, --machine, --event')}"
    if what == "no machine":
        advice += ", or what the only machine is called with --machine-name web1"
    return f"{advice}; the records have: {', '.join(names[:MOST_SHOWN])[:600]}"
