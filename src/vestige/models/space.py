"""What a search may try of a detector: its search space, as data that lies beside the detector.

A `Space` names hyper-parameters, and settings of the training (`learning_rate`), each with the values that
it may take. It is gone through in its order, so what another parameter depends on stands before that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Value = int | float | bool | str
Condition = tuple[str, tuple[Value, ...]]
"""A parameter, and the values of it with which another one has a meaning."""


def written(value: Value) -> str:
    """A value as a person writes it on the command line."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included: whole ones where both ends are.

    Attributes:
        low: The smallest value.
        high: The largest value.
        log: Whether every factor is as likely as every other one (else every distance).
        multiple_of: The parameter of whose value this one is a multiple; what is drawn is rounded to that.
        when: With which values of another parameter this one has a meaning.
    """

    low: int | float
    high: int | float
    log: bool = False
    multiple_of: str = ""
    when: Condition | None = None

    @property
    def whole(self) -> bool:
        """Whether its values are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}{':log' if self.log else ''}"

    def holds(self, value: Any) -> bool:
        """Whether a value is one of these."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and self.low <= value <= self.high and (not self.whole or float(value).is_integer())

    def rounded(self, value: Value, others: Mapping[str, Any]) -> Value:
        """The value as a multiple of what it must be a multiple of, within the range where there is one."""
        factor = others.get(self.multiple_of)
        if not isinstance(factor, int) or not isinstance(value, int) or factor < 1:
            return value
        nearest = max(1, round(value / factor)) * factor
        if nearest > self.high:
            nearest = max(1, int(self.high) // factor) * factor
        elif nearest < self.low:
            nearest = -(-int(self.low) // factor) * factor
        return nearest


@dataclass(frozen=True)
class Choice:
    """Any of `values`. `when`: as in `Range`."""

    values: tuple[Value, ...]
    when: Condition | None = None

    def __str__(self) -> str:
        return ",".join(written(value) for value in self.values)

    def holds(self, value: Any) -> bool:
        """Whether a value is one of these."""
        return any(type(value) is type(known) and value == known for known in self.values)

    def rounded(self, value: Value, others: Mapping[str, Any]) -> Value:  # noqa: ARG002 - as a range has it
        """The value itself."""
        return value


Parameter = Range | Choice
Space = Mapping[str, Parameter]
Ask = Callable[[str, Parameter], Value]
"""Gives a value of the parameter of that name."""


def draw(space: Space, ask: Ask, fixed: Mapping[str, Any]) -> dict[str, Value]:
    """A value for every parameter that has a meaning beside the others.

    `fixed`: the values of parameters that are not in the space.
    """
    chosen: dict[str, Value] = {}
    for name, parameter in space.items():
        known = {**fixed, **chosen}
        if _has_meaning(parameter, known):
            chosen[name] = parameter.rounded(ask(name, parameter), known)
    return chosen


def _has_meaning(parameter: Parameter, known: Mapping[str, Any]) -> bool:
    if parameter.when is None:
        return True
    name, values = parameter.when
    return known.get(name) in values
