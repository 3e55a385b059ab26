"""Grouping accuracy on the loghub samples: with each format's masks, and without any. Prints a table.

.venv/bin/python benchmarks/bench_grouping.py [../shared/data/loghub]
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from vestige.sources.logs.format import load
from vestige.sources.logs.grouping import group_by_template, grouping_accuracy
from vestige.sources.logs.masks import Masker

SAMPLES = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "loghub"


def main() -> None:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLES
    if not root.is_dir():
        print(f"skipped: no loghub samples at {root}")
        return
    print("| system | with masks | without | templates found | true |")
    print("|---|---|---|---|---|")
    sums = [0.0, 0.0]
    files = sorted(root.glob("*/*_structured.csv"))
    for file in files:
        system = file.parent.name
        with file.open(newline="", encoding="utf-8") as handle:
            rows = list(csv.DictReader(handle))
        contents, truth = [row["Content"] for row in rows], [row["EventId"] for row in rows]
        found = group_by_template(contents, Masker(load(system.lower()).resolved_masks))
        raw = group_by_template(contents, Masker([]))
        scores = grouping_accuracy(found, truth), grouping_accuracy(raw, truth)
        sums = [a + b for a, b in zip(sums, scores, strict=True)]
        print(f"| {system} | {scores[0]:.3f} | {scores[1]:.3f} | {len(set(found))} | {len(set(truth))} |")
    print(f"| **mean** | **{sums[0] / len(files):.3f}** | **{sums[1] / len(files):.3f}** | | |")


if __name__ == "__main__":
    main()
