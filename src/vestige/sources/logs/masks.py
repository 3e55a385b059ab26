"""Masks: what varies from message to message is replaced by a placeholder, `<ip>`, `<num>`, ...

A format names its masks in the order in which they are applied; its own may stand among those below. Every
pattern here is linear in the text, and begins with the characters it may begin with (`\\d(?<!\\w\\d)`: a
digit that no word character precedes), because that lets the regex engine skip to them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import cache
from importlib import resources

from vestige.sources.logs.linear import substitution

DIGIT = r"\d(?<!\w\d)"
HEX = r"[0-9A-Fa-f](?<!\w[0-9A-Fa-f])"
LETTER = r"[A-Za-z](?<![\w.-][A-Za-z])"
NAME = r"[A-Za-z0-9](?<![\w.-][A-Za-z0-9])[\w-]{0,62}+"
"""The first label of a host name."""

SHARED: dict[str, str] = {
    "url": r"[a-z](?<!\w[a-z])[a-z0-9+.-]{1,15}?://[^\s\"'<>()\[\],]++",
    "email": r"@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}(?!\w)",
    "uuid": rf"{HEX}[0-9A-Fa-f]{{7}}(?:-[0-9A-Fa-f]{{4}}){{3}}-[0-9A-Fa-f]{{12}}(?!\w)",
    "mac": rf"{HEX}[0-9A-Fa-f](?::[0-9A-Fa-f]{{2}}){{5,7}}(?!\w)",
    "ip": rf"{DIGIT}\d{{0,2}}(?:\.\d{{1,3}}){{3}}(?::\d{{1,5}})?(?!\w)",
    "ip_six": rf"{HEX}[0-9A-Fa-f]{{0,3}}(?::[0-9A-Fa-f]{{0,4}}){{4,7}}(?!\w)",
    "endpoint": rf"{NAME}(?:\.[\w-]{{1,63}}){{1,8}}:\d{{1,5}}(?!\w)",
    "host": rf"{NAME}(?:\.[\w-]{{1,63}}){{2,8}}(?!\w)",
    "ctime": (
        r"[FMSTW](?<!\w[FMSTW])(?:on|ue|ed|hu|ri|at|un) "
        r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) {1,2}\d{1,2} \d{2}:\d{2}:\d{2}"
        r"(?: [A-Z]{3,4})?(?: \d{4})?(?!\w)"
    ),
    "date": rf"{DIGIT}\d{{3}}([-/.])\d{{1,2}}\1\d{{1,2}}(?!\w)",
    "time": rf"{DIGIT}\d?:\d{{2}}(?::\d{{2}}(?:[.,]\d{{1,9}})?)?(?![\w:])",
    "path": r"/(?<![\w./<>-]/)[\w.$@%+~#-]++(?:/[\w.$@%+~#-]*+)*+",
    "winpath": r"[A-Za-z](?<!\w[A-Za-z]):\\[^\s\"'<>|,;()]*+",
    "hex": r"0(?<!\w0)x[0-9A-Fa-f]{1,64}(?!\w)",
    "hash": (rf"{HEX}(?:(?<=\d)(?=\d*+[A-Fa-f])|(?<=[A-Fa-f])(?=[A-Fa-f]*+\d))[0-9A-Fa-f]{{7,127}}+(?!\w)"),
    "id": r"_(?<=[A-Za-z]_)-?\d[\w-]*+",
    "size": rf"{DIGIT}\d{{0,19}}(?:\.\d{{1,9}})? ?(?:bytes|[KMGTkmg]i?B|B)(?:/s)?(?!\w)",
    "num": r"[-+\d](?<!\w[-+\d])(?<!\d\.\d)(?:(?<=\d)|(?=\d))\d*+(?:\.\d++)*+(?!\w)",
    "digits": r"\d++",
}
"""`ctime` is a date as the C library and `date` write it; `num` is a number that stands alone, `digits` any
run of digits, also within a word; `id` is what follows the kind in `task_0012_m_4`."""

GUESSED = {
    # A class of Java is no machine: of its label a capital and a small letter stand first.
    "host": rf"{NAME}(?:\.(?![A-Z][a-z])[\w-]{{1,63}}+){{2,8}}+(?!\w|\.[A-Z][a-z])",
    "rhost": r"(?<=rhost=)\S+",
    "user": r"(?<=user=)\S+",
    "pci": r"[0-9A-Fa-f](?<!\w[0-9A-Fa-f])[0-9A-Fa-f]{3}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-7](?!\w)",
}
"""The own masks of formats that are guessed."""

HINTS = {
    "url": "://", "email": "@", "uuid": "-", "mac": ":", "ip": ".", "ip_six": ":", "endpoint": ":",
    "host": ".", "ctime": ":", "time": ":", "path": "/", "winpath": ":\\", "hex": "0x", "id": "_",
}  # fmt: skip
"""What a text must hold for the shared mask to have a chance: looking is much cheaper than matching."""


_KNOWN = frozenset({*SHARED.values(), *GUESSED.values()})


def is_ours(pattern: str) -> bool:
    """Whether a mask comes with vestige: a shared one, or of a shipped or a guessed format."""
    return pattern in _KNOWN or pattern in _of_shipped_formats()


@cache
def _of_shipped_formats() -> frozenset[str]:
    known = set[str]()
    for file in resources.files("vestige.sources.logs").joinpath("formats").iterdir():
        if file.name.endswith(".toml"):
            known.update(tomllib.loads(file.read_text(encoding="utf-8")).get("mask", {}).values())
    return frozenset(known)


class Masker:
    """Applies masks `(name, pattern)`. Raises ValueError for a pattern that does not compile, or could take
    more than linear time."""

    def __init__(self, masks: Sequence[tuple[str, str]]) -> None:
        self._steps = []
        for name, pattern in masks:
            hint = ""
            if pattern in (SHARED.get(name), GUESSED.get(name)):
                # A hint is true of our own pattern only, not of another by the same name.
                hint = HINTS.get(name, "")
            self._steps.append((hint, substitution(name, pattern, ours=is_ours(pattern))))

    def mask(self, text: str) -> str:
        """`text` with placeholders for whatever the masks match."""
        for hint, substitute in self._steps:
            if hint in text:
                text = substitute(text)
        return text
