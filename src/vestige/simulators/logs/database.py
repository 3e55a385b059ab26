"""The log of a database server: `database.log`."""

from __future__ import annotations

from vestige.simulators.logs.values import TABLES, Line, Session, Values


def _begin(v: Values) -> Line:
    return Line(v.soon(4), "TXN", "INFO", f"begin transaction {v.hex()} for user {v.user()}")


def _read(v: Values, kind: str = "") -> Line:
    return Line(v.soon(0.3), "SCAN", "INFO", f"read {v.below(5000)} rows from table {v.pick(TABLES)}", kind)


def _write(v: Values, kind: str = "") -> Line:
    return Line(v.soon(0.3), "HEAP", "INFO", f"wrote {v.below(900)} rows to table {v.pick(TABLES)}", kind)


def _logged(v: Values, kind: str = "") -> Line:
    return Line(v.soon(0.1), "WAL", "INFO", f"log flushed up to {v.hex()}", kind)


def _commit(v: Values, kind: str = "") -> Line:
    return Line(v.soon(0.1), "TXN", "INFO", f"commit done in {v.ms()} ms", kind)


def _release(v: Values, kind: str = "") -> Line:
    return Line(v.soon(0.05), "LOCK", "INFO", f"{v.between(1, 9)} locks released", kind)


def transaction(v: Values) -> Session:
    """Begin, read, write, flush the log, commit, release; now and then rolled back."""
    lines = [_begin(v), *(_read(v) for _ in range(v.below(5)))]
    if v.variant == 1:
        lines.append(Line(0.01, "PLAN", "INFO", f"plan {v.hex()} reused, cost {v.below(9000)}"))
    if v.chance(0.1):
        undone = Line(v.soon(1), "TXN", "WARNING", f"rollback to avoid deadlock after {v.ms()} ms")
        return [*lines, undone, _release(v)]
    lines += [_write(v) for _ in range(v.between(1, 3))]
    if v.release >= 1 and v.chance(0.6):
        lines.append(Line(0.01, "REPL", "INFO", f"standby confirmed {v.hex()} after {v.ms()} ms"))
    if v.release >= 2 and v.chance(0.4):
        lines.append(Line(0.01, "HEAP", "INFO", f"{v.below(90)} old versions pruned from page {v.hex()}"))
    return [*lines, _logged(v), _commit(v), _release(v)]


def report(v: Values) -> Session:
    """Reading only: no log to flush."""
    return [_begin(v), *(_read(v) for _ in range(v.between(2, 6))), _commit(v), _release(v)]


def upkeep(v: Values) -> Session:
    """Checkpoint or backup."""
    if v.chance(0.7):
        return [
            Line(v.soon(9), "WAL", "INFO", f"checkpoint started, {v.below(9000)} buffers to write"),
            Line(v.soon(20), "WAL", "INFO", f"checkpoint finished in {v.between(1, 90)} s"),
        ]
    table = v.pick(TABLES)
    return [
        Line(v.soon(9), "DUMP", "INFO", f"backup of table {table} started"),
        *(_read(v) for _ in range(v.between(3, 8))),
        Line(v.soon(9), "DUMP", "INFO", f"backup of table {table} verified, {v.below(10**9)} bytes"),
    ]


def slow(v: Values) -> Session:
    """A query that took its time."""
    return [Line(v.soon(9), "PLAN", "WARNING", f"query {v.hex()} took {v.between(900, 9000)} ms, no index")]


def exfiltration(v: Values) -> Session:
    """One transaction that reads table after table, and commits nothing."""
    reads = [_read(v, "BURST" if at >= 6 else "") for at in range(v.between(10, 24))]
    return [_begin(v), *reads, _release(v, "BURST")]


def out_of_order(v: Values) -> Session:
    """Committed before the log was flushed, or written after the commit."""
    lines = [_begin(v), *(_read(v) for _ in range(v.below(4))), _write(v)]
    if v.chance(0.5):
        return [*lines, _commit(v, "ORDER"), _logged(v, "ORDER"), _release(v, "ORDER")]
    late = [_write(v, "ORDER") for _ in range(v.between(1, 3))]
    return [*lines, _logged(v), _commit(v), *late, _release(v, "ORDER")]


def missing_commit(v: Values) -> Session:
    """Rows written and locks released, and no commit between, a few times in a row."""
    lines: Session = []
    for _ in range(v.between(1, 4)):
        lines += [_begin(v), _read(v), _write(v), _write(v), _release(v, "MISSING")]
    return lines


NORMAL = ((transaction, 0.7), (report, 0.12), (upkeep, 0.1), (slow, 0.08))
COLLECTIVE = (exfiltration, out_of_order, missing_commit)
