"""JSON records, whatever they hold."""

from __future__ import annotations

import json
from typing import Any


class BadRecordError(ValueError):
    """What is wrong with a record."""


def decode(text: str) -> dict[str, Any]:
    """The object of a line of JSON, numbers kept as they are written; the last of equal keys wins.

    What a search engine exports is looked into: the document lies under `_source`, fields that were asked for
    under `fields` (Elasticsearch's response of a search), and Splunk's rows under `result`. Bytes that
    journald writes as a list of numbers become the text that they are.
    """
    try:
        record = _DECODER.decode(text.lstrip("\ufeff"))
    except RecursionError as error:
        raise BadRecordError("nested too deeply") from error
    except ValueError as error:
        raise BadRecordError(f"no JSON object ({str(error)[:80]})") from error
    if not isinstance(record, dict):
        raise BadRecordError("no JSON object")
    if "_source" in record or "fields" in record or "result" in record:
        return _inner(record)
    if "__REALTIME_TIMESTAMP" in record or "__CURSOR" in record:
        return {name: _text(value) for name, value in record.items()}
    return record


def _inner(record: dict[str, Any]) -> dict[str, Any]:
    """The document that an envelope holds; the record itself where these names mean nothing special."""
    source, fields = record.get("_source"), record.get("fields")
    if isinstance(fields, dict) and ("_id" in record or "_index" in record):
        return fields | source if isinstance(source, dict) else fields
    if isinstance(source, dict):
        return source
    result = record.get("result")
    if isinstance(result, dict) and ("preview" in record or "offset" in record):
        return result
    return record


def _text(value: Any) -> Any:
    """The text of a list of bytes (systemd's "Journal JSON Format"); of several values, of each of them."""
    if not isinstance(value, list) or not value:
        return value
    if all(isinstance(item, list) for item in value):
        return [_text(item) for item in value]
    if all(isinstance(item, str) and item.isdecimal() and len(item) <= 3 for item in value):
        numbers = [int(item) for item in value]
        if max(numbers) < 256:
            return bytes(numbers).decode("utf-8", errors="replace")
    return value


_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=lambda _: None)
