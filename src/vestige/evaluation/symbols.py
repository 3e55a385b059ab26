"""Is the label a function of a window's last symbol (a log message's template) alone?

Where it is, a look-up table of symbols scores as well as any model on symbols it knows, and a random
split measures nothing but memory.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vestige.evaluation.metrics import confusion, macro_f1
from vestige.evaluation.results import CheckResult, SymbolFinding
from vestige.splits import Parts

IntArray = NDArray[np.int64]
NEARLY = 0.99
"""Share of windows with their symbol's usual label from which on the symbol all but decides it."""


def symbol_finding(parts: Parts, groups: IntArray, unit: str = "template") -> SymbolFinding:
    """`groups (n_steps,)`: the symbol of every step, a negative number for padding."""
    order = (parts.train, parts.validation, parts.test)
    sizes = np.cumsum([len(side) for side in order])[:-1]
    _, codes = np.unique(np.concatenate([groups[side.target_step] for side in order]), return_inverse=True)
    train, _, test = np.split(codes.astype(np.int64), sizes)
    labels = np.concatenate([side.label for side in order]).astype(np.int64)
    k = len(parts.train.schema.classes)
    symbols = int(codes.max()) + 1 if len(codes) else 0
    carried = _counts(codes, labels, symbols, k)
    learnt = _counts(train, parts.train.label.astype(np.int64), symbols, k)
    known = learnt.sum(axis=1) > 0
    table = np.where(known, learnt.argmax(axis=1), learnt.sum(axis=0).argmax())
    truth, said, known_test = parts.test.label.astype(np.int64), table[test], known[test]
    present = np.bincount(truth, minlength=k) > 0
    everything = np.ones(len(truth), dtype=np.bool_)
    scores = [_score(truth, said, rows, present) for rows in (everything, known_test, ~known_test)]
    mixed = int(((carried > 0).sum(axis=1) > 1).sum())
    agreement = float(carried.max(axis=1).sum() / max(len(labels), 1)) if symbols else 1.0
    unknown = int((~known_test).sum())
    return SymbolFinding(
        unit=unit,
        symbols=symbols,
        mixed=mixed,
        agreement=agreement,
        lookup_macro_f1=scores[0],
        windows_known=len(truth) - unknown,
        windows_unknown=unknown,
        lookup_macro_f1_known=scores[1],
        lookup_macro_f1_unknown=scores[2],
        sentence=f"{_claim(unit, symbols, mixed, agreement)} {_scores(unit, scores[0], scores[2], unknown)}",
    )


def symbol_check(finding: SymbolFinding | None) -> CheckResult:
    """The finding as a line of the audit: share of symbols that carry more than one label."""
    name = "label_determined_by_symbol"
    if finding is None:
        return CheckResult(name=name, status="not_applicable", detail="the source has no groups of steps")
    detail = _claim(finding.unit, finding.symbols, finding.mixed, finding.agreement or 0.0)
    return CheckResult(
        name=name,
        status="warn" if (finding.agreement or 0.0) >= NEARLY else "pass",
        figure=finding.mixed / max(finding.symbols, 1),
        detail=detail,
    )


def _counts(codes: IntArray, labels: IntArray, symbols: int, k: int) -> IntArray:
    """Windows by symbol and class, `(symbols, K)`."""
    return np.bincount(codes * k + labels, minlength=symbols * k).reshape(symbols, k).astype(np.int64)


def _score(
    truth: IntArray, said: IntArray, rows: NDArray[np.bool_], present: NDArray[np.bool_]
) -> float | None:
    """Macro F1 at `rows`; None when they lack a class that the test part has."""
    k = len(present)
    if not np.array_equal(np.bincount(truth[rows], minlength=k) > 0, present):
        return None
    return float(macro_f1(confusion(truth[rows], said[rows], k)))


def _claim(unit: str, symbols: int, mixed: int, agreement: float) -> str:
    carry = f"{mixed} of {symbols} {unit}s carry more than one label"
    if mixed == 0:
        return f"In this corpus the label is a function of the {unit}: {carry}."
    usual = f"{agreement:.2%} of the windows have their {unit}'s usual label"
    if agreement >= NEARLY:
        return f"In this corpus the label is nearly a function of the {unit}: {carry}, and {usual}."
    return f"In this corpus the {unit} alone does not decide the label: {carry}, and {usual}."


def _scores(unit: str, everywhere: float | None, on_unknown: float | None, unknown: int) -> str:
    text = f"A look-up table of {unit}s "
    text += "has no macro F1" if everywhere is None else f"scores macro F1 {everywhere:.3f}"
    text += " on the test part; "
    if not unknown:
        article = "an" if unit[:1] in "aeiou" else "a"
        return f"{text}no test window has {article} {unit} that training never saw."
    if on_unknown is None:
        return f"{text}the {unknown} test windows whose {unit} training never saw lack a class: no score."
    return f"{text}on the {unknown} test windows whose {unit} training never saw it scores {on_unknown:.3f}."
