"""How a line of an unknown format begins: the parts up to its time."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from vestige.sources.logs import grammar
from vestige.sources.logs.grammar import LEVEL_KINDS, PREFIX_WORDS, Part

_BEFORE = frozenset({*LEVEL_KINDS, "number", "thread", "stream", "bare"})
"""Parts that are known as such before the time, too."""


@dataclass
class Line:
    """A line whose header is being read: up to where, and which kinds of parts were seen."""

    text: str
    before: tuple[Part, ...]
    opening: str
    time: Part
    at: int
    seen: frozenset[str] = frozenset({"time"})


def line_of(text: str, *, weak: bool) -> Line | None:
    """A line up to its time; None where it has none, or something before it that is no part of a header.
    `weak`: see `grammar.find_time`."""
    found = grammar.find_time(text, weak=weak)
    if found is None:
        return None
    at, time = found
    stop = max(text.rfind(" ", 0, at), text.rfind("\t", 0, at)) + 1
    before = _words(text, stop)
    if before is None:
        return None
    opening = text[stop:at]
    if numbered := _NUMBERED.fullmatch(text, 0, at):
        before = []
        if numbered["priority"]:
            before.append(Part("priority", "", "<", ">", at, text=numbered["priority"]))
        opening = ""
        time = replace(time, options=time.options | {"cisco"})
    elif number := re.fullmatch(rf"<(\d{{1,3}})>({grammar.KEY})?|(\d{{1,10}})([,;:|])", opening):
        if number[1]:
            before.append(Part("priority", _blank(before), "<", ">", at, text=number[1]))
        else:
            before.append(Part("count", _blank(before), "", number[4], at, text=number[3]))
        opening = number[2] or ""
    elif listed := _LISTED.fullmatch(opening):
        before.append(Part("cell", _blank(before), listed[1], listed[3], at, text=listed[2]))
        opening = ""
    elif re.fullmatch("[IWEFDVC]", opening):
        before.append(Part("mark", _blank(before), "", "", at, text=opening))
        opening = ""
    elif re.search(r"\d", opening) or len(opening) > 24:
        return None
    elif opening in {"*", "."}:
        opening = " " if stop else ""
        time = replace(time, options=time.options | {"star"})
    elif stop:
        opening = f" {opening}"
    return Line(text, tuple(before), opening, time, time.end)


_LISTED = re.compile(r"(\"?)([A-Za-z](?:[\w .-]{0,60}\w)?)(\"?[,;|]\"?)")
"""A cell of a list that stands before the time: `Information,2025-11-12 08:01:00`."""
_NUMBERED = re.compile(r"(?:<(?P<priority>\d{1,3})>)?(?=[\d*.])(?:\d{1,10}: {1,4})?[*.]?")
"""What Cisco's IOS writes before a time: a sequence number, and a mark of a clock that was not set."""


def _blank(before: list[Part]) -> str:
    return " " if before else ""


def _words(text: str, stop: int) -> list[Part] | None:
    """What stands before the time: parts of a header, or words of any kind."""
    parts: list[Part] = []
    seen: frozenset[str] = frozenset()
    at = 0
    while at < stop and text[at:stop].strip(" \t"):
        if len(parts) == PREFIX_WORDS:
            return None
        found = grammar.parts_at(text, at, seen)
        whole = [
            part
            for part in found
            if part.kind in _BEFORE
            and (part.kind != "level" or part.opening or part.text.isupper())
            and part.end <= stop
            and (part.end == stop or text[part.end] in " \t")
        ]
        if whole:
            part = whole[0]
        else:
            word = re.compile(r"([ \t]*)(\S+)").match(text, at, stop)
            if word is None:
                return None
            part = Part("word", " " if word[1] else "", "", "", word.end(), text=word[2])
        parts.append(part)
        seen |= {part.kind}
        at = part.end
    return parts
