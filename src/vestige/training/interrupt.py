"""Stopping when asked to: SIGTERM, Ctrl-C and a terminal that closes (SIGHUP) wait for a place where the
state can be saved.

Trainings in processes of their own are stopped by the one that started them, through a folder: a name that
appears in it is the reason why all of them are to stop. So each saves its state, whoever got the signal.
They stop, too, when the one that started them is gone.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_watched: Path | None = None
"""The folder."""


def watch_for_stop(folder: Path) -> None:
    """In a process that another one started to train in: stop by `folder`, see `request_stop`, and no more by
    signals, which the terminal or the system sends to all processes alike."""
    global _watched  # noqa: PLW0603 - of the whole process, as signals are
    _watched = folder
    if _in_main_thread():
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def request_stop(folder: Path, reason: str) -> None:
    """Have the trainings that watch `folder` stop."""
    with contextlib.suppress(OSError):
        (folder / reason).touch()


def stop_reason() -> str | None:
    """The reason why trainings of this process are to stop, if there is one."""
    if _watched is None:
        return None
    # not told by the parent's number: a server forks the workers, and lives as long as they do
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        return "the end of the process that started it"
    try:
        return next((reason.name for reason in _watched.iterdir()), None)
    except OSError:
        return None


def _in_main_thread() -> bool:
    """Signals reach the main thread alone."""
    return threading.current_thread() is threading.main_thread()


class StopRequests:
    """While active, SIGTERM, SIGINT and SIGHUP only set `name`; a second Ctrl-C raises KeyboardInterrupt at
    once. A signal that was ignored before is ignored still: `nohup` means it.

    `tell` is called with the name. In other threads than the main one signals are left alone.
    """

    def __init__(self, tell: Callable[[str], None] | None = None) -> None:
        self._name: str | None = None
        self._tell = tell
        self._before: dict[signal.Signals, Any] = {}

    @property
    def name(self) -> str | None:
        """What asks to stop: a signal, or the reason of the process that started this one."""
        return self._name or stop_reason()

    def __enter__(self) -> Self:
        self._before = {}
        if _in_main_thread():
            handlers = {number: signal.getsignal(number) for number in SIGNALS}
            self._before = {
                number: handler
                for number, handler in handlers.items()
                if number != signal.SIGHUP or handler is not signal.SIG_IGN
            }
            self.claim()
        return self

    def claim(self) -> None:
        """Take the signals (again: Lightning takes SIGTERM for itself when it starts)."""
        for number in self._before:
            handler = self._note if _watched is None else signal.SIG_IGN
            signal.signal(number, handler)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            # None: whoever handled it before was not Python, and cannot be put back from here.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self._name is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._name = signal.Signals(number).name
        if self._tell is not None:
            self._tell(self._name)
