"""What a learnt detector finds of planted anomalies, as a table of Markdown: from its `learnt.json`.

vestige simulate logs corpus --messages 100000 --seed 3
vestige learn logs corpus -o normal
python benchmarks/plants_table.py normal
"""

from __future__ import annotations

import sys
from pathlib import Path

from vestige.evaluation.learnt import FILE, Learnt
from vestige.evaluation.learnt_page import times
from vestige.evaluation.sensitivity import Found


def table(learnt: Learnt) -> list[str]:
    """A row a kind and strength, a column a detector, intervals behind each share."""
    sensitivity = learnt.sensitivity
    if sensitivity is None or not sensitivity.rows:
        return ["Nothing was planted."]
    names = list(sensitivity.rows[0].by)
    heads = []
    for name in names:
        head = name
        if name in sensitivity.beside and sensitivity.beside[name].times > 1:
            head += f" ({times(sensitivity.beside[name].times)} x)"
        heads.append(head)
    lines = [f"| planted | {' | '.join(heads)} |", "|---" * (len(names) + 1) + "|"]
    for row in sensitivity.rows:
        cells = [_cell(row.by[name]) for name in names]
        lines.append(f"| {row.what} | {' | '.join(cells)} |")
    return lines


def _cell(found: Found) -> str:
    return f"{100 * found.share:.0f} [{100 * found.low:.0f}, {100 * found.high:.0f}]"


if __name__ == "__main__":
    shown = Learnt.load(Path(sys.argv[1]) / FILE)
    print("\n".join(table(shown)))
    if shown.sensitivity is not None:
        anyway = [row.by[name].anyway for row in shown.sensitivity.rows for name in list(row.by)[:1]]
        print(f"\n{100 * sum(anyway) / max(len(anyway), 1):.0f}% of the stretches alert without a plant.")
        print(f"\n{shown.sensitivity.verdict}")
