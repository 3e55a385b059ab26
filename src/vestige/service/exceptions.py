"""What somebody said is fine: exceptions, as people read and edit them in a state's `exceptions.toml`.

An alert is hidden by an exception only where all that raised it has been dismissed: the host, the event, and
each look. An event of evidence stands there letter for letter; only templates, which the detector learnt or a
person wrote, have wildcards.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from vestige.checked import refused
from vestige.errors import DefinitionError
from vestige.escaping import toml_text
from vestige.log import get
from vestige.service.incidents import Raised, Row, entity_of

FILE = "exceptions.toml"
MOST_BYTES = 4 << 20
WILDCARD = "<*>"
"""A word of a template that stands for any word."""
ABOUT = """\
# What is fine: alerts that `vestige watch` counts, and does not tell.
#
# `vestige dismiss` adds to this file; edit it as you like. A watch that runs takes it up at once.
# An entry hides an alert where all of these agree that are there (at least host, events or templates is):
#   host       the alert's host (or its recording, where the evidence names no host)
#   events     the event, letter for letter (masked: numbers are <num>)
#   templates  the event, word for word, where <*> stands for any word
#   looks      every look that raised the alert (the strongest, and those at or below 1%) is in this list
# From `expires` on an entry hides nothing; without it, it holds for ever. Remove an entry to take it back.
"""

log = get(__name__)


def _with_zone(value: Any) -> Any:
    """A day, or a time without its zone, is meant as UTC."""
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    if hasattr(value, "year"):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_with_zone)]
Texts = Annotated[tuple[str, ...], Field(min_length=1)]


class Dismissal(BaseModel):
    """An entry of the file: `id` is the incident's whose alerts were found to be fine, `because` why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=1, max_length=100)
    because: str = Field(min_length=1)
    made: Moment | None = None
    expires: Moment | None = None
    host: str | None = None
    events: Texts | None = None
    templates: Texts | None = None
    looks: Texts | None = None

    def holds(self, now: datetime) -> bool:
        """Whether it has not expired."""
        return self.expires is None or now < self.expires

    def hides(self, host: str, raised: Raised) -> bool:
        """Whether it would hide, while it holds, alerts of a host that were raised so."""
        if self.host is not None and self.host != host:
            return False
        if self.looks is not None and not set(raised.looks) <= set(self.looks):
            return False
        if self.events is None and self.templates is None:
            return True
        if raised.event in (self.events or ()):
            return True
        return any(
            template == raised.template or _fits(template, raised.event) for template in self.templates or ()
        )

    def toml(self) -> str:
        """The entry as the file has it."""
        lines = ["[[exception]]"]
        for name, value in self.model_dump(exclude_none=True).items():
            lines.append(f"{name} = {_toml(value)}")
        return "\n".join(lines) + "\n"


@dataclass
class Exceptions:
    """The entries of the file `path`, as they are now: `refresh` looks whether it was changed."""

    path: Path
    entries: tuple[Dismissal, ...] = ()
    _seen: tuple[int, int, int] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, directory: Path) -> Self:
        """Those in the directory of a state. Raises DefinitionError, which names the entry that is wrong."""
        found = cls(directory / FILE)
        found._seen = _stamp(found.path)
        found.entries = load(directory)
        return found

    def refresh(self) -> None:
        """Take up a file that was changed. One that is wrong is told, and what was there before holds on."""
        stamp = _stamp(self.path)
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self.entries = load(self.path.parent)
        except DefinitionError as error:
            log.warning("%s\n  the %d exceptions from before hold on", error, len(self.entries))
            return
        log.info("%s: %d exceptions hold", self.path, sum(entry.holds(_now()) for entry in self.entries))

    def hiding(self, alert: Row) -> Dismissal | None:
        """The first entry that holds and hides an alert."""
        if not self.entries:
            return None
        host, raised, now = entity_of(alert), Raised.of(alert), _now()
        return next((each for each in self.entries if each.holds(now) and each.hides(host, raised)), None)


def load(directory: Path) -> tuple[Dismissal, ...]:
    """The entries of the file in the directory of a state; none where there is no file.

    Raises DefinitionError, which names file and entry, for a file that is wrong."""
    text = read(directory)
    if text is None:
        return ()
    return parse(text, directory / FILE)


def read(directory: Path) -> str | None:
    """The file in the directory of a state; None where there is none. Raises DefinitionError."""
    path = directory / FILE
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DefinitionError(f"cannot be read ({error.strerror})", where=path) from error
    _check_size(data, path)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DefinitionError(
            f"is not UTF-8 text ({error})", where=path, remedy="save it as UTF-8"
        ) from error


def _check_size(data: bytes, path: Path) -> None:
    if len(data) > MOST_BYTES:
        raise DefinitionError(
            f"is larger than {MOST_BYTES:,} bytes", where=path, remedy="remove entries that have expired"
        )


def parse(text: str, path: Path) -> tuple[Dismissal, ...]:
    """The entries of a text of TOML, said to be the file `path`. Raises DefinitionError."""
    _check_size(text.encode(), path)
    try:
        plain = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise DefinitionError(f"not TOML: {error}", where=path, remedy="mend it, or remove it") from error
    entries = plain.pop("exception", [])
    if plain or not isinstance(entries, list):
        raise DefinitionError(
            f"{', '.join(plain) or 'exception'}: only entries [[exception]] are expected",
            where=path,
            remedy="write each entry under a line [[exception]] of its own",
        )
    return tuple(_entry(number, entry, path) for number, entry in enumerate(entries, 1))


def _entry(number: int, plain: Any, path: Path) -> Dismissal:
    name = f"exception {number}"
    if isinstance(plain, dict) and "id" in plain:
        name += f" ({plain['id']})"
    try:
        found = Dismissal.model_validate(plain)
    except ValidationError as error:
        key, told = refused(error)
        message = f"{name}: {key}: {told}"
        raise DefinitionError(
            message, where=path, remedy="docs/watch.md shows an exception; mend or remove this one"
        ) from error
    if found.host is None and found.events is None and found.templates is None:
        raise DefinitionError(
            f"{name}: it would hide everything", where=path, remedy="give it a host, events or templates"
        )
    return found


def _fits(template: str, event: str) -> bool:
    """Whether an event is of a template, word for word."""
    wanted, words = template.split(), event.split()
    if len(wanted) != len(words):
        return False
    return all(want in (WILDCARD, word) for want, word in zip(wanted, words, strict=True))


def _toml(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"
    if isinstance(value, tuple):
        if len(value) == 1:
            return f"[{toml_text(value[0])}]"
        return "[\n" + "".join(f"    {toml_text(each)},\n" for each in value) + "]"
    return toml_text(value)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """By which one sees that a file was changed; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _now() -> datetime:
    return datetime.now(UTC)
