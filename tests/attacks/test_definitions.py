"""Formats and mappings that somebody else wrote: read, or refused in words."""

from __future__ import annotations

import random
from importlib import resources
from pathlib import Path

import pytest

from tests.attacks.effort import EFFORT
from tests.attacks.test_headers import in_time
from vestige.errors import DefinitionError
from vestige.sources.definitions import Definitions
from vestige.sources.events.mapping import MAPPINGS
from vestige.sources.logs.format import FORMATS

KINDS: dict[str, Definitions] = {"format": FORMATS, "mapping": MAPPINGS}  # type: ignore[type-arg]
HOSTILE = (
    "x = " + "[" * 5000, "x = " + "{a=" * 5000, "x = " + "9" * 100_000, "x = 1e999", "x = nan",
    "x = 9999-99-99",
    "header = '''" + "(" * 5000 + "'''", "[mask]\nx = '" + "(" * 5000 + "'", "[mask]\nx = '(a|aa)+$'",
    "[mask]\nx = 'a{99999999999999999999}'", "[field]\nx = '(?P<x>a)(?P<x>b)'", "name = '../../etc/passwd'",
    "\0", "\ufeffx=1", "x=1\nx=1", "[x]\n[x]", "a" * 2_000_000, "# " + "x" * 1_100_000, 'x = "\\ud800"',
)  # fmt: skip


def refused(kind: str, file: Path, content: bytes) -> bool:
    file.write_bytes(content)
    with in_time(content[:200]):
        try:
            KINDS[kind].load(str(file))
        except DefinitionError:
            return True
    return False


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_definition_is_refused(kind: str, tmp_path: Path) -> None:
    for content in HOSTILE:
        assert refused(kind, tmp_path / "own.toml", content.encode("utf-8", "surrogatepass")), content[:80]


@pytest.mark.parametrize("kind", KINDS)
def test_a_definition_that_was_changed_anywhere_is_read_or_refused(kind: str, tmp_path: Path) -> None:
    rng, shipped = random.Random(3), KINDS[kind].shipped()
    assert shipped
    found = 0
    for _ in range(60 * EFFORT):
        name = rng.choice(shipped)
        folder = resources.files(KINDS[kind].package).joinpath(KINDS[kind].folder)
        whole = bytearray(folder.joinpath(f"{name}.toml").read_bytes())
        for _ in range(rng.choice((1, 3, 9))):
            at = rng.randrange(len(whole))
            whole[at : at + rng.choice((0, 1, 5))] = rng.choice(
                (b"(", b"[", b"*", b"+", b"\\", b'"', b"'", b"\n", b"{9999}", b"<x>", b"9" * 30, b"\xff", b"")
            )
        found += refused(kind, tmp_path / "own.toml", bytes(whole))
    assert found > 10 * EFFORT
