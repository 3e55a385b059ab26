"""The report stands alone, fetches nothing, and shows whatever a log line holds as the text that it is."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.evaluation.made_up import made_up, made_up_run
from vestige.checkpoint import Pooling
from vestige.errors import DatasetError
from vestige.escaping import visible
from vestige.evaluation.bootstrap import interval_result
from vestige.evaluation.comparing import compare
from vestige.evaluation.judging import evaluate
from vestige.evaluation.report import Details, plotly_text, render, script_json, write_report, write_script
from vestige.evaluation.results import CheckResult, LeftOutResult, RunResults
from vestige.evaluation.table import results_table

HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }}{% raw %}"
    '<a href="https://evil.example/">x</a>&lt;b&gt;\x00\x1b[31m\u202egnp%{x}$x$[red]'
)


class Page(HTMLParser):
    """Every element with its attributes, the visible text, and what stands in script elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, _: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        else:
            self.text += data


@pytest.fixture(scope="module")
def clean() -> Page:
    return Page(render(*made_up_run()))


@pytest.fixture(scope="module")
def hostile() -> Page:
    run = made_up_run(hostile=HOSTILE, in_distribution=True, leakage_allowed=True, synthetic=True)
    return Page(render(*run))


def test_nothing_is_fetched_from_anywhere(hostile: Page) -> None:
    for tag, attributes in hostile.elements:
        assert tag not in {"link", "img", "iframe", "object", "embed", "base", "form", "a"} or (
            tag == "a" and str(attributes["href"]).startswith("#")
        )
        assert not {"src", "srcset", "action", "data"} & set(attributes)
        assert not [name for name in attributes if name.startswith("on")]


def test_only_our_own_scripts_may_run(hostile: Page) -> None:
    (policy,) = [str(a["content"]) for tag, a in hostile.elements if a.get("http-equiv")]
    data, *run = hostile.scripts
    assert len(run) == 2
    assert "plotly.js" in run[0][:100]
    for script in run:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    for loophole in ("unsafe-eval", "https:", "http:", "*", "connect-src"):
        assert loophole not in policy
    assert "<" not in data


def test_a_shared_script_comes_from_beside_the_page_alone(tmp_path: Path) -> None:
    results, details = made_up_run()
    script = write_script(tmp_path)
    assert script.stat().st_size > 1_000_000
    page = Page(render(results, replace(details, script="../plotly.min.js")))
    assert [a["src"] for tag, a in page.elements if tag == "script" and "src" in a] == ["../plotly.min.js"]
    (policy,) = [str(a["content"]) for tag, a in page.elements if a.get("http-equiv")]
    assert "script-src 'self' 'sha256-" in policy
    assert "default-src 'none'" in policy
    assert "the figures are missing" in page.text.lower()


def test_findings_of_the_audit_have_the_whole_width_of_a_phone(clean: Page) -> None:
    classes = [a.get("class") for tag, a in clean.elements if tag == "table"]
    assert classes.count("stack") == 1
    page = render(*made_up_run())
    narrow = page.partition("@media (max-width: 640px)")[2].partition("\n}\n")[0]
    assert "table.stack td.text:last-child { grid-column: 1 / -1;" in narrow


def test_words_of_a_table_are_not_broken_on_a_phone() -> None:
    # Text may be broken anywhere where it must: without a width of its own its column shrinks to letters.
    page = render(*made_up_run())
    assert re.search(r"td\.text {[^}]*min-width: \d+px", page)


def test_hostile_text_is_shown_as_text(clean: Page, hostile: Page) -> None:
    assert [tag for tag, _ in hostile.elements if tag == "script"] == ["script"] * 3
    # A name with a slash may break behind it, and the clean one has none.
    known = {tag for tag, _ in clean.elements} | {"wbr"}
    assert {tag for tag, _ in hostile.elements} <= known
    assert "<img src=x onerror=alert(2)>" in hostile.text
    assert "{{ 7*7 }}{% raw %}" in hostile.text
    assert "\\x00\\x1b[31m\\u202egnp" in hostile.text
    assert not set(hostile.text) & set("\x00\x1b\u202e")


def test_the_headline_comes_first_and_is_honest(clean: Page) -> None:
    assert clean.text.index("gru beats the best baseline: macro F1") < clean.text.index(
        "Models and baselines"
    )
    tests = {"gru": made_up(seed=9, skill=0.5), "template": made_up(seed=9, skill=3)}
    results, _ = made_up_run()
    detectors = [
        evaluate(n, made_up(seed=5), t, kind="model" if n == "gru" else "baseline", resamples=50)
        for n, t in tests.items()
    ]
    worse = results.model_copy(
        update={"detectors": detectors, "comparisons": compare(detectors, tests, resamples=50)}
    )
    assert "gru does NOT beat the best baseline: macro F1" in Page(render(worse, Details())).text


def test_what_weakens_the_figures_is_a_banner(clean: Page, hostile: Page) -> None:
    for words in ("Leakage was allowed", "In-distribution: ", "Synthetic corpus"):
        assert words in hostile.text
        assert words not in clean.text
    results, _ = made_up_run()
    shaky = results.clusters.model_copy(update={"trusted": False, "reason": "only 3 recordings"})
    page = Page(render(results.model_copy(update={"clusters": shaky}), Details()))
    assert "The intervals cannot be trusted: only 3 recordings." in page.text


def test_what_the_split_cannot_test_is_listed(clean: Page) -> None:
    text = " ".join(clean.text.split())
    assert "Not tested (profiles that the test part lacks): kernel." in text
    assert "bootstrap over 12 recordings" in text


def test_what_was_not_read_has_a_section_of_its_own(clean: Page) -> None:
    assert "What was not read" in clean.text
    assert "1,200 records, 1 file" in clean.text
    assert "host1/app.log1,207a recordno time" in "".join(clean.text.split("\n"))
    assert "And 1,199 more" in clean.text
    results, details = made_up_run()
    nothing = results.model_copy(update={"left_out": LeftOutResult()})
    assert "What was not read" not in render(nothing, details)


def test_what_is_doubtful_about_the_evidence_is_said_and_harmless() -> None:
    results, details = made_up_run()
    assert "doubtful about the evidence" not in render(results, details)
    page = render(results.model_copy(update={"warnings": ["the year <b>2024</b> is assumed"]}), details)
    assert "What is doubtful" in page
    assert "the year &lt;b&gt;2024&lt;/b&gt; is assumed" in page


def test_tables_hold_everything_without_javascript(clean: Page) -> None:
    for words in (
        "Top alerts",
        "Missed anomalies",
        "Confusion matrix",
        "time order",
        "BGL.log:",
        "Baselines",
    ):
        assert words in clean.text
    assert "machine check interrupt" in clean.text


def test_every_figure_has_its_place(clean: Page) -> None:
    places = {str(a["id"]) for _, a in clean.elements if str(a.get("id", "")).startswith("figure-")}
    drawn = set(re.findall(r'"((?:all|\d+)-[a-z_]+)":\{"traces"', clean.scripts[0]))
    assert places == {f"figure-{name}" for name in drawn}
    assert {"all-standing", "all-roc", "0-along_time", "0-history", "0-reliability"} <= drawn


def test_a_very_long_line_is_cut_and_said_so() -> None:
    results, details = made_up_run()
    long = replace(details, place=lambda rows: pl.DataFrame({"text": ["x" * 1_000_000] * len(rows)}))
    text = render(results, long)
    assert "(999,600 more characters)" in text
    assert "x" * 500 not in text.split('<script type="application/json"')[0]


def test_a_report_needs_no_details_and_no_baselines() -> None:
    results, _ = made_up_run()
    alone = results.model_copy(update={"detectors": results.models[:1], "comparisons": []})
    assert "No model was compared with a baseline." in Page(render(alone, Details())).text


def test_a_report_of_one_model_shows_it_beside_the_baselines(tmp_path: Path) -> None:
    results, details = made_up_run()
    write_report(tmp_path / "report.html", results.only("gbt"), details)
    text = Page((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert "gbt beats" in text
    assert "gru" not in text
    assert "majority" in text


def test_results_survive_their_file(tmp_path: Path) -> None:
    results, _ = made_up_run(hostile="\u202e<b>")
    results.save(tmp_path / "metrics.json")
    assert RunResults.load(tmp_path / "metrics.json") == results


@given(st.text(st.characters(codec=None)))
def test_what_is_shown_has_no_invisible_characters(text: str) -> None:
    shown = visible(text)
    assert visible(shown) == shown
    shown.encode("utf-8")
    assert not set(shown) & {
        chr(c) for c in (*range(32), 127, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
    }


@given(st.text(st.characters(codec=None)))
def test_figures_carry_no_markup_and_cannot_end_their_script(text: str) -> None:
    literal = plotly_text({"name": [text]})["name"][0]
    assert not set(literal) & set("<>")
    assert not re.search(r"&(?!amp;|lt;|gt;)", literal)
    assert not set(script_json({"x": text})) & set("<>&")


def test_the_terminal_table_shows_intervals_baselines_and_warnings() -> None:

    def printed(results: RunResults, width: int = 200) -> str:
        console = Console(width=width, file=io.StringIO())
        with console.capture() as captured:
            console.print(results_table(results))
        return captured.get()

    text = printed(made_up_run()[0])
    assert re.search(r"gru +│ +0\.\d{3} │", text)
    assert re.search(r"│ 0\.\d{3}-0\.\d{3} │", text)
    assert re.search(r"template +│[^\n]+\n│ \(baseline\)", text)
    assert "gru beats the best baseline: macro F1" in text
    assert "IN-DISTRIBUTION" not in text
    assert "…" not in printed(made_up_run()[0], width=80)
    marked = printed(made_up_run(hostile="[red]\x1b[31m", in_distribution=True, leakage_allowed=True)[0])
    assert "IN-DISTRIBUTION" in marked
    assert "LEAKAGE ALLOWED" in marked
    assert "[red]\\x1b[31m" in marked


def with_probe(figure: float, hostile: str = "") -> RunResults:
    """A run with three checks: one failed, one warned of, one passed."""
    results, _ = made_up_run(hostile=hostile)
    checks = [
        CheckResult(name="metadata_shortcut", status="warn", figure=figure, detail=f"position{hostile}"),
        CheckResult(name="time_order", status="pass", detail="in order"),
        CheckResult(name="duplicate_windows", status="fail", figure=0.4, detail="40% copied"),
    ]
    return results.model_copy(update={"audit": checks})


def caption(results: RunResults) -> list[str]:
    return str(results_table(results).caption).splitlines()


def test_every_failed_check_and_warning_reaches_the_terminal_in_a_line() -> None:
    lines = caption(with_probe(0.5))
    assert lines[-2:] == [
        "audit fail: duplicate_windows: 40% copied",
        "audit warn: metadata_shortcut: position",
    ]
    hostile = caption(with_probe(0.5, hostile="\x1b[31m\n95% sure\u202e"))
    assert len(hostile) == len(lines)
    assert hostile[-1] == "audit warn: metadata_shortcut: position\\x1b[31m\\x0a95% sure\\u202e"


def test_the_profile_that_was_held_out_is_named() -> None:
    results = made_up_run()[0]
    split = results.split.model_copy(
        update={
            "recipe": "profile", "promises": ["profiles_disjoint"],
            "unseen_profiles": ["auth"], "untested_profiles": ["kern"],
        }
    )  # fmt: skip
    results = results.model_copy(update={"split": split})
    says = "Held out whole, nothing of it in training: the profile auth. No figure says anything of others."
    assert says in caption(results)
    assert says in Page(render(results, Details())).text


def test_profiles_are_counted_by_side_and_what_is_missing_is_said(clean: Page) -> None:
    for says in (
        "windows of train validation test auth 587 587 587 kernel 0 0 0",
        "purged 15",
        "left out 9",
        "Not tested (profiles that the test part lacks): kernel.",
        "neither early stopping nor the threshold knows them: kernel.",
    ):
        assert "".join(says.split()) in "".join(clean.text.split())


def test_where_labels_come_from_is_said_with_every_figure() -> None:
    says = "Labels are a keyword rule over the message: this score measures spelling, not detection."
    results = made_up_run()[0].model_copy(update={"label_origin": says})
    assert says in caption(results)
    page = Page(render(results, Details())).text
    assert page.index(says) < page.index("Models and baselines on the test part")
    assert says in results.model_dump_json()


def test_a_model_that_metadata_alone_outdo_is_said_so_at_the_head() -> None:
    results = with_probe(0.99)
    by_name = {one.name: one.macro_f1.estimate or 0.0 for one in results.models}
    says = (
        "Recording, hour and position alone, without a look at the evidence, score macro F1 0.990 on the "
        f"test part: more than gru ({by_name['gru']:.3f}), gbt ({by_name['gbt']:.3f})."
    )
    assert says in caption(results)
    page = Page(render(results, Details())).text
    assert page.index(says) < page.index("Models and baselines on the test part")
    between = with_probe((by_name["gru"] + by_name["gbt"]) / 2)
    assert any(one.endswith(f"more than gbt ({by_name['gbt']:.3f}).") for one in caption(between))
    assert not any("Recording, hour and position" in one for one in caption(with_probe(0.5)))
    judged = [one.model_copy(update={"pooling": Pooling(kind="max")}) for one in results.detectors]
    by_recording = results.model_copy(update={"detectors": judged})
    assert not any("Recording, hour and position" in one for one in caption(by_recording))


def test_the_report_tells_the_size_of_the_moving_average_that_was_taken() -> None:
    results, _ = made_up_run()
    pooling = Pooling(kind="moving_average_max", size=8)
    pooled = [one.model_copy(update={"pooling": pooling}) for one in results.detectors]
    page = Page(render(results.model_copy(update={"detectors": pooled}), Details())).text
    assert page.count("of 8 windows in a row") == len(pooled)
    assert "32 windows" not in page
    assert "Judged by recording" not in Page(render(results, Details())).text


def test_a_saturated_threshold_is_told_with_its_remedy() -> None:
    results, _ = made_up_run()
    assert not any("saturate" in one for one in caption(results))
    assert "saturate" not in Page(render(results, Details())).text
    first, *others = results.detectors
    sure = first.model_copy(update={"threshold": first.threshold.model_copy(update={"value": 0.99996})})
    results = results.model_copy(update={"detectors": [sure, *others]})
    says = f"The alert threshold lies where scores saturate: {first.name} (0.99996)."
    assert any(one.startswith(says) and "--threshold fpr=0.05" in one for one in caption(results))
    assert says in Page(render(results, Details())).text


def test_the_report_says_that_the_alert_is_what_to_act_on() -> None:
    page = Page(render(made_up_run()[0], Details())).text
    assert "Act on the alert, not on the most probable class" in page


def test_no_interval_is_shown_as_such_on_the_terminal_and_on_the_page() -> None:
    results, _ = made_up_run()
    sure = [
        one.model_copy(update={"metrics": one.metrics | {"macro_f1": interval_result(1.0, np.ones(100))}})
        for one in results.detectors
    ]
    results = results.model_copy(update={"detectors": sure})
    rows = [str(cell) for cell in results_table(results).columns[1].cells]
    assert rows == ["1.000\nno interval"] * len(sure)
    assert "No interval: every resample gives the same figure, which is not certainty." in caption(results)
    assert not any(one.startswith("No interval") for one in caption(made_up_run()[0]))
    page = Page(render(results, Details())).text
    assert page.count("1.000no interval") == len(sure)
    assert "1.000 to 1.000" not in page


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_a_browser_draws_every_figure_under_the_policy(tmp_path: Path) -> None:
    results, details = made_up_run(hostile=HOSTILE)
    write_report(tmp_path / "report.html", results, details)
    switches = (
        "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking "
        "disable-component-update disable-sync enable-logging=stderr virtual-time-budget=20000"
    )
    flags = [f"--{one}" for one in switches.split()]
    done = subprocess.run(
        ["chromium", *flags, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom",
         (tmp_path / "report.html").as_uri()],
        capture_output=True, text=True, timeout=180, check=True,
    )  # fmt: skip
    assert "Content Security Policy" not in done.stderr
    drawn = Page(done.stdout)
    places = [a for tag, a in drawn.elements if str(a.get("id", "")).startswith("figure-")]
    assert places
    assert all("js-plotly-plot" in str(a["class"]) for a in places)
    assert not [tag for tag, _ in drawn.elements if tag == "img"]
    # All windows along time, of both models: they are unpacked by the page's own script.
    assert done.stdout.count('<path class="point"') >= 2 * 600


def _numbers(plain: object, path: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    """Where numbers stand; of a list, in its first entry."""
    if isinstance(plain, dict):
        for key, value in plain.items():
            yield from _numbers(value, (*path, key))
    elif isinstance(plain, list):
        for at, value in enumerate(plain[:1]):
            yield from _numbers(value, (*path, at))
    elif isinstance(plain, int | float):
        yield path


def test_no_number_of_saved_results_stops_the_table(tmp_path: Path) -> None:
    file = tmp_path / "metrics.json"
    made_up_run()[0].save(file)
    whole = json.loads(file.read_text())
    places = list(_numbers(whole))
    assert len(places) > 50
    for place in places:
        inside: Any = whole
        for key in place[:-1]:
            inside = inside[key]
        kept, inside[place[-1]] = inside[place[-1]], "HERE"
        text = json.dumps(whole)
        inside[place[-1]] = kept
        for value in ("-1", "10000000000000000000", "9" * 5000, "1e300", "1e999", "NaN"):
            file.write_text(text.replace('"HERE"', value))
            if value in {"9" * 5000, "1e999", "NaN"}:
                with pytest.raises(DatasetError, match="holds no results that can be read"):
                    RunResults.load(file)
            else:
                with contextlib.suppress(DatasetError):
                    Console(file=io.StringIO()).print(results_table(RunResults.load(file)))
