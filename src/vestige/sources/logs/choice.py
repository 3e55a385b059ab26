"""The formats of a corpus, and which of them a file has: the first of them that fits its first lines."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, Self

from vestige import checked
from vestige.errors import EvidenceError, FormatError
from vestige.evidence.files import GIVE, EvidenceFile, is_binary
from vestige.evidence.stream import SAMPLE_LINES
from vestige.sources.logs import years
from vestige.sources.logs.common_header import OF_ORDER
from vestige.sources.logs.fit import FIT, Fit, next_best
from vestige.sources.logs.foreign import is_frames, level_of
from vestige.sources.logs.format import Format, every
from vestige.sources.logs.guess import VERSION, Guess, guess
from vestige.sources.logs.guess_records import RECORDS, are_indented, guess_records
from vestige.sources.logs.indented import judged_lines, with_indented
from vestige.sources.logs.labels import LabelRule
from vestige.sources.logs.met import NOT_MET, is_met, records_met
from vestige.sources.logs.parse import Rules, common_settings
from vestige.sources.logs.records import find_keys, load, sample
from vestige.sources.logs.undated import guess_undated
from vestige.sources.logs.w3c import find_columns

SURE = 0.9
"""A format of a single program is a file's where so many of its first lines fit it."""
LOSS = 0.2
"""A known format is a file's although a guessed one fits so many more of its first lines."""
WIDE = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}
_LINK = re.compile(rb"\.{0,2}/[^\s\0]{1,4094}")
"""What a symbolic link is where it was checked out, or unpacked, without links."""
_AS_TEXT = (
    "its lines are JSON objects, and under none of their keys is a message known to lie (message, msg, "
    "log, ...): they are read as text, and nothing but their time as what it is; read them as events, or say "
    "the key in a format of your own (keys)"
)
_PACKED = re.compile(r"\s{0,8}(?:\{\s{0,8}\"(?P<key>[\w.@-]{1,64})\"\s{0,8}:\s{0,8})?\[\s{0,8}\{", re.ASCII)
"""A JSON array of objects, or an object that begins with one."""
_ONLY = "only"
"""With this it is said that few lines begin messages."""
_SEVERAL_OBJECTS = re.compile(r"\}\s{0,8},\s{0,8}\{")
SEVERAL = 8
"""Containers of which lines are mixed that are told as such, however few lines there are."""
FEW, FEW_OF = 2, 0.1
"""So many lines, and so large a part of all, begin messages of many lines."""
Found = tuple[Format, str, list[str]]
"""A format, why it is that one, and what is doubtful about it."""
HALF_YEAR = 183
"""Days."""
PROBES = (
    ("2024-05-06 07:08:09,250 - shop.cart - ERROR - 3 orders of 192.0.2.1 failed",),
    ("[2024-05-06T07:08:09.250+02:00][info ][gc,heap] GC(3) Pause 12 ms",),
    ("I0506 07:08:09.250125       1 main.go:12] started /srv/shop",),
    ("1714979289250 WARN [worker-3] org.example.shop.Cart: order 17 took 3 s",),
)
"""Lines by which a dataset's probe tells that formats are guessed as they were."""
NAMED = 8
"""Formats that a refusal names."""


@dataclass(frozen=True)
class RuleSet:
    """How the files of a corpus are read: `Rules` with several formats, of which each file has one.

    `until` (ISO 8601): the day after which nothing was written, where that tells the year of a first line.
    `mixed`: files of several formats stand beside one another in the dataset. `live`: what is read may be of
    days after `until`. `guesses`: a file that fits none of the formats may have one that is guessed.
    `unasked`: nobody said whether there are labels, and these formats have none. `values`: see `Rules`.
    `met`: formats that files were read in before, where they are guessed; one of them that fits goes before
    what would be guessed anew.
    """

    formats: tuple[Format, ...]
    label: LabelRule
    encoding: str = "utf-8"
    max_line: int = 1 << 16
    until: str | None = None
    mixed: bool = False
    live: bool = False
    guesses: bool = False
    unasked: bool = False
    values: bool = False
    met: tuple[Format, ...] = ()

    def settings(self) -> dict[str, Any]:
        """JSON-ready, for the schema."""
        plain = self._rules(self.formats[0], self.label).settings()
        del plain["format"]
        guesses = {"guess": VERSION} if self.guesses else {}
        formats = [chosen.settings() for chosen in self.formats]
        return {"formats": formats, "until": self.until, **guesses, **plain}

    @classmethod
    def from_settings(cls, plain: dict[str, Any]) -> Self:
        """The rules that `settings` wrote down, for live evidence. Raises ValueError or KeyError for anything
        else."""
        formats = tuple(Format.model_validate(described) for described in plain["formats"])
        if not formats:
            raise ValueError("there is no format")
        until = plain["until"]
        if until is not None:
            date.fromisoformat(checked.text(until, "until")[:10])
        encoding, longest, values = common_settings(plain)
        return cls(
            formats, LabelRule.from_dict(plain["label"]), encoding, longest, until,
            live=True, guesses="guess" in plain, values=values,
        )  # fmt: skip

    def remembering(self, forms: Sequence[dict[str, Any]]) -> Self:
        """The same with formats that were met before, as `Told.forms` has them. Raises ValueError for
        what is none."""
        if not self.guesses:
            return self
        return replace(self, met=tuple(Format.model_validate(form["form"]) for form in forms))

    def each(self) -> list[Rules]:
        """The rules of each format."""
        return [self._rules(chosen, self.label) for chosen in self.formats]

    def guessed(self) -> list[Rules]:
        """The rules of formats that are guessed for fixed lines, where formats are guessed at all: a guess
        that changes shows in what they give."""
        if not self.guesses:
            return []
        found = (guess(lines, shows_level=self.label.kind != "level") for lines in PROBES)
        return [
            self._rules(each.format.model_copy(update={"name": f"{each.format.name}{number}"}), self.label)
            for number, each in enumerate(found)
            if each is not None
        ]

    def given_year(self, rules: Rules) -> int | None:
        """The year that somebody gave for a file's first line, where times name none; None where it follows
        from the day after which nothing was written."""
        if self.until is not None:
            return None
        given = {each.year for each in self.formats}
        if rules.format.year is None and len(given) == 1:
            return given.pop()  # of a format that was guessed: what --year gave all of them
        return rules.format.year

    def written_until(self, file: EvidenceFile) -> date:
        """The day after which nothing was written: the one that a person gave (of live evidence up to half a
        year later), else the one on which the file was last written."""
        if self.until is None:
            # A day later, because lines may be of a zone in which it was the next day already.
            return years.written(file)[0] + timedelta(days=1)
        until = date.fromisoformat(self.until[:10])
        if self.live:
            until += timedelta(days=HALF_YEAR)
        return until

    def kind(self, file: EvidenceFile, chosen: Format) -> str:
        """The type of log that a file is: its messages have templates of their own."""
        if chosen.types:
            return file.profile
        return chosen.name

    def profile(self, file: EvidenceFile, chosen: Format) -> str:
        """What the recording is called in reports: its type where formats stand beside one another."""
        if self.mixed:
            return self.kind(file, chosen)
        return file.profile

    def choose(self, sample: bytes, file: EvidenceFile) -> Choice:
        """How a file with these first bytes is read.

        Raises EvidenceError when it is UTF-16 or no text, or when too few lines fit any header: then the
        message says how many fitted what, names the first that does not, and the formats that would.
        """
        _check_text(sample, file.where)
        text = self._rules(self.formats[0], self.label).text(sample.removeprefix(codecs.BOM_UTF8))
        lines = text.split("\n")[:SAMPLE_LINES]
        judged, alone = judged_lines(lines)
        if not judged:
            raise EvidenceError("no line of text at its beginning", where=file.where)
        texts = [line for _, line in judged]
        whole = [line for line in lines if line.strip()]
        container = None
        until = self.written_until(file)
        found, lacking = self._of_columns(whole)
        found = found or self._of_met(texts, whole, until)
        if found is None and self.guesses and (query := _packed_records(texts, whole)):
            raise FormatError(
                "its records lie in a JSON array: many in one line, over several lines, or within an object",
                where=file.where,
                row=judged[0][0],
                remedy=f"write a record a line: jq -c '{query}' FILE > FILE.jsonl; or read it as events",
            )
        if found is None and self.guesses:
            container = _container(judged, file.where)
        if container is not None:
            texts = [line[container.match(line).end() :] for line in texts]  # type: ignore[union-attr]
        found = found or self._chosen(texts, whole, until) or self._of_paragraphs(judged, lines, until)
        if found is None:
            raise _refusal(self.formats, judged, file.where)
        chosen, why, doubts = found
        doubts += lacking
        if self.unasked and chosen.label:
            doubts.append(
                f"{chosen.name} has labels of its own ({chosen.label}), which nobody asked for: "
                f"--format {chosen.name} reads them"
            )
        if container is not None:
            chosen = _in_container(chosen, container, [line for _, line in judged])
            if not chosen.example:
                raise _refusal(self.formats, judged, file.where)
        if (self.guesses or alone) and not chosen.by_columns:
            chosen, told = with_indented(chosen, lines, alone=alone)
            doubts += told
        known = not self.met or is_met(self.met, chosen)
        if not known:
            doubts.append(NOT_MET)
        others: tuple[Format, ...] = ()
        if len(self.formats) > 1 and container is None:
            others = tuple(other for other in self.formats if other.name != chosen.name and other.time)
        rules = replace(
            self._rules(chosen, self.label.of(self.kind(file, chosen))), others=others, guesses=self.guesses
        )
        if not any(doubt.startswith(_ONLY) for doubt in doubts):
            doubts += _glued(rules, judged)
        return Choice(rules, lines, why, doubts, known=known)

    def _of_columns(self, whole: list[str]) -> tuple[Found | None, list[str]]:
        """The format whose columns a line `#Fields:` names, where that is asked for or nothing is; and what
        is said of columns that are lacking."""
        asked = self.guesses or any(each.by_columns for each in self.formats)
        if not asked or self.label.kind == "level":
            return None, []
        columns, why, lacking = find_columns(whole)
        found = None if columns is None else (columns.format, why, list[str]())
        return found, [lacking] if lacking else []

    def _of_met(self, lines: list[str], whole: list[str], until: date) -> Found | None:
        """The format, of those that were met before, that these lines have; None where none fits, or where
        a new one would fit many more of them. `whole`: as `_chosen` has it."""
        fits = [Fit.of(each, lines) for each in self.met if each.name != RECORDS and not each.by_columns]
        fitting = sorted((fit for fit in fits if fit.strict >= FIT), key=lambda fit: -fit.strict)
        timed = next((fit for fit in fitting if fit.format.time), None)
        if timed is not None:
            guessed = guess(lines, shows_level=self.label.kind != "level", until=until)
            if guessed is None or timed.strict >= guessed.share - LOSS:
                return timed.format, f"{timed.told(fits, guessed)}; it was met in what was learnt from", []
        for tried in (lines, whole):
            if (found := records_met(self.met, tried)) is not None:
                chosen, n = found
                return chosen, f"{n} of the first {len(tried)} lines are records like those learnt from", []
        # A format without a time fits nearly any line.
        if fitting and timed is None and guess(lines) is None:
            return fitting[0].format, f"{fitting[0].told(fits)}; it was met in what was learnt from", []
        return None

    def _chosen(self, lines: list[str], whole: list[str], until: date) -> Found | None:
        """The format of these lines, why it is that one, and what is doubtful about it. `whole`: the same
        with those that go on with the message above them."""
        fits = [Fit.of(known, lines) for known in self.formats]
        if self.guesses:
            return self._guessed(lines, whole, fits, until)
        fitting = next((fit for fit in fits if fit.share >= FIT), None)
        return None if fitting is None else (fitting.format, fitting.told(fits), [])

    def _guessed(self, lines: list[str], whole: list[str], fits: list[Fit], until: date) -> Found | None:
        """The same where a format may be guessed: the first known one that strictly fits goes before."""
        level = self.label.kind == "level"
        records = None if are_indented(whole) else guess_records(lines)
        records = records or guess_records(whole)
        if records is not None:
            return records.format, _told(records, fits), list(records.doubts)
        guessed = guess(lines, shows_level=not level, until=until)
        if guessed is None or guessed.share < SURE:
            undated = guess_undated(lines, shows_level=not level)
            if undated is not None and (guessed is None or undated.share >= guessed.share + LOSS):
                guessed = undated
        usable = [fit for fit in fits if fit.strict >= FIT and (not level or level_of(fit.format))]
        own = [fit for fit in usable if fit.format.time]
        if own and (guessed is None or own[0].strict >= guessed.share - LOSS):
            return _with_records(own[0].format, lines), own[0].told(fits, guessed), []
        special = max(self._special(lines, guessed), key=lambda fit: fit.strict, default=None)
        if special is not None and (guessed is None or special.strict >= guessed.share):
            shown = special.format
            if level_of(shown) and not level:
                shown = shown.model_copy(update={"shown": ["Level"]})
            return shown, special.told(fits, guessed), _of_dates(shown, guessed) or []
        if guessed is not None and guessed.share >= FIT and (not level or level_of(guessed.format)):
            chosen = guessed.format
            if not level and guessed.share >= SURE:
                chosen = _with_records(chosen, lines, of_all=True)
            doubts = list(guessed.doubts)
            if _are_objects(lines):
                doubts.append(_AS_TEXT)
            return chosen, _told(guessed, fits), doubts
        if usable:
            return usable[0].format, usable[0].told(fits, guessed), []
        return self._of_few(lines, fits, guessed)

    def _of_few(self, lines: list[str], fits: list[Fit], guessed: Guess | None) -> Found | None:
        """The format of messages of many lines: few of all lines begin one, but the first does."""
        level = self.label.kind == "level"
        few = max(FEW, FEW_OF * len(lines))
        known = [fit for fit in fits if fit.likely >= few and fit.format.time]
        chosen, n = None, 0
        doubts: tuple[str, ...] = ()
        if known and not level:
            chosen, n, why = known[0].format, known[0].likely, known[0].told(fits, guessed)
        elif guessed is not None and guessed.fits >= few and (not level or level_of(guessed.format)):
            chosen, n, why = guessed.format, guessed.fits, _told(guessed, fits)
            doubts = guessed.doubts
        if chosen is None or chosen.compiled().match(lines[0]) is None:
            return None
        doubt = (
            f"{_ONLY} {n} of the first {len(lines)} lines begin messages; the others are taken to go on with "
            "the one above them"
        )
        return chosen, why, [doubt, *doubts]

    def _of_paragraphs(self, judged: list[tuple[int, str]], lines: list[str], until: date) -> Found | None:
        """The format of paragraphs that begin with a time, with blank lines between (apt's history)."""
        level = self.label.kind == "level"
        if not self.guesses or level:
            return None
        first = [line for row, line in judged if row == 1 or not lines[row - 2].strip()]
        guessed = guess(first, until=until) if 1 < len(first) < FIT * len(judged) else None
        if guessed is None or guessed.share < SURE:
            return None
        why = f"{guessed.fits} of the first {guessed.lines} paragraphs begin with {guessed.format.header!r}"
        return guessed.format, why, list(guessed.doubts)

    def _special(self, lines: list[str], guessed: Guess | None) -> list[Fit]:
        """The shipped formats of single programs that nearly all lines fit; not where `guessed` knows for
        sure that their dates begin with another number."""
        own = {known.name for known in self.formats}
        tried = (Fit.of(known, lines) for name, known in every() if known.time and name not in own)
        fitting = (fit for fit in tried if fit.strict >= SURE)
        return [fit for fit in fitting if _of_dates(fit.format, guessed) is not None]

    def _rules(self, chosen: Format, label: LabelRule) -> Rules:
        return Rules(chosen, label, self.encoding, self.max_line, values=self.values)


def _of_dates(known: Format, guessed: Guess | None) -> list[str] | None:
    """What is said of dates that a known format takes to begin with a year of two digits, where those guessed
    for the same lines begin with a day or a month; None where that is sure."""
    if guessed is None or not any(layout.startswith("%y/") for layout in known.time.values()):
        return []
    order = guessed.format.time.get("Time", "")[: len("%d/%m/%y")]
    if order not in {"%d/%m/%y", "%m/%d/%y"}:
        return []
    if not any(doubt.startswith(OF_ORDER) for doubt in guessed.doubts):
        return None
    return [
        f"{OF_ORDER} %y/%m/%d, as {known.name} has them, would fit {order}, too: say `time` in a format of "
        "your own if that is what they are"
    ]


CONTAINER = (
    re.compile(r"(?P<name>[A-Za-z0-9][\w.-]{0,127}) *\| ?"),
    re.compile(r"\[(?P<name>pod/[^\]\s]{1,255})\] ?"),
)
"""What docker compose and `kubectl logs --prefix` put before a line of a container."""


def _container(judged: list[tuple[int, str]], where: str) -> re.Pattern[str] | None:
    """What stands before every line, if that is the name of a container. Raises FormatError for lines of
    several
    containers: which machine a recording is of would not be true of all its messages."""
    for pattern in CONTAINER:
        found = [match for match in (pattern.match(line) for _, line in judged) if match is not None]
        if len(found) < SURE * len(judged):
            continue
        names = list(dict.fromkeys(match["name"] for match in found))
        # A table has columns like that, too; containers have few names.
        if len(names) > max(1, len(found) // 3) and len(names) > SEVERAL:
            continue
        if len(names) > 1:
            second = (names[1], f"[{names[1]}")
            row, line = next((row, line) for row, line in judged if line.startswith(second))
            raise FormatError(
                f"lines of {len(names)} containers ({', '.join(names[:4])}) are mixed; the first of the "
                f"second one: {line[:120]!r}",
                where=where,
                row=row,
                remedy="write a file for each: docker compose logs --no-log-prefix "
                f"{names[0]} > {names[0]}.log",
            )
        return pattern
    return None


def _packed_records(lines: list[str], whole: list[str]) -> str:
    """How `jq` names the records of an array that are no records a line; empty where there is no such."""
    found = _PACKED.match("\n".join(whole[:3])[:1024])
    if found is None or guess_records(lines) or guess_records(whole):
        return ""
    if found["key"] is None:
        return ".[]" if whole[0].strip() == "[" or _SEVERAL_OBJECTS.search(whole[0]) else ""
    return f".[{json.dumps(found['key'])}][]"


def _glued(rules: Rules, judged: list[tuple[int, str]]) -> list[str]:
    """What is said where many lines are taken to go on with the message above them."""
    if rules.foreign is None or rules.format.partial or (rules.format.keys and not rules.format.time):
        return []
    own = [(row, line) for row, line in judged if not rules.is_start(line.encode("utf-8", "surrogatepass"))]
    if len(own) <= (1 - SURE) * len(judged):
        return []
    row, line = own[0]
    return [
        f"{len(own)} of the first {len(judged)} lines have no header, and are taken to go on with the "
        f"message above them; the first, line {row}: {line[:80]!r}"
    ]


def _in_container(chosen: Format, container: re.Pattern[str], lines: list[str]) -> Format:
    """A format with the name of the container before its header; that is the machine. Its example is the
    first of the `lines` that has that header: others may be damaged."""
    match = container.match(lines[0])
    bracket = match is not None and match[0].startswith("[")
    before = "[<Container>] " if bracket else "<Container>{ }|{ }"
    made = chosen.model_copy(
        update={
            "header": f"{before}{chosen.header}",
            "field": {"Container": r"[^\s|\]]{1,256}+", **chosen.field},
            "host": "Container",
        }
    )
    fits = made.compiled().match
    return made.model_copy(update={"example": [line for line in lines if fits(line)][:1]})


def _with_records(chosen: Format, lines: list[str], *, of_all: bool = False) -> Format:
    """The format, with the keys of the records that its contents are: containers write JSON, too. `of_all`:
    where every content begins like one (`kubectl logs --timestamps`)."""
    header = chosen.compiled()
    if of_all:
        found = (header.match(line) for line in lines)
        if not all(match["Content"].startswith("{") for match in found if match is not None):
            return chosen
    elif not chosen.partial:
        return chosen
    goes_on = re.compile(chosen.partial or "(?!)", re.ASCII)
    contents: list[str] = []
    before = ""
    for line in lines:
        match = header.match(line)
        if match is not None and contents and goes_on.match(f"{before}\n{line}"):
            contents[-1] += match["Content"]
        elif match is not None:
            contents.append(match["Content"])
        before = line
    # Contents that are none are messages as they stand, so that few records are enough.
    keys = find_keys(sample(contents)[0])
    return chosen if keys is None else chosen.model_copy(update={"keys": keys})


@dataclass(frozen=True)
class Choice:
    """How a file is read: its rules, its first lines, why it is read so, and what is doubtful about it.
    `known`: it is read in a format that was met before, or nobody remembers any."""

    rules: Rules
    lines: list[str]
    why: str
    doubts: list[str]
    known: bool = True


def _told(guessed: Guess, fits: Sequence[Fit]) -> str:
    """Why a format is a guessed one."""
    best = max(fits, key=lambda fit: (fit.likely, fit.loose))
    text = (
        f"{guessed.fits} of the first {guessed.lines} lines have the guessed header {guessed.format.header!r}"
    )
    return text + next_best(best)


def _check_text(sample: bytes, where: str) -> None:
    """Raise EvidenceError for what is no text with line ends."""
    if not sample:
        raise EvidenceError("the file is empty", where=where, remedy=GIVE)
    if _LINK.fullmatch(sample):
        raise EvidenceError(
            "it holds nothing but a path: it is a link that was copied as text, and links are not followed",
            where=where,
            remedy="give the directory that it leads to, or the file itself",
        )
    for mark, name in WIDE.items():
        if sample.startswith(mark):
            raise EvidenceError(
                f"the text is {name}", where=where, remedy=f"convert it: iconv -f {name} -t UTF-8 FILE"
            )
    if sample.count(b"\0", 0, 4096) > min(len(sample), 4096) // 4 and not sample.lstrip(b"\0")[:1]:
        raise EvidenceError("nothing but NUL bytes", where=where)
    if is_binary(sample[:4096]):
        raise EvidenceError(
            "it is no text: most of its first bytes are none of UTF-8",
            where=where,
            remedy="give logs of text; of .evtx files the source is events, of perf.data it is traces",
        )
    if is_frames(sample):
        raise EvidenceError(
            "its messages of syslog are counted in octets, and no line ends between them (RFC 6587)",
            where=where,
            remedy="write each in a line: perl -0777 -ne 'print substr($_, 0, $1, q()), qq(\\n) "
            "while s/^(\\d+) //' FILE > FILE.log",
        )
    if sample.count(b"\r") > 2 and b"\n" not in sample:
        raise EvidenceError(
            "lines end in carriage returns alone", where=where, remedy="convert it: tr '\\r' '\\n' < FILE"
        )


def _refusal(formats: Sequence[Format], judged: list[tuple[int, str]], where: str) -> FormatError:
    """What is said of a file that fits none of `formats`."""
    lines = [line for _, line in judged]
    fits = [(sum(_marks(tried, lines)), tried) for tried in formats]
    most, nearest = max(fits, key=lambda fit: fit[0])
    # A format that fits every line by its form may have been refused for what the lines say.
    misfits = (at for at, fits_it in enumerate(_marks(nearest, lines)) if not fits_it)
    misfit = next(misfits, None)
    row, line = judged[misfit or 0]
    shown = repr(line.strip()[:120])
    if len(formats) == 1:
        what = (
            f"{len(lines) - most} of the first {len(lines)} lines do not fit the header {nearest.header!r}; "
            f"the first of them: {shown}"
        )
    else:
        told = ", ".join(f"{tried.name} {count}" for count, tried in fits)
        what = (
            f"of the first {len(lines)} lines too few fit any format ({told}); "
            f"the first that does not fit {nearest.name}: {shown}"
        )
        if misfit is None:
            what = (
                f"its lines have the form of {nearest.name}, but not its times or words; the first: {shown}"
            )
    # Formats without a time take nearly any line: that such a one fits says nothing.
    shares = [(Fit.of(known, lines).strict, name) for name, known in every() if known.time]
    fitting = [name for share, name in sorted(shares, key=lambda pair: -pair[0]) if share >= FIT]
    remedy = "none of the shipped formats fits either: describe your own (docs/logs.md), or use plain"
    if _are_objects(lines):
        what = (
            "its records are JSON objects, and under none of their keys is a message known to lie (message, "
            f"msg, log, ...); the first: {shown}"
        )
        remedy = "read it as events (vestige preview events), or say the key in a format of your own (keys)"
    if fitting:
        remedy = f"formats that would fit: {', '.join(fitting[:NAMED])}"
    return FormatError(what, where=where, row=row, remedy=remedy)


def _are_objects(lines: list[str]) -> bool:
    """Whether most lines are JSON objects."""
    return 2 * sum(load(line) is not None for line in lines) > len(lines)


def _marks(tried: Format, lines: list[str]) -> list[bool]:
    """Which lines have the format's header."""
    match = tried.compiled().match
    return [match(line) is not None for line in lines]
