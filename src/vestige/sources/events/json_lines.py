"""Lines of JSON, whatever they hold."""

from __future__ import annotations

import json
from typing import Any


class BadRecordError(ValueError):
    """What is wrong with a record."""


def decode(text: str) -> dict[str, Any]:
    """The object of a line of JSON, numbers kept as they are written; the last of equal keys wins."""
    try:
        record = _DECODER.decode(text.lstrip("\ufeff"))
    except RecursionError as error:
        raise BadRecordError("nested too deeply") from error
    except ValueError as error:
        raise BadRecordError(f"no JSON object ({str(error)[:80]})") from error
    if not isinstance(record, dict):
        raise BadRecordError("no JSON object")
    inner = record.get("_source")
    # What a search engine exports has the document itself under this key.
    if isinstance(inner, dict):
        return inner
    return record


_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=lambda _: None)
