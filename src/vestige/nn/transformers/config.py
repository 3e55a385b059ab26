"""The settings of the transformers, under the names of CoLog's documentation."""

from __future__ import annotations

import ast
import operator
from dataclasses import dataclass, fields, replace
from typing import Any

_ALIASES = {"embed_size": "embedding_size", "n_classes": "num_classes"}  # names in the original's code
_SIZES = (
    "embed_size",
    "hidden_size",
    "projection_size",
    "heads",
    "layers",
    "len_messages",
    "n_classes",
    "sequences_fsize",
    "len_sequences",
)


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes and modes of a transformer; the defaults are those of CoLog's documentation.

    Attributes:
        embed_size: numbers in a token's embedding.
        hidden_size: width of every block; a multiple of ``heads``.
        projection_size: width inside feed-forward networks and inside the scoring of glimpses.
        dropout_rate: in [0, 1).
        heads: attention heads.
        layers: blocks.
        len_messages: tokens of the longest message. With two layers or more, each position of a message has
            a glimpse of its own between them, so that no message may be longer.
        n_classes: logits.
        sequences_fsize: numbers in each vector of the second modality.
        len_sequences: vectors of the longest sequence; as ``len_messages``.
        padding_idx: the token id that means "nothing here"; None where there is none. Words that the
            vocabulary lacks need an id of their own.
        as_published: compute what the original computes, slips included: masks in the first collaborative
            block only, unmasked pooling, a layer norm that divides by (unbiased deviation + eps), and rows of
            nothing but padding that attend evenly to all of it.
        checkpointing: in training keep no activations inside blocks, and compute them again for the slopes
            (Chen et al., arXiv:1604.06174): the same slopes with less memory, in more time.

    Raises:
        ValueError: a value out of range; it says which to change.
    """

    embed_size: int = 300
    hidden_size: int = 256
    projection_size: int = 2048
    dropout_rate: float = 0.1
    heads: int = 4
    layers: int = 2
    len_messages: int = 10
    n_classes: int = 2
    sequences_fsize: int = 384
    len_sequences: int = 5
    padding_idx: int | None = 0
    as_published: bool = False
    checkpointing: bool = False

    def __post_init__(self) -> None:
        for name in _SIZES:
            _check_size(name, getattr(self, name))
        check_rate(self.dropout_rate)
        if self.hidden_size % self.heads:
            raise ValueError(_advice_on_heads(self.hidden_size, self.heads))


def read_config(args: object, needed: tuple[str, ...], **overrides: Any) -> TransformerConfig:
    """The configuration in ``args``: a TransformerConfig, or anything with attributes of its names.

    Numbers written as strings are read as Python literals; nothing is evaluated. ``overrides`` win where they
    are not None.

    Raises:
        ValueError: a needed attribute is missing, or a value is out of range or no number.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    if isinstance(args, TransformerConfig):
        return replace(args, **given)
    found = {field.name: _attribute(args, field.name) for field in fields(TransformerConfig)}
    found = {name: value for name, value in found.items() if value is not None} | given
    if getattr(args, "padding_idx", 0) is None and "padding_idx" not in given:
        found["padding_idx"] = None
    missing = [name for name in needed if name not in found]
    if missing:
        raise ValueError(f"args lacks {', '.join(missing)}: set it, or pass a TransformerConfig")
    return TransformerConfig(**{name: _number(name, value) for name, value in found.items()})


def _attribute(args: object, name: str) -> Any:
    value = getattr(args, name, None)
    if value is None and name in _ALIASES:
        return getattr(args, _ALIASES[name], None)
    return value


def _number(name: str, value: Any) -> Any:
    if isinstance(value, str):
        try:
            value = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            raise ValueError(
                f"{name}={value!r} is no number: strings are read as literals, never evaluated; pass the"
                f" value itself, or its str()"
            ) from None
    if name == "dropout_rate" and not isinstance(value, bool) and hasattr(value, "__float__"):
        return float(value)
    if name in _SIZES and not isinstance(value, bool) and hasattr(value, "__index__"):
        return operator.index(value)
    return value


def _check_size(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name}={value!r} must be a whole number of at least 1")


def check_sizes(**sizes: object) -> None:
    """Raise ValueError unless every named size is a positive int."""
    for name, value in sizes.items():
        _check_size(name, value)


def check_rate(rate: object) -> None:
    """Raise ValueError unless ``rate`` is a share in [0, 1)."""
    if not isinstance(rate, int | float) or isinstance(rate, bool) or not 0 <= rate < 1:
        raise ValueError(f"dropout_rate={rate!r} must be a number of at least 0 and below 1")


def _advice_on_heads(hidden: int, heads: int) -> str:
    below, above = hidden // heads * heads, (hidden // heads + 1) * heads
    sizes = f"{below} or {above}" if below else f"{above}"
    divisors = ", ".join(str(count) for count in range(1, min(hidden, 64) + 1) if hidden % count == 0)
    return (
        f"hidden_size={hidden} is not divisible by heads={heads}: change hidden_size to {sizes}, or heads to"
        f" one of {divisors}"
    )
