"""What a schema says of events beside how records are read: whose windows they are, and what labels them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

from vestige import checked
from vestige.schema import Schema
from vestige.sources.events.options import LONGEST_TIMEOUT, LabelOf


@dataclass(frozen=True)
class EventSettings:
    """`timeout_s`: seconds after which an earlier event is out of context; `timed`: whether events have
    times; `templated`: whether they are messages, of which templates are learnt."""

    timeout_s: float
    timed: bool
    label_of: LabelOf
    anomalous_files: str
    templated: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, for the schema."""
        plain: dict[str, Any] = {
            "timeout_s": self.timeout_s,
            "timed": self.timed,
            "label_of": self.label_of,
            "anomalous_files": self.anomalous_files,
        }
        if self.templated:
            plain["templated"] = True
        return plain


def settings_of(schema: Schema) -> EventSettings:
    """What `EventSettings.to_dict` gave. Raises ValueError where a schema holds anything else."""
    plain = schema.settings
    timeout_s = checked.real(plain.get("timeout_s"), "timeout_s", 0, LONGEST_TIMEOUT)
    label_of: LabelOf = plain.get("label_of", "")
    if label_of not in get_args(LabelOf):
        raise ValueError(f"label_of is {checked.shown(label_of)}")
    return EventSettings(
        timeout_s,
        checked.flag(plain.get("timed"), "timed"),
        label_of,
        checked.text(plain.get("anomalous_files"), "anomalous_files"),
        checked.flag(plain.get("templated", False), "templated"),
    )
