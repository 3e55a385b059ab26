"""Large CPU buffers that are used again: page faults on fresh ones cost more than the arithmetic in them."""

from __future__ import annotations

import threading
from math import prod

import torch

_MAX_IDLE = 4
_idle: list[torch.Tensor] = []
_lock = threading.Lock()


class Workspace:
    """A flat buffer, carved into tensors front to back; it goes back to the pool on ``release`` or when
    the last reference to the workspace goes (a graph dropped without a backward pass).

    Carved tensors must not outlive the workspace.
    """

    def __init__(self, size: int, dtype: torch.dtype, device: torch.device) -> None:
        self._buffer: torch.Tensor | None = _take(size, dtype, device)
        self._used = 0

    def carve(self, *shape: int) -> torch.Tensor:
        if self._buffer is None:
            raise RuntimeError("this workspace was released")
        start, self._used = self._used, self._used + padded(shape)
        return self._buffer[start : start + prod(shape)].view(shape)

    @property
    def released(self) -> bool:
        return self._buffer is None

    def release(self) -> None:
        buffer, self._buffer = self._buffer, None
        if buffer is None or buffer.device.type != "cpu":
            return
        with _lock:
            _idle.append(buffer)
            del _idle[:-_MAX_IDLE]

    def __del__(self) -> None:
        self.release()


def padded(shape: tuple[int, ...]) -> int:
    """Elements to set aside for ``shape`` so that the next tensor starts on a cache line."""
    return -(-prod(shape) // 16) * 16


def _take(size: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """The smallest idle buffer that is large enough and not much too large, or a new one."""
    if device.type == "cpu":
        with _lock:
            fitting = [
                (buffer.numel(), place)
                for place, buffer in enumerate(_idle)
                if buffer.dtype == dtype and size <= buffer.numel() <= 2 * size
            ]
            if fitting:
                return _idle.pop(min(fitting)[1])
    # a buffer outlives the call: made in inference mode, a later training step could not write to it
    with torch.inference_mode(False):
        return torch.empty(size, dtype=dtype, device=device)


def release_workspace() -> None:
    """Free the idle buffers that the fast path keeps between calls (up to four, each as large as the
    gates of the sequence that needed it)."""
    with _lock:
        _idle.clear()
