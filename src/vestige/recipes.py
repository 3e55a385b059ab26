"""Who may be held out, as data: what `--split NAME` stands for.

A recipe is one entry: in `RECIPES`, or in the `recipes` of the source that alone has it. Splitting, the
audit, the bootstrap and the help of the command line read that entry; none of them knows a recipe by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self, get_args

from vestige import checked
from vestige.errors import SplitError

Unit = Literal["recording", "span", "group", "window"]
"""What is assigned as a whole: a recording, a span of time, a group of steps, or a window by itself."""


@dataclass(frozen=True)
class Recipe:
    """How evidence is divided into train, validation and test, and what that division may be asked.

    Attributes:
        name: The word that `--split` takes.
        unit: What is assigned as a whole.
        column: For unit `recording`, the column of `recordings.parquet` whose equal values stay on one side
            (`id`: every recording by itself). For unit `group`, the column of `table` that says the groups.
        stream: For unit `group`, the stream whose values are the groups, or the rows of `table` that say
            them. A value of 0 is padding, in the stream and in the table.
        table: For unit `group`, the table that `stream` points into; empty where the stream says it itself.
        promises: Names of the checks of the audit that must pass; others of the same kind only tell.
        cluster: What one of the held out is called, in the singular, and what the bootstrap draws. Empty:
            recordings, or blocks of time of a single one.
        in_distribution: Whether the test part looks like the training part, so that figures say nothing of
            new hosts or later days.
        fallback: What is assigned instead where there are too few recordings to assign them whole.
        formerly: The name that the recipe had in the version before, which `--split` still takes.
    """

    name: str
    unit: Unit
    column: str = ""
    stream: str = ""
    table: str = ""
    promises: tuple[str, ...] = ()
    cluster: str = ""
    in_distribution: bool = False
    fallback: Unit | None = None
    formerly: str = ""

    def __str__(self) -> str:
        return self.name

    @property
    def held_column(self) -> str:
        """The column of the recordings whose equal values stay on one side, where whole ones are assigned."""
        if self.unit == "recording":
            return self.column
        return "id"

    @property
    def names_members(self) -> bool:
        """Whether a person may name the members of the test part (`--hold-out`)."""
        return self.held_column != "id"

    @property
    def stratified(self) -> bool:
        """Whether every profile is wanted on every side: not where profiles are held out on purpose."""
        return self.unit == "recording" and self.column != "profile"

    def to_dict(self) -> dict[str, Any]:
        """The recipe as JSON-ready values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Self:
        """The recipe whose `to_dict` gave `plain`. Raises ValueError for anything else."""
        checked.mapping(plain, "recipe")
        if set(plain) != {field.name for field in fields(cls)}:
            raise ValueError("other fields than a recipe has")
        for name in ("name", "column", "stream", "table", "cluster", "formerly"):
            checked.text(plain[name], name)
        checked.flag(plain["in_distribution"], "in_distribution")
        promises = tuple(checked.texts(plain["promises"], "promises"))
        for name, units in (("unit", get_args(Unit)), ("fallback", (*get_args(Unit), None))):
            if plain[name] not in units:
                raise ValueError(f"{name} is {checked.shown(plain[name])}")
        return cls(**{**plain, "promises": promises})


RECIPES: list[Recipe] = [
    Recipe("time", "span", promises=("time_order", "time_order_per_host")),
    Recipe("host", "recording", "host", promises=("hosts_disjoint",), cluster="host"),
    Recipe("sample", "recording", "sample", promises=("samples_disjoint",), cluster="sample"),
    Recipe(
        "profile", "recording", "profile",
        promises=("profiles_disjoint",), cluster="profile", formerly="type",
    ),
    Recipe("random", "recording", "id", cluster="recording", in_distribution=True, fallback="window"),
]  # fmt: skip
"""The recipes that every source has, in the order in which they are shown."""
DEFAULT, WITHOUT_TIMES = "time", "sample"
"""The recipe where none is named, and the one where nothing has a time that tells windows apart."""


def find(name: str, own: Iterable[Recipe] = ()) -> Recipe:
    """The recipe called `name`, among those of every source and those that a source brings as its `own`.

    Raises SplitError where there is none.
    """
    known = {recipe.name: recipe for recipe in (*RECIPES, *own)}
    if name not in known:
        raise SplitError(f"unknown split {name!r}", remedy=f"one of: {', '.join(known)}")
    return known[name]


def renamed(name: str) -> Recipe | None:
    """The recipe that was called `name` in the version before, if there is one."""
    if not name:
        return None
    return next((recipe for recipe in RECIPES if recipe.formerly == name), None)


def choice(recipes: Iterable[Recipe]) -> str:
    """The names of recipes as a person would list them: `host, sample or profile`."""
    *names, last = (recipe.name for recipe in recipes)
    if not names:
        return last
    return f"{', '.join(names)} or {last}"
