"""Reading traces loads machine code that is kept: it does not wait for a compiler."""

from __future__ import annotations

import subprocess
import sys

DECODE = """
import sys
from vestige.sources.traces.options import TraceOptions
from vestige.sources.traces.reader import TraceReader
blocks = TraceReader.of_corpus(TraceOptions()).probe()
print(sum(map(len, blocks)) > 0, "numba" in sys.modules)
"""


def test_a_trace_is_read_without_numba() -> None:
    done = subprocess.run([sys.executable, "-c", DECODE], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["True", "False"], done.stderr
