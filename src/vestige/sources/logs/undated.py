"""Formats guessed of lines that do not begin with a date: pairs of keys and values among which the time
stands anywhere, records of CEF and LEEF, and a level alone."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vestige.sources.logs import grammar
from vestige.sources.logs.begun import Line
from vestige.sources.logs.common_header import Header, literal, write_rest, write_time
from vestige.sources.logs.format import compiled
from vestige.sources.logs.grammar import LEVEL_KINDS, LINE_CHARACTERS, Part
from vestige.sources.logs.guess import Guess, finished

LEAST_LINES = 2
MOSTLY = 0.8
"""The share of lines that must begin alike: there is no date that shows that they are of a log."""
_KEYED = re.compile(
    r"(?:(?<=[ \t|,;])|^)(?P<key>\"?(?:ts|time|timestamp|@timestamp|_time|t|rt|datetime|date|eventtime|start"
    r"|when)\"?=\"?)(?=[\dA-Z])",
    re.IGNORECASE,
)
"""A key under which a time stands."""
_PAIR = re.compile(r"(?:^|[ \t|,;])[\w.@-]{1,64}=")
_PRODUCT = re.compile(r"CEF:\d\||LEEF:\d(?:\.\d)?\|")
_PYTHON = re.compile(rf"{grammar.LEVEL}:[A-Za-z_][\w.$-]{{0,120}}:")
_UNTIMED = "its lines name no time, so the messages have none"


def guess_undated(lines: Sequence[str], *, shows_level: bool = True) -> Guess | None:
    """The format of these lines; None where they have nothing in common that a log has.

    `shows_level`: models see the level of a message; not where it is the label.
    """
    short = [line[:LINE_CHARACTERS] for line in lines]
    if len(short) < LEAST_LINES:
        return None
    for form in (_keyed, _products, _python, _levels):
        found = form(short, shows_level)
        if found is not None and found.share >= MOSTLY:
            return found
    return None


def _keyed(lines: list[str], shows_level: bool) -> Guess | None:  # noqa: ARG001 - one of several forms
    """Pairs (logfmt, or the extension of CEF) with a time among them, wherever it stands."""
    groups: dict[tuple[str, str, str], list[Line]] = {}
    for text in lines:
        if len(_PAIR.findall(text)) < 2:
            continue
        for found in _KEYED.finditer(text):
            time = grammar.time_at(text, found.end())
            if time is not None:
                line = Line(text, (), found["key"], time, time.end)
                groups.setdefault((found["key"], time.kind, time.layout), []).append(line)
                break
    (key, _, _), group = max(groups.items(), key=lambda pair: len(pair[1]), default=(("", "", ""), []))
    if len(group) < MOSTLY * len(lines):
        return None
    header, doubts = Header(), list[str]()
    # Up to the key where it stands behind a blank or a bar, and at the beginning of a line nothing.
    header.pattern = f"<Before>{literal(key)}"
    header.shapes["Before"] = rf"(?:(?!(?<![^ \t|,;]){re.escape(key)}\d)[^\n])*+"
    header.shown.append("Before")
    if not write_time(header, group, doubts):
        return None
    header.pattern += '{"}{ }<Content>' if key.endswith('"') else "{ }<Content>"
    return _made(header, lines, doubts)


def _products(lines: list[str], shows_level: bool) -> Guess | None:  # noqa: ARG001 - one of several forms
    """Records of CEF and LEEF."""
    header = Header("<Kind><Content>", shapes={"Kind": _PRODUCT.pattern}, strength=0.5)
    return _made(header, lines, [_UNTIMED])


def _python(lines: list[str], shows_level: bool) -> Guess | None:
    """What Python's `logging.basicConfig()` writes: `LEVEL:logger:message`."""
    shapes = {"Level": grammar.LEVEL, "Component": r"[A-Za-z_][\w.$-]{0,120}+"}
    header = Header("<Level>:<Component>:{ }<Content>", shapes=shapes, strength=0.5)
    if sum(_PYTHON.match(line) is not None for line in lines) < MOSTLY * len(lines):
        return None
    header.shown += ["Level"] * shows_level
    return _made(header, lines, [_UNTIMED])


def _levels(lines: list[str], shows_level: bool) -> Guess | None:
    """A level, and whatever parts of a header stand behind it."""
    groups: dict[tuple[str, str], list[Line]] = {}
    for text in lines:
        found = next((part for part in grammar.parts_at(text, 0, frozenset()) if _is_sure(part)), None)
        if found is not None:
            begun = Part("time", "", "", "", 0)
            groups.setdefault((found.opening, found.closing.strip()), []).append(Line(text, (), "", begun, 0))
    group = max(groups.values(), key=len, default=[])
    if len(group) < MOSTLY * len(lines):
        return None
    header = Header()
    write_rest(header, group, shows_level=shows_level, weak=False)
    if not header.shown and shows_level:
        return None
    return _made(header, lines, [_UNTIMED])


def _is_sure(part: Part) -> bool:
    """Whether a part is a level and no word of a sentence: in brackets, behind a key, with a colon, or in
    capitals."""
    if part.kind not in LEVEL_KINDS - {"letter", "mark"}:
        return False
    return bool(part.opening or part.closing.strip() or part.text.isupper())


def _made(header: Header, lines: list[str], doubts: list[str]) -> Guess | None:
    match = compiled(header.pattern, header.shapes, header.times).match
    fits = [text for text in lines if match(text) is not None]
    if not fits:
        return None
    share = len(fits) / len(lines)
    return Guess(finished(header, fits[0]), len(fits), len(lines), share * 0.5, tuple(doubts))
