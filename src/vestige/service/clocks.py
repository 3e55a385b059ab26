"""Whether the clock of what is followed went back: that is told, and all is judged as it comes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from vestige.log import get
from vestige.reading.steps import NO_TIME
from vestige.reading.times import duration
from vestige.reading.windower import WindowBatch

BACK_S = 60.0
"""Writers of one log may be so far apart; what goes back further is a clock that was set, or lines that came
late."""
MOST_RECORDINGS = 4_096
"""Recordings whose last time is kept, those heard from last, and of which it was told. That there are more is
told once."""

log = get(__name__)


@dataclass
class Clocks:
    """The `last` time of each recording (Unix ns); of which it was `told` that its clock went back: of each
    once, as a log whose writers do not agree goes back all the time."""

    last: dict[str, int] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)

    def take(self, batch: WindowBatch) -> None:
        """Look at the times of the next windows."""
        for number in np.unique(batch.recording).tolist():
            name = batch.recordings[number].id
            rows = np.flatnonzero((batch.recording == number) & (batch.t_ns != NO_TIME))
            if not len(rows):
                continue
            times = batch.t_ns[rows]
            back_s = -np.diff(times, prepend=self.last.pop(name, int(times[0]))) / 1e9
            self.last[name] = int(times[-1])
            while len(self.last) > MOST_RECORDINGS:
                del self.last[next(iter(self.last))]
            at = int(np.argmax(back_s > BACK_S))
            if back_s[at] > BACK_S and name not in self.told and len(self.told) <= MOST_RECORDINGS:
                self.told.add(name)
                if len(self.told) > MOST_RECORDINGS:
                    log.warning("the times of more than %d recordings go back: of no other one it is told",
                                MOST_RECORDINGS)  # fmt: skip
                    continue
                place = batch.place.row(int(rows[at]), named=True)
                where = ", ".join(f"{key} {place[key]}" for key in place if key not in {"file", "text"})
                log.warning("%s: its time goes back by %s (%s): it is judged as it comes",
                            name, duration(float(back_s[at])), where)  # fmt: skip
