"""Who is held out: named recipes that assign recordings (or spans, or groups) to train, validation, test.

`make(recipe, windows)` gives a `Split`; `Split.parts(windows)` the three WindowSets; `.sealed()` of those
is what training code is handed: its test part cannot be read.
"""

from vestige.splits.base import FRACTIONS, PARTS, Parts, SealedParts, Split, dataset_digest, listed
from vestige.splits.recipes import default_recipe, make, recipes
from vestige.splits.sets import save_sets

__all__ = [
    "FRACTIONS",
    "PARTS",
    "Parts",
    "SealedParts",
    "Split",
    "dataset_digest",
    "default_recipe",
    "listed",
    "make",
    "recipes",
    "save_sets",
]
