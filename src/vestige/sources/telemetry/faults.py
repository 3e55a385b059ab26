"""What can be wrong with an episode, and how bad it is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from vestige.errors import EvidenceError
from vestige.escaping import visible

Verdict = Literal["accepted", "degraded", "rejected", "errored"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
"""From the best to the worst."""

FAULTS: dict[str, tuple[Verdict, str]] = {
    "json": ("errored", "the manifest is not JSON"),
    "io": ("errored", "the system will not let us read it"),
    "decode": ("errored", "bytes with the right digest that no reader understands"),
    "died": ("errored", "the process that read it died, or used more memory or time than an episode may"),
    "raised": ("errored", "the check itself failed: a fault of this program, to be reported"),
    "manifest": ("rejected", "the manifest lacks a field, or holds one that cannot be"),
    "size": ("rejected", "larger than a manifest or a file of an episode may be"),
    "path": ("rejected", "a file name that is not one of an episode's"),
    "link": ("rejected", "a link at any level, a device, or anything else that is no plain file or folder"),
    "absent": ("rejected", "the manifest names a file that is not there"),
    "identity": ("rejected", "host or episode are not those of the folder"),
    "repeated_id": ("rejected", "another folder of the store has the same episode id"),
    "registry": ("rejected", "the recorder's columns mean something else: other names, dtypes or units"),
    "bytes": ("rejected", "a file has another size than the manifest says"),
    "sha256": ("rejected", "a file has another digest than the manifest says"),
    "rows": ("rejected", "a file has another number of rows than the manifest says"),
    "bomb": ("rejected", "unpacks to more than an episode can hold"),
    "columns": ("rejected", "columns missing, or of another dtype"),
    "stamps": ("rejected", "a stamp is null, or earlier than the one before it"),
    "seq": ("rejected", "row numbers repeat or go back"),
    "values": ("rejected", "a value that cannot be: infinite, or negative"),
    "labels": ("rejected", "no labels, out of order, outside the episode, or beginning after its rows"),
    "no_rows": ("rejected", "neither proc nor guest has a row"),
    "too_slow": ("rejected", "rows come too rarely for the grid: --grid-seconds makes it as coarse"),
    "missing": ("degraded", "a collector has no file"),
    "few_rows": ("degraded", "less than the gate's share of the rows that the rate promises"),
    "missing_values": ("degraded", "a column has values in less than the gate's share of its rows"),
    "seq_gap": ("degraded", "more than 10 rows in a row were lost"),
    "clock_base": (
        "degraded",
        "stamps of another clock, which no anchors can map: the collector is lost",
    ),
    "few_flows": ("degraded", "fewer connections than the floor for the profile"),
    "missing_fields": ("degraded", "the connections' format does not say what some channels are made of"),
    "unsealed": ("degraded", "a spool that was never sealed"),
    "truncated": ("degraded", "a spool that ends in the middle"),
}
"""By code: the verdict that one such fault is enough for, and what it means."""


class Fault(NamedTuple):
    """One thing that is wrong: its code, which collector or file it is about, and the particulars."""

    code: str
    subject: str
    detail: str = ""

    def __str__(self) -> str:
        if not self.detail:
            return f"{self.code}:{self.subject}"
        return f"{self.code}:{self.subject}: {visible(self.detail, 200)}"


class FaultError(EvidenceError):
    """An episode, or one file of it, cannot be used; `fault` says why in the words of `FAULTS`."""

    def __init__(
        self,
        what: str,
        *,
        where: Path | str | None = None,
        row: int | None = None,
        remedy: str = "",
        code: str = "decode",
        subject: str = "",
    ) -> None:
        named = what
        if subject not in {"", "episode"}:
            named = f"{subject}: {what}"
        super().__init__(named, where=where, row=row, remedy=remedy)
        self.fault = Fault(code, subject, what)

    @property
    def reason(self) -> str:
        """The fault as an index of the store has it: `code:subject: detail`."""
        return str(self.fault)

    def __reduce__(self) -> tuple[object, ...]:
        """It comes home from other processes whole."""
        return _rebuild, (self.fault.detail, self.where, self.row, self.remedy, *self.fault[:2])


def _rebuild(
    what: str, where: Path | str | None, row: int | None, remedy: str, code: str, subject: str
) -> FaultError:
    return FaultError(what, where=where, row=row, remedy=remedy, code=code, subject=subject)


def verdict(faults: Iterable[Fault]) -> Verdict:
    """The worst that any of the faults calls for."""
    verdicts = (FAULTS[fault.code][0] for fault in faults)
    return max(verdicts, key=VERDICTS.index, default="accepted")
