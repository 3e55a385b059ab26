"""What a watch has found, as the page asks for it: real states of real watches, with hostile evidence."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.dashboard.conftest import HOSTILE_LINE, Serve, Serving, watch
from tests.service.conftest import lines
from vestige.dashboard.events import Watch
from vestige.dashboard.feed import Feed
from vestige.dashboard.incidents import Known, Wanted, WatchState
from vestige.dashboard.neighbours import BESIDE, GONE, UNKNOWN
from vestige.errors import CheckpointError, UsageError
from vestige.service import feedback
from vestige.service.incidents import seconds_of


def known(state: Path) -> Known:
    return WatchState(state, []).known


def of_host(state: Path, host: str) -> dict[str, Any]:
    """The incident of the odd line of a host, whole."""
    now = known(state)
    wanted = Wanted(host=host, look="novelty.distance")
    return now.one(now.chosen(wanted, 10)["incidents"][0]["id"])


def put(page: Serving, incident: str, what: str, **body: Any) -> tuple[int, dict[str, Any]]:
    answer = page.ask(f"/incidents/{incident}/{what}", "POST", body)
    return answer.status, json.loads(answer.body)


def test_what_is_told_is_what_the_watch_has_kept(learnt: Path, watched: Path) -> None:
    *_, event = Feed.open(learnt, state=watched).standing()
    assert isinstance(event, Watch)
    plain = json.loads((watched / "state.json").read_text())
    kept = feedback.kept(watched)
    assert (event.steps, event.alerts) == (700, plain["alerts"])
    assert event.alerts >= 2
    assert event.incidents == len(kept.rows) == kept.count
    assert event.hosts == ["db", "web"]
    assert "novelty.distance" in event.looks
    assert sum(day.windows for day in event.days) == 700
    assert sum(day.alerts for day in event.days) == event.alerts
    promised = [day.promised for day in event.days if day.promised is not None]
    assert len(promised) == len(event.days) > 0
    assert sum(promised) == pytest.approx(event.promised)
    assert event.drift is not None
    assert event.drift.broken == plain["promise"]["told"]
    assert event.told == kept.told()


def test_incidents_are_chosen_by_host_look_words_and_time(watched: Path) -> None:
    now = known(watched)
    every = now.chosen(Wanted(), 1_000)["incidents"]
    assert [one["id"] for one in every] == list(reversed(now.kept.rows))
    hosts = {one["host"] for one in every}
    assert hosts == {"web", "db"}
    for host in hosts:
        mine = now.chosen(Wanted(host=host), 1_000)["incidents"]
        assert [one["id"] for one in mine] == [one["id"] for one in every if one["host"] == host]
    odd = now.chosen(Wanted(text="SCRIPT"), 10)["incidents"]
    assert [one["host"] for one in odd] == ["db"]
    assert now.chosen(Wanted(state="open", said="confirmed"), 10)["incidents"] == []
    last = seconds_of(odd[0]["last"])
    assert last is not None
    assert now.chosen(Wanted(text="script", begin=last), 10)["incidents"] == odd
    assert now.chosen(Wanted(text="script", begin=last + 1), 10)["incidents"] == []
    assert now.chosen(Wanted(text="script", end=last - 1e6), 10)["incidents"] == []
    few = now.chosen(Wanted(), 1)
    assert (len(few["incidents"]), few["others"]) == (1, len(every) - 1)


def test_evidence_comes_with_the_lines_beside_it(watched: Path) -> None:
    text = (watched.parent / "evidence" / "app.log").read_text().splitlines()
    found = of_host(watched, "web")
    place = next(place for place in found["evidence"] if "segfault" in place["text"])
    at = place["line"] - 1
    assert "segfault" in text[at]
    assert place["before"] == text[at - BESIDE : at]
    assert place["after"] == text[at + 1 : at + 1 + BESIDE]
    assert place["why"] == ""
    assert found["reasons"][0]["says"]


def test_hostile_evidence_is_plain_visible_text_and_is_found_again(watched: Path) -> None:
    found = of_host(watched, "db")
    told = json.dumps(found, ensure_ascii=False)
    assert "<script>" in told
    assert told.isprintable()
    assert "\\u202e" in json.loads(json.dumps(found["evidence"][0]["text"]))
    assert len(told) < 100_000
    place = next(place for place in found["evidence"] if "script" in place["text"])
    assert len(place["before"]) == len(place["after"]) == BESIDE


def test_a_file_that_was_rotated_is_found_by_what_it_is(watched: Path) -> None:
    folder = watched.parent / "evidence"
    (folder / "app.log").rename(folder / "app.log.1")
    (folder / "app.log").write_text("something else\n" * 1_000)
    place = next(place for place in of_host(watched, "web")["evidence"] if "segfault" in place["text"])
    assert len(place["before"]) == BESIDE


@pytest.mark.parametrize("how", ["copied", "linked", "changed", "gone", "pipe"])
def test_a_file_that_was_not_followed_is_not_read(watched: Path, tmp_path: Path, how: str) -> None:
    log = watched.parent / "evidence" / "app.log"
    if how == "copied":
        shutil.copy(log, tmp_path / "copy")
        (tmp_path / "copy").replace(log)
    elif how == "linked":
        log.rename(tmp_path / "moved.log")
        log.symlink_to(tmp_path / "moved.log")
    elif how == "changed":
        log.write_bytes(b"x" * log.stat().st_size)
    else:
        log.unlink()
        if how == "pipe":
            os.mkfifo(log)
    for place in of_host(watched, "web")["evidence"]:
        assert (place["before"], place["after"], place["why"]) == ([], [], GONE)


def test_no_incident_names_a_file(watched: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the secret of somebody else\n")
    path = watched / "incidents.jsonl"
    names = ["/etc/passwd", "../secret", str(tmp_path / "secret"), "app.log/../../secret", "", "\x00", ".."]
    row = json.loads(path.read_text().splitlines()[0])
    row["evidence"] = [{"file": name, "offset": 0, "line": 1, "text": "the secret"} for name in names]
    row["evidence"] += [{"file": "app.log", "offset": at, "text": "begins"} for at in (-1, 1, 1 << 63, True)]
    row["evidence"] += [{"file": "app.log", "offset": "0", "text": "begins"}, {"file": 3}, {}]
    path.write_text(json.dumps(row | {"id": "000999"}) + "\n")
    found = known(watched).one("000999")
    assert len(found["evidence"]) == len(row["evidence"])
    for place in found["evidence"]:
        assert (place["before"], place["after"]) == ([], [])
        assert place["why"]


def test_a_state_that_does_not_say_where_its_evidence_lies_says_so(watched: Path) -> None:
    plain = json.loads((watched / "state.json").read_text())
    del plain["evidence"], plain["daily"]
    (watched / "state.json").write_text(json.dumps(plain))
    assert of_host(watched, "web")["evidence"][0]["why"] == UNKNOWN
    assert known(watched).event.days == []


def test_what_is_no_state_or_that_of_another_detector_is_refused(
    learnt: Path, finished: Path, watched: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="holds no state"):
        Feed.open(learnt, state=tmp_path / "none")
    with pytest.raises(UsageError, match="another detector"):
        Feed.open(finished, state=watched)
    (watched / "state.json").write_text('{"format": "vestige-watch/2", "detector": "x", "incidents": 3}')
    with pytest.raises(CheckpointError):
        Feed.open(learnt, state=watched)


def test_a_state_that_cannot_be_read_any_more_is_told_and_what_was_known_stays(watched: Path) -> None:
    state = WatchState(watched, [])
    before = state.known
    assert state.refresh() is None
    text = (watched / "state.json").read_text()
    (watched / "state.json").write_text("{")
    event = state.refresh()
    assert event is not None
    assert "state.json" in event.error
    assert event.incidents == before.event.incidents
    assert state.refresh() is None
    (watched / "state.json").write_text(text)
    again = state.refresh()
    assert again is not None
    assert again.error == ""
    assert again.revision > event.revision > before.event.revision


def test_the_list_grows_while_a_watch_writes(learnt: Path, watched: Path, serve: Serve) -> None:
    page = serve(learnt, "--state", watched)
    reading = (event for _, event in page.events() if event["event"] == "watch")
    first = next(reading)
    with (watched.parent / "evidence" / "app.log").open("a") as log:
        log.writelines(lines(200, start=30_000, seed=9, odd=(30_100,)))
    watch(learnt, watched.parent / "evidence", watched)
    later = next(event for event in reading if event["steps"] == 900)
    assert later["incidents"] > first["incidents"]
    assert later["revision"] > first["revision"]
    found = json.loads(page.ask("/incidents?host=web&text=segfault").body)["incidents"]
    assert found[0]["last"] > first["days"][-1]["day"]


def test_an_incident_is_dismissed_after_it_was_said_what_that_hides(
    learnt: Path, watched: Path, serve: Serve
) -> None:
    page = serve(learnt, "--state", watched)
    incident = of_host(watched, "web")["id"]
    status, shown = put(page, incident, "dismiss", because="a test", scope="entity", expires_days=7)
    assert status == 200
    assert not shown["written"]
    assert "would have hidden" in shown["past"]
    assert not (watched / "exceptions.toml").exists()
    status, done = put(
        page, incident, "dismiss", because="a test", scope="entity", expires_days=7, preview=False
    )
    assert (status, done["written"], done["past"]) == (200, True, shown["past"])
    (entry,) = tomllib.loads((watched / "exceptions.toml").read_text())["exception"]
    assert (entry["id"], entry["because"], entry["host"]) == (incident, "a test", "web")
    assert (entry["expires"] - entry["made"]).days == 7
    assert json.loads(page.ask(f"/incidents/{incident}").body)["said"] == "dismissed"
    assert json.loads(page.ask("/incidents?said=dismissed").body)["incidents"][0]["id"] == incident
    for what in ("dismiss", "confirm"):
        status, refused = put(page, incident, what, because="again")
        assert status == 409
        assert "dismissed already" in refused["detail"]


def test_an_incident_is_confirmed(learnt: Path, watched: Path, serve: Serve) -> None:
    page = serve(learnt, "--state", watched)
    incident = of_host(watched, "db")["id"]
    assert put(page, incident, "confirm", because="\ud800 an attack")[0] == 422
    assert put(page, incident, "confirm", because="\x1b an attack")[0] == 200
    row = json.loads((watched / "confirmed.jsonl").read_text())
    assert (row["id"], row["because"]) == (incident, "\x1b an attack")
    found = json.loads(page.ask(f"/incidents/{incident}").body)
    assert (found["said"], found["because"]) == ("confirmed", ["\\x1b an attack"])


def test_nothing_is_changed_without_the_token_or_by_what_is_wrong(
    learnt: Path, watched: Path, serve: Serve
) -> None:
    page = serve(learnt, "--state", watched)
    incident = of_host(watched, "web")["id"]
    right: dict[str, Any] = {"because": "x", "preview": False}
    wrong: list[dict[str, Any]] = [
        {}, {"because": 3}, right | {"scope": "all"}, right | {"expires_days": float("nan")},
        right | {"expires_days": -1}, right | {"expires_days": 1e300}, right | {"extra": "\ud800"},
        {"because": "x" * 2_001, "preview": False},
    ]  # fmt: skip
    for body in wrong:
        assert put(page, incident, "dismiss", **body)[0] == 422, body
    assert put(page, incident, "dismiss", because=" ", preview=False)[0] == 409
    for unknown in ("999999", "0"):
        assert put(page, unknown, "dismiss", **right)[0] == 409
        assert page.ask(f"/incidents/{unknown}").status == 404
    for strange in ("x", "1;2", "%2e%2e", "0" * 13, "%D9%A1"):
        assert page.ask(f"/incidents/{strange}").status in {404, 422}
    answer = page.ask(f"/incidents/{incident}/dismiss", "POST", right, Authorization="")
    assert answer.status == 401
    foreign = page.ask(f"/incidents/{incident}/dismiss", "POST", right, Origin="http://evil.example")
    assert foreign.status == 403
    assert not (watched / "exceptions.toml").exists()
    assert not (watched / "confirmed.jsonl").exists()


def test_without_a_state_nobody_asks_for_incidents(page: Serving) -> None:
    assert page.ask("/incidents").status == 404
    assert HOSTILE_LINE.startswith("<script>")
