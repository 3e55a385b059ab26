"""Every command that the docs show could be typed: its verb, its source and its options are those of the
program. (Tutorials are run: `test_tutorials`.)"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.cli import surface
from tests.test_docs import PAGES, ROOT
from vestige.sources import registry

PARTS = re.compile(r"^```.*?\n(.*?)^```|`([^`\n]+)`|^ {4}(.+)$", re.MULTILINE | re.DOTALL)
"""Blocks between fences; words between backticks; lines of blocks that are indented."""
COMMANDS = {name: surface.options(command) for name, command in surface.commands()}
EVERYWHERE = {"-h", "--help", "--debug", "-q", "--quiet", "-l", "--log-level", "--version", "--config"}
FIRST = EVERYWHERE | {"--install-completion", "--show-completion"}
OPERATORS = {"|", ">", ">>", "<", "&&", "||", ";", "&", "2>"}
GENERATED = {"cli.md", "board.md"}
"""Pages that a program writes: what they show was typed, or is the program's own help."""
SHOWN = [page for page in PAGES if page.name not in GENERATED]


def shown(page: Path) -> list[str]:
    """The commands of a page, each on a line: from `vestige` to the end or the next one of a shell."""
    found = []
    for block, words, line in PARTS.findall(page.read_text(encoding="utf-8")):
        for each in (block or words or line).replace("\\\n", " ").splitlines():
            text = (
                each.strip().removeprefix("$ ").removeprefix("ExecStart=").removeprefix("/opt/vestige/bin/")
            )
            if re.match(r"vestige [a-zA-Z-]", text):
                found.append(text)
    return found


def unknown(text: str) -> list[str]:
    """What of a command the program does not know."""
    words = shlex.split(text, comments=True)[1:]
    ends = next((at for at, word in enumerate(words) if word in OPERATORS), len(words))
    words = [word for word in words[:ends] if word not in {"-q", "--quiet", "--debug"}]
    if words and words[0] in {"-l", "--log-level"}:
        words = words[2:]
    if not words or words[0].startswith("-") or not words[0].islower():
        return [word for word in words[:1] if word.startswith("-") and word not in FIRST]
    name = f"vestige {words[0]}"
    if name not in COMMANDS:
        return [words[0]]
    known = {*EVERYWHERE, *(word for other in COMMANDS for word in other.split()[2:])}
    within = [other for other in COMMANDS if other.startswith(f"{name} ")]
    if len(words) > 1 and f"{name} {words[1]}" in COMMANDS:
        within = [f"{name} {words[1]}"]
    elif within and len(words) > 1 and re.fullmatch(r"[a-z]+", words[1]) and words[1] not in PLUGINS:
        return [f"{words[0]} {words[1]}"]
    for other in [name, *within]:
        known |= {option for options in COMMANDS[other] for option in options}
    options = [word.partition("=")[0] for word in words if re.match(r"--?[a-zA-Z]", word)]
    short = {option for option in known if len(option) == 2}
    return [each for each in options if each not in known and not (each[1] != "-" and each[:2] in short)]


PLUGINS = {"badges", *registry.names()}
"""`badges`: the source of examples/plugin."""


def test_what_cannot_be_typed_is_found() -> None:
    assert unknown("vestige learn logs /var/log -o normal --budget 5/day | head -3 --nope") == []
    assert unknown("vestige -l 10 run SOURCE CORPUS -m gbt -j2") == []
    assert unknown("vestige lern logs x") == ["lern"]
    assert unknown("vestige learn lgos x") == ["learn lgos"]
    assert unknown("vestige learn logs x --bugdet 5/day") == ["--bugdet"]
    assert sum(len(shown(page)) for page in SHOWN) > 200


@pytest.mark.parametrize("page", SHOWN, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_a_page_shows_could_be_typed(page: Path) -> None:
    wrong = {text: found for text in shown(page) if (found := unknown(text))}
    assert wrong == {}
