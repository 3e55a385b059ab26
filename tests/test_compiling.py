"""What was compiled is kept, and made again when one of the files that it is made of has changed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

CONSTANT = "NUMBER = {}\n"
KERNEL = """
from functools import partial
import constant
from constant import NUMBER
from vestige.compiling import compiled
@partial(compiled, after=(constant.__file__,))
def answer():
    return NUMBER
print(answer(), sum(answer.stats.cache_hits.values()))
"""


def run(folder: Path) -> str:
    command = [sys.executable, "-c", "import kernel"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout.strip()


def test_a_kernel_is_compiled_again_when_what_it_uses_has_changed(tmp_path: Path) -> None:
    (tmp_path / "kernel.py").write_text(KERNEL)
    (tmp_path / "constant.py").write_text(CONSTANT.format(41))
    assert run(tmp_path) == "41 0"
    assert run(tmp_path) == "41 1"
    time.sleep(1.1)  # bytecode is told old by whole seconds
    (tmp_path / "constant.py").write_text(CONSTANT.format(42))
    assert run(tmp_path) == "42 0"
    assert run(tmp_path) == "42 1"


def test_what_was_damaged_is_compiled_again(tmp_path: Path) -> None:
    """A power cut leaves files empty; a flipped bit of machine code would end the process."""
    (tmp_path / "kernel.py").write_text(KERNEL)
    (tmp_path / "constant.py").write_text(CONSTANT.format(41))
    assert run(tmp_path) == "41 0"
    kept = [*tmp_path.glob("__pycache__/*.nbi"), *tmp_path.glob("__pycache__/*.nbc")]
    assert {file.suffix for file in kept} == {".nbi", ".nbc"}
    for file in kept:
        whole = file.read_bytes()
        file.write_bytes(b"" if file.suffix == ".nbi" else whole[:40] + bytes([whole[40] ^ 1]) + whole[41:])
        assert run(tmp_path) == "41 0"
    assert run(tmp_path) == "41 1"


CALLED_AT_ONCE = """
import sys
from vestige.compiling import compiled
@compiled
def half(number):
    return number / 2
@compiled
def answer(number):
    return half(number) * 4
print("ready", flush=True)
sys.stdin.readline()
print(answer(21), sum(answer.stats.cache_misses.values()), sum(half.stats.cache_misses.values()))
"""


def test_of_processes_that_need_a_kernel_at_once_one_compiles_it(tmp_path: Path) -> None:
    (tmp_path / "kernel.py").write_text(CALLED_AT_ONCE)
    command = [sys.executable, "-c", "import kernel"]
    pipe = subprocess.PIPE
    at_once = [subprocess.Popen(command, cwd=tmp_path, stdin=pipe, stdout=pipe, text=True) for _ in range(3)]
    for process in at_once:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in at_once:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = sorted(process.communicate(timeout=120)[0].split() for process in at_once)
    assert [process.returncode for process in at_once] == [0, 0, 0]
    assert [(answer, missed) for answer, missed, _ in said] == [("42.0", "0"), ("42.0", "0"), ("42.0", "1")]
    assert sum(int(missed) for _, _, missed in said) == 1
