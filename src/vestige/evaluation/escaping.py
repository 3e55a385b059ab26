"""Making whatever a log line holds harmless and visible: in HTML, in Plotly's labels, on a terminal."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

LONGEST = 400
"""Characters of a text that are shown."""
LABEL = 60
"""Characters of a label that a figure shows."""
_INVISIBLE = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}


def visible(text: str, longest: int = LONGEST) -> str:
    """`text` with control, bidirectional and other invisible characters spelt out, cut to `longest`."""
    shown = text[:longest]
    if not shown.isprintable():
        shown = "".join(map(_spelt_out, shown))
    hidden = len(text) - longest
    return f"{shown} ... ({hidden:,} more characters)" if hidden > 0 else shown


def _spelt_out(character: str) -> str:
    if character == "\t":
        return " "
    if unicodedata.category(character) not in _INVISIBLE:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def plotly_text(value: Any) -> Any:
    """A figure with all of its strings made literal: Plotly reads `<b>`, `<a>` and entities in labels."""
    if isinstance(value, str):
        return visible(value, LABEL).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if isinstance(value, dict):
        return {key: plotly_text(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plotly_text(one) for one in value]
    return value


def script_json(value: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
