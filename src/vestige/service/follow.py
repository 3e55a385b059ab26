"""Following evidence that grows: files that are written on, rotated and cut short, and new ones that appear.

What a file is called is not what it is: a followed file is known by its inode and by how it begins. So it is
found again where rotation put it, whatever it was renamed or copied to, and nothing of it is read twice.
"""

from __future__ import annotations

import errno
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

from vestige.errors import CheckpointError, EvidenceError, VestigeError
from vestige.evidence.files import EMPTY, PACKED, SHIPPING, STDIN
from vestige.evidence.rotation import family
from vestige.log import get
from vestige.reading.files import FileUnit
from vestige.reading.steps import Evidence, Reader, StepBlock
from vestige.reading.told import Said
from vestige.service.copies import original, place_of
from vestige.service.followed import Followed
from vestige.service.identity import HEAD_BYTES, Identity
from vestige.service.inbox import is_old
from vestige.service.state import REMEDY

BLOCK_STEPS = 4_096
"""Steps that are taken from a stream at a time: other streams come next."""
GRACE_S = 5.0
"""A file that was renamed is read on for as long as there was nothing new for so many seconds."""
TOO_LITTLE = "its lines are too few, or too strange, to say what it is"
MOST_GONE = 256
"""Files that are no longer there, and are read on where they come back, those that went last."""
MOST_ENDED = 256
"""Files that were renamed and read to their end, and are read on where they grow, those that ended last."""
MOST_DONE = 100_000
"""Files that were read to their end, and are known when they turn up under another name."""
_WAITED = {EMPTY: "nothing came yet", SHIPPING: SHIPPING}

log = get(__name__)


def still_followed(heard: dict[str, Any], names: dict[str, str], left: set[str]) -> dict[str, Any]:
    """What was heard, without the logs of paths that are left out now: nothing comes of them any more, and
    they are not silent. `names`: what files are called, by where they lie."""

    def is_left(place: str) -> bool:
        return not left.isdisjoint((place, *map(str, Path(place).parents)))

    kept = {family(name) for place, name in names.items() if not is_left(place)}
    gone = {family(name) for place, name in names.items() if is_left(place)} - kept
    return {name: each for name, each in heard.items() if name not in gone}


class Follower:
    """Reads whatever there is of growing evidence, a block at a time, from each of its units in turn.

    `once`: what is there at the first `scan` is read, as far as it reaches then, and that is all: whoever
    writes as fast as it is read keeps nobody from the end. `scan` looks for new and rotated files; between
    scans only open ones are read. `inbox`: a folder that is followed as well; what the other files are called
    does not depend on it, so that a state holds with and without. `takes`: which units of the paths are
    followed.
    """

    def __init__(
        self,
        reader: Reader[Any],
        paths: Iterable[Path],
        *,
        inbox: Path | None = None,
        once: bool = False,
        state: Any = None,
        takes: Callable[[Any], bool] | None = None,
    ) -> None:
        self._reader, self._paths, self._once, self._inbox = reader, tuple(paths), once, inbox
        self._takes, self._parted = takes, False
        self.open: dict[str, Followed] = {}
        self.done: dict[str, Identity | None] = {}
        self._first: set[Any] | None = None
        """Where all is read once: what there was at the first scan."""
        self._piped = False
        """Whether standard input was opened: it cannot be read from its beginning a second time."""
        self._news = False
        """Whether the last scan opened something, or something was read or ended since."""
        self._said = Said()
        self._waited: dict[str, bool] = {}
        """Of what is open, and it was said that nothing of it was read yet, and whether it was empty then."""
        self._refused: dict[str, tuple[int, int]] = {}
        self._copies: dict[tuple[int, int], int] = {}
        """Files that were passed over as copies, by device and inode, and how long they were then."""
        self._known: dict[str, tuple[int, int, int]] = {}
        """Files that were read to their end, as the system told of them when their beginning was read."""
        self._waiting: dict[str, dict[str, Any]] = {}
        self._stale: dict[str, dict[str, Any]] = {}
        self._gone: dict[str, dict[str, Any]] = {}
        """Where those stood that were gone: a file system that comes back brings them."""
        self._ended: list[dict[str, Any]] = []
        """Where those stood that were renamed and read to their end: their writers may not have let go."""
        self._names: dict[str, str] = {}
        """What files are called, by where they lie: a file keeps its name, whatever else is watched later."""
        if state is not None:
            self._waiting = {entry["id"]: entry for entry in state["open"]}
            self.done = {entry["id"]: Identity.from_plain(entry["identity"]) for entry in state["done"]}
            copies = (entry for entry in state["done"] if entry.get("copy") is not None)
            self._copies = {Identity(**each["identity"]).place: each["copy"] for each in copies}
            self._gone = {entry["id"]: entry for entry in state.get("gone", ())}
            self._ended = list(state.get("ended", ()))
            self._names = {str(place): str(name) for place, name in state.get("names", {}).items()}
        self._taken = set(self._names.values())

    def state(self) -> dict[str, Any]:
        """Where everything stands, as JSON values: another follower goes on exactly there."""
        waiting = [*self._waiting.values(), *self._stale.values()]
        done = [
            {
                "id": name,
                "identity": None if identity is None else vars(identity),
                "copy": None if identity is None else self._copies.get(identity.place),
            }
            for name, identity in list(self.done.items())[-MOST_DONE:]
        ]
        open_ = [*(followed.state() for followed in self.open.values()), *waiting]
        gone = list(self._gone.values())
        known = {entry["id"] for entry in (*open_, *done, *gone)}
        names = {place: name for place, name in self._names.items() if name in known}
        return {"open": open_, "done": done, "gone": gone, "ended": list(self._ended), "names": names}

    @property
    def ended(self) -> bool:
        """Whether there is nothing more: all was to be read once, or came through a pipe that was closed."""
        if self._paths == (STDIN,):
            return self._piped and not self.open and not self._news
        waits = [each for each in self.open.values() if _is_pipe(each.unit)]
        return self._once and not waits and not self._stale and not self._news

    def scan(self) -> None:
        """Find what is new, what was rotated away, and what was cut short."""
        self._news = False
        units = self._units()
        files = {unit.id: unit for unit in units if isinstance(unit, FileUnit) and not _is_pipe(unit)}
        self._stop_rotated(files)
        self._take_up_directories({unit.id: unit for unit in units if not isinstance(unit, FileUnit)})
        self._take_up(files)
        self._take_up_gone(files)
        if not self._once or self._first is None:
            self._take_up_grown(files)
        there = {unit.id: place_of(unit) for unit in units} if self._once else {}
        self._first = set(there.values()) if self._first is None else self._first
        for unit in units:
            later = self._once and there[unit.id] not in self._first
            if not later and not any(unit.id in each for each in (self.open, self._stale, self._waiting)):
                self._begin(unit, files)

    def read(self) -> Iterator[StepBlock]:
        """What there is now: a block of each open unit that has one, in turn."""
        for name, followed in list(self.open.items()):
            block = self._read(name, followed)
            if block is not None:
                yield block

    def release(self, quiet_s: float | None = None) -> Iterator[StepBlock]:
        """What is held back because more of it may follow, of units that nothing came from for so long; by
        default of all."""
        for followed in self.open.values():
            # By its last look: while others are read, more of it may have come that nobody has seen.
            quiet = followed.looked - followed.heard
            if quiet_s is not None and (followed.released or quiet < quiet_s):
                continue
            followed.released = True
            block = followed.stream.release()
            if block is not None:
                followed.begun = True
                yield block

    def tell_waiting(self, quiet_s: float) -> None:
        """Say of what nothing could be read for so long: that it is empty, or that its lines say too little;
        each of it once."""
        now = time.monotonic()
        for name, each in self.open.items():
            if each.begun or now - each.opened < quiet_s:
                continue
            empty = each.identity is None or not each.identity.head_bytes
            if self._waited.get(name) == empty:
                continue
            self._waited[name] = empty
            if empty:
                log.info("%s: nothing came yet; it is waited for", each.unit.name)
            else:
                log.warning(
                    "%s: nothing of it is read yet: %s; more is waited for", each.unit.name, TOO_LITTLE
                )

    def tell_unread(self) -> None:
        """Say which files never came to be read, because they did not show what they are."""
        for followed in self.open.values():
            if not followed.begun and followed.identity is not None and followed.identity.head_bytes:
                log.warning("%s: nothing of it was read: %s", followed.unit.name, TOO_LITTLE)

    def close(self) -> None:
        """Let go of everything."""
        for followed in self.open.values():
            followed.stream.close()

    def _units(self) -> list[Any]:
        found: list[Any] = []
        for path in (*self._paths, *([] if self._inbox is None else [self._inbox])):
            try:
                _refuse_special(path)
                listing = self._reader.units(Evidence((path,), "live" if path == STDIN else "follow"))
            except VestigeError as error:
                # A directory may be empty for now, and a file may be between two rotations.
                if path != self._inbox and self._refuse(str(path), (0, 0)):
                    then = "nothing of it was read" if self._once else "it is waited for"
                    log.warning("%s: %s; %s", path, error.what, then)
                continue
            self._refused.pop(str(path), None)
            for defect in listing.left_out:
                if defect.file not in self._refused:
                    if defect.why in _WAITED and not self._once:
                        log.info("%s: %s; it is waited for", defect.file, _WAITED[defect.why])
                    else:
                        log.warning("%s was left out: %s", defect.file, defect.why)
                    self._refuse(defect.file, (0, 0))
            # A packed file is whole, and one of the inbox that was turned over: nobody writes on at its end.
            units = [
                replace(unit, mode="live") if _is_whole(unit, inbox=path == self._inbox) else unit
                for unit in listing.units
                if path == self._inbox or self._takes is None or self._takes(unit)
            ]
            if len(self._paths) > 1 or path == self._inbox:
                # Files of several directories may be called alike: each by its whole path.
                units = [_by_path(unit) for unit in units]
            found += map(self._named, units)
            if self._takes is not None and path != self._inbox and not self._parted:
                log.info("%s: %d of %d files are of this part", path, len(units), len(listing.units))
        self._parted = True
        return found

    def _named(self, unit: Any) -> Any:
        """A file by the name that it has already, where it lies where one was read before; a new one never by
        the name of another."""
        if not isinstance(unit, FileUnit) or _is_pipe(unit):
            return unit
        place = str(unit.file.path.absolute())
        name = self._names.get(place)
        if name is None:
            if unit.id in self._taken:
                unit = _by_path(unit)
            self._names[place] = unit.id
            self._taken.add(unit.id)
            return unit
        return unit if name == unit.id else replace(unit, id=name, name=name)

    def _stop_rotated(self, files: dict[str, FileUnit]) -> None:
        """What no longer lies under its name gets no more than it has: that is read, and then it ends."""
        for name, followed in self.open.items():
            if followed.identity is None:
                continue
            unit = files.get(name)
            try:
                there = None if unit is None else unit.file.path.stat()
            except OSError:
                there = None
            moved = there is None or not followed.identity.is_inode_of(there)
            # Whoever writes it goes on for a while after it was renamed.
            over = moved and (self._once or time.monotonic() - followed.heard >= GRACE_S)
            mine = [each.file for each in files.values() if over and followed.identity.is_of(each.file)]
            followed.gone = over and not mine
            if mine:
                followed.stop(mine[0].size or 0)

    def _take_up_directories(self, units: dict[str, Any]) -> None:
        """Go on with recordings that are directories: these are known by their names."""
        for name in [name for name in self._waiting if name in units]:
            if self._open(units[name], None, self._waiting[name]["position"]):
                del self._waiting[name]

    def _take_up(self, files: dict[str, FileUnit]) -> None:
        """Go on with what was read before, wherever it lies now."""
        for name, entry in [*self._waiting.items(), *self._stale.items()]:
            identity = Identity.from_plain(entry["identity"])
            unit = None
            if identity is not None:
                unit = self._found_again(identity, files, first=name)
            if unit is None:
                if not self._is_elsewhere(name):
                    self._lose(name)
                continue
            moved = unit.id != name
            called = name
            if unit.id != unit.file.id:
                # Files are called by their whole paths; what is in their directory says more of them.
                called = PurePath(unit.file.id).with_name(PurePath(name).name).as_posix()
            mine = replace(files.get(name, unit), id=name, name=name, file=replace(unit.file, id=called))
            begun = entry.get("begun", True)
            if identity is not None and (moved or not identity.is_of(unit.file)):
                # A copy is another file, and what began it may be known better by now; the inode of a file
                # that was deleted may be that of a new one.
                with suppress(OSError, EvidenceError):
                    identity = Identity.of(unit.file)
            is_open = self._open(mine, identity, entry["position"], stop=moved, begun=begun)
            self._waiting.pop(name, None)
            self._stale.pop(name, None)
            if not is_open and not moved:
                self._waiting[name] = entry
            if moved:
                self.done[unit.id] = identity
                if identity is not None:
                    self._copies.pop(identity.place, None)

    def _take_up_gone(self, files: dict[str, FileUnit]) -> None:
        """Go on with what was gone for a while, and is there again as it was, or longer."""
        for name in [name for name in self._gone if name in files and name not in self.open]:
            entry, unit = self._gone[name], files[name]
            identity = Identity.from_plain(entry["identity"])
            # It may have another inode: it is another mount.
            as_it_was = identity is not None and (unit.size or 0) >= entry.get("taken", 0)
            if as_it_was and identity is not None and identity.begins_like(unit.file):
                with suppress(OSError, EvidenceError):
                    identity = Identity.of(unit.file)
                if not self._open(unit, identity, entry["position"], begun=entry.get("begun", True)):
                    continue
                log.info("%s is there again, and is read on", unit.name)
                self.done.pop(name, None)
            del self._gone[name]

    def _take_up_grown(self, files: dict[str, FileUnit]) -> None:
        """Go on with what was renamed and read to its end, and was written on since."""
        if not self._ended:
            return
        by_inode = {place_of(unit): unit for unit in files.values() if unit.id not in self.open}
        for entry in list(self._ended):
            identity = Identity.from_plain(entry["identity"])
            unit = None if identity is None else by_inode.get(identity.place)
            if unit is None or identity is None or (unit.size or 0) <= entry["taken"]:
                continue
            if identity.begins_like(unit.file):
                if not self._open(unit, identity, entry["position"], begun=True):
                    continue
                log.info("%s grew after it was read to its end: it is read on", unit.name)
            self._ended.remove(entry)

    def _found_again(self, identity: Identity, files: dict[str, FileUnit], *, first: str) -> FileUnit | None:
        """The file that this is: by its inode if it still begins alike, else whatever begins alike."""
        ordered = sorted(files.values(), key=lambda unit: unit.id != first)
        for by_inode in (True, False):
            for unit in ordered:
                with suppress(OSError):
                    same = identity.is_inode_of(unit.file.path.stat())
                    if same == by_inode and unit.id not in self.open and identity.begins_like(unit.file):
                        return unit
        return None

    def _is_elsewhere(self, name: str) -> bool:
        """Whether what was read before lies where this watch does not look: another one may go on there."""
        places = [Path(place) for place, called in self._names.items() if called == name]
        watched = [path.absolute() for path in (*self._paths, *filter(None, [self._inbox])) if path != STDIN]
        return bool(places) and not any(place.is_relative_to(path) for place in places for path in watched)

    def _lose(self, name: str) -> None:
        if self._refuse(f"lost {name}", (1, 1)):
            log.warning(
                "%s: what was read before is gone, or was cut short: what it still held is lost", name
            )
        lost = self._waiting.pop(name, None) or self._stale.pop(name, None)
        if lost is not None:
            self._put_aside(name, lost)

    def _put_aside(self, name: str, entry: dict[str, Any]) -> None:
        """Keep where what is gone stood."""
        self._gone.pop(name, None)
        self._gone[name] = entry
        while len(self._gone) > MOST_GONE:
            del self._gone[next(iter(self._gone))]

    def _begin(self, unit: Any, files: dict[str, FileUnit]) -> None:
        """Open what is new; what was read before under another name is not."""
        identity = None
        if _is_pipe(unit):
            if self._piped:
                return
            self._piped = True
        elif isinstance(unit, FileUnit):
            identity = self._new(unit, files)
            if identity is None:
                return
        elif unit.id in self.done:
            return
        self._open(unit, identity, None)

    def _new(self, unit: FileUnit, files: dict[str, FileUnit]) -> Identity | None:
        """What a file is that is to be read; None of one that was read before, or that cannot be read."""
        try:
            found = unit.file.path.stat()
            place = found.st_dev, found.st_ino
            known = self.done.get(unit.id)
            seen = found.st_ino, found.st_size, found.st_mtime_ns
            unchanged = known is not None and self._known.get(unit.id) == seen
            # A copy that goes on may be none.
            grown = found.st_size > self._copies.get(place, found.st_size)
            if unchanged or (
                not grown and known is not None and known.place == place and known.begins_like(unit.file)
            ):
                self._known[unit.id] = seen
                return None
            if self._refused.get(unit.id) == (found.st_ino, found.st_size):
                return None
            identity = Identity.of(unit.file)
        except OSError:
            return None  # it was rotated away between two looks
        except EvidenceError as error:
            # So may it have been since the system told of it.
            if unit.file.path.exists():
                self._pass_over(unit, (found.st_ino, found.st_size), error)
            return None
        now = [each.identity for each in self.open.values()]
        # While it is open it is no other file, also where nothing of it was known when it was opened.
        is_open = any(each is not None and each.place == place for each in now)
        name = unit.id if is_open or (not grown and self._was_read(unit, identity)) else None
        if name is None:
            name = self._original(unit, identity, files, grown=grown)
            if name is None:
                if grown:
                    log.info("%s is no copy, as it goes on otherwise: it is read", unit.id)
                self._copies.pop(place, None)
                return identity
            self._copies[place] = found.st_size
        if family(name) != family(unit.id) and not grown:
            log.warning("%s is passed over as a copy of %s, which was read", unit.id, name)
        elif not grown:
            log.info("%s was read before, under another name", unit.id)
        self.done[unit.id], self._known[unit.id] = identity, seen
        return None

    def _was_read(self, unit: FileUnit, identity: Identity) -> bool:
        """Whether a file was read before: by its inode, and how it begins."""
        same = (each for each in self.done.values() if each is not None and each.place == identity.place)
        return any(each.begins_like(unit.file) for each in same)

    def _original(
        self, unit: FileUnit, identity: Identity, files: dict[str, FileUnit], *, grown: bool
    ) -> str | None:
        now = {name: each.identity for name, each in self.open.items() if each.identity is not None}
        done = ((name, each) for name, each in self.done.items() if each is not None)
        return original(unit, identity, done, now, files, grown=grown)

    def _open(
        self,
        unit: Any,
        identity: Identity | None,
        position: Any,
        *,
        stop: bool = False,
        begun: bool | None = None,
    ) -> bool:
        """Open a unit; False where it cannot be, which is told. Raises CheckpointError for a position that is
        none."""
        if self._once and isinstance(unit, FileUnit):
            unit = replace(unit, file=replace(unit.file, upto=unit.file.size))
        try:
            stream = self._reader.open(unit, resume=position)
        except VestigeError as error:
            mark = (0, 0) if identity is None else (identity.inode, unit.size or 0)
            self._pass_over(unit, mark, error)
            return False
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            if position is None:
                raise
            what = f"the state says of {unit.name} what cannot be taken up: {error}"
            raise CheckpointError(what, remedy=REMEDY) from error
        self._refused.pop(unit.id, None)
        self._news = True
        if begun is None:
            begun = position is not None
        now = time.monotonic()
        followed = Followed(unit, stream, identity, opened=now, heard=now, looked=now, begun=begun)
        if stop:
            followed.stop(unit.size or 0)
        self.open[unit.id] = followed
        return True

    def _pass_over(self, unit: Any, mark: tuple[int, int], error: VestigeError) -> None:
        """Leave what cannot be read, until it is another file, or has grown: `mark` is its inode and size."""
        before = self._refused.get(unit.id)
        # Of what grows, and still cannot be read, nothing new is to be told.
        if self._refuse(unit.id, mark) and (before is None or before[0] != mark[0]):
            later = "" if _is_pipe(unit) else " now"
            log.warning("%s cannot be read%s: %s", unit.name, later, error.what)

    def _read(self, name: str, followed: Followed) -> StepBlock | None:
        stream = followed.stream
        try:
            block = followed.read(BLOCK_STEPS)
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
            log.warning("%s was cut short while it was followed: it is read anew", name)
            # A copy of what it was may hold lines that were not read yet: it is looked for.
            self._stale[name] = followed.state()
            self._drop(name)
            return None
        except VestigeError as error:
            if followed.identity is not None and not followed.begun:
                # It was too short to say what it is when it was opened.
                self._pass_over(followed.unit, (followed.identity.inode, stream.taken), error)
                self._drop(name)
                return None
            log.warning("%s: %s; the rest of it is left out", followed.unit.name, error.what)
            self._end(name)
            return None
        for defect in stream.defects[followed.told :]:
            log.warning("%s", replace(defect, file=followed.unit.name))
        followed.told = len(stream.defects)
        followed.looked = time.monotonic()
        came = stream.taken != followed.taken
        followed.taken = stream.taken
        if came or block is not None:
            # What was handed on before its time may stand before this: then no block tells of it.
            followed.heard, followed.released = followed.looked, False
        identity = followed.identity
        # Where nothing came since, it begins as it did.
        if came and identity is not None and identity.head_bytes < HEAD_BYTES:
            with suppress(OSError, EvidenceError):
                # Where it lay, another file may lie by now.
                now = Identity.of(followed.unit.file)
                if (identity.device, identity.inode) == (now.device, now.inode):
                    followed.identity = now
        if block is not None or stream.ended:
            self._said.say(followed.unit.name, stream.summary)
        if block is not None:
            followed.begun = self._news = True
        elif stream.ended:
            self._keep_end(followed)
            self._end(name)
        elif followed.gone:
            return self._leave(name, followed)
        return block

    def _leave(self, name: str, followed: Followed) -> StepBlock | None:
        """End with what is gone, and of which all was read; what it still held back comes first."""
        block = followed.stream.release()
        if block is not None:
            followed.begun = followed.released = True
            return block
        log.info("%s is gone; where it comes back, it is read on", followed.unit.name)
        self._put_aside(name, followed.state())
        self._end(name)
        return None

    def _keep_end(self, followed: Followed) -> None:
        """Keep where what was renamed ends: whoever writes it may not have let go of it yet."""
        if followed.identity is not None and followed.last is not None and followed.unit.mode == "follow":
            taken = max(followed.size or 0, followed.stream.taken)
            self._ended.append(followed.state() | {"position": followed.last, "taken": taken})
            del self._ended[:-MOST_ENDED]

    def _end(self, name: str) -> None:
        self._news = True  # its name may be that of another file by now
        self.done[name] = self.open[name].identity
        self._drop(name)

    def _drop(self, name: str) -> None:
        self._waited.pop(name, None)
        self.open.pop(name).stream.close()

    def _refuse(self, name: str, mark: tuple[int, int]) -> bool:
        """Note that something cannot be read as it is; whether that is new, and to be told."""
        new = self._refused.get(name) != mark
        self._refused[name] = mark
        return new


def _is_whole(unit: Any, *, inbox: bool) -> bool:
    return unit.name.endswith(PACKED) or (inbox and isinstance(unit, FileUnit) and is_old(unit.file.path))


def _is_pipe(unit: Any) -> bool:
    return isinstance(unit, FileUnit) and unit.file.path == STDIN


def _refuse_special(path: Path) -> None:
    """Raise EvidenceError for a pipe with a name, or a device: opening one may wait for ever."""
    if path == STDIN:
        return
    with suppress(OSError):  # whoever lists it says what is wrong
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            what = "is neither a file nor a directory; a pipe is read as standard input (vestige watch ... -)"
            raise EvidenceError(what, where=path)


def _by_path(unit: Any) -> Any:
    """A unit that is called by its whole path, where it is a file."""
    if not isinstance(unit, FileUnit):
        return unit
    return replace(unit, id=unit.file.where, name=unit.file.where)
