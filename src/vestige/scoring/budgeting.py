"""Keeping the promised share of alerts while the evidence changes: adaptive conformal inference.

Gibbs and Candes: Adaptive conformal inference under distribution shift (NeurIPS 2021), with the logarithm of
alpha in the place of alpha. A threshold on p-values that was fixed once gives none or all of the windows
once the world is another; this one falls with each alert and rises with each window that is none, so that
of T windows no more than alpha T alert, and a number that does not grow with T.

Letters: B windows, alpha the promised share of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vestige import checked
from vestige.scoring.repeats import Asked, Within

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

GAMMA = 1.0
"""How far ln of the threshold falls with an alert, and rises in the 1 / alpha windows for which an alert is
promised."""
HIGHEST = 3.0
"""The threshold never rises above so many alpha, however quiet it was: who waits gains a factor of three."""
FLOOR = 1e-3
"""Nor does it fall below so many alpha, however much came: a noise hides nothing that is rarer for ever."""
SPARE = 10
"""Where the threshold is so near its floor that it cannot fall any further, so many alerts come nevertheless;
they are there again once it has risen to alpha."""
MOST_MORE = math.log(1 / FLOOR) / GAMMA + SPARE + 1
"""Of T windows that share a threshold, no more than alpha T and so many alert, whatever comes."""
ENOUGH = 10.0
"""A host, or else a recording, has a threshold of its own from the window on for which so many alerts were
promised of it alone; before that it shares one with the others. Its own begins where that stands: what has
drifted for all has drifted for it, and is not paid for once for each."""
MOST_ENTITIES = 4_096
"""So many of them are told apart, the first ones; the others always share."""
BROKEN = 0.01
"""A promise is told to be broken where chance alone would give so many alerts more seldom than this."""


@dataclass
class Threshold:
    """The threshold of windows that share one, as it was after the last window whose p-value was at or below
    the highest that it may take: ln of it, and the spare alerts; `quiet` windows came since.

    Nothing is added up for a quiet window, so that it makes no difference in which pieces windows come.
    """

    log_alpha: float
    spare: int = SPARE
    quiet: int = 0

    def alerts(
        self, log_p: FloatArray, alpha: float, free: BoolArray, repeats: Within | None = None
    ) -> BoolArray:
        """Which of these windows `(B,)`, the next ones in their order, alert; those that are `free` spend
        nothing where they do. Those that `repeats` takes for repeats do not alert, and spend nothing."""
        found = np.zeros(len(log_p), dtype=np.bool_)
        promised, floor, highest = (math.log(alpha * factor) for factor in (1.0, FLOOR, HIGHEST))
        before = -1
        for at in np.flatnonzero(log_p <= highest).tolist():
            self.quiet += at - before - 1
            before = at
            # What this window is judged by is what the windows before it left.
            limit = self.limit(alpha)
            self.quiet = 0
            if limit >= promised:
                self.spare = SPARE
            alert = bool(log_p[at] <= limit)
            counts = not free[at] and log_p[at] <= max(limit, promised)
            if repeats is not None and counts and repeats.take_repeat(at):
                alert = False
            spends = alert and not free[at]
            if spends and limit - GAMMA < floor:
                alert = spends = self.spare > 0
                self.spare -= alert
            found[at] = alert
            if spends and repeats is not None:
                repeats.tell(at)
            self.log_alpha = min(max(limit + GAMMA * (alpha - spends), floor), highest)
        self.quiet += len(log_p) - 1 - before
        return found

    def limit(self, alpha: float) -> float:
        """ln of the p-value at or below which the next window alerts, unless that takes a spare alert."""
        return min(self.log_alpha + GAMMA * alpha * self.quiet, math.log(alpha * HIGHEST))


@dataclass
class Spent:
    """What came of a promise: `windows`; `rare` of them have p-values at or below alpha, so that a threshold
    fixed once would have alerted; `alerts` came; `held_back` of the rare ones did not, `held_back_floor` of
    them although they are below the floor. `repeats` are rare ones that came again after they were
    told, and are no alerts of their own."""

    windows: int = 0
    rare: int = 0
    alerts: int = 0
    held_back: int = 0
    held_back_floor: int = 0
    repeats: int = 0


@dataclass
class AlertBudget:
    """Decides, window by window, which of them alert, so that the share `alpha` of windows does.

    `shared` is the threshold of hosts or recordings (entities) that have not yet had enough windows for one
    of their `own`; `seen` counts those windows.
    """

    alpha: float
    shared: Threshold
    own: dict[str, Threshold] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    spent: Spent = field(default_factory=Spent)
    _before: tuple[str, int, Threshold, Spent] | None = None

    @classmethod
    def start(cls, alpha: float) -> Self:
        """Before the first window. Raises ValueError for no share."""
        if not 0 < alpha < 1:
            raise ValueError(f"{alpha} is no share of windows")
        return cls(alpha, Threshold(math.log(alpha)))

    def decide(
        self,
        log_p: FloatArray,
        entity: NDArray[np.int64],
        entities: Sequence[str],
        *,
        corrects: bool = False,
        free: BoolArray | None = None,
        asked: Asked | None = None,
    ) -> BoolArray:
        """Which of the next windows alert, `(B,)`, by ln of their p-values.

        `entity (B,)` indexes `entities`, where one may stand several times. `corrects`: the first window
        takes the place of the last one before. `free (B,)`: whose alerts spend nothing, and do not count.
        `asked`: says which of them repeat what was told, and are no alerts.
        """
        if free is None:
            free = np.zeros(len(log_p), dtype=np.bool_)
        number: dict[str, int] = {}
        once = np.array([number.setdefault(name, len(number)) for name in entities], dtype=np.int64)
        entity, entities = once[entity], list(number)
        if corrects and len(entity) and self.may_take_back(entities[int(entity[0])]):
            self._take_back(asked)
        if not len(log_p):
            return np.zeros(0, dtype=np.bool_)
        alert = np.zeros(len(log_p), dtype=np.bool_)
        if len(log_p) > 1:
            alert[:-1] = self._next(log_p[:-1], entity[:-1], entities, free[:-1], asked)
        self._remember(entities[int(entity[-1])])
        if asked is not None:
            asked.repeats.remember()
        alert[-1:] = self._next(log_p[-1:], entity[-1:], entities, free[-1:], asked, len(log_p) - 1)
        return alert

    def spend(self, log_p: float, name: str) -> bool:
        """Whether what is no window, but as rare as one with this ln of a p-value, alerts for an entity; it
        then spends as much as one."""
        threshold = self.own.get(name, self.shared)
        if log_p > threshold.limit(self.alpha):
            return False
        if not threshold.alerts(np.array([log_p]), self.alpha, np.zeros(1, dtype=np.bool_))[0]:
            return False
        self.spent.alerts += 1
        # A correction would take this back instead of the window before it.
        self._before = None
        return True

    def may_take_back(self, name: str) -> bool:
        """Whether the last window that came is of this entity, and can be made undone."""
        return self._before is not None and self._before[0] == name

    def possible(self, log_p: FloatArray) -> BoolArray:
        """Which windows `(B,)` may alert, whatever came before them."""
        return log_p <= math.log(self.alpha * HIGHEST)

    @property
    def promised(self) -> float:
        """Alerts that were promised of the windows that came."""
        return self.alpha * self.spent.windows

    def chance(self, alerts: int) -> float:
        """How likely so many alerts or more are where `promised` are expected: an exact Poisson test, which
        takes them to come independently of one another."""
        from scipy import special

        if not alerts:
            return 1.0
        return float(special.gammainc(alerts, self.promised))

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "alpha": self.alpha,
            "shared": asdict(self.shared),
            "own": {name: asdict(threshold) for name, threshold in self.own.items()},
            "seen": self.seen,
            "spent": asdict(self.spent),
        }

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Self:
        """The budget whose `to_dict` gave `plain`. Raises ValueError where it cannot be one, KeyError or
        TypeError where a part is missing or of another kind."""
        budget = cls.start(checked.real(plain["alpha"], "alpha", 0, 1))
        alpha = budget.alpha
        budget.shared = _threshold(plain["shared"], alpha)
        own = checked.mapping(plain["own"], "own")
        budget.own = {name: _threshold(part, alpha) for name, part in own.items()}
        seen = checked.mapping(plain["seen"], "seen")
        budget.seen = {name: _count(value) for name, value in seen.items()}
        spent = checked.mapping(plain["spent"], "spent")
        budget.spent = Spent(**{name: _count(value) for name, value in spent.items()})
        if len(budget.seen) > MOST_ENTITIES or not budget.own.keys() <= budget.seen.keys():
            raise ValueError("thresholds of what was never seen")
        return budget

    def _next(
        self,
        log_p: FloatArray,
        entity: NDArray[np.int64],
        entities: Sequence[str],
        free: BoolArray,
        asked: Asked | None,
        first: int = 0,
    ) -> BoolArray:
        alert, repeated = np.zeros((2, len(log_p)), dtype=np.bool_)
        edges = [0, *self._begins(entity, entities), len(log_p)]
        for start, stop in pairwise(edges):
            piece = slice(start, stop)
            for threshold, rows in self._shares(entity[piece], entities):
                mine = rows + start
                repeats = None if asked is None else asked.within(mine + first)
                alert[mine] = threshold.alerts(log_p[mine], self.alpha, free[mine], repeats)
        if asked is not None:
            repeated[[row - first for row in asked.found if first <= row < first + len(log_p)]] = True
        rare = (log_p <= math.log(self.alpha)) & ~free
        held = rare & ~alert & ~repeated
        self.spent.windows += len(log_p)
        self.spent.rare += int(rare.sum())
        self.spent.alerts += int((alert & ~free).sum())
        self.spent.held_back += int(held.sum())
        self.spent.repeats += int((rare & repeated).sum())
        self.spent.held_back_floor += int((held & (log_p <= math.log(self.alpha * FLOOR))).sum())
        return alert

    def _begins(self, entity: NDArray[np.int64], entities: Sequence[str]) -> list[int]:
        """The windows, in their order, from which on an entity has a threshold of its own: what is shared
        must have come so far by then, in whichever pieces windows come."""
        enough, begins = self._enough, set()
        present, counts = np.unique(entity, return_counts=True)
        for code, count in zip(present.tolist(), counts.tolist(), strict=True):
            name = entities[code]
            seen = self.seen.get(name, 0)
            if name not in self.own and seen + count > enough:
                begins.add(int(np.flatnonzero(entity == code)[enough - seen]))
        return sorted(begins - {0})

    def _shares(
        self, entity: NDArray[np.int64], entities: Sequence[str]
    ) -> list[tuple[Threshold, NDArray[np.int64]]]:
        """The thresholds that these windows have, and the windows of each."""
        enough = self._enough
        present, first, inverse = np.unique(entity, return_index=True, return_inverse=True)
        shares: list[tuple[Threshold, NDArray[np.int64]]] = []
        shared = np.ones(len(entity), dtype=np.bool_)
        # In the order in which they came: it decides which are told apart.
        for at in np.argsort(first).tolist():
            name = entities[int(present[at])]
            if name not in self.seen and len(self.seen) >= MOST_ENTITIES:
                continue
            rows = np.arange(len(entity))
            if len(present) > 1:
                rows = np.flatnonzero(inverse == at)
            seen = self.seen.get(name, 0)
            self.seen[name] = min(seen + len(rows), enough)
            rows = rows[max(enough - seen, 0) :]
            if len(rows):
                shared[rows] = False
                shares.append((self.own.setdefault(name, replace(self.shared)), rows))
        left = np.flatnonzero(shared)
        if len(left):
            shares.append((self.shared, left))
        return shares

    def _remember(self, name: str) -> None:
        """What a next window of `name` will change."""
        seen = self.seen.get(name, 0)
        threshold = self.shared
        if seen >= self._enough:
            threshold = self.own.get(name, threshold)
        self._before = name, seen, replace(threshold), replace(self.spent)

    def _take_back(self, asked: Asked | None) -> None:
        """Make the last window undone, where it is known what was before it."""
        if self._before is None:
            return
        if asked is not None:
            asked.repeats.take_back()
        name, seen, threshold, self.spent = self._before
        self._before = None
        if name in self.seen:
            self.seen[name] = seen
        if seen >= self._enough:
            self.own[name] = threshold
        else:
            self.shared = threshold

    @property
    def _enough(self) -> int:
        """Windows from which on an entity has a threshold of its own."""
        return math.ceil(ENOUGH / self.alpha)


def _threshold(plain: Any, alpha: float) -> Threshold:
    fields = checked.mapping(plain, "a threshold")
    low, high = math.log(alpha * FLOOR) - 1e-9, math.log(alpha * HIGHEST) + 1e-9
    return Threshold(
        checked.real(fields["log_alpha"], "log_alpha", low, high),
        checked.whole(fields["spare"], "spare", 0, SPARE),
        _count(fields["quiet"]),
    )


def _count(value: Any) -> int:
    return checked.whole(value, "a count", 0, 2**62)
