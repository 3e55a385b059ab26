"""How a corpus of traces is to be read. Field descriptions are the command line's help texts."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from vestige.schema import Schema

MIB = 1 << 20


class TraceOptions(BaseModel):
    """Options of `vestige prepare traces` and `vestige run traces`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sequence_len: int = Field(default=128, ge=2, le=4096, description="events in a window")
    sliding_window: bool = Field(
        default=True, description="a window for every event, or one after the other without overlap"
    )
    tip_only: bool = Field(default=False, description="leave conditional branches out: targets only")
    vocabulary: int = Field(
        default=4096, ge=64, le=65_536, description="events that have a token: the most frequent in training"
    )
    own_code: Literal["keep", "merge"] = Field(
        default="keep",
        description="code that only one program has: keep its tokens, or merge them into one, which "
        "helps with programs that training has not seen",
    )
    module_mib: int = Field(
        default=16,
        ge=1,
        le=4096,
        description="size of a module in MiB where the memory map gives its start alone",
    )


def options_of(schema: Schema) -> TraceOptions:
    """The options that a schema was made by. Raises ValueError where its settings are those of none."""
    return TraceOptions(sequence_len=schema.length, sliding_window=schema.padded, **schema.settings)
