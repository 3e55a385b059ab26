"""Values of fields: in objects with nested or dotted keys, and in rows of a table."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

TEXT_CHARACTERS = 1024
"""No machine, event or label is longer: the rest is left out."""
MOST_ITEMS = 16
_INDEX = re.compile(r"\[(\d{1,9})\]", re.ASCII)

Pick = Callable[[Any], str]


def text_of(value: Any) -> str:
    """A field's value as text: empty for null, for objects and for blanks; lists joined with commas. An
    element of XML as JSON is its text, whatever attributes it has."""
    if isinstance(value, str):
        text = value.strip()
        if len(text) <= TEXT_CHARACTERS and "\0" not in text:
            return text
        return _tamed(text)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict) and isinstance(value.get("#text"), str | list):
        return text_of(value["#text"])
    if isinstance(value, list):
        parts = [text_of(item) for item in value[:MOST_ITEMS] if not isinstance(item, list)]
        return ",".join(part for part in parts if part)[:TEXT_CHARACTERS]
    return ""


def look_up(record: dict[str, Any], path: str) -> Any:
    """The value at `path`, whether its keys are nested (`{"host": {"name": ...}}`), dotted
    (`{"host.name": ...}`) or both; None where there is none.

    Through a list of objects the path goes on in each of them: the values are then a list. A number in the
    path takes one of them (`answers.0.name`, counted from 0). A text that is itself an object of JSON, or
    pairs such as `exe="/bin/ls" success=no`, is looked into.
    """
    value = record.get(path)
    if value is not None:
        return value
    at = path.find(".")
    while at > 0:
        inner = record.get(path[:at])
        if isinstance(inner, dict):
            value = look_up(inner, path[at + 1 :])
        elif isinstance(inner, list):
            value = _through(inner, path[at + 1 :])
        elif isinstance(inner, str):
            value = _within(inner, path[at + 1 :])
        if value is not None:
            return value
        at = path.find(".", at + 1)
    attributes = record.get("#attributes")
    # XML as JSON, such as that of Windows event logs: an element's attributes are its fields, too.
    return look_up(attributes, path) if isinstance(attributes, dict) else None


def _through(items: list[Any], path: str) -> Any:
    """The values at `path` in the objects of a list, lists of lists flattened; None where there is none."""
    number, dot, rest = path.partition(".")
    if number.isdecimal() and number.isascii():
        chosen = items[int(number[:9])] if int(number[:9]) < len(items) else None
        if not dot:
            return chosen
        return look_up(chosen, rest) if isinstance(chosen, dict) else None
    found: list[Any] = []
    for item in items[:MOST_ITEMS]:
        value = look_up(item, path) if isinstance(item, dict) else None
        if isinstance(value, list):
            found += value[:MOST_ITEMS]
        elif value is not None:
            found.append(value)
    return found or None


def _within(text: str, path: str) -> Any:
    """The value at `path` in a text that is an object of JSON, or of the pair of that name; None
    otherwise."""
    if text[:1] == "{":
        try:
            inner = _DECODER.decode(text)
        except (ValueError, RecursionError):
            return None
        return look_up(inner, path)
    if "=" in text and (found := _pair(path).search(text)):
        return found[1].strip("\"'")
    return None


_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=lambda _: None)


@lru_cache(maxsize=256)
def _pair(name: str) -> re.Pattern[str]:
    """Finds a pair of that name, as logfmt and audit write them."""
    return re.compile(r"(?:^|[\s,;])" + re.escape(name) + r"=(\"[^\"]*\"|'[^']*'|[^\s,;]*)")


def of_object(alternatives: Sequence[str]) -> Pick:
    """Picks from a decoded JSON object the first alternative that it has."""
    paths = [_split(alternative) for alternative in alternatives]

    def pick(record: dict[str, Any]) -> str:
        for lead, first, more in paths:
            if not first:
                return lead
            text = text_of(look_up(record, first))
            if text and (more or lead):
                return _joined(
                    lead, text, [literal or text_of(look_up(record, path)) for literal, path in more]
                )
            if text:
                return text
        return ""

    return pick


def of_key(key: str) -> Pick:
    """Picks from a decoded JSON object the value of that very key."""
    return lambda record: text_of(record.get(key))


def _split(alternative: str) -> tuple[str, str, list[tuple[str, str]]]:
    """Literal text before the first field, that field's path (empty where there is none: the text stands for
    itself), and what is joined to it: a literal or a path."""
    pieces = [(literal_of(part), plain_path(part)) for part in parts(alternative)]
    lead = pieces[0][0]
    if not lead:
        return "", pieces[0][1], pieces[1:]
    if len(pieces) == 1:
        return lead, "", []
    return lead, pieces[1][1], pieces[2:]


def literal_of(part: str) -> str:
    """The text of a part in single quotes; empty for the path of a field."""
    return part[1:-1] if len(part) > 2 and part[0] == part[-1] == "'" else ""


def plain_path(path: str) -> str:
    """`resources[].name` and `answers[0].name` as `look_up` has them: `resources.name`, `answers.0.name`."""
    return _INDEX.sub(r".\1", path.replace("[]", "")).lstrip(".")


def whole(text: str) -> str:
    """`text` without lone surrogates, which no encoding can write: each becomes U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def of_row(places: Sequence[Sequence[Sequence[int | str]]]) -> Callable[[Sequence[str]], tuple[str, ...]]:
    """Picks from the cells of a row a tuple of fields, each given by its alternatives' columns (or literal
    texts): the first that is not empty. A field without columns is empty."""
    # Nearly every table has one column for each field: its cells are picked without Python calls.
    if all(len(alternatives) == 1 and len(alternatives[0]) == 1 for alternatives in places):
        return itemgetter(*(alternatives[0][0] for alternatives in places))
    picks = [_of_columns(alternatives) for alternatives in places]
    return lambda cells: tuple(pick(cells) for pick in picks)


def _of_columns(alternatives: Sequence[Sequence[int | str]]) -> Pick:
    def pick(cells: Sequence[str]) -> str:
        for columns_of in alternatives:
            # A literal text may stand before the first column.
            lead = columns_of[0] if isinstance(columns_of[0], str) else ""
            first, *more = columns_of[1:] if lead else columns_of
            text = text_of(cells[int(first)])
            if text and (more or lead):
                return _joined(lead, text, [_cell(cells, column) for column in more])
            if text:
                return text
        return ""

    return pick


def _cell(cells: Sequence[str], column: int | str) -> str:
    return column if isinstance(column, str) else text_of(cells[column])


def columns(alternatives: Sequence[str], header: Sequence[str]) -> tuple[tuple[int | str, ...], ...]:
    """For `of_row`: where a header has the alternatives; those whose first field it lacks are left out."""
    # Backwards, so that of two columns with one name the first stays.
    at = {name: column for column, name in reversed(list(enumerate(header)))}
    found = []
    for alternative in alternatives:
        lead, *more = [literal_of(part) or at.get(part, -1) for part in parts(alternative)]
        named = [lead, *(part for part in more if part != -1)]
        if isinstance(lead, str):
            named = named if len(more) > 0 and more[0] != -1 else [-1]
        if named[0] != -1:
            found.append(tuple(named))
    return tuple(found)


def parts(alternative: str) -> list[str]:
    """The fields whose values `alternative` joins, written with a plus between them."""
    return [part.strip() for part in alternative.split("+")]


def _joined(lead: str, first: str, more: list[str]) -> str:
    return "/".join(text for text in (lead, first, *more) if text)[:TEXT_CHARACTERS]


def _tamed(text: str) -> str:
    return text[: 2 * TEXT_CHARACTERS].replace("\0", "").strip()[:TEXT_CHARACTERS]
