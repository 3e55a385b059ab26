"""Which messages are anomalies: by a column, by level, or by a list of words.

    column            the field <Label>: `-` is normal, anything else an anomaly
    column:0,normal   the same, with other values that mean normal
    level:WARN,ERROR  the field <Level> is one of these
    words:FILE        the message, in small letters, holds a line of this file
    words:DIR         the same with a file for each type of log: DIR/auth.txt for messages of the type auth
    table:1           the column `label` of the CSV that holds the lines is none of these (see `table.py`)
    none              there are no labels, whatever the format says

The label never shows in the text that models see: columns and levels are no part of the content.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

from vestige import checked
from vestige.errors import UsageError

FORMS = "column, column:NORMAL,..., level:WARN,ERROR, words:FILE, words:DIR, table:NORMAL,... or none"
Kind = Literal["column", "level", "words", "table", "none"]
FIELDS = {"column": "Label", "level": "Level", "words": None, "table": None, "none": None}
MAX_WORDS_BYTES = 1 << 20
KEYWORDS = "labels are a keyword rule over the message: this score measures spelling, not detection"
"""What every report says of labels by a list of words."""


@dataclass(frozen=True)
class LabelRule:
    """`values`: those that mean normal (`column`, `table`), the levels or the words that mean an anomaly.

    `lists`: the words for each type of log, where a directory holds them.
    """

    kind: Kind
    values: tuple[str, ...] = ()
    lists: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def field(self) -> str | None:
        """The header field that decides, if one does."""
        return FIELDS[self.kind]

    @property
    def origin(self) -> str:
        """Where labels come from and what they are worth, in a sentence for the report."""
        if self.kind == "column":
            return "Labels come from the label column of the log itself, as whoever collected it set them."
        if self.kind == "level":
            levels = ", ".join(self.values)
            return f"Labels are the log's own level ({levels}): a proxy, no ground truth of attacks."
        if self.kind == "words":
            return f"{KEYWORDS[0].upper()}{KEYWORDS[1:]}."
        if self.kind == "table":
            return "Labels come from the table's own column `label`, as whoever made the table set them."
        return "The log has no labels."

    @classmethod
    def parse(cls, text: str | None, fields: Sequence[str]) -> Self:
        """Read a rule as a person writes it, for a header with these `fields`. Raises UsageError."""
        if text is None or text == "none":
            return cls("none")
        kind, _, rest = text.partition(":")
        values = tuple(part.strip() for part in rest.split(",") if part.strip())
        if kind == "column":
            rule = cls("column", values or ("-",))
        elif kind == "level" and values:
            rule = cls("level", values)
        elif kind == "words" and rest and Path(rest).is_dir():
            rule = cls("words", lists=_lists(Path(rest)))
        elif kind == "words" and rest:
            rule = cls("words", _words(Path(rest)))
        elif kind == "table":
            rule = cls("table", values or ("-",))
        else:
            raise UsageError(f"unknown label rule {text!r}", remedy=f"--label takes {FORMS}")
        if rule.field is not None and rule.field not in fields:
            raise UsageError(
                f"the label rule {text!r} needs a field <{rule.field}>; the header has "
                + ", ".join(f"<{name}>" for name in fields),
                remedy=f"--label takes {FORMS}",
            )
        return rule

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"kind": self.kind, "values": list(self.values), "lists": dict(self.lists)}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Self:
        """The rule that `to_dict` wrote. Raises ValueError or KeyError for anything else."""
        if plain["kind"] not in get_args(Kind):
            raise ValueError(f"no kind of label rule: {checked.shown(plain['kind'])}")
        named = checked.mapping(plain["lists"], "lists")
        lists = tuple((name, tuple(checked.texts(words, name))) for name, words in named.items())
        return cls(plain["kind"], tuple(checked.texts(plain["values"], "values")), lists)

    def of(self, kind: str) -> LabelRule:
        """The rule for messages of one type of log; a type without a list of words has no anomalies."""
        if not self.lists:
            return self
        return LabelRule(self.kind, dict(self.lists).get(kind, ()))

    def by_field(self) -> Callable[[str | None], int]:
        """1 for a value of the deciding field that means an anomaly (None: the message has no header)."""
        values = frozenset(self.values)
        if self.kind == "column":
            return lambda value: int(value is not None and value not in values)
        return lambda value: int(value in values)

    def by_text(self) -> Callable[[str], int]:
        """1 for a message that holds one of the words."""
        if self.kind != "words" or not self.values:
            return lambda _: 0
        found = alternation(self.values).search
        return lambda text: int(found(text.lower()) is not None)


def alternation(words: Sequence[str]) -> re.Pattern[str]:
    """One regex for all words, a branch for each first letter: the engine skips to where one may begin."""
    by_first: dict[str, list[str]] = {}
    for word in sorted(set(words)):
        by_first.setdefault(word[0], []).append(re.escape(word[1:]))
    branches = [f"{re.escape(first)}(?:{'|'.join(rests)})" for first, rests in by_first.items()]
    return re.compile("|".join(branches))


def _lists(folder: Path) -> tuple[tuple[str, tuple[str, ...]], ...]:
    files = sorted(file for file in folder.glob("*.txt") if file.is_file())
    if not files:
        raise UsageError("no list of words (TYPE.txt) in the directory", where=folder)
    return tuple((file.stem, _words(file)) for file in files)


def _words(path: Path) -> tuple[str, ...]:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_WORDS_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read the list of words: {error.strerror}", where=path) from error
    if len(content) > MAX_WORDS_BYTES:
        raise UsageError(
            f"a list of words of more than {MAX_WORDS_BYTES >> 20} MiB",
            where=path,
            remedy="keep those that mean an anomaly",
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            "the list of words is no UTF-8",
            where=path,
            remedy="convert it from the encoding that it has: iconv -f UTF-16 -t UTF-8 FILE",
        ) from error
    words = tuple(dict.fromkeys(line.strip().lower() for line in text.splitlines() if line.strip()))
    if not words:
        raise UsageError("the list of words is empty", where=path, remedy="one word or phrase a line")
    return words
