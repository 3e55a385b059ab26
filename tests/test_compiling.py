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
