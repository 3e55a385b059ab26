"""What recordings are called that share a name without being the same."""

from __future__ import annotations

from vestige.reading.steps import RecordingInfo


class RecordingNames:
    """Names of recordings that come interleaved, each once: the second `name`, as of sessions that are called
    alike, is `name#2`. One number a name is kept, whatever becomes of its recording."""

    def __init__(self) -> None:
        self.repeated = 0
        self._numbers: dict[str, int] = {}
        self._current: dict[str, str] = {}

    def of(self, info: RecordingInfo) -> str:
        """The name of a recording; a new one where it was not seen yet, or has ended."""
        name = self._current.get(info.identity)
        if name is None:
            name = self._current[info.identity] = self._new(info.id)
        return name

    def end(self, info: RecordingInfo) -> None:
        """A recording has no further step: what is called like it is another one."""
        self._current.pop(info.identity, None)

    def _new(self, wanted: str) -> str:
        if wanted not in self._numbers:
            self._numbers[wanted] = 1
            return wanted
        self.repeated += 1
        name = wanted
        while name in self._numbers:
            self._numbers[wanted] += 1
            name = f"{wanted}#{self._numbers[wanted]}"
        self._numbers[name] = 1
        return name
