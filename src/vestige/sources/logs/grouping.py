"""How well messages are grouped by template, against groups made by people.

Zhu et al.: Tools and Benchmarks for Automated Log Parsing. ICSE-SEIP 2019, section 3.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

from vestige.sources.logs.masks import Masker
from vestige.sources.logs.templates import Matcher, fit_templates


def grouping_accuracy(found: Sequence[Hashable], truth: Sequence[Hashable]) -> float:
    """Share of messages whose group holds exactly the messages of their true group."""
    both = Counter(zip(found, truth, strict=True))
    ours, theirs = Counter(found), Counter(truth)
    # A group is right where both sides agree on all its members: the pair is as frequent as either alone.
    right = sum(n for (a, b), n in both.items() if n == ours[a] == theirs[b])
    if not truth:
        return 1.0
    return right / len(truth)


def group_by_template(contents: Sequence[str], masker: Masker) -> list[str]:
    """The template of every message, fitted on all of them; a message without one is its own group."""
    texts = [masker.mask(content) for content in contents]
    unique = Counter(texts)
    templates = fit_templates(list(unique), list(unique.values()))
    matched = Matcher(templates).match(list(unique))
    of_text = {}
    for text, at in zip(unique, matched.tolist(), strict=True):
        # A text that no template matches is a group by itself.
        of_text[text] = templates[at] if at >= 0 else text
    return [of_text[text] for text in texts]
