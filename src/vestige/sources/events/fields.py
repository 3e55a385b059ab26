"""Values of fields: in objects with nested or dotted keys, and in rows of a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

TEXT_CHARACTERS = 1024
"""No machine, event or label is longer: the rest is left out."""
MOST_ITEMS = 16

Pick = Callable[[Any], str]


def text_of(value: Any) -> str:
    """A field's value as text: empty for null, for objects and for blanks; lists joined with commas."""
    if isinstance(value, str):
        text = value.strip()
        if len(text) <= TEXT_CHARACTERS and "\0" not in text:
            return text
        return _tamed(text)
    # By identity: 1 == True, and a number is not written as a truth value.
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, list):
        parts = [text_of(item) for item in value[:MOST_ITEMS] if not isinstance(item, list)]
        return ",".join(part for part in parts if part)[:TEXT_CHARACTERS]
    return ""


def look_up(record: dict[str, Any], path: str) -> Any:
    """The value at `path`, whether its keys are nested (`{"host": {"name": ...}}`), dotted
    (`{"host.name": ...}`) or both; None where there is none."""
    value = record.get(path)
    if value is not None:
        return value
    at = path.find(".")
    while at > 0:
        inner = record.get(path[:at])
        if isinstance(inner, dict):
            value = look_up(inner, path[at + 1 :])
            if value is not None:
                return value
        at = path.find(".", at + 1)
    return None


def of_object(alternatives: Sequence[str]) -> Pick:
    """Picks from a decoded JSON object the first alternative that it has."""
    paths = [_parts(alternative) for alternative in alternatives]

    def pick(record: dict[str, Any]) -> str:
        for first, *more in paths:
            text = text_of(look_up(record, first))
            if text and more:
                return _joined(text, [text_of(look_up(record, path)) for path in more])
            if text:
                return text
        return ""

    return pick


def of_row(places: Sequence[Sequence[Sequence[int]]]) -> Callable[[Sequence[str]], tuple[str, ...]]:
    """Picks from the cells of a row a tuple of fields, each given by its alternatives' columns: the first
    that is not empty. A field without columns is empty."""
    # Nearly every table has one column for each field: its cells are picked without Python calls.
    if all(len(alternatives) == 1 and len(alternatives[0]) == 1 for alternatives in places):
        return itemgetter(*(alternatives[0][0] for alternatives in places))
    picks = [_of_columns(alternatives) for alternatives in places]
    return lambda cells: tuple(pick(cells) for pick in picks)


def _of_columns(alternatives: Sequence[Sequence[int]]) -> Pick:
    def pick(cells: Sequence[str]) -> str:
        for first, *more in alternatives:
            text = text_of(cells[first])
            if text and more:
                return _joined(text, [text_of(cells[column]) for column in more])
            if text:
                return text
        return ""

    return pick


def columns(alternatives: Sequence[str], header: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """For `of_row`: where a header has the alternatives; those whose first field it lacks are left out."""
    # Backwards, so that of two columns with one name the first stays.
    at = {name: column for column, name in reversed(list(enumerate(header)))}
    found = []
    for alternative in alternatives:
        first, *more = _parts(alternative)
        if first in at:
            found.append((at[first], *(at[part] for part in more if part in at)))
    return tuple(found)


def _parts(alternative: str) -> list[str]:
    """The fields whose values `alternative` joins, written with a plus between them."""
    return [part.strip() for part in alternative.split("+")]


def _joined(first: str, more: list[str]) -> str:
    return "/".join([first, *(text for text in more if text)])[:TEXT_CHARACTERS]


def _tamed(text: str) -> str:
    return text[: 2 * TEXT_CHARACTERS].replace("\0", "").strip()[:TEXT_CHARACTERS]
