"""Whether a promise is kept, looked at all the time: a sequential test by betting.

The promise: whatever came before, a window is as rare as an alert in a share of at most alpha. A bet that the
share is q multiplies its stake by q / alpha with each such window, and by (1 - q) / (1 - alpha) with each
other one; if the promise holds, no stake grows on average. The mean over bets that begin with different
shares and at different times is an e-process, so that the chance that it ever reaches 1 / LEVEL is at most
LEVEL, however often one looks (Ramdas, Grunwald, Vovk and Shafer: Game-theoretic statistics and safe
anytime-valid inference, Statistical Science 2023; bets that begin later: Shin, Ramdas and Rinaldo:
E-detectors, 2023).

Windows overlap, so that one strange step makes several of them rare: of a recording, a window counts only
where none did for the length of a window.

Letters: B windows.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vestige import checked
from vestige.reading.steps import NO_TIME
from vestige.reading.times import rfc3339

LEVEL = 1e-3
"""A promise that is kept is told to be broken in so many watches, however long they are."""
TIMES = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
"""The shares that are bet on, in alphas; none above a half."""
MOST_RECORDINGS = 4_096
"""Recordings that were strange lately, and are told apart."""
MOST_ALERTS, MOST_NAMED = 200, 5
"""Alerts by which a broken promise is explained, the last ones; looks, events and hosts that are named."""
MOST_TEXT = 200
"""Characters of an event's name."""

Row = dict[str, Any]


@dataclass
class Bet:
    """On the share `q`. `log_sum` is ln of its stakes, of all times at which it was begun, when the current
    block of windows begins; `log_best` the stake of the time that has won most, which was `since` (t_ns,
    None: unknown), `windows` and `rare` ones ago."""

    q: float
    log_sum: float
    log_best: float
    since: int | None = None
    windows: int = 0
    rare: int = 0

    def gained(self, alpha: float, windows: int, rare: int) -> float:
        """ln of what multiplies a stake in so many windows."""
        return rare * math.log(self.q / alpha) + (windows - rare) * (math.log1p(-self.q) - math.log1p(-alpha))


@dataclass
class Promise:
    """The test of a promise of the share `alpha`, of windows of `length` steps.

    Bets begin with blocks, in each of which one alert was promised: `block` is the number of the current one,
    of which `windows` came, and `rare` of them count. `lately` has the windows of recordings since the last
    one that did. `told`: it was told to be broken.
    """

    alpha: float
    length: int
    bets: list[Bet]
    block: int = 1
    windows: int = 0
    rare: int = 0
    told: bool = False
    lately: dict[str, int] = field(default_factory=dict)
    alerts: deque[Row] = field(default_factory=lambda: deque(maxlen=MOST_ALERTS))

    @classmethod
    def start(cls, alpha: float, length: int) -> Self:
        """Before the first window."""
        shares = [times * alpha for times in TIMES if times * alpha <= 0.5]
        first = math.log(_weight(1))
        return cls(alpha, length, [Bet(share, first, first) for share in shares])

    @property
    def log_e(self) -> float:
        """ln of the e-process: the evidence against the promise so far."""
        stakes = [bet.log_sum + bet.gained(self.alpha, self.windows, self.rare) for bet in self.bets]
        # Bets that have not begun hold their stakes: of all blocks after this one.
        rest = -math.log(self.block + 1)
        if not stakes:
            return rest
        return float(np.logaddexp(np.logaddexp.reduce(stakes) - math.log(len(stakes)), rest))

    def take(
        self,
        log_p: NDArray[np.float64],
        recording: NDArray[np.int64],
        names: Sequence[str],
        t_ns: NDArray[np.int64],
    ) -> bool:
        """Look at the next windows `(B,)`: ln of their p-values, their recordings, which index `names`, and
        times. Whether they have broken the promise, which is said once."""
        found = False
        begin = 0
        for at in self._counting(log_p, recording, names):
            self._quiet(t_ns[begin:at])
            self._quiet(t_ns[at : at + 1], rare=1)
            begin = at + 1
            if not self.told and self.log_e >= -math.log(LEVEL):
                self.told = found = True
        self._quiet(t_ns[begin:])
        return found

    def remember(self, alert: Row) -> None:
        """Keep what an alert was about, to say it if the promise turns out to be broken."""
        self.alerts.append(
            {
                "time": alert.get("time"),
                "host": str(alert.get("host") or alert.get("recording") or "")[:MOST_TEXT],
                "event": str(alert.get("event") or "")[:MOST_TEXT],
                "looks": sorted({reason["look"] for reason in alert.get("reasons", [])}),
            }
        )

    def row(self, command: str, time: str | None) -> Row:
        """A line that says that the promise is broken: since when, by what, and what to type."""
        best = max(self.bets, key=lambda bet: bet.log_best + bet.gained(self.alpha, self.windows, self.rare))
        windows, rare = best.windows + self.windows, best.rare + self.rare
        since = None if best.since is None else rfc3339(np.array([best.since], dtype=np.int64))[0]
        alerts = [each for each in self.alerts if not (since and each["time"]) or each["time"] >= since]
        looks = Counter(look for each in alerts for look in each["looks"])
        expected = float(f"{self.alpha * windows:.3g}")
        says = (
            f"{rare:,} times a recording was as strange as an alert in {windows:,} windows, where at most "
            f"{expected:g} were promised: the evidence is no longer like what was learnt from, or much of it "
            f"is an attack. If it is fine, learn again: {command}"
        )
        return {
            "kind": "drift", "time": time, "host": None, "since": since, "windows": windows, "rare": rare,
            "expected": expected, "e_value": float(f"{math.exp(min(self.log_e, 700.0)):.3g}"),
            "looks": dict(looks.most_common(MOST_NAMED)), "events": _most(alerts, "event"),
            "hosts": _most(alerts, "host"), "command": command, "reasons": [{"says": says}],
        }  # fmt: skip

    def to_dict(self) -> Row:
        """All of it as JSON values."""
        return {**asdict(self), "alerts": list(self.alerts)}

    @classmethod
    def of(cls, plain: Row) -> Self:
        """The test whose `to_dict` gave `plain`. Raises KeyError, TypeError or ValueError where it is no
        such thing."""
        found = cls.start(checked.real(plain["alpha"], "alpha", 0, 1), int(plain["length"]))
        found.bets = [Bet(**each) for each in plain["bets"]]
        found.block, found.windows, found.rare = (
            checked.whole(plain[name], name, low, 1 << 53)
            for name, low in (("block", 1), ("windows", 0), ("rare", 0))
        )
        found.told = checked.flag(plain["told"], "told")
        lately = checked.mapping(plain["lately"], "lately")
        found.lately = {name: checked.whole(count, name, 0, 1 << 53) for name, count in lately.items()}
        found.alerts.extend(plain["alerts"])
        return found

    def _counting(
        self, log_p: NDArray[np.float64], recording: NDArray[np.int64], names: Sequence[str]
    ) -> list[int]:
        """Which of the windows are rare, and count."""
        rare = log_p <= math.log(self.alpha)
        if not rare.any() and not self.lately:
            return []
        counting: list[int] = []
        for number in np.unique(recording).tolist():
            name = names[number]
            (mine,) = np.nonzero(recording == number)
            since = self.lately.pop(name, self.length)
            before = -1
            for at in np.flatnonzero(rare[mine]).tolist():
                if since + at - before - 1 >= self.length:
                    counting.append(int(mine[at]))
                    since, before = 0, at
            since += len(mine) - 1 - before
            if since < self.length:
                self.lately[name] = since
        while len(self.lately) > MOST_RECORDINGS:
            self.lately.pop(next(iter(self.lately)))
        return sorted(counting)

    def _quiet(self, t_ns: NDArray[np.int64], *, rare: int = 0) -> None:
        """Go on by so many windows, the last `rare` of which count."""
        size = math.ceil(1 / self.alpha)
        while len(t_ns):
            if not self.windows:
                self._begin(int(t_ns[0]))
            part = min(size - self.windows, len(t_ns))
            self.windows += part
            t_ns = t_ns[part:]
            if not len(t_ns):
                self.rare += rare
            if self.windows == size:
                self._end()

    def _begin(self, t_ns: int) -> None:
        """Begin bets with a block whose first window has this time."""
        begun = math.log(_weight(self.block))
        since = None if t_ns == NO_TIME else t_ns
        for bet in self.bets:
            if self.block == 1:
                bet.since = since
            elif begun > bet.log_best:
                bet.log_best, bet.since, bet.windows, bet.rare = begun, since, 0, 0

    def _end(self) -> None:
        self.block += 1
        for bet in self.bets:
            gained = bet.gained(self.alpha, self.windows, self.rare)
            bet.log_sum = float(np.logaddexp(bet.log_sum + gained, math.log(_weight(self.block))))
            bet.log_best += gained
            bet.windows += self.windows
            bet.rare += self.rare
        self.windows = self.rare = 0


def _weight(block: int) -> float:
    """The stake of bets that begin with a block; those of all blocks are 1 together."""
    return 1 / (block * (block + 1))


def _most(alerts: list[Row], name: str) -> list[Row]:
    counted = Counter(each[name] for each in alerts if each[name])
    return [{name: value, "alerts": count} for value, count in counted.most_common(MOST_NAMED)]
