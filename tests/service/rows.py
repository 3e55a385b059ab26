"""Rows as a watch hands them to sinks."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]


def alert(number: int = 0, **changed: Any) -> Row:
    row = {
        "time": f"2026-11-28T12:00:{number % 60:02d}.123456789Z", "host": "web-1", "recording": "app.log",
        "file": "/var/log/app.log", "line": 7 + number, "offset": 512 + number,
        "text": f"login of user{number}", "score": 0.999871, "p_value": 1.2e-05, "alert": True,
        "reasons": [{"look": "order", "p_value": 0.001, "says": "`login` after `logout`: once in 4,100"}],
        "expected": [{"event": "logout", "p": 0.93}],
        "nearest": {"text": "login of <*>", "file": "/var/log/app.log.1", "line": 3}, "incident": "000012",
    }  # fmt: skip
    return row | changed


def incident(state: str = "opened", **changed: Any) -> Row:
    row = {
        "kind": "incident", "id": "000012", "state": state, "host": "web-1",
        "first": "2026-11-28T12:00:00.000000000Z", "last": "2026-11-28T12:05:00.500000000Z", "alerts": 3,
        "p_value": 1.2e-05, "reasons": [{"look": "order", "p_value": 0.001, "says": "rare"}], "evidence": [],
    }  # fmt: skip
    return row | changed


STEP = {
    "time": None,
    "host": None,
    "recording": "app.log",
    "line": 1,
    "text": "fine",
    "score": 0.1,
    "alert": False,
}
DRIFT = {"kind": "drift", "time": "2026-11-28T13:00:00Z", "text": "the promise is broken since yesterday"}
EVERY_KIND = [
    alert(),
    alert(1, time=None, host=None, file=None, text=None, reasons=[]),
    alert(2, corrects=True),
    alert(2, corrects=True, alert=False),
    *(incident(state) for state in ("opened", "grew", "closed")),
    DRIFT,
]
