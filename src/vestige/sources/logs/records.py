"""Messages that are records: JSON objects, one a line or over several lines, and journald's export form.

Which keys hold the message, its time, level and machine is found by name (`find_keys`) and kept in
`Format.keys`. Names are those of ECS logging, logstash, bunyan, pino, zap, slog, GELF, Serilog, OpenTelemetry
(also OTLP as JSON), Docker's json-file, journald and many more.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from vestige.reading.times import EARLY_NS, FIRST_TICKS, LAST_TICKS, OFFSET, TICKS_1970
from vestige.sources.logs import clock, grammar
from vestige.sources.logs.escapes import without_escapes

NAMES: dict[str, tuple[str, ...]] = {
    "template": (
        "log.record.template", "attributes.log.record.template", "@mt", "messagetemplate",
        "message_template", "msgtemplate",
    ),
    "message": (
        "message", "msg", "@m", "renderedmessage", "rendered_message", "@mt", "messagetemplate",
        "short_message", "body", "textpayload", "jsonpayload.message", "log", "event", "text",
        "log.message", "event.original", "line", "description",
    ),
    "time": (
        "@timestamp", "timestamp", "time", "ts", "@t",
        "__realtime_timestamp", "_source_realtime_timestamp", "t", "timeunixnano",
        "observedtimeunixnano", "datetime", "asctime",
        "instant", "timemillis", "date", "eventtime", "event_time", "log_time", "logtime",
        "written_at", "timestampms", "timestamp_ms", "created", "@time", "dt",
    ),
    "level": (
        "log.level", "level", "severity", "severitytext", "severity_text", "loglevel", "log_level",
        "levelname", "@l", "lvl", "level_name", "priority", "severitynumber", "s",
    ),
    "host": (
        "host.name", "host.hostname", "hostname", "_hostname", "host", "resource.host.name",
        "source_host", "computer", "node",
    ),
    "error": (
        "error.stack_trace", "err.stack", "error.stack", "stack_trace", "stacktrace", "stack",
        "exc_info", "exception", "traceback", "@x", "error.message", "err.message", "error", "err",
    ),
}  # fmt: skip
"""What the parts of a record are called, in small letters; dots lead into objects. The first that is there
counts."""
FIT, NEARLY_ALL = 0.5, 0.9
ZONES, UTC = ("timezone", "tz", "time_zone"), frozenset({"", "UTC", "GMT", "Z", "+00:00", "+0000", "Etc/UTC"})
"""Keys of a zone beside a time, and what it is called where times are of UTC."""
STEPS = frozenset({"dt"})
"""Keys under which a step of time may lie: a number of before 1990 is one."""
MOST_RECORDS = 10_000
"""Log records of one line of OTLP that are read."""
DEPTH = 4
SYSLOG = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
BUNYAN = {10: "trace", 20: "debug", 30: "info", 40: "warn", 50: "error", 60: "fatal"}
OTEL = ("trace", "debug", "info", "warn", "error", "fatal")
JOURNALD = {"message": "MESSAGE", "time": "__REALTIME_TIMESTAMP", "level": "PRIORITY", "host": "_HOSTNAME"}
"""The keys of journald (systemd.journal-fields)."""
EXPORT = "__CURSOR="
"""With this a record of journald's export form begins."""

Record = dict[str, Any]
_FIELD = re.compile(rb"[A-Z0-9_]{1,256}")


def load(text: str) -> Record | None:
    """The JSON object that a text is, be it one of an array that is written an object a line; None for
    anything else. Numbers with a point stay texts, exact as they are."""
    text = text.strip()
    if text.startswith("[") and text[1:].lstrip().startswith("{"):
        text = text[1:].lstrip()
    if not text.startswith("{"):
        return None
    found = _loaded(text)
    if found is None and text.endswith((",", "]")):
        found = _loaded(text.removesuffix("]").rstrip().removesuffix(","))
    return found


def _loaded(text: str) -> Record | None:
    try:
        found = json.loads(text, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def load_export(data: bytes) -> Record:
    """A record of journald's export form: lines `FIELD=value`, or `FIELD`, the length of its value as 64 bits
    (little-endian), the value and a line end (systemd, "Journal Export Format")."""
    record: Record = {}
    at = 0
    while at < len(data):
        end = data.find(b"\n", at)
        if end < 0:
            end = len(data)
        line = data[at:end]
        at = end + 1
        name, equals, value = line.partition(b"=")
        if _FIELD.fullmatch(name) is None:
            continue
        if not equals:
            size = int.from_bytes(data[at : at + 8], "little")
            value = data[at + 8 : at + 8 + size]
            at += 8 + min(size, len(data)) + 1
        record.setdefault(name.decode(), value.decode("utf-8", errors="replace"))
    return record


def within_values(data: bytes, *, most: int = 0) -> set[int]:
    """The lines (from 0) of journald's export form that lie within a value whose length is told: what looks
    like the beginning of a record there is what somebody logged. `most`: bytes of a value of which the rest
    may be still to come."""
    inside: set[int] = set()
    at = line = 0
    while at < len(data):
        end = data.find(b"\n", at)
        if end < 0:
            break
        name, begin = data[at:end], end + 9
        at, line = end + 1, line + 1
        if _FIELD.fullmatch(name) is None:
            continue
        stop = begin + int.from_bytes(data[at:begin], "little")
        if len(data) <= stop <= begin + most or len(data) < begin <= begin + most:
            inside.update(range(line, line + data.count(b"\n", at) + 1))
            break
        if data[stop : stop + 1] != b"\n":
            continue  # no length, or one that a damaged file has
        lines = data.count(b"\n", at, stop + 1)
        inside.update(range(line, line + lines))
        at, line = stop + 1, line + lines
    return inside


def records_of(record: Record, most: int = MOST_RECORDS) -> Iterator[Record]:
    """The log records of OTLP's JSON, each with its resource, the first `most` of them; any other object is
    one record."""
    batches = record.get("resourceLogs")
    if not isinstance(batches, list):
        yield record
        return
    count = 0
    for batch in _objects(batches):
        resource = batch.get("resource")
        for scope in _objects(batch.get("scopeLogs") or batch.get("instrumentationLibraryLogs")):
            for own in _objects(scope.get("logRecords")):
                count += 1
                if count <= most:
                    yield own | {"resource": _attributes(resource)}


def _objects(values: Any) -> list[Record]:
    if not isinstance(values, list):
        return []
    return [value for value in values if isinstance(value, dict)]


def _attributes(resource: Any) -> Any:
    return resource.get("attributes") if isinstance(resource, dict) else None


def value_at(record: Any, path: str) -> Any:
    """The value under a path with dots; keys may hold dots themselves. None where there is none."""
    for _ in range(DEPTH):
        record = _plain(record)
        if not isinstance(record, dict):
            return None
        if path in record:
            return _plain(record[path])
        # The shortest first key that is there: `log.record.template` may lie in `log`, or in `attributes`.
        at = path.find(".")
        while at >= 0 and path[:at] not in record:
            at = path.find(".", at + 1)
        if at < 0:
            return None
        record, path = record[path[:at]], path[at + 1 :]
    return None


def _plain(value: Any) -> Any:
    """A value without OTLP's wrapping: `{"stringValue": x}` is x, a list of keys and values an object."""
    if isinstance(value, dict) and len(value) == 1:
        (name, inner), *_ = value.items()
        if name in {"stringValue", "intValue", "doubleValue", "boolValue"}:
            return inner
    if (
        isinstance(value, list)
        and value
        and all(isinstance(each, dict) and "key" in each for each in value[:64])
    ):
        return {str(each.get("key")): each.get("value") for each in value if isinstance(each, dict)}
    return value


def paths(record: Any, depth: int = 3) -> Iterator[str]:
    """The paths of a record's values, outer ones first."""
    record = _plain(record)
    if not isinstance(record, dict):
        return
    for name in list(record)[:256]:
        yield name
    if depth > 1:
        for name in list(record)[:256]:
            yield from (f"{name}.{inner}" for inner in paths(record[name], depth - 1))


def find_keys(records: Sequence[Record], *, mixed: bool = False) -> dict[str, str] | None:
    """The keys under which most of these records have their parts; None where they have no message. `mixed`:
    the message may lie under several keys, or be an object; without, such a record is its whole text."""
    counts: Counter[str] = Counter()
    spelt: dict[str, str] = {}
    for record in records:
        for path in dict.fromkeys(paths(record)):
            counts[path.lower()] += 1
            spelt.setdefault(path.lower(), path)
    keys: dict[str, str] = {}
    for part, names in NAMES.items():
        # A stack trace or a template is not in every record.
        least = max(1.0, FIT * len(records))
        if part in {"error", "template"}:
            least = 1
        found = [name for name in names if counts[name] >= least and _is(part, spelt[name], records)]
        if part == "level":
            # Of several, one that is a name goes before a number that has none (Monolog's 400).
            found.sort(key=lambda name: not _is_named(spelt[name], records))
        if found:
            keys[part] = spelt[found[0]]
    if "message" not in keys and "template" not in keys:
        message = _mixed_message(records, spelt) if mixed else None
        if message is None:
            return None
        keys["message"] = message
    return keys


def _mixed_message(records: Sequence[Record], spelt: dict[str, str]) -> str | None:
    """The key of the message where no key has it as a text in most records: the commonest of several that
    nearly all have together (`textPayload` in some, `jsonPayload.message` in others), or one under which an
    object lies, whose JSON is the text then (AWS Lambda). None where there is no such key."""
    known = [name for name in NAMES["message"] if name in spelt]
    own, told = Counter[str](), 0
    for record in records:
        names = [name for name in known if isinstance(value_at(record, spelt[name]), str)]
        own.update(names[:1])
        told += bool(names)
    if own and told >= NEARLY_ALL * len(records):
        return spelt[own.most_common(1)[0][0]]
    for name in (name for name in ("message", "msg") if name in known):
        values = [value_at(record, spelt[name]) for record in records]
        objects = sum(isinstance(value, dict | str) for value in values)
        if objects >= NEARLY_ALL * len(records):
            return spelt[name]
    return None


def _is(part: str, path: str, records: Sequence[Record]) -> bool:
    """Whether what lies under a path can be such a part."""
    values = _values_at(path, records)
    if not values:
        return False
    if part == "time":
        if path.lower() in STEPS and not all(map(_is_moment, values)):
            return False
        # Zero stands where there is none, as OpenTelemetry has it: another key may have one.
        return all(read_time(value) != clock.BAD for value in values[:8]) and any(map(read_time, values[:8]))
    if part == "level":
        return all(level_of(value) for value in values[:8])
    if part == "host":
        return all(isinstance(value, str) for value in values)
    return any(isinstance(value, str | list) for value in values)


def _is_named(path: str, records: Sequence[Record]) -> bool:
    """Whether the levels under a path are called by names, be they of numbers that are known."""
    return not any(level_of(value).isdigit() for value in _values_at(path, records)[:8])


def _values_at(path: str, records: Sequence[Record]) -> list[Any]:
    """What lies under a path, of the records that have it."""
    return [value for record in records if (value := value_at(record, path)) is not None]


def zone_beside(records: Sequence[Record], keys: dict[str, str]) -> str:
    """The key beside the times of most records under which a zone lies, where the times have none; empty
    where there is no such. In such a zone the times are, and not in UTC."""
    if "time" not in keys or not records:
        return ""
    own = "" if keys["time"] not in records[0] else f"{keys['time']}."
    for path in (f"{prefix}{name}" for prefix in dict.fromkeys((own, "")) for name in ZONES):
        told = (value_at(record, path) for record in records if _has_no_zone(value_at(record, keys["time"])))
        if sum(isinstance(zone, str) and zone not in UTC for zone in told) >= NEARLY_ALL * len(records):
            return path
    return ""


def _has_no_zone(value: Any) -> bool:
    """Whether a time is a date and a clock without a zone."""
    if isinstance(value, dict):
        value = value.get("date")
    return isinstance(value, str) and _NO_ZONE.fullmatch(value.strip()) is not None


def _is_moment(value: Any) -> bool:
    """Whether a value is a date that is written as such, or a number as large as a moment's."""
    number = isinstance(value, int) or (isinstance(value, str) and _NUMBER.fullmatch(value.strip()))
    return read_time(value) >= EARLY_NS if number else read_time(value) != clock.BAD


def text_of(value: Any) -> str:
    """A value as text: a list of bytes (journald) is decoded, an object is written as JSON."""
    value = _plain(value)
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list) and value and all(isinstance(n, int) and 0 <= n < 256 for n in value):
        return bytes(value).decode("utf-8", errors="replace")
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        return "\n".join(value)
    if isinstance(value, dict):
        for name in ("message", "msg", "stack_trace", "stack"):
            if isinstance(value.get(name), str):
                return str(value[name])
    return json.dumps(value, ensure_ascii=False)


def level_of(value: Any) -> str:
    """What a level is called; empty where it is none."""
    value = _plain(value)
    if isinstance(value, str) and not value.isdigit():
        known = re.fullmatch(rf"{grammar.LEVEL}|[A-Z]\d?|[A-Za-z_]{{1,24}}", value.strip())
        return value.strip() if known else ""
    try:
        number = int(value)
    except (TypeError, ValueError):
        return ""
    if number in BUNYAN:
        return BUNYAN[number]
    if 0 <= number < len(SYSLOG):
        return SYSLOG[number]
    return str(number) if 0 <= number <= 1000 else ""


def severity(number: Any) -> str:
    """The name of OpenTelemetry's severity number (1 to 24: four of each)."""
    try:
        return OTEL[(int(number) - 1) // 4] if 1 <= int(number) <= 24 else ""
    except (TypeError, ValueError):
        return ""


_RFC = re.compile(
    rf"(\d{{4}}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{{1,9}})\d*)?[ ]?(Z|{OFFSET})?", re.ASCII
)
_NUMBER = re.compile(r"(\d{1,19})(?:\.(\d{1,20}))?(?:[eE]\+?(\d{1,2}))?", re.ASCII)
_NO_ZONE = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,12})?", re.ASCII)
_LAYOUTS = ("%Y-%m-%d", "%H:%M:%S", "%z")


def read_time(value: Any) -> int:
    """Unix nanoseconds of a time in a record: RFC 3339, any layout of headers, or a number of seconds,
    milli-, micro- or nanoseconds, or of ticks of .NET (by its size). `clock.BAD` where it is none."""
    if isinstance(value, dict):
        return _time_in(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return clock.BAD
    text = str(value).strip()
    found = _RFC.fullmatch(text)
    if found is not None:
        whole = _second(found[1], found[2], found[4] or "Z")
        if whole == clock.BAD or found[3] is None:
            return whole
        return whole + int(found[3].ljust(9, "0"))
    found = _NUMBER.fullmatch(text)
    if found is not None:
        # With an exponent the point stands so many digits further on.
        whole_part, rest, places = found[1], found[2] or "", int(found[3] or 0)
        return _number(whole_part + rest[:places].ljust(places, "0"), rest[places:])
    return _layout(text[:64])


@lru_cache(maxsize=4096)
def _second(day: str, second: str, zone: str) -> int:
    return _parser(_LAYOUTS).parse((day, second, zone), None)


@lru_cache(maxsize=64)
def _parser(layouts: tuple[str, ...]) -> clock.TimeParser:
    return clock.TimeParser(layouts)


def _number(whole: str, rest: str) -> int:
    """A number of seconds or parts of seconds since 1970: the part by which it is a time of 1973 or later;
    or ticks of .NET."""
    size = len(whole.lstrip("0"))
    if FIRST_TICKS <= int(whole) < LAST_TICKS:
        return (int(whole) - TICKS_1970) * 100
    for digits, unit in ((11, 9), (14, 6), (17, 3), (20, 0)):
        if size <= digits:
            nanos = int(whole) * 10**unit + int((rest + "0" * unit)[:unit] or 0)
            return nanos if nanos < 1 << 63 else clock.BAD
    return clock.BAD


def _time_in(value: Record) -> int:
    """A time that is an object: MongoDB's, log4j's, protobuf's, Monolog's."""
    for name in ("$date", "$numberLong", "date"):
        if name in value:
            return read_time(value[name])
    for seconds, rest in (("epochSecond", "nanoOfSecond"), ("seconds", "nanos")):
        if seconds in value:
            whole = read_time(value[seconds])
            more = value.get(rest, 0)
            if whole == clock.BAD or not isinstance(more, int) or not 0 <= more < 10**9:
                return clock.BAD
            return whole + more
    return clock.BAD


_BEHIND_SECONDS = re.compile(r"(?<=:[0-6]\d)[.,](\d{1,9})", re.ASCII)


@lru_cache(maxsize=4096)
def _layout(text: str) -> int:
    """A time in a layout of headers."""
    part = grammar.time_at(text, 0)
    if part is None or "%H" not in part.layout.replace("%I", "%H") or part.end < len(text.rstrip()):
        return clock.BAD
    layout = part.layout.removesuffix("~")
    for option in part.options:
        kind, _, how = option.partition(":")
        if kind == "half" and how:
            layout = layout.removesuffix("%p") + " %p"
        elif kind == "zone":
            layout += f"{how[:-1]}%{how[-1]}"
    if part.layout.endswith("~"):
        layout += " %Y"
    if "?" in layout:
        return clock.BAD
    fraction = _BEHIND_SECONDS.search(text)
    # A time without a year is one of `clock.FRAME_YEAR`, as those of headers are.
    return _parser((layout,)).parse(
        (_BEHIND_SECONDS.sub("", text, count=1).strip(),), fraction[1] if fraction else None
    )


_LOG = r'\{ ?"log": ?"(?:[^"\\\n]|\\.)*+"'
_STREAM = r', ?"stream": ?"'
_NEXT = rf"[^\n]*+\n{_LOG}{_STREAM}"
DOCKER = rf'{_LOG}(?<!\\n"){_STREAM}std(?:out"{_NEXT}stdout|err"{_NEXT}stderr)"'
"""Two lines of Docker's json-file of one stream; the first piece of text has no line end, so both are one."""


def sample(lines: Sequence[str]) -> tuple[list[Record], int]:
    """The JSON objects of these lines, which may lie over several of them; and how many lines they are."""
    found: list[Record] = []
    whole = 0
    open_lines: list[str] = []
    for line in lines:
        # Within an object that lies over several lines, an object in a line is a value of it.
        record = None if open_lines and line[:1] in " \t" else load(line)
        if record is not None:
            found.append(record)
            whole += 1
            open_lines = []
        elif line.startswith("{"):
            open_lines = [line]
        elif open_lines:
            open_lines.append(line)
            if line.startswith("}") and (record := load("\n".join(open_lines))) is not None:
                found.append(record)
                whole += len(open_lines)
                open_lines = []
    return found, whole


@dataclass(frozen=True)
class Told:
    """What a record says: its text as models see it, level, time (`clock.BAD`: none) and machine. `silent`:
    it holds nothing that could be its text, not even an empty one."""

    text: str
    level: str
    t_ns: int
    host: str
    silent: bool = False


def told(record: Record, keys: dict[str, str]) -> Told:
    """The parts of a record. A message that is itself such a record, as JSON, is looked into."""
    moment = read_time(value_at(record, keys["time"])) if "time" in keys else clock.BAD
    host = text_of(value_at(record, keys["host"])) if "host" in keys else ""
    level = _level(record, keys)
    text = ""
    for part in ("template", "message"):
        if part in keys and not text:
            text = text_of(value_at(record, keys[part]))
    if not text and (other := _keys_within(record)) is not None:
        # Records of another kind have it elsewhere: `textPayload` in one, `jsonPayload.message` in the next.
        text = text_of(value_at(record, other.get("template") or other["message"]))
    inner = load(text) if text.startswith("{") else None
    if inner is not None and (within := _keys_within(inner)) is not None:
        text = text_of(value_at(inner, within.get("template") or within["message"]))
        level = _level(inner, within) or level
    if "error" in keys:
        more = text_of(value_at(record, keys["error"])).strip()
        if more and more not in text:
            text = f"{text.rstrip()}\n{more}"
    own = (value_at(record, keys[part]) for part in ("template", "message") if part in keys)
    silent = not text and all(value is None for value in own)
    return Told(_clean(text), _clean(level), moment, _clean(host), silent)


def _keys_within(inner: Record) -> dict[str, str] | None:
    """The keys of a message that is itself a record: of its text alone, its time and machine are those
    outside."""
    found = find_keys([inner])
    if found is None:
        return None
    return {part: path for part, path in found.items() if part not in {"time", "host"}}


def _level(record: Record, keys: dict[str, str]) -> str:
    path = keys.get("level")
    if path is None:
        return ""
    value = value_at(record, path)
    if value is None and "severityNumber" in record:
        return severity(record["severityNumber"])
    if path.lower().endswith("severitynumber"):
        return severity(value)
    return level_of(value)


def _clean(text: str) -> str:
    """Text without escapes, NULs and surrogates that stand alone, which no table can hold."""
    return without_escapes(text).replace("\0", "").encode("utf-8", errors="replace").decode("utf-8")
