"""Who is held out: recipes assign recordings (or spans, or groups) to train, validation and test.

`plan(recipe, windows)` gives a `Split` and how much of what is on each side; `Split.parts(windows)` the three
WindowSets (`make` does both); `.sealed()` of those
is what training code is handed: its test part cannot be read. What a recipe is stands in `vestige.recipes`.
"""

from vestige.splits.inner import with_validation
from vestige.splits.making import default_recipe, make, plan
from vestige.splits.sets import save_sets
from vestige.splits.split import (
    FRACTIONS,
    PARTS,
    Parts,
    SealedParts,
    SideCounts,
    Split,
    dataset_digest,
    groups_of,
    listed,
    members_of,
)

__all__ = [
    "FRACTIONS",
    "PARTS",
    "Parts",
    "SealedParts",
    "SideCounts",
    "Split",
    "dataset_digest",
    "default_recipe",
    "groups_of",
    "listed",
    "make",
    "members_of",
    "plan",
    "save_sets",
    "with_validation",
]
