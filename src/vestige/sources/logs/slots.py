"""What stood where a masked message has placeholders: its first values, each as one number of 64 bits.

A message's masked text says which constants stand between its values, so that the values are found by looking
for one constant after the other: no mask runs again, and every message takes time linear in its length. Where
a constant does not come, the message has no values; nobody guesses. `kernel.slots` does the same, compiled.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vestige.reading.values import NONE, number_value, text_value
from vestige.sources.logs.mining import WILDCARD
from vestige.sources.logs.templates import tokens_of

N_SLOTS = 8
"""Values of a message that are kept: the first ones."""
HEAD = 16
"""Characters of a constant that are looked for; where they stand, the rest of it must follow."""
MOST_PLANS = 1 << 11
"""Masked texts whose constants are kept."""
OTHER, DIGITS, NUMBER, SIZE = range(4)
"""What a placeholder stands for: anything, a run of digits, a number, a number of bytes."""
NUMERIC = {"digits": DIGITS, "number": DIGITS, "bytes": DIGITS, "num": NUMBER, "size": SIZE}
"""The masks whose values are numbers, where they read as such."""
MOST_DECIMALS = 22
"""Decimals of a number that count: so many powers of ten are exact in 64 bits."""
EXACT_DIGITS = 15
MOST_KEPT = 64
"""Characters of a text whose value is kept."""
POWERS = np.array([float(10**power) for power in range(MOST_DECIMALS + 1)])

_LEAST = {
    OTHER: re.compile(r"(?s:.)"),
    DIGITS: re.compile(r"[+-]?[0-9]*+"),
    NUMBER: re.compile(r"[+-]?[0-9]*+(?:\.[0-9]++)*+"),
    SIZE: re.compile(r"[+-]?[0-9]*+(?:\.[0-9]++)*+ ?[A-Za-z]*+(?:/s)?"),
}
"""What a value of each kind begins with at least: no constant is looked for within."""
_NUMBER = re.compile(r"([+-]?)([0-9]++)(?:\.([0-9]++))?")
_UNIT = re.compile(r" ?(?:bytes|([KMGTkmg])i?B|B)(?:/s)?")
UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


@dataclass(frozen=True)
class Plan:
    """A masked text cut at its placeholders: the constant before the first, and, of each, what it stands for
    and the constant behind it; of more than `N_SLOTS` only so many. `whole`: these are all."""

    before: str
    slots: tuple[tuple[int, str], ...]
    whole: bool


class SlotReader:
    """Values of messages that were masked by masks of these names."""

    def __init__(self, names: Sequence[str]) -> None:
        alternatives = "|".join(re.escape(name) for name in dict.fromkeys(names))
        self._placeholder = re.compile(f"<({alternatives})>" if names else "(?!)(.)")
        self._plans: dict[str, Plan] = {}

    def values(self, text: str, masked: str) -> list[int]:
        """The `N_SLOTS` values of a message, `NONE` where there is no further one."""
        plan = self._planned(masked)
        found = [
            _kept_value(kind, part) if len(part) <= MOST_KEPT else value_of(kind, part)
            for (kind, _), part in zip(plan.slots, _walk(text, plan), strict=False)
        ]
        return found + [NONE] * (N_SLOTS - len(found))

    def parts(self, text: str, masked: str) -> list[str]:
        """What the values of a message are, as they stand in it."""
        return _walk(text, self._planned(masked))

    def _planned(self, masked: str) -> Plan:
        plan = self._plans.get(masked)
        if plan is None:
            if len(self._plans) >= MOST_PLANS:
                self._plans.clear()
            plan = self._plans[masked] = self._plan(masked)
        return plan

    def _plan(self, masked: str) -> Plan:
        kinds: list[int] = []
        constants: list[str] = []
        at = 0
        for match in self._placeholder.finditer(masked):
            constant = masked[at : match.start()]
            at = match.end()
            if kinds and not constant:
                # Nobody can tell where one of two values that touch is over: they are one.
                kinds[-1] = OTHER
                continue
            constants.append(constant)
            if len(kinds) == N_SLOTS:
                break
            kinds.append(NUMERIC.get(match[1], OTHER))
        whole = len(constants) == len(kinds)
        if whole:
            constants.append(masked[at:])
        before, *behind = constants
        return Plan(before, tuple(zip(kinds, behind, strict=True)), whole)


def _walk(text: str, plan: Plan) -> list[str]:
    """The values of a message as they stand in it; none at all where it does not have the constants of its
    plan."""
    if not text.startswith(plan.before):
        return []
    found: list[str] = []
    at = len(plan.before)
    for number, (kind, constant) in enumerate(plan.slots, 1):
        least = max(at + 1, _LEAST[kind].match(text, at).end())  # type: ignore[union-attr]
        if plan.whole and number == len(plan.slots):
            end = len(text) - len(constant)
        else:
            end = text.find(constant[:HEAD], least)
        if end < least or not text.startswith(constant, end):
            return []
        found.append(text[at:end])
        at = end + len(constant)
    return found


def value_of(kind: int, text: str) -> int:
    """The value of a text of this kind: a number where it reads as one, else a hash."""
    number = None
    if kind != OTHER:
        number = _number(kind, text)
    if number is None:
        return text_value(text.encode("utf-8", "surrogatepass"))
    return number_value(number)


_kept_value = lru_cache(maxsize=1 << 14)(value_of)
"""Values come again and again."""


def _number(kind: int, text: str) -> float | None:
    """The number that a value reads as, of a size in bytes; None for no number."""
    match = _NUMBER.match(text)
    if match is None:
        return None
    scale = 1
    if kind == SIZE:
        unit = _UNIT.fullmatch(text, match.end())
        if unit is None:
            return None
        scale = UNITS.get((unit[1] or "").lower(), 1)
    elif match.end() < len(text):
        return None
    sign, whole, decimals = match.groups(default="")
    return _decimal(whole, decimals) * (-scale if sign == "-" else scale)


def _decimal(whole: str, decimals: str) -> float:
    """The nearest float of up to `EXACT_DIGITS` digits; of more of them one that is near, the same as the
    kernel's."""
    if len(whole) + len(decimals) <= EXACT_DIGITS:
        return float(f"{whole}.{decimals}")
    decimals = decimals[:MOST_DECIMALS]
    value = 0.0
    for digit in whole + decimals:
        value = value * 10.0 + (ord(digit) - 48)
    return min(value / float(POWERS[len(decimals)]), sys.float_info.max)


def wildcard_words(texts: Sequence[str], templates: Sequence[str]) -> NDArray[np.uint64]:
    """The words of masked messages where their templates have wildcards, `(len(texts), N_SLOTS)`: values like
    those of slots, the first ones, `NONE` where there is no further one; and where `templates`, one for each
    text, is none of its own ("")."""
    words = np.full((len(texts), N_SLOTS), NONE, dtype=np.uint64)
    for row, (text, template) in enumerate(zip(texts, templates, strict=True)):
        if WILDCARD not in template:
            continue
        pattern, tokens = template.split(), tokens_of(text)
        if len(pattern) != len(tokens):
            continue
        places = [at for at, token in enumerate(pattern) if token == WILDCARD][:N_SLOTS]
        for column, at in enumerate(places):
            words[row, column] = text_value(tokens[at].encode("utf-8", "surrogatepass"))
    return words
