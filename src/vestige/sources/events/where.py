"""Which records count: `--where 'event_type == "alert" and alert.severity <= 2'`.

A small language of its own, read by a parser of its own; nothing of it is run as code:

    expression = expression or expression | expression and expression | not expression | ( expression )
               | exists FIELD | FIELD contains TEXT | FIELD in (VALUE, ...) | FIELD not in (VALUE, ...)
               | FIELD == VALUE | != | < | <= | > | >=

A field is a path as a mapping has it (`alert.severity`, `resources[].name`), in backquotes where it holds
other characters. A value is a text in quotes, a number, `true`, `false` or `null`. Numbers are compared as
numbers, everything else as text, letter by letter. Of a list, one item that fits is enough. A field that is
not there equals `null` alone, and is neither less nor greater than anything.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from vestige.sources.events.fields import look_up, plain_path, text_of

Record = dict[str, Any]
Condition = Callable[[Record], bool]

MOST_CHARACTERS, MOST_NESTED = 4096, 50
MOST_ITEMS = 1024

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<quoted>`[^`]+`)
      | (?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,3})?(?![\w.@]))
      | (?P<mark>==|!=|<=|>=|&&|\|\||[<>()\[\],!=])
      | (?P<word>[\w@$#][\w@$#.:/*-]*(?:\[\d*\][\w@$#.:/*-]*)*)
    )""",
    re.VERBOSE | re.ASCII,
)
_NUMBER = re.compile(r"[+-]?\d{1,400}(?:\.\d{0,400})?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_TRUTHS = ("true", "false")
_KEYWORDS = {"and", "or", "not", "in", "contains", "exists", "true", "false", "null"}


class WhereError(ValueError):
    """What is wrong with an expression, and where."""


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


class _Value(NamedTuple):
    """What a field is compared with: its text, and its number where it is one. Null has no text."""

    text: str | None
    number: float | None

    def equals(self, found: Any) -> bool:
        """Whether a field's value is this one, or a list that has it."""
        if isinstance(found, list):
            return any(self.equals(item) for item in found[:MOST_ITEMS])
        if self.text is None:
            return found is None
        if found is None or isinstance(found, dict):
            return False
        if self.number is not None:
            return _number(found) == self.number
        if self.text in _TRUTHS:
            # Tables write truth values as they like: True, TRUE, true.
            return text_of(found).casefold() == self.text
        return text_of(found) == self.text


def condition(expression: str) -> Condition:
    """What `expression` says of a record. Raises WhereError."""
    if len(expression) > MOST_CHARACTERS:
        raise WhereError(f"longer than {MOST_CHARACTERS} characters")
    parser = _Parser(_tokens(expression))
    found = parser.either(0)
    parser.end()
    return found


def named(expression: str) -> list[str]:
    """The paths of the fields that an expression asks for, in their order, each once."""
    words = [token.text for token in _tokens(expression) if token.kind in {"word", "quoted"}]
    return list(dict.fromkeys(plain_path(word.strip("`")) for word in words if word not in _KEYWORDS))


def _tokens(expression: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while at < len(expression.rstrip()):
        found = _TOKEN.match(expression, at)
        if found is None or found.lastgroup is None:
            raise WhereError(f"cannot read {expression[at:].strip()[:20]!r} (character {at + 1})")
        tokens.append(_Token(found.lastgroup, found[found.lastgroup], found.start(found.lastgroup) + 1))
        at = found.end()
    return tokens


class _Parser:
    """Recursive descent over the tokens of an expression."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def end(self) -> None:
        """There must be no token left."""
        if self._at < len(self._tokens):
            raise self._unexpected("nothing more")

    def either(self, depth: int) -> Condition:
        """Conditions joined with `or`."""
        if depth > MOST_NESTED:
            raise WhereError(f"nested more than {MOST_NESTED} deep")
        choices = [self._both(depth)]
        while self._take("or", "||"):
            choices.append(self._both(depth))
        if len(choices) == 1:
            return choices[0]
        return lambda record: any(choice(record) for choice in choices)

    def _both(self, depth: int) -> Condition:
        needed = [self._single(depth)]
        while self._take("and", "&&"):
            needed.append(self._single(depth))
        if len(needed) == 1:
            return needed[0]
        return lambda record: all(need(record) for need in needed)

    def _single(self, depth: int) -> Condition:
        negated = False
        while self._take("not", "!"):
            negated = not negated
        if self._take("("):
            found = self.either(depth + 1)
            self._need(")")
        elif self._take("exists"):
            path = self._field()
            found = lambda record: look_up(record, path) is not None  # noqa: E731
        else:
            found = self._comparison()
        if negated:
            return lambda record: not found(record)
        return found

    def _comparison(self) -> Condition:
        path = self._field()
        if self._take("contains"):
            part = self._value().text or ""
            return lambda record: _contains(look_up(record, path), part)
        negated = bool(self._take("not"))
        if negated or self._is("in"):
            self._need("in")
            values = self._values()
            return lambda record: any(value.equals(look_up(record, path)) for value in values) != negated
        sign = self._take("==", "!=", "<=", ">=", "<", ">", "=")
        if not sign:
            raise self._unexpected("a comparison (==, !=, <, <=, >, >=, in, contains)")
        value = self._value()
        if sign in {"==", "="}:
            return lambda record: value.equals(look_up(record, path))
        if sign == "!=":
            return lambda record: not value.equals(look_up(record, path))
        compare = _COMPARE[sign]
        return lambda record: _is_ordered(look_up(record, path), compare, value)

    def _values(self) -> list[_Value]:
        close = {"(": ")", "[": "]"}.get(self._take("(", "["), "")
        if not close:
            raise self._unexpected("a list in parentheses")
        values = [self._value()]
        while self._take(","):
            values.append(self._value())
        self._need(close)
        return values

    def _field(self) -> str:
        token = self._next("a field")
        if token.kind in {"quoted", "word"} and token.text not in _KEYWORDS:
            return plain_path(token.text.strip("`"))
        self._at -= 1
        raise self._unexpected("a field")

    def _value(self) -> _Value:
        token = self._next("a value")
        if token.kind == "text":
            return _Value(re.sub(r"\\(.)", r"\1", token.text[1:-1], flags=re.DOTALL), None)
        if token.kind == "number":
            return _Value(token.text, float(token.text))
        if token.text in _TRUTHS:
            return _Value(token.text, None)
        if token.text == "null":
            return _Value(None, None)
        self._at -= 1
        raise self._unexpected("a value: a text in quotes, a number, true, false or null")

    def _next(self, wanted: str) -> _Token:
        if self._at == len(self._tokens):
            raise self._unexpected(wanted)
        self._at += 1
        return self._tokens[self._at - 1]

    def _is(self, *texts: str) -> bool:
        if self._at == len(self._tokens):
            return False
        token = self._tokens[self._at]
        return token.kind in {"mark", "word"} and token.text in texts

    def _take(self, *texts: str) -> str:
        """The next token, where it is one of `texts`; else empty."""
        if not self._is(*texts):
            return ""
        self._at += 1
        return self._tokens[self._at - 1].text

    def _need(self, text: str) -> None:
        if not self._take(text):
            raise self._unexpected(repr(text))

    def _unexpected(self, wanted: str) -> WhereError:
        if self._at == len(self._tokens):
            return WhereError(f"it ends where {wanted} should come")
        token = self._tokens[self._at]
        return WhereError(f"{token.text[:40]!r} (character {token.at}) where {wanted} should come")


def _number(value: Any) -> float | None:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return float(value)
    return None


def _contains(value: Any, part: str) -> bool:
    if isinstance(value, list):
        return any(_contains(item, part) for item in value[:MOST_ITEMS])
    return isinstance(value, str) and part in value


def _is_ordered(value: Any, compare: Callable[[Any, Any], bool], limit: _Value) -> bool:
    if isinstance(value, list):
        return any(_is_ordered(item, compare, limit) for item in value[:MOST_ITEMS])
    if limit.number is not None:
        number = _number(value)
        return number is not None and compare(number, limit.number)
    return isinstance(value, str) and limit.text is not None and compare(value.strip(), limit.text)
