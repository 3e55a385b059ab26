"""How a corpus of logs is to be read. Field descriptions are the command line's help texts."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from vestige.schema import Target
from vestige.sources.logs.anomalies import Anomalies


class LogOptions(BaseModel):
    """Options of `vestige prepare logs` and `vestige run logs`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: str = Field(
        default="auto",
        description="format of the lines: bgl, hdfs, rfc3164, ... or the path of your own (my.toml); several "
        "with commas between: each file has the first that fits it; auto: syslog, dmesg, kippo, web access",
    )
    sequence_type: Literal["background", "context"] = Field(
        default="background",
        description="messages around the one judged: those before it (background), or before and after it "
        "(context: live scoring waits for them)",
    )
    window_size: int = Field(default=9, ge=0, le=2047, description="how many of them (context: on each side)")
    stride: int = Field(default=1, ge=1, description="messages between one window and the next")
    label: str | None = Field(
        default=None,
        description="which messages are anomalies: column, level:WARN,ERROR or words:FILE "
        "(default: what the format says)",
    )
    anomalies: Anomalies = Field(
        default="point",
        description="what makes a window anomalous: its message (point), one around it (collective), either, "
        "or four classes: normal, point, collective, both",
    )
    year: int | None = Field(
        default=None, ge=1970, le=2200, description="year of the first line, where times name none (syslog)"
    )
    encoding: Literal["utf-8", "latin-1"] = Field(default="utf-8", description="encoding of the text")
    max_line_bytes: int = Field(
        default=65_536, ge=256, le=1 << 19, description="bytes of a line that are read; the rest is skipped"
    )
    embedding: str = Field(
        default="hashing",
        description="vectors of messages: hashing, minilm, or the path of a sentence model or word vectors",
    )

    @property
    def length(self) -> int:
        """Messages in a window."""
        return 1 + self.window_size * (2 if self.sequence_type == "context" else 1)

    @property
    def target(self) -> Target:
        """Which of them is judged."""
        return "centre" if self.sequence_type == "context" else "last"
