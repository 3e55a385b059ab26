"""What the server that forks workers imports before all else.

A fork copies one thread alone, so the server must not have others: BLAS would start some as it is loaded.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import vestige.engine.worker  # noqa: F401
