"""The audit as one self-contained page without scripts."""

from __future__ import annotations

from pathlib import Path

from vestige.evaluation.report import compose
from vestige.evaluation.tables.record import TableAudit
from vestige.storage import write_text


def write_page(path: Path, audit: TableAudit) -> None:
    """Write the page atomically."""
    write_text(path, render(audit))


def render(audit: TableAudit) -> str:
    """The page as text."""
    return compose("audit.html.j2", {}, audit=audit, verdict=verdict(audit))


def verdict(audit: TableAudit) -> str:
    """The audit in a sentence."""
    failed = [check.name for check in audit.findings if check.status == "fail"]
    warned = [check.name for check in audit.findings if check.status == "warn"]
    looked = sum(check.status != "not_applicable" for check in audit.checks)
    if failed:
        named = ", ".join(failed)
        return f"{len(failed)} of {looked} checks failed ({named}): the figures of this test are no result."
    if warned:
        return f"No check of {looked} failed; {len(warned)} warn ({', '.join(warned)})."
    return f"All {looked} checks that these tables allow passed."
