"""The program in a process of its own, without waiting for PyTorch to be imported each time.

Most of a short command is imports: two to five seconds of a processor for a run with networks. So a process
that has imported what is slow waits here, and each command is a fork of it: with its own arguments,
directory, environment and standard streams, through the program's own entry point. It ends as any process
does, but for what Python takes apart after all else is done: that is half a second with so many imports, of
pages that only the fork would copy.
A test of how the program starts (what it imports, which variables it reads before that) starts it by itself.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any, NoReturn, Self

SLOW = (
    *(
        "torch",
        "polars",
        "xgboost",
        "sklearn.linear_model",
        "scipy.sparse",
        "scipy.stats",
        "pytorch_lightning",
    ),
    *("vestige.cli.main", "vestige.pipeline.run", "vestige.training.loop"),
)
LARGEST_CALL = 1 << 20  # bytes
ROOT = Path(__file__).parents[1]


LONGEST_S = 300
VESTIGE = str(Path(sys.executable).with_name("vestige"))
PIPE = subprocess.PIPE
CALLS = "VESTIGE_TEST_CALLS"
"""Names the descriptor to which a process sends its calls that did not start who answers them."""


def wait_for_no_disk() -> None:
    """Have `os.fsync` not wait until a disk has what was written, some milliseconds each time: no test takes
    the power away, so none could tell. (A process that a test starts by itself waits for the disk.)"""

    def written(file: int | IO[Any]) -> None:
        os.fstat(file if isinstance(file, int) else file.fileno())  # that it is open is asked for still

    os.fsync = written  # type: ignore[assignment]


def vestige(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the program as a person would, its imports made beforehand where no option forbids it."""
    told = [*map(str, arguments)]
    if options.keys() <= {"cwd", "input", "env"}:
        return run(told, **options)
    return subprocess.run(
        [VESTIGE, *told], capture_output=True, text=True, check=False, timeout=LONGEST_S, **options
    )


def run(
    arguments: list[str],
    *,
    cwd: os.PathLike[str] | None = None,
    input: str | None = None,  # noqa: A002 - its name in `subprocess.run`
    env: Mapping[str, str] | None = None,
    timeout: float = LONGEST_S,
) -> subprocess.CompletedProcess[str]:
    """`vestige ARGUMENTS`, as `subprocess.run` with captured output; without `input`, it has none."""
    stdin = subprocess.DEVNULL if input is None else PIPE
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with Program(arguments, cwd=cwd, stdin=stdin, stdout=out, stderr=err, env=env) as running:
            if running.stdin is not None:
                with contextlib.suppress(BrokenPipeError), running.stdin:
                    running.stdin.write(input or "")
            try:
                code = running.wait(timeout)
            except subprocess.TimeoutExpired:
                running.kill()
                raise
        return subprocess.CompletedProcess(arguments, code, _text(out), _text(err))


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode().replace("\r\n", "\n")


class Program:
    """`vestige ARGUMENTS` while it runs, with what tests use of a `subprocess.Popen` of text."""

    def __init__(
        self,
        arguments: Sequence[object],
        *,
        cwd: os.PathLike[str] | None = None,
        stdin: int = subprocess.DEVNULL,
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
        env: Mapping[str, str] | None = None,
        start_new_session: bool = False,
    ) -> None:
        call = {
            "arguments": [*map(str, arguments)],
            "cwd": os.fspath(cwd or Path.cwd()),
            "environment": dict(os.environ if env is None else env),
            "session": start_new_session,
        }
        self.returncode: int | None = None
        self._answers, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with contextlib.ExitStack() as passed, theirs:
            ours, reads = _end(stdin, 0, passed)
            self.stdin = None if ours is None else os.fdopen(ours, "w")
            ours, writes = _end(stdout, 1, passed)
            self.stdout = None if ours is None else os.fdopen(ours)
            ours, complains = _end(stderr, 2, passed)
            self.stderr = None if ours is None else os.fdopen(ours)
            told = json.dumps(call).encode()
            socket.send_fds(_server()[1], [told], [reads, writes, complains, theirs.fileno()])
        self.pid = int(self._answers.recv(64))

    def poll(self) -> int | None:
        """How it ended; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0.0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """How it ended, waited for so many seconds."""
        if self.returncode is None:
            # Unlike select, which takes no descriptor above 1,023.
            answered = select.poll()
            answered.register(self._answers, select.POLLIN)
            if not answered.poll(None if timeout is None else 1000 * timeout):
                raise subprocess.TimeoutExpired("vestige", timeout or 0.0)
            self.returncode = int(self._answers.recv(64))
            self._answers.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it has written, of less than a pipe holds, once it has ended; nothing the second time."""
        if self.stdin is not None:
            self.stdin.close()
        self.wait(timeout)
        files = (self.stdout, self.stderr)
        out, err = ("" if file is None or file.closed else file.read() for file in files)
        self.close()
        return out, err

    def close(self) -> None:
        """Close the pipes."""
        for file in (self.stdin, self.stdout, self.stderr):
            if file is not None:
                with contextlib.suppress(BrokenPipeError):
                    file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self.wait()


def _end(stream: int | IO[Any] | None, number: int, passed: contextlib.ExitStack) -> tuple[int | None, int]:
    """Our end of a pipe, if it is to be one, and what the program gets as its descriptor `number`."""
    if stream == PIPE:
        ends = os.pipe()
        ours, theirs = ends if number else ends[::-1]
        passed.callback(os.close, theirs)
        return ours, theirs
    if stream == subprocess.DEVNULL:
        theirs = os.open(os.devnull, os.O_RDWR)
        passed.callback(os.close, theirs)
        return None, theirs
    if stream == subprocess.STDOUT:
        raise ValueError("give what standard output has")
    if stream is None:
        return None, number
    return None, stream if isinstance(stream, int) else stream.fileno()


@cache
def _server() -> tuple[subprocess.Popen[bytes] | None, socket.socket]:
    """Who waits, unless another process has begun it, and where calls are sent to."""
    if CALLS in os.environ:
        return None, socket.socket(fileno=int(os.environ[CALLS]))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for side in (ours, theirs):
        side.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST_CALL)
    command = [sys.executable, "-m", "tests.warm", str(theirs.fileno())]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], cwd=ROOT, process_group=0
    )
    theirs.close()
    return process, ours


def script(file: Path) -> dict[str, str]:
    """Write a script that runs the program as `run` does, for a shell that has the returned environment and
    inherits the descriptor that it names."""
    calls = _server()[1].fileno()
    file.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{__file__}" call "$@"\n')
    file.chmod(0o755)
    return {CALLS: str(calls)}


def _serve(calls: socket.socket) -> None:
    """Answer calls until nobody asks any more; returns in each fork, which is to become the program. Each
    call is told the number of its process, and then how that ended."""
    running: dict[int, tuple[int, socket.socket]] = {}
    while True:
        ready = select.select([calls.fileno(), *running], [], [])[0]
        for ended in ready:
            if ended != calls.fileno():
                child, answers = running.pop(ended)
                os.close(ended)
                code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                with contextlib.suppress(OSError), answers:  # nobody may want to know
                    answers.send(str(code).encode())
        if calls.fileno() not in ready:
            continue
        told, descriptors, _, _ = socket.recv_fds(calls, LARGEST_CALL, 4)
        if not told:
            os._exit(0)
        child = os.fork()
        if not child:
            for number in (calls.detach(), *running):
                os.close(number)
            for _, answers in running.values():
                answers.close()
            return _become(json.loads(told), descriptors)
        answers = socket.socket(fileno=descriptors.pop())
        for descriptor in descriptors:
            os.close(descriptor)
        with contextlib.suppress(OSError):
            answers.send(str(child).encode())
        running[os.pidfd_open(child)] = child, answers


def _become(call: dict[str, Any], descriptors: list[int]) -> None:
    if call["session"]:
        os.setsid()
    for number, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, number)
    for descriptor in descriptors:
        os.close(descriptor)
    os.chdir(call["cwd"])
    os.environ.clear()
    os.environ.update(call["environment"])
    tempfile.tempdir = None  # TMPDIR may be another one
    sys.argv = ["vestige", *call["arguments"]]


class _Ending:
    """Ends the process as soon as its threads, its `atexit` handlers and its streams are done. An error that
    nobody caught, or a stream that cannot be flushed, is left to Python."""

    def __init__(self) -> None:
        self.code: object = None
        atexit.register(self._end)  # the first that is registered is the last that is called

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.code = (0 if error.code is None else error.code) if isinstance(error, SystemExit) else error or 0

    def _end(self) -> None:
        if isinstance(self.code, int):
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(self.code & 0xFF)


def _main() -> NoReturn:
    if sys.argv[1] == "call":
        code = Program(sys.argv[2:], stdin=0).wait()
        sys.exit(code if code >= 0 else 128 - code)
    wait_for_no_disk()
    ending = _Ending()
    for name in SLOW:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()  # or each fork would look through all of it, and copy it by that
    _serve(socket.socket(fileno=int(sys.argv[1])))
    from vestige.cli.main import run as program

    with ending:
        program()
    sys.exit()


if __name__ == "__main__":
    _main()
