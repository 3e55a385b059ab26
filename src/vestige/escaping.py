"""Making whatever evidence holds harmless and visible: hosts, names, messages are an attacker's."""

from __future__ import annotations

import unicodedata

LONGEST = 400
"""Characters of a text that are shown."""
_INVISIBLE = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}


def visible(text: str, longest: int = LONGEST) -> str:
    """`text` with control, bidirectional and other invisible characters spelt out, cut to `longest`."""
    shown = text[:longest]
    if not shown.isprintable():
        shown = "".join(map(_spelt_out, shown))
    hidden = len(text) - longest
    return f"{shown} ... ({hidden:,} more characters)" if hidden > 0 else shown


def visible_lines(text: str, longest: int = 10_000) -> str:
    """Like `visible`, line ends kept; lines after the first are indented, so that none poses as a message."""
    first, *more = (visible(line, longest) for line in text.split("\n"))
    return "\n".join([first, *(line if line.startswith("  ") else f"  {line}" for line in more)])


def _spelt_out(character: str) -> str:
    if character == "\t":
        return " "
    if unicodedata.category(character) not in _INVISIBLE:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def toml_text(text: str) -> str:
    """A text of TOML. What nobody would see, or what would steer an editor, is written as its number."""
    return f'"{"".join(map(_toml_character, text))}"'


def _toml_character(each: str) -> str:
    if each in '"\\':
        return f"\\{each}"
    return each if each.isprintable() else f"\\U{ord(each):08x}"
