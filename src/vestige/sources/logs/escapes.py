"""What tells a terminal about colours, cursors and titles is no text (ECMA-48, 5.4 and 8.3)."""

from __future__ import annotations

import re

_CSI = r"\[[0-?]{0,32}[ -/]{0,4}[@-~]"
# As it is, or as rsyslog (`#033[`), journald (`\x1b[`), JSON (`\u001b[`) and `cat -v` (`^[[`) write it.
_ESCAPES = re.compile(
    rf"(?:\x1b|#033|\\x1b|\\u001[bB]|\\033|\^\[){_CSI}|\x9b{_CSI[2:]}"
    r"|\x1b\][^\x07\x1b\n]{0,1024}(?:\x07|\x1b\\)|\x1b[()][0-9A-B]|\x1b[=>78cDEHMNOZ]"
)
_SIGNS = ("\x1b", "\x9b", "#033[", "\\x1b[", "\\u001b[", "\\u001B[", "\\033[", "^[[")


def without_escapes(text: str) -> str:
    """The text without them; line ends stay where they are."""
    if any(sign in text for sign in _SIGNS):
        return _ESCAPES.sub("", text)
    return text
