"""What the files of one log that is rotated are called alike."""

from __future__ import annotations

import re

from vestige.evidence.files import PACKED

_ROTATED = re.compile(
    r"(?:\.\d{1,4}|\.(?:old|bak|prev)|[-._]\d{4}-?\d\d-?\d\d(?:\d{2,})?(?:[-._T]\d{2,})*)\Z"
)
"""What rotation adds to a name at a time: a number, or a day and perhaps a time of day."""
_ADDRESS = re.compile(r"(?:\A|[^\d.])\.?(?:\d{1,3}\.){3}\d{1,3}\Z")
"""The IPv4 address of a machine, whose last number no rotation has added."""


def family(name: str) -> str:
    """The name of the log that a file of this name, or path, is part of: `a/app.log` of `a/app.log.2.gz`."""
    folder, slash, last = name.rpartition("/")
    for ending in PACKED:
        last = last.removesuffix(ending)
    last = _unrotated(last)
    stem, dot, kind = last.rpartition(".")
    if dot and kind.isalpha():
        # Such as `app-20260103.log`, where `app.log` is written.
        last = f"{_unrotated(stem)}.{kind}"
    return folder + slash + last


def _unrotated(name: str) -> str:
    """A name without what rotation added, one after the other, up to an address; never nothing."""
    while not _ADDRESS.search(name) and (added := _ROTATED.search(name)) and added.start():
        name = name[: added.start()]
    return name
