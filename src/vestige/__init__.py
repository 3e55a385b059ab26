"""vestige: sequence models that find attacks in the traces they leave on a host.

The names in `__all__`, and `vestige.sklearn`, are what others may build on: a name, or an argument of one,
that is to go is kept for one more version, in which it warns. Everything else may change with every version.
`import vestige` imports nothing heavy: each name is imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vestige.api import Preview, TrainedDetector, compare, evaluate, learn, load, preview, read, run
    from vestige.errors import VestigeError

__version__ = "0.1.0"

__all__ = [
    "Preview",
    "TrainedDetector",
    "VestigeError",
    "__version__",
    "compare",
    "evaluate",
    "learn",
    "load",
    "preview",
    "read",
    "run",
]


def __getattr__(name: str) -> Any:
    """A public name, imported when it is first asked for."""
    if name == "sklearn":
        return import_module("vestige.sklearn")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module("vestige.errors" if name == "VestigeError" else "vestige.api")
    return getattr(module, name)


def __dir__() -> list[str]:
    """The public names, those too that nobody has asked for yet."""
    return sorted(__all__)
