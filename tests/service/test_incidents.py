"""Alerts that belong together are one incident."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.service.conftest import lines
from vestige.checkpoint import load
from vestige.reading import live
from vestige.reading.steps import StepBlock
from vestige.reading.windower import Windower
from vestige.scoring.normal import NormalScorer
from vestige.scoring.repeats import Repeats
from vestige.scoring.windows import judge_batches
from vestige.service.follow import Follower
from vestige.service.incidents import GROWTH, MOST_EVIDENCE, Incidents, seconds_of


def alert(
    seconds: int, *, host: str = "web", look: str = "novelty.distance", about: str = "x"
) -> dict[str, Any]:
    """An alert so many seconds after ten o'clock."""
    hour, rest = divmod(36_000 + seconds, 3_600)
    time = f"2026-01-01T{hour:02d}:{rest // 60:02d}:{rest % 60:02d}.123456789Z"
    reasons = [{"look": look, "p_value": 0.001, "says": f"{look} of {about}"}]
    nearest = {"text": about}
    return {"time": time, "host": host, "text": about, "p_value": 1e-4 / (1 + seconds), "alert": True,
            "reasons": reasons, "nearest": nearest}  # fmt: skip


def states(lines: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(line["id"], line["state"]) for line in lines]


def test_alerts_of_one_host_close_together_are_one_incident() -> None:
    found = Incidents()
    first, second = alert(0), alert(60, look="order", about="y")
    assert states(found.take(first)) == [("000001", "opened")]
    assert found.take(second) == []
    assert first["incident"] == second["incident"] == "000001"
    other = alert(61, host="db")
    found.take(other)
    assert other["incident"] == "000002"


def test_the_same_kind_joins_within_the_hour_and_another_does_not() -> None:
    found = Incidents()
    found.take(alert(0))
    again, other = alert(1_800), alert(3_000, look="order", about="y")
    found.take(again)
    found.take(other)
    assert (again["incident"], other["incident"]) == ("000001", "000002")


def test_reasons_of_a_detector_taught_by_labels_are_kept_the_strongest_of_each_and_group_nothing() -> None:
    def taught(seconds: int, **contributions: float) -> dict[str, Any]:
        reasons = [
            {"step": 0, "what": what, "contribution": nats, "says": f"{what} adds {nats} nats"}
            for what, nats in contributions.items()
        ]
        return {**alert(seconds), "reasons": reasons, "p_value": None}

    found = Incidents()
    found.take(taught(0, sudo=1.0, cron=0.5))
    found.take(taught(60, sudo=2.0, ssh=0.75))
    (closed,) = found.close_all()
    assert [(one["what"], one["contribution"]) for one in closed["reasons"]] == [
        ("sudo", 2.0), ("ssh", 0.75), ("cron", 0.5),
    ]  # fmt: skip
    assert [way["looks"] for way in closed["raised"]] == [["score"]]


def test_an_incident_closes_when_it_was_quiet_for_an_hour() -> None:
    found = Incidents()
    found.take(alert(0))
    lines = found.take(alert(3_700))
    assert states(lines) == [("000001", "closed"), ("000002", "opened")]
    assert lines[0]["alerts"] == 1
    assert states(found.close_all()) == [("000002", "closed")]


def test_an_incident_says_that_it_grew_and_keeps_the_rarest_and_the_first() -> None:
    found, lines = Incidents(), []
    for second in range(25):
        lines += found.take(alert(second, about=f"kind {second}"))
    assert states(lines) == [("000001", "opened"), ("000001", "grew")]
    (closed,) = found.close_all()
    assert closed["alerts"] == 25
    assert GROWTH[0] == 10
    assert len(closed["evidence"]) == MOST_EVIDENCE
    assert closed["p_value"] == 1e-4 / 25
    assert (closed["first"][11:19], closed["last"][11:19]) == ("10:00:00", "10:00:24")


def test_repeats_are_counted_while_the_incident_is_open_and_keep_it_open_no_longer() -> None:
    found, first = Incidents(), alert(0)
    found.take(first)
    for second in (60, 1_800, 3_500):
        found.repeat("000001", alert(second))
    found.repeat("000001", None)
    begin = seconds_of(first["time"])
    assert begin is not None
    (closed,) = found.pass_time("web", begin + 3_601)
    assert (closed["alerts"], closed["repeats"], closed["last"]) == (1, 2, first["time"])
    found.repeat("000001", alert(3_700))
    assert not found.open


def test_a_repeat_that_is_corrected_counts_as_what_it_is_in_the_end(detector: Path, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("".join(lines(30, start=3_000, odd=(3_010, 3_020, 3_029))))
    loaded = load(detector)
    reader = loaded.reader()
    follower, windower = Follower(reader, [log]), Windower(reader, live.scored(reader))
    scorer, repeats, found = NormalScorer.of(loaded), Repeats(), Incidents()
    assert scorer is not None

    def take(block: StepBlock) -> int:
        for judged in judge_batches(loaded, windower.push(block)):
            for row in scorer.rows(judged, repeats=repeats, repeated=found.repeat):
                if row["alert"]:
                    found.take(row)
                    repeats.name(row["key"], row["incident"])
        return sum(each.repeats for each in found.open.values())

    follower.scan()
    (before,) = follower.read()
    (last,) = follower.release()
    follower.close()
    assert take(before) == 1
    assert take(last) == 2
    again = replace(last, corrects=True)
    assert take(again) == 2
    # What it is judged as in the end may be nothing that was told.
    alpha, scorer.budget.alpha = scorer.budget.alpha, 1e-300
    assert take(again) == 1
    scorer.budget.alpha = alpha
    assert take(again) == 2


def test_no_more_than_so_many_are_open() -> None:
    found, lines = Incidents(most=3), []
    for number in range(5):
        lines += found.take(alert(number, host=f"host-{number}"))
    assert len(found.open) == 3
    assert [each for each in states(lines) if each[1] == "closed"] == [
        ("000001", "closed"),
        ("000002", "closed"),
    ]


def test_incidents_survive_their_state() -> None:
    found = Incidents()
    found.take(alert(0))
    again = Incidents.of(json.loads(json.dumps(found.to_dict())))
    joined = alert(30)
    assert again.take(joined) == []
    assert joined["incident"] == "000001"
    assert Incidents().take({"time": None, "alert": True})[0]["first"] is None


def test_an_incident_closes_when_the_evidence_of_its_host_goes_on_quietly() -> None:
    found = Incidents()
    found.take(alert(0))
    found.take(alert(10, host="db"))
    begin = seconds_of(alert(0)["time"])
    assert begin is not None
    assert found.pass_time("web", begin + 3_600) == []
    assert states(found.pass_time("web", begin + 3_601)) == [("000001", "closed")]
    assert found.pass_time("web", begin + 9_999) == []
    assert list(found.open) == ["000002"]
    later = alert(3_700)
    assert states(found.take(later)) == [("000003", "opened")]


def test_an_incident_closes_by_the_clock_where_nothing_comes_any_more() -> None:
    found, untimed = Incidents(), alert(0)
    untimed["time"] = None
    found.take(untimed)
    (incident,) = found.open.values()
    assert incident.heard_s is not None
    now = incident.heard_s
    again = Incidents.of(json.loads(json.dumps(found.to_dict())))
    assert again.pass_clock(now + 3_600) == []
    assert states(again.pass_clock(now + 3_601)) == [("000001", "closed")]
    # Of a state from before, and where the clock was set back, the hour begins anew.
    plain = found.to_dict()
    del plain["open"][0]["heard_s"]
    old = Incidents.of(plain)
    assert old.pass_clock(now + 9_999) == []
    assert old.pass_clock(now + 100) == []
    assert states(old.pass_clock(now + 3_701)) == [("000001", "closed")]


def test_of_several_of_a_kind_one_that_is_open_is_found() -> None:
    found = Incidents()
    found.take(alert(0, about="x"))
    found.take(alert(1_000, about="y"))
    both = alert(1_060, about="x")
    found.take(both)
    assert both["incident"] == "000002", "what is close in time comes first"
    # The one that had both kinds is closed, and the one before it still has the first.
    found.open["000001"].last_s = found.open["000002"].last_s + 3_000  # type: ignore[operator]
    found.pass_time("web", found.open["000002"].last_s + 3_601)  # type: ignore[operator]
    assert list(found.open) == ["000001"]
    joined = alert(1_060 + 3_300, about="x")
    found.take(joined)
    assert joined["incident"] == "000001"


def test_alerts_without_p_values_give_their_incident_none() -> None:
    incidents = Incidents()
    first = {key: value for key, value in alert(0).items() if key not in {"p_value", "reasons"}}
    lines = incidents.take(first)
    assert [(line["state"], line["p_value"]) for line in lines] == [("opened", None)]
    assert [line["p_value"] for line in incidents.close_all()] == [None]


def test_a_line_about_an_incident_does_not_change_with_what_comes_after_it() -> None:
    found = Incidents()
    (line,) = found.take(alert(0))
    before = json.dumps(line)
    found.take(alert(1))
    found.take(alert(2, look="order", about="y"))
    assert json.dumps(line) == before
    assert len(line["evidence"]) == 1
    assert [way["alerts"] for way in line["raised"]] == [1]
