"""How a corpus of logs is to be read. Field descriptions are the command line's help texts."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from vestige.schema import Target
from vestige.sources.logs.anomalies import Anomalies


def _year(text: str) -> str:
    try:
        day = text if "-" in text else f"{text}-01-01"
        year = date.fromisoformat(day).year
    except ValueError:
        year = 0
    if not 1970 <= year <= 2200:
        raise ValueError("expected a year from 1970 to 2200, or a day such as 2009-01-08")
    return text


Year = Annotated[str, BeforeValidator(str), AfterValidator(_year)]
"""A year, or a day of it in ISO 8601."""


Encoding = Literal["utf-8", "latin-1"]
LONGEST_LINE = 1 << 19


class LogOptions(BaseModel):
    """Options of `vestige prepare logs` and `vestige run logs`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: str = Field(
        default="auto",
        description="format of the lines: bgl, hdfs, rfc3164, ... or the path of your own (my.toml); several "
        "with commas between: each file has the first that fits it; auto: syslog, containers, web access, "
        "JSON lines, or whatever its first lines show",
    )
    sequence_type: Literal["background", "context"] = Field(
        default="background",
        description="messages around the one judged: those before it (background), or before and after it "
        "(context: live scoring waits for them)",
    )
    window_size: int = Field(
        default=9,
        ge=0,
        le=2047,
        description="number of messages around the one judged (with context: on each side)",
    )
    stride: int = Field(default=1, ge=1, description="messages between one window and the next")
    label: str | None = Field(
        default=None,
        description="which messages are anomalies: column, level:WARN,ERROR, words:FILE, or none "
        "where there are no labels (default: what the format says)",
    )
    anomalies: Anomalies = Field(
        default="point",
        description="what makes a window anomalous: its message (point), one around it (collective), either, "
        "or four classes: normal, point, collective, both",
    )
    year: Year | None = Field(
        default=None,
        description="where times name no year (syslog): that of each file's first line (2008), or the day "
        "after which nothing was written (2009-01-08)",
    )
    encoding: Encoding = Field(default="utf-8", description="encoding of the text")
    max_line_bytes: int = Field(
        default=65_536,
        ge=256,
        le=LONGEST_LINE,
        description="bytes of a line that are read; the rest is skipped",
    )
    embedding: str = Field(
        default="hashing",
        description="vectors of messages: hashing, minilm, or the path of a sentence model or word vectors",
    )
    values: bool = Field(
        default=False,
        description="keep, of every message, the first 8 values that masks replaced (numbers, and hashes of "
        "others): for detectors that look at values",
    )

    @property
    def length(self) -> int:
        """Messages in a window."""
        if self.sequence_type == "context":
            return 1 + 2 * self.window_size
        return 1 + self.window_size

    @property
    def target(self) -> Target:
        """Which of them is judged."""
        return "centre" if self.sequence_type == "context" else "last"
