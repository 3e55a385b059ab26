"""What a window's inputs mean: names, units, order, vocabulary, window length, extractor settings.

A schema is plain data. Its digest (SHA-256 of canonical JSON) travels in datasets and checkpoints, so
that a model never meets inputs that mean something else than those it learnt from.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

from vestige import checked

Kind = Literal["summary", "tensor", "tokens", "vectors"]
Target = Literal["last", "centre", "recording"]
KINDS: tuple[Kind, ...] = ("summary", "tensor", "tokens", "vectors")
DTYPES = frozenset(
    [
        "bool",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float16",
        "float32",
        "float64",
    ]
)
"""What a stream may hold: plain numbers, no objects and no records."""
LARGEST = 1 << 24
"""Steps of a window, values of a step, and numbers of an input, at most."""
MOST_AXES = 8
"""Axes of a step's value at most."""

PAD, UNK = 0, 1
"""Token ids of padding and of whatever training never saw; a vocabulary's own entries start at 2."""
SPECIAL_TOKENS = ("<pad>", "<unk>")


@dataclass(frozen=True)
class Feature:
    """A column of a `summary` or a channel of a `tensor`; `host_only`: a deployed agent cannot see it."""

    name: str
    unit: str = ""
    host_only: bool = False


@dataclass(frozen=True)
class Stream:
    """A recording's contiguous array as the dataset keeps it: `streams/<name>.npy`, one step a row.

    `pad` fills the steps before a recording begins; None means missing (NaN, which JSON has no word for).
    """

    name: str
    dtype: str
    shape: tuple[int, ...] = ()
    unit: str = ""
    pad: float | None = 0

    @property
    def fill(self) -> float:
        """`pad` as a number."""
        return math.nan if self.pad is None else self.pad


@dataclass(frozen=True)
class Input:
    """A named array that a model receives.

    `summary (B, F)` and `tensor (B, C, T)` float32 name their `features`; `tokens (B, T)` int64 index
    `vocabulary` (None until it is fitted on training rows; whatever lies outside it is as unknown as UNK);
    `vectors (B, S, E)` float32 have `size` E. T and S are `length`, or the window's length where that is 0.
    """

    name: str
    kind: Kind
    features: tuple[Feature, ...] = ()
    vocabulary: tuple[str, ...] | None = None
    size: int = 0
    length: int = 0


@dataclass(frozen=True)
class Schema:
    """Everything that gives a window its meaning.

    `classes[0]` is the negative class (normal, benign). `length` and `stride` are in steps. `target`
    says whose label a window carries: that of its last step (`last`), of its middle one (`centre`: the window
    looks ahead), or of the whole recording. `padded`: a recording's first step already is the target of a
    window, behind `before` steps of padding, and its last one, before `ahead` of them.
    `settings` are the extractor's own, JSON values only; `version` counts changes of its numbers.
    """

    source: str
    version: int
    classes: tuple[str, ...]
    length: int
    stride: int
    streams: tuple[Stream, ...]
    inputs: tuple[Input, ...]
    target: Target = "last"
    padded: bool = True
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the canonical JSON of this schema."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def ahead(self) -> int:
        """Steps of a window after the one whose label it carries: so many steps does scoring wait."""
        return (self.length - 1) // 2 if self.target == "centre" else 0

    @property
    def before(self) -> int:
        """Steps of a window before the one whose label it carries (of a recording's: before its last)."""
        return self.length - 1 - self.ahead

    def input(self, name: str) -> Input:
        """The input called `name`; KeyError where there is none."""
        for spec in self.inputs:
            if spec.name == name:
                return spec
        raise KeyError(name)

    def fitted(self, inputs: tuple[Input, ...]) -> Schema:
        """This schema with inputs whose vocabularies were fitted on training rows."""
        return replace(self, inputs=inputs)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` turns it back into an equal schema."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Schema:
        """The schema that `to_dict` wrote.

        Raises KeyError or TypeError when fields are missing or unknown, ValueError when one holds something
        that no schema has: the numbers may come from a file that was damaged or made to do harm.
        """
        fields = dict(checked.mapping(plain, "the schema"))
        checked.text(fields["source"], "source")
        checked.whole(fields["version"], "version", 0, LARGEST)
        checked.whole(fields["length"], "length (steps of a window)", 1, LARGEST)
        checked.whole(fields["stride"], "stride (steps between windows)", 1, LARGEST)
        fields["classes"] = tuple(checked.texts(fields["classes"], "classes"))
        fields["streams"] = tuple(_stream_from_dict(stream) for stream in fields["streams"])
        fields["inputs"] = tuple(_input_from_dict(entry) for entry in fields["inputs"])
        if fields.get("target", "last") not in get_args(Target):
            raise ValueError(f"target is {checked.shown(fields['target'])}")
        checked.flag(fields.get("padded", True), "padded")
        checked.mapping(fields.get("settings", {}), "settings")
        return cls(**fields)


def _stream_from_dict(plain: dict[str, Any]) -> Stream:
    fields = dict(checked.mapping(plain, "a stream"))
    name = checked.text(fields["name"], "the name of a stream")
    if fields["dtype"] not in DTYPES:
        raise ValueError(f"stream {name}: dtype is {checked.shown(fields['dtype'])}")
    shape = fields.get("shape", ())
    if not isinstance(shape, list | tuple) or len(shape) > MOST_AXES:
        raise ValueError(f"stream {name}: shape is {checked.shown(shape)}")
    sizes = (checked.whole(size, f"stream {name}: an axis", 0, LARGEST) for size in shape)
    fields["shape"] = tuple(sizes)
    checked.whole(math.prod(fields["shape"]), f"stream {name}: the size of a step", 0, LARGEST)
    checked.text(fields.get("unit", ""), f"stream {name}: unit")
    if fields.get("pad") is not None:
        checked.real(fields["pad"], f"stream {name}: pad", -(2.0**63), 2.0**63)
    return Stream(**fields)


def _input_from_dict(plain: dict[str, Any]) -> Input:
    name = checked.text(checked.mapping(plain, "an input")["name"], "the name of an input")
    if plain["kind"] not in KINDS:
        raise ValueError(f"input {name}: kind is {checked.shown(plain['kind'])}")
    vocabulary = plain.get("vocabulary")
    if vocabulary is not None:
        vocabulary = tuple(checked.texts(vocabulary, f"input {name}: vocabulary"))
    return Input(
        name=name,
        kind=plain["kind"],
        features=tuple(_feature_from_dict(feature) for feature in plain.get("features", ())),
        vocabulary=vocabulary,
        size=checked.whole(plain.get("size", 0), f"input {name}: size", 0, LARGEST),
        length=checked.whole(plain.get("length", 0), f"input {name}: length", 0, LARGEST),
    )


def _feature_from_dict(plain: dict[str, Any]) -> Feature:
    fields = checked.mapping(plain, "a feature")
    name = checked.text(fields["name"], "the name of a feature")
    checked.text(fields.get("unit", ""), f"feature {name}: unit")
    checked.flag(fields.get("host_only", False), f"feature {name}: host_only")
    return Feature(**fields)


def diff(ours: Schema, theirs: Schema, limit: int = 20) -> list[str]:
    """What differs between two schemas, a line each (`path: ours -> theirs`), at most `limit` lines."""
    lines = [f"{path}: {a} -> {b}" for path, a, b in _differences("", ours.to_dict(), theirs.to_dict())]
    hidden = len(lines) - limit
    return lines if hidden <= 0 else [*lines[:limit], f"... and {hidden} more differences"]


def _differences(path: str, a: Any, b: Any) -> Iterator[tuple[str, str, str]]:
    if isinstance(a, dict) and isinstance(b, dict):
        for key in [*a, *(k for k in b if k not in a)]:
            yield from _differences(f"{path}.{key}".lstrip("."), a.get(key), b.get(key))
    elif isinstance(a, list) and isinstance(b, list):
        if len(a) != len(b):
            yield f"{path} (count)", str(len(a)), str(len(b))
        for row, (x, y) in enumerate(zip(a, b, strict=False)):
            name = x.get("name", row) if isinstance(x, dict) else row
            yield from _differences(f"{path}[{name}]", x, y)
    elif a != b:
        yield path, json.dumps(a), json.dumps(b)
