"""The exceptions that a person may see, each with the exit code that the command line returns for it.

An error says what was wrong, where (file and row), and what to do about it. It is raised where the
fact is known and caught only by the command line.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

INTERRUPTED = 130
"""The exit code after Ctrl-C, as a shell gives it: 128, and the number of the signal."""
NO_MEMORY = ("out of memory", "can't allocate memory", "bad_alloc", "not enough memory")
"""How libraries that raise no MemoryError say that there is none left."""
LIBRARIES = ("polars", "xgboost")
"""Those that say it by exceptions of their own; others raise a RuntimeError."""


class VestigeError(Exception):
    """Something a person can mend: `what` was wrong, `where` (a file), `row` (1-based), and the `remedy`."""

    exit_code: ClassVar[int] = 1
    fatal: ClassVar[bool] = False
    """Whether evidence in which it is found is not to be read by halves."""

    def __init__(
        self, what: str, *, where: Path | str | None = None, row: int | None = None, remedy: str = ""
    ) -> None:
        super().__init__(what, where, row, remedy)
        self.what, self.where, self.row, self.remedy = what, where, row, remedy

    @property
    def reason(self) -> str:
        """What was wrong, for a list of what was left out."""
        return self.what

    def advise(self, hint: str) -> None:
        """Add a line to the remedy."""
        self.remedy = "\n  ".join(filter(None, [self.remedy, hint]))

    def __str__(self) -> str:
        place = (
            ""
            if self.where is None
            else f"{self.where}: "
            if self.row is None
            else f"{self.where}:{self.row}: "
        )
        return f"{place}{self.what}" + (f"\n  remedy: {self.remedy}" if self.remedy else "")

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.where, self.row, self.remedy)


def _rebuild(
    kind: type[VestigeError], what: str, where: Path | str | None, row: int | None, remedy: str
) -> VestigeError:
    return kind(what, where=where, row=row, remedy=remedy)


class UsageError(VestigeError):
    """The command or its options do not make sense together."""

    exit_code = 2


class DefinitionError(UsageError):
    """There is no format, or mapping of fields, of this name, or its definition is wrong."""


class ComputationError(UsageError):
    """A detector cannot compute in the way that was asked for, whatever it is given."""

    fatal: ClassVar[bool] = True


class EvidenceError(VestigeError):
    """Raw evidence cannot be used: empty, in another format, without the labels it needs."""

    exit_code = 3


class FormatError(EvidenceError):
    """Evidence does not fit the format, or the mapping of fields, by which it was to be read."""


class DatasetError(VestigeError):
    """A prepared dataset is damaged, incomplete, or of another schema."""

    exit_code = 4


class CheckpointError(VestigeError):
    """A checkpoint is damaged, was made for other inputs, or its extractor's numbers have changed."""

    exit_code = 5


class SplitError(VestigeError):
    """The recordings do not allow the split that was asked for."""

    exit_code = 6


class LeakageError(VestigeError):
    """The audit found a way from the test part into training."""

    exit_code = 7


class OutputError(VestigeError):
    """The output cannot be written: it exists already, the disk is full, the folder is not writable."""

    exit_code = 8


class VerdictError(VestigeError):
    """A sweep found episodes whose verdict is as bad as `--fail-on` says, or worse."""

    exit_code = 10


class SearchError(VestigeError):
    """No trial of a search for hyper-parameters ended well."""

    exit_code = 11


class OutOfMemoryError(VestigeError):
    """There is not enough memory for what was asked."""

    exit_code = 12


def out_of_memory(error: BaseException) -> OutOfMemoryError | None:
    """The advice where an error says that memory ran out; None for any other."""
    # A sentence of ours, or one that quotes evidence, may hold these words, too.
    of_library = isinstance(error, RuntimeError) or type(error).__module__.partition(".")[0] in LIBRARIES
    told = of_library and any(text in str(error).lower() for text in NO_MEMORY)
    if not isinstance(error, MemoryError) and not told:
        return None
    return OutOfMemoryError(
        "there is not enough memory",
        remedy="allow more (ulimit, MemoryMax=), give less evidence at a time, or use fewer --jobs",
    )
