"""Header patterns: `<Date> <Time> <Level> [<Process>] <Component>: <Content>` compiled to a safe regex.

    <Name>      a field: the shortest text up to what the pattern has next; `<Content>`: the rest of the line
    {...}       an optional part, such as `{[<Pid>]}`
    (a space)   one or more blanks; before `<Content>` also the end of the line
    << {{ }}    the characters < { } themselves; everything else stands for itself

Evidence is hostile, so no quantifier here ever gives back what it took: matching is linear in the line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

CONTENT = "Content"
BLANK = r"[ \t]++"

_PART = re.compile(r"<<|\{\{|\}\}|<(?P<field>[A-Za-z]\w*)>|(?P<open>\{)|(?P<close>\})|(?P<stray><)", re.ASCII)


@dataclass
class _Node:
    """A field (`name`), a literal (`text`), or an optional part (`parts`)."""

    name: str = ""
    text: str = ""
    parts: list[_Node] = field(default_factory=list)


def fields(pattern: str) -> list[str]:
    """Names of the fields in their order. Raises ValueError for a pattern that is none."""
    names: list[str] = []
    for node in _parse(pattern):
        if node.name:
            names.append(node.name)
        else:
            names += [part.name for part in node.parts if part.name]
    return names


def compile_header(pattern: str, shapes: dict[str, str]) -> re.Pattern[str]:
    """The regex whose named groups are the fields. `shapes` are regexes for fields of a known form.

    Raises ValueError with a sentence for the author of the pattern.
    """
    nodes = _parse(pattern)
    names = fields(pattern)
    if len(set(names)) != len(names):
        raise ValueError("a field occurs twice")
    if not nodes or nodes[-1].name != CONTENT:
        raise ValueError(f"the last field must be <{CONTENT}>")
    return re.compile(_sequence(nodes, [], shapes), re.ASCII)


def _parse(pattern: str) -> list[_Node]:
    nodes: list[_Node] = []
    inner: list[_Node] | None = None
    at = 0
    for found in _PART.finditer(pattern):
        here = inner
        if here is None:
            here = nodes
        _literal(here, pattern[at : found.start()])
        at = found.end()
        if found["field"]:
            here.append(_Node(name=found["field"]))
        elif found["stray"]:
            raise ValueError("a '<' that begins no field; write '<<' for the character itself")
        elif found["open"]:
            if inner is not None:
                raise ValueError("an optional part inside an optional part")
            inner = []
        elif found["close"]:
            if not inner:
                raise ValueError("'}' closes nothing; write '}}' for the character itself")
            nodes.append(_Node(parts=inner))
            inner = None
        else:
            _literal(here, found[0][0])
    if inner is not None:
        raise ValueError("'{' is never closed; write '{{' for the character itself")
    _literal(nodes, pattern[at:])
    return nodes


def _literal(nodes: list[_Node], text: str) -> None:
    if not text:
        return
    if nodes and nodes[-1].text:
        nodes[-1].text += text
    else:
        nodes.append(_Node(text=text))


def _sequence(nodes: list[_Node], after: list[str], shapes: dict[str, str]) -> str:
    out = []
    for index, node in enumerate(nodes):
        following = nodes[index + 1 :]
        if node.parts:
            out.append(f"(?:{_sequence(node.parts, _next_texts(following, after), shapes)})?+")
        elif node.text:
            last = bool(following) and following[0].name == CONTENT
            out.append(_text(node.text, may_end=last))
        elif node.name == CONTENT:
            out.append(rf"(?P<{CONTENT}>.*+)")
        elif node.name in shapes:
            out.append(f"(?P<{node.name}>{shapes[node.name]})")
        else:
            out.append(f"(?P<{node.name}>{_until(node.name, _next_texts(following, after))})")
    return "".join(out)


def _next_texts(following: list[_Node], after: list[str]) -> list[str]:
    """The literals that may come next: an optional part's own, and then what stands behind it."""
    texts: list[str] = []
    for node in following:
        if node.text:
            return [*texts, node.text]
        if not node.parts or not node.parts[0].text:
            return []
        texts.append(node.parts[0].text)
    return [*texts, *after]


def _until(name: str, texts: list[str]) -> str:
    """The shortest text, of one character at least, before the first of `texts`."""
    if not texts:
        raise ValueError(f"nothing stands between <{name}> and the next field to tell where it ends")
    # Possessive throughout: a line that does not fit is refused in linear time.
    firsts = "".join(sorted({" \t" if text[0] in " \t" else re.escape(text[0]) for text in texts}))
    if all(not text.strip(" \t") or len(text) == 1 for text in texts):
        return f"[^{firsts}]++"
    stop = "|".join(_text(text, may_end=True) for text in texts)
    return rf"(?!{stop})[^{firsts}]*+(?:(?!{stop})(?:{BLANK}|[{firsts}])[^{firsts}]*+)*+"


def _text(text: str, *, may_end: bool) -> str:
    """A literal, each run of blanks in it any run of blanks; the last one also the end of the line."""
    words = re.split(r"[ \t]+", text)
    if may_end and not words[-1] and len(words) > 1:
        # The blank at the end may be lacking where the line is over.
        return BLANK.join(re.escape(word) for word in words[:-1]) + f"(?:{BLANK}|$)"
    return BLANK.join(re.escape(word) for word in words)
