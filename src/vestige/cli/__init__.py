"""The verbs a person types. Only this package catches errors and talks to the terminal."""

import atexit
import gc
import os

# The threads of OpenMP (torch, XGBoost, scikit-learn) spin while they wait for one another. Beside any other
# busy process they then wait for a thread that has no core, on the very core that it needs: training takes
# several times as long. Each library reads the variable once, when it is loaded, so it is set before anything
# can load one, and worker processes inherit it. A setting of the user's own stays.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# What a command imports is hundreds of thousands of objects that stay. Looking through them for garbage after
# every 700 new ones, as Python does by default, takes a fifth of the time that all the imports take.
gc.set_threshold(50_000, 20, 100)

# And none of them need be looked through once more when all is over.
atexit.register(gc.freeze)
