"""Stopping when asked to: SIGTERM and Ctrl-C wait for a place where the state can be saved."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self


class StopRequests:
    """While active, SIGTERM and SIGINT only set `name`; a second Ctrl-C raises KeyboardInterrupt at once.

    Signals reach the main thread alone: elsewhere this does nothing.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self) -> None:
        self.name: str | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._before = {}
        if threading.current_thread() is threading.main_thread():
            self._before = {one: signal.getsignal(one) for one in self.SIGNALS}
            self.claim()
        return self

    def claim(self) -> None:
        """Take the signals (again: Lightning takes SIGTERM for itself when it starts)."""
        for one in self._before:
            signal.signal(one, self._note)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one, handler in self._before.items():
            signal.signal(one, signal.SIG_DFL if handler is None else handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.name is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.name = signal.Signals(number).name
