"""Who is held out: recipes assign recordings (or spans, or groups) to train, validation and test.

`make(recipe, windows)` gives a `Split`; `Split.parts(windows)` the three WindowSets; `.sealed()` of those
is what training code is handed: its test part cannot be read. What a recipe is stands in `vestige.recipes`.
"""

from vestige.splits.inner import with_validation
from vestige.splits.making import default_recipe, make
from vestige.splits.sets import save_sets
from vestige.splits.split import (
    FRACTIONS,
    PARTS,
    Parts,
    SealedParts,
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
    "Split",
    "dataset_digest",
    "default_recipe",
    "groups_of",
    "listed",
    "make",
    "members_of",
    "save_sets",
    "with_validation",
]
