"""The program in a process of its own, without waiting for PyTorch to be imported each time.

Most of a short command is imports: two to five seconds of a processor for a run with networks. So a process
that has imported what is slow waits here, and each command is a fork of it: with its own arguments,
directory, environment and standard streams, through the program's own entry point, ended as any process is.
A test of how the program starts (what it imports, which variables it reads before that) starts it by itself.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import IO, Any, NoReturn

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


def vestige(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the program as a person would, its imports made beforehand where no option forbids it."""
    told = [*map(str, arguments)]
    if options.keys() <= {"cwd"}:
        return run(told, **options)
    return subprocess.run(
        [VESTIGE, *told], capture_output=True, text=True, check=False, timeout=LONGEST_S, **options
    )


def run(
    arguments: list[str], *, cwd: os.PathLike[str] | None = None, timeout: float = LONGEST_S
) -> subprocess.CompletedProcess[str]:
    """`vestige ARGUMENTS` with nothing on standard input, as `subprocess.run` with captured output."""
    call = {"arguments": arguments, "cwd": os.fspath(cwd or Path.cwd()), "environment": dict(os.environ)}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process, calls = _server()
        calls.settimeout(timeout)
        try:
            socket.send_fds(calls, [json.dumps(call).encode()], [out.fileno(), err.fileno()])
            answer = calls.recv(64)
        except TimeoutError:
            _server.cache_clear()
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        if not answer:
            raise RuntimeError(f"the process that waits for commands has ended at {arguments}")
        return subprocess.CompletedProcess(arguments, int(answer), _text(out), _text(err))


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode().replace("\r\n", "\n")


@cache
def _server() -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for side in (ours, theirs):
        side.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST_CALL)
    command = [sys.executable, "-m", "tests.warm", str(theirs.fileno())]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], cwd=ROOT, process_group=0
    )
    theirs.close()
    return process, ours


def _serve(calls: socket.socket) -> None:
    """Answer calls until nobody asks any more; returns in each fork, which is to become the program."""
    while True:
        told, descriptors, _, _ = socket.recv_fds(calls, LARGEST_CALL, 2)
        if not told:
            os._exit(0)
        child = os.fork()
        if not child:
            calls.close()
            return _become(json.loads(told), *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        calls.send(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())


def _become(call: dict[str, object], out: int, err: int) -> None:
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.close(out)
    os.close(err)
    os.chdir(str(call["cwd"]))
    os.environ.clear()
    os.environ.update(call["environment"])  # type: ignore[call-overload]
    tempfile.tempdir = None  # TMPDIR may be another one
    sys.argv = ["vestige", *call["arguments"]]  # type: ignore[misc]


def _main() -> NoReturn:
    for name in SLOW:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()  # or each fork would look through all of it, and copy it by that
    _serve(socket.socket(fileno=int(sys.argv[1])))
    from vestige.cli.main import run as program

    program()
    sys.exit()


if __name__ == "__main__":
    _main()
