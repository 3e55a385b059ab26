"""From labels of messages to labels of windows: point anomalies, collective ones, or both kinds told apart.

A window is that of one message. With "around it" the other messages of its window, within its file:

    point       the message itself is anomalous
    collective  an anomaly is around it
    either      one of the two
    four        normal; point: only the message is; collective: only what is around it; both: both are

Nasirzadeh et al.: CoLog. Scientific Reports 2025 (doi:10.1038/s41598-025-27693-4): point and collective
anomalies, and the four classes.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vestige import checked
from vestige.schema import Schema

Anomalies = Literal["point", "collective", "either", "four"]
BINARY = ("normal", "anomaly")
CLASSES: dict[Anomalies, tuple[str, ...]] = {
    "point": BINARY,
    "collective": BINARY,
    "either": BINARY,
    "four": ("normal", "point", "collective", "both"),
}
MEANING: dict[Anomalies, str] = {
    "point": "",
    "collective": "A window is an anomaly where a message around the one judged is one",
    "either": "A window is an anomaly where the message judged or one around it is",
    "four": "point: the message judged is an anomaly; collective: one around it is; both: both are",
}
WHOLE = "; messages around it are those of the whole log, also where a split takes lines away."

Steps = dict[str, NDArray[Any]]
Judged = tuple[Steps, NDArray[np.int64], NDArray[np.uint8]]


def anomalies_of(schema: Schema) -> Anomalies:
    """What counts as an anomaly in a dataset of logs. Raises ValueError where its schema does not say."""
    kind = schema.settings.get("anomalies")
    if not isinstance(kind, str) or kind not in CLASSES:
        raise ValueError(f"anomalies is {checked.shown(kind)}")
    return kind


def meaning(kind: Anomalies) -> str:
    """What reports say of labels of this kind; nothing of labels of the message itself."""
    if not MEANING[kind]:
        return ""
    return MEANING[kind] + WHOLE


def window_labels(own: NDArray[np.uint8], kind: Anomalies, before: int, ahead: int) -> NDArray[np.uint8]:
    """Class of each message's window, `(n,)` uint8, from the messages' own labels `(n,)`, 1 for an anomaly.

    The window of message t is t - `before` to t + `ahead`; nothing is outside the n.
    """
    if kind == "point":
        return own
    n = len(own)
    total = np.concatenate([[0], np.cumsum(own, dtype=np.int64)])
    at = np.arange(n)
    # Differences of running totals: what a window counts, without going through windows.
    within = total[np.minimum(at + ahead + 1, n)] - total[np.maximum(at - before, 0)]
    around: NDArray[np.uint8] = (within - own > 0).astype(np.uint8)
    if kind == "collective":
        return around
    if kind == "either":
        return own | around
    kinds: NDArray[np.uint8] = own + 2 * around
    return kinds


class WindowLabeller:
    """The steps of one recording, handed on as soon as the messages that their labels depend on are known."""

    def __init__(self, kind: Anomalies, before: int, ahead: int) -> None:
        self._kind, self._before, self._ahead = kind, before, ahead
        if kind == "point":
            # A message's own label does not wait for what comes after it.
            self._ahead = 0
        self._own = np.empty(0, dtype=np.uint8)
        self._held: tuple[Steps, NDArray[np.int64]] | None = None

    def add(self, steps: Steps, t_ns: NDArray[np.int64], own: NDArray[np.uint8], *, final: bool) -> Judged:
        """Those of the held and the new steps whose windows' labels are known: all of them if `final`.

        `steps (n, ...)` by stream, `t_ns (n,)`, and the messages' own labels `own (n,)`.
        """
        if self._kind == "point":
            return steps, t_ns, own
        if self._held is not None:
            held, times = self._held
            steps = {name: np.concatenate([held[name], values]) for name, values in steps.items()}
            t_ns = np.concatenate([times, t_ns])
        known = np.concatenate([self._own, own])
        waiting = 0
        if not final:
            waiting = min(self._ahead, len(t_ns))
        ready = len(t_ns) - waiting
        begin = len(known) - len(t_ns)
        label = window_labels(known, self._kind, self._before, self._ahead)[begin : begin + ready]
        self._own = known[max(0, begin + ready - self._before) :]
        self._held = ({name: values[ready:] for name, values in steps.items()}, t_ns[ready:])
        return {name: values[:ready] for name, values in steps.items()}, t_ns[:ready], label
