"""Making whatever a log line holds harmless in Plotly's labels and in scripts."""

from __future__ import annotations

import json
from typing import Any

from vestige.escaping import visible

__all__ = ["LABEL", "plotly_text", "script_json", "visible"]

LABEL = 60
"""Characters of a label that a figure shows."""


def plotly_text(value: Any) -> Any:
    """A figure with all of its strings made literal: Plotly reads `<b>`, `<a>` and entities in labels."""
    if isinstance(value, str):
        return visible(value, LABEL).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if isinstance(value, dict):
        return {key: plotly_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plotly_text(item) for item in value]
    return value


def script_json(value: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
