"""What the files of one log that is rotated are called alike."""

from __future__ import annotations

import re

from vestige.evidence.files import PACKED

_ROTATED = re.compile(r"(?:\.\d{1,4}|\.(?:old|bak|prev)|[-._]\d{4}-?\d\d-?\d\d(?:[-._T]?\d{2,6})*)+$")
"""What rotation adds to a name: a number, or a day and perhaps a time of day."""


def family(name: str) -> str:
    """The name of the log that a file of this name, or path, is part of: `a/app.log` of `a/app.log.2.gz`."""
    folder, slash, last = name.rpartition("/")
    for ending in PACKED:
        last = last.removesuffix(ending)
    stem, dot, kind = last.rpartition(".")
    if dot and kind.isalpha() and _ROTATED.sub("", stem) not in {"", stem}:
        # Such as `app-20260103.log`, where `app.log` is written.
        last = f"{_ROTATED.sub('', stem)}.{kind}"
    return folder + slash + (_ROTATED.sub("", last) or last)
