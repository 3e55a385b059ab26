"""Machine code is built once, runs without Numba, and is refused where it needs more than it may."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vestige.native import BUILDS, NativeError
from vestige.sources.logs.blocks import Block
from vestige.sources.logs.format import load
from vestige.sources.logs.kernel.reader import KernelParser
from vestige.sources.logs.labels import LabelRule
from vestige.sources.logs.parse import Parser, Rules
from vestige.sources.logs.parsing import BlockParser

MODULE = """
from functools import partial
from typing import NamedTuple
import numpy as np
import constant
from constant import NUMBER
from vestige.native import native, shown

native = partial(native, after=(constant.__file__,))

class Both(NamedTuple):
    left: np.ndarray
    right: np.ndarray

@native
def double(number):
    return 2 * number

@native
def add(both, by, out):
    for row in range(len(both.left)):
        out[row, 1] = both.left[row] + both.right[row] * np.uint64(by) + np.uint64(NUMBER)
    return len(both.left), double(by)

@native
def grow(n):
    return len(np.empty(n))

def run_add():
    left, right = np.arange(3, dtype=np.uint64), np.full(3, 1 << 60, np.uint64)
    out = np.zeros((3, 2), np.uint64)
    found = add(Both(left, right), 4, out)
    return found, out[:, 1].tolist()

@partial(native, lanes=True)
def eights(words, out):
    for row in range(len(words)):
        for lane in range(8):
            out[8 * row + lane] = words[row] + np.uint64(lane)
    return len(words)

def run_eights():
    content = np.arange(20, dtype=np.uint8)
    words = np.ndarray(13, np.uint64, content, strides=(1,))  # eight bytes from every byte on
    out = np.zeros(13 * 8, np.uint64)
    n = eights(words, out)
    return n, bool((out.reshape(13, 8) == words[:, None] + np.arange(8, dtype=np.uint64)).all())

@partial(native, inline=True)
def part(numbers, begin):
    return numbers[begin] + numbers[begin + 1]

@native
def walk(both, out):
    for row in range(len(both.left) - 1):
        out[row] = part(both.left, row) + part(both.right[row:], 0)
    return len(out)

def run_walk():
    out = np.zeros(3, np.uint64)
    n = walk(Both(np.arange(4, dtype=np.uint64), np.arange(4, dtype=np.uint64) * np.uint64(10)), out)
    return n, out.tolist()

def run_shown():
    found = shown(b"abc")
    return len(found), walk_bytes(found)

@native
def walk_bytes(data):
    found = 0
    for at in range(len(data)):
        found += data[at]
    return found

def run_grow():
    return grow(7)

def run_read_only():
    locked = np.arange(3, dtype=np.uint64)
    locked.flags.writeable = False
    return add(Both(locked, locked), 1, locked)
"""

SLOW = """
import os, threading, time
from functools import partial
from pathlib import Path
import numpy as np
from vestige.native import BUILDS, NativeError, NotBuiltError, build_apart, native, waiting

told = threading.Event()

def build_when_told(*arguments, **options):
    told.wait()
    build_apart(*arguments, **options)

@partial(native, build=build_when_told)
def double(number):
    return 2 * number

@partial(native, build=build_when_told)
def grow(n):
    return len(np.empty(n))

def attempt(function):
    try:
        with waiting(False):
            return function(21)
    except NotBuiltError:
        return None

def until_built(function):
    found = None
    while found is None:
        time.sleep(0.01)
        found = attempt(function)
    return found

def run_late():
    before = [attempt(double) for _ in range(3)]
    told.set()
    return before, until_built(double), attempt(double)

def run_refused():
    before = attempt(grow)
    told.set()
    try:
        until_built(grow)
    except NativeError as error:
        return before, str(error).splitlines()[0]

def run_left():
    attempt(double)
    told.set()
    time.sleep(60)

if BUILDS in os.environ and "MARK" in os.environ:
    Path(os.environ["MARK"]).write_text(str(os.getpid()))
    time.sleep(60)
"""


def run(
    folder: Path, what: str, *, module: str = MODULE, **settings: str
) -> subprocess.CompletedProcess[str]:
    (folder / "module.py").write_text(module)
    script = f"import sys, module; print(module.run_{what}(), 'numba' in sys.modules)"
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_code_runs_without_numba_and_is_built_again_when_what_it_uses_has_changed(tmp_path: Path) -> None:
    for number in (5, 6):
        (tmp_path / "constant.py").write_text(f"NUMBER = {number}\n")
        values = [(4 << 60) + row + number for row in range(3)]
        for _ in range(2):
            done = run(tmp_path, "add")
            assert done.stdout.strip() == f"((3, 8), {values}) False", done.stderr
        built = list((tmp_path / "__pycache__").glob("module.add-*.native"))
        assert len(built) == 1  # older ones are gone


def test_machine_code_that_was_damaged_is_built_again(tmp_path: Path) -> None:
    (tmp_path / "constant.py").write_text("NUMBER = 5\n")
    expected = run(tmp_path, "add").stdout
    assert "8" in expected
    (built,) = (tmp_path / "__pycache__").glob("module.add-*.native")
    whole = built.read_bytes()
    middle = len(whole) // 2
    for damaged in (b"", whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :]):
        built.write_bytes(damaged)
        left = built.with_suffix(".123.part")  # of a build that was killed
        left.write_bytes(whole[:middle])
        assert run(tmp_path, "add").stdout == expected
        assert built.read_bytes() == whole
        assert not left.exists()


def test_who_has_no_time_goes_on_while_a_function_is_built_and_gets_it_later(tmp_path: Path) -> None:
    done = run(tmp_path, "late", module=SLOW)
    assert done.stdout.strip() == "([None, None, None], 42, 42) False", done.stderr


def test_what_cannot_be_built_in_the_background_is_told_once_that_is_known(tmp_path: Path) -> None:
    done = run(tmp_path, "refused", module=SLOW)
    assert done.stdout.startswith("(None, 'grow: it cannot be compiled: "), done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_build_ends_with_the_process_that_asked_for_it(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "module.py").write_text(SLOW)
    mark = tmp_path / "mark"
    asking = subprocess.Popen(
        [sys.executable, "-c", "import module; module.run_left()"],
        cwd=tmp_path,
        env=os.environ | {"MARK": str(mark)},
    )
    while not (mark.exists() and mark.read_text()):
        assert asking.poll() is None
        time.sleep(0.01)
    building = int(mark.read_text())
    assert is_running(building)
    asking.send_signal(number)
    asking.wait()
    until = time.monotonic() + 30
    while is_running(building):
        assert time.monotonic() < until, "it goes on"
        time.sleep(0.01)
    assert [file.suffix for file in (tmp_path / "__pycache__").glob("module.double*")] == [".lock"]


def is_running(process: int) -> bool:
    try:
        told = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return told.rpartition(")")[2].split()[0] != "Z"  # nobody may have asked how it ended


def test_functions_call_one_another_and_nobody_counts_who_uses_an_array(tmp_path: Path) -> None:
    (tmp_path / "constant.py").write_text("NUMBER = 1\n")
    done = run(tmp_path, "walk")
    assert done.stdout.strip() == "(3, [11, 33, 55]) False", done.stderr
    (built,) = (tmp_path / "__pycache__").glob("module.walk-*.native")
    code = built.read_bytes()
    assert b"module4walk" in code
    assert b"NRT_" not in code


def test_bytes_are_read_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "constant.py").write_text("NUMBER = 1\n")
    done = run(tmp_path, "shown")
    assert done.stdout.strip() == "(3, 294) False", done.stderr


def test_what_allocates_is_refused_when_it_is_built(tmp_path: Path) -> None:
    (tmp_path / "constant.py").write_text("NUMBER = 1\n")
    done = run(tmp_path, "grow")
    assert done.returncode == 1
    assert "grow needs" in done.stderr


def test_arrays_that_may_not_be_written_are_refused(tmp_path: Path) -> None:
    (tmp_path / "constant.py").write_text("NUMBER = 1\n")
    done = run(tmp_path, "read_only")
    assert done.returncode == 1
    assert "arrays that may be written" in done.stderr


def test_views_that_are_not_aligned_are_read_and_eight_numbers_written_at_once(tmp_path: Path) -> None:
    (tmp_path / "constant.py").write_text("NUMBER = 1\n")
    done = run(tmp_path, "eights")
    assert done.stdout.strip() == "(13, True) False", done.stderr


def test_code_that_can_be_kept_nowhere_goes_with_its_process(tmp_path: Path) -> None:
    (tmp_path / "constant.py").write_text("NUMBER = 5\n")
    (tmp_path / "__pycache__").write_text("in the way of a folder")
    (tmp_path / "temporary").mkdir()
    nowhere = {"XDG_CACHE_HOME": "/dev/null/none", "TMPDIR": str(tmp_path / "temporary")}
    done = run(tmp_path, "add", **nowhere)
    assert done.stdout.startswith("((3, 8), "), done.stderr
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_cache_that_others_may_write_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "constant.py").write_text("NUMBER = 5\n")
    (tmp_path / "__pycache__").write_text("in the way of a folder")
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    assert run(tmp_path, "add", **cache).stdout.startswith("((3, 8), ")
    (kept,) = (tmp_path / "cache" / "vestige").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o700
    for file in kept.iterdir():
        file.unlink()
    kept.chmod(0o770)
    done = run(tmp_path, "add", **cache)
    assert done.stdout.startswith("((3, 8), "), done.stderr
    assert list(kept.iterdir()) == []


def test_who_wants_indices_checked_gets_them_from_numba(tmp_path: Path) -> None:
    (tmp_path / "constant.py").write_text("NUMBER = 5\n")
    checked = {BUILDS: "1", "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path / "kept")}
    done = run(tmp_path, "add", **checked)
    assert done.stdout.strip().endswith("True"), done.stderr


def test_logs_are_read_all_the_same_where_no_kernel_can_be_built(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(KernelParser, "parse", refuse)
    chosen = load("bgl")
    rules = Rules(chosen, LabelRule("none"), max_line=1 << 15)
    block = Block(("\n".join(chosen.example) + "\n").encode() * 2000, 0, 1)
    parser = BlockParser(json.dumps(rules.settings()), 100 << 20, worth_s=0.0)
    found = [parser.parse(block).text.tolist() for _ in range(3)]
    assert found == [Parser(rules).parse(block).text.tolist()] * 3
    assert caplog.text.count("logs are read the slow way: there is no compiler") == 1


def refuse(*_: object) -> None:
    raise NativeError("there is no compiler")


def test_the_linker_gives_its_memory_back_and_is_there_when_it_is_needed_again() -> None:
    script = (
        "from pathlib import Path; import numpy as np\n"
        "from vestige import native\n"
        "def resident():\n"
        "    parts = Path('/proc/self/smaps').read_text().split('VmFlags')\n"
        "    code = [part for part in parts if 'libllvmlite' in part and ' r-xp ' in part]\n"
        "    return sum(int(part.split('Rss:')[1].split()[0]) for part in code)\n"
        "import llvmlite.binding\n"
        "native._lately_linked.append('x')\n"
        "print(resident()); native.release_linker(); print(resident())\n"
        "native.release_linker(); print(llvmlite.binding.get_default_triple())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    before, after, triple = done.stdout.split()
    assert int(before) > int(after) == 0
    assert "-" in triple
