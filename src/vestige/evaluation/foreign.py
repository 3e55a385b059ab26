"""Messages, events and targets that a piece of evidence never shows, to be planted into copies of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import polars as pl

from vestige.simulators.events.habits import Chance

MOST = 400
"""Foreign texts at most."""
NEW = 0.5
"""So many of the pairs of neighbouring words of a foreign message are in none of the evidence."""
WORD = re.compile(r"[^\W\d_]{2,}")
LIBRARIES = ("/srv/.cache/libstage.so", "/opt/.x/loader", "/usr/lib/x86_64-linux-gnu/libptrace_inject.so.1")
"""Modules that no program maps."""


def foreign_texts(source: str, table: pl.DataFrame, *, seed: int = 0) -> list[str]:
    """Texts that are not in the evidence's `table` of symbols: other formats' examples and the simulators'
    phrases for messages, the simulators' names and recombined ones for events, other modules and new offsets
    for targets of branches. Empty where a source is none of these."""
    rng = np.random.default_rng(seed)
    if "text" not in table.columns:
        return []
    if source == "traces":
        found: Iterable[str] = _targets(table, rng)
    elif source == "logs" or _wordy(table):
        found = _unlike(_messages(seed), table)
    else:
        found = [*_names(seed), *_recombined(table, rng)]
    texts = pl.Series("text", list(dict.fromkeys(found)), dtype=pl.String())
    new = texts.filter(~texts.is_in(table["text"].implode())).to_list()
    return [new[at] for at in sorted(rng.permutation(len(new))[:MOST].tolist())]


def _wordy(table: pl.DataFrame) -> bool:
    """Whether events are sentences rather than names."""
    blanks = table["text"][1:].str.count_matches(" ")
    return bool(len(blanks)) and float(blanks.median() or 0) >= 3  # type: ignore[arg-type]


def _messages(seed: int) -> list[str]:
    """Masked messages of many programs."""
    from vestige.simulators.logs import app, auth, database, phrases, system
    from vestige.simulators.logs.values import Values
    from vestige.sources.logs.format import every
    from vestige.sources.logs.masks import SHARED, Masker

    shared = Masker(list(SHARED.items()))
    texts = []
    for _, known in every():
        own = Masker(known.resolved_masks)
        for line in known.example:
            match = known.compiled().match(line)
            if match is not None and not known.keys:
                texts.append(own.mask(match["Content"]))
    programs = (app, auth, database, system)
    makers = [make for program in programs for make, _ in program.NORMAL] + [phrases.fault, phrases.quiet]
    for number in range(20):
        values = Values(f"{seed} {number}", "gate", number % 3)
        values.release = number % 3
        texts += [shared.mask(line.text) for make in makers for line in make(values)]
    return [text.partition("\n")[0] for text in texts]


def _unlike(texts: list[str], table: pl.DataFrame) -> list[str]:
    """Those of which half the pairs of neighbouring words are in none of the table: a message that differs
    from a known one in a word is not foreign."""
    pairs = {text: _pairs(text) for text in dict.fromkeys(texts)}
    every = sorted({pair for some in pairs.values() for pair in some})
    if not every:
        return []
    shown = table["text"].str.to_lowercase().str.extract_many(every, overlapping=True)
    known = set(shown.explode().unique().drop_nulls().to_list())
    return [text for text, some in pairs.items() if some and len(some - known) >= NEW * len(some)]


def _pairs(text: str) -> set[str]:
    """Neighbouring words, with what stands between them."""
    lower = text.lower()
    words = list(WORD.finditer(lower))
    return {lower[a.start() : b.end()] for a, b in pairwise(words)}


def _names(seed: int) -> list[str]:
    """Names of events that the simulator of a SIEM's export has."""
    from vestige.simulators.events.campaigns import STAGES
    from vestige.simulators.events.habits import NOISE, ROLES

    chance = Chance(f"{seed} foreign")
    chance.release = 2
    names = [event for parts in STAGES.values() for event, _, _ in parts] + list(NOISE)
    habits = {habit for role in ROLES for habit, _ in role.habits}
    for habit in sorted(habits, key=lambda habit: habit.__name__):
        names += [step.event for _ in range(20) for step in habit(chance)]
    return names


def _recombined(table: pl.DataFrame, rng: np.random.Generator) -> list[str]:
    """The beginning of one event's name with the end of another's, and its own middle turned."""
    texts = [text for text in table["text"][1:].to_list() if text]
    if len(texts) < 2:
        return []
    made = []
    for _ in range(MOST):
        a, b = (texts[at] for at in rng.choice(len(texts), size=2, replace=False).tolist())
        made.append(f"{a[: max(1, len(a) // 2)]}{b[len(b) // 2 :]}")
    return made


def _targets(table: pl.DataFrame, rng: np.random.Generator) -> list[str]:
    """Targets in modules that no program mapped, and at new offsets of known ones."""
    modules = [name for name in table["module"].unique().sort().to_list() if "/" in name or "." in name]
    places = [*LIBRARIES, *modules]
    offsets = rng.integers(0x1000, 0x1FFFFF, size=MOST)
    return [f"{places[at % len(places)]}+0x{offset:x}" for at, offset in enumerate(offsets.tolist())]
