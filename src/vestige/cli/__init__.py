"""The verbs a person types. Only this package catches errors and talks to the terminal."""

import atexit
import gc
import os

# The threads of OpenMP (torch, XGBoost, scikit-learn) spin while they wait for one another. Beside any other
# busy process they then wait for a thread that has no core, on the very core that it needs: training takes
# several times as long. Each library reads the variable once, when it is loaded, so it is set before anything
# can load one, and worker processes inherit it. A setting of the user's own stays.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Those of OpenBLAS, which NumPy starts when it is imported, spin for 2^26 cycles before they sleep, also in
# commands that never multiply a matrix. 2^4 is the least that it takes.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")

# What a command imports is a hundred thousand objects that stay. To look through them for garbage while they
# come takes a tenth of the time that all the imports take, so nobody does before there are many more; and
# from then on rarely, instead of after every 700 new ones, as Python does by default.
gc.set_threshold(400_000, 20, 100)


def _settle(phase: str, info: dict[str, int]) -> None:  # noqa: ARG001 - what Python hands over
    gc.callbacks.remove(_settle)
    gc.set_threshold(50_000, 20, 100)


gc.callbacks.append(_settle)

# Options are models of Pydantic's, which looks through everything that is installed for plug-ins of its own:
# we have none, and none of somebody else's is wanted between evidence and its options.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

# And none of them need be looked through once more when all is over.
atexit.register(gc.freeze)
