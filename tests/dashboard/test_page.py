"""The page in a browser: it shows what it is told, whatever that is, and breaks no policy of its own."""

from __future__ import annotations

import contextlib
import socket
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dashboard.browser import THERE, Browser, browser
from tests.dashboard.conftest import Serve, Serving, watch
from tests.evaluation.made_up import made_up_run
from tests.service.conftest import lines
from vestige.dashboard.access import Token
from vestige.dashboard.events import Event, Perf, Player, Recording, Score, Span
from vestige.dashboard.hub import Hub
from vestige.dashboard.producers.metrics import metrics, run
from vestige.dashboard.producers.profiles import profiles
from vestige.dashboard.server import serving
from vestige.runs.directory import RunDirectory

HOSTILE = (
    "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">\x1b[2J\u202e&lt;b"
)
BOLD = "<b>x</b>"
TOKEN = Token()
SHOWN = HOSTILE.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e")

FAILED = Perf(
    state="failed", note=HOSTILE, windows=80, recordings=2, seconds=1, extraction_ms=1, inference_ms=None,
    windows_per_s=3, batch=1, memory=None, cores=2, bytes=1, total=None,
)  # fmt: skip


def standing(path: Path, title: str) -> list[Event]:
    """What is told of a run in which every name is hostile."""
    results, _ = made_up_run(hostile=HOSTILE)
    results = results.model_copy(update={"title": title, "synthetic": True})
    results.save(path / "metrics.json")
    head = run(RunDirectory.open(path), None)
    player = Player(name=HOSTILE, view="realistic", task="classify", threshold=0.5, policy=HOSTILE)
    classes = [results.classes[0], HOSTILE]
    head = head.model_copy(update={"player": player, "classes": classes})
    return [head, *metrics(results), *profiles(results)]


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    return Hub(standing(tmp_path, HOSTILE))


def played(number: int) -> Iterator[Event]:
    """A recording of forty seconds with an attack from second 20 on, and an alert from second 25 on."""
    spans = [Span(begin=1e9, label="normal", attack=False), Span(begin=1e9 + 20, label=BOLD, attack=True)]
    yield Recording(number=number, id=f"{number}{HOSTILE}", host=HOSTILE, profile=HOSTILE, synthetic=True,
                    begin=1e9, end=1e9 + 40, spans=spans, attack=1e9 + 20)  # fmt: skip
    for second in range(1, 41):
        score = 0.9 if second >= 25 else 0.1
        yield Score(recording=number, window=second, time=1e9 + second, place={"text": HOSTILE}, score=score,
                    proba=[1 - score, score], most_probable_class=HOSTILE, alert=score > 0.5,
                    truth=HOSTILE)  # fmt: skip


@contextlib.contextmanager
def served(hub: Hub, port: int = 0) -> Iterator[int]:
    """The port at which the page is served while the block runs."""
    with (
        socket.create_server(("127.0.0.1", port)) as listener,
        serving(hub, listener, "127.0.0.1", TOKEN),
    ):
        yield listener.getsockname()[1]
    assert "server" not in {one.name for one in threading.enumerate()}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser."""
    if not THERE:
        pytest.skip("needs chromium and chromedriver (apt: chromium chromium-driver)")
    with browser(tmp_path_factory.mktemp("browser")) as one:
        yield one


def test_hostile_names_are_shown_and_do_nothing(hub: Hub, page: Browser) -> None:
    with served(hub) as port:
        page.open(f"http://127.0.0.1:{port}/?token={TOKEN.text}")
        for number in (1, 2):
            for event in played(number):
                hub.put(event)
        hub.put(FAILED)
        page.wait("return document.getElementById('said').textContent.includes('5 s after')")
        page.run("document.querySelectorAll('details').forEach(one => { one.open = true; })")

        assert page.run("return document.title") == f"{SHOWN} – vestige"
        assert page.run("return document.querySelectorAll('img, script:not([src]), iframe').length") == 0
        assert SHOWN in page.run("return document.getElementById('shown').textContent")
        assert BOLD in page.run("return document.getElementById('chart').textContent")
        assert "&lt;script&gt;" in page.run("return document.getElementById('chart').data[1].name")
        assert page.run("return document.querySelectorAll('#chart.js-plotly-plot').length") == 1
        pills = page.run("return [...document.querySelectorAll('h2 .pill')].map(one => one.textContent)")
        assert pills == ["synthetic"] * 3

        rows = "document.querySelectorAll('#recordings tbody tr')"
        assert page.run(f"return [...{rows}[0].cells].slice(3).map(one => one.textContent)") == [
            "40", "16", "20", "25", "5 s",
        ]  # fmt: skip
        page.run(f"{rows}[1].querySelector('button').click()")
        page.wait("return document.getElementById('shown').textContent.startsWith('1')")
        assert page.run("return document.getElementById('follow').checked") is False
        assert page.run("return document.documentElement.scrollWidth <= window.innerWidth")
        assert page.complaints() == []


def test_a_server_that_was_started_again_is_shown_anew(page: Browser, tmp_path: Path) -> None:
    first, second = (Hub(standing(tmp_path, title)) for title in ("monday", "tuesday"))
    with served(first) as port:
        page.open(f"http://127.0.0.1:{port}/?token={TOKEN.text}")
        page.wait("return document.querySelectorAll('#groups details').length === 2")
        before = page.run("return document.body.innerText")
    page.wait("return document.getElementById('link').textContent === 'reconnecting'")
    with served(second, port):
        page.wait("return document.title.startsWith('tuesday')")
        page.wait("return document.querySelectorAll('#groups details').length === 2")
        assert page.run("return document.body.innerText") == before.replace("monday", "tuesday")


def dialog(page: Browser) -> str:
    """What the open dialog shows."""
    return str(page.run("return document.getElementById('incident').innerText"))


def press(page: Browser, key: str) -> None:
    """Press a key, as a person does (WebDriver, 15.4.2)."""
    keys = {"Enter": "\ue007", "Escape": "\ue00c", "Tab": "\ue004"}
    value = keys.get(key, key)
    actions = [{"type": kind, "value": value} for kind in ("keyDown", "keyUp")]
    page._call("/actions", actions=[{"type": "key", "id": "keyboard", "actions": actions}])


def at_width(page: Browser, width: int) -> None:
    """Look at it on a screen of so many pixels."""
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    page._call("/goog/cdp/execute", cmd="Emulation.setDeviceMetricsOverride", params=size)


@pytest.fixture
def incidents(learnt: Path, watched: Path, serve: Serve, page: Browser) -> Iterator[Serving]:
    """The page of a watch, opened by the address that was printed."""
    one = serve(learnt, "--state", watched)
    page.open("about:blank")
    page.complaints()  # of servers that have ended
    page.open(one.entry)
    page.wait("return document.querySelectorAll('#list tbody tr').length > 1")
    yield one
    at_width(page, 1200)
    assert page.complaints() == []


def test_incidents_are_chosen_opened_and_dismissed_by_keyboard(
    incidents: Serving, watched: Path, page: Browser
) -> None:
    assert page.run("return [location.href, document.cookie]") == [incidents.url, ""]
    page.run("document.querySelector('#filter [name=text]').focus()")
    for letter in "script":
        press(page, letter)
    page.wait("return document.querySelectorAll('#list tbody tr').length === 1")
    page.run("document.querySelector('#list button').focus()")
    press(page, "Enter")
    page.wait("return document.getElementById('incident').open")
    shown = dialog(page)
    assert "<script>document.title='owned'</script>" in shown
    assert "\\u202e" in shown
    assert page.run("return document.querySelectorAll('pre .beside').length") >= 10
    assert page.run("return document.querySelectorAll('img, script:not([src]), iframe').length") == 0
    assert "owned" not in page.run("return document.title")

    press(page, "Escape")
    page.wait("return !document.getElementById('incident').open")
    assert page.run("return document.activeElement.dataset.incident")
    press(page, "Enter")
    page.wait("return document.getElementById('incident').open")
    # Without a reason nothing is sent.
    page.run("document.querySelector('#dismiss [name=preview]').click()")
    assert page.run("return document.querySelector('#dismiss [name=because]').matches(':invalid')")
    page.run("document.querySelector('#dismiss [name=because]').focus()")
    press(page, "x")
    press(page, "Enter")
    page.wait("return document.getElementById('hidden').textContent.includes('would have hidden')")
    assert not (watched / "exceptions.toml").exists()
    # Another scope is another exception: it is to be shown first.
    page.run("const s = document.querySelector('#dismiss [name=scope]'); s.value = 'entity';"
             "s.dispatchEvent(new Event('input', { bubbles: true }))")  # fmt: skip
    assert page.run("return document.querySelector('#dismiss [name=really]').hidden")
    page.run("document.querySelector('#dismiss').requestSubmit()")
    page.wait("return !document.querySelector('#dismiss [name=really]').hidden")
    press(page, "Enter")
    page.wait("return document.getElementById('answer').textContent.startsWith('Dismissed')")
    page.wait("return document.getElementById('incident-say').hidden")
    (entry,) = tomllib.loads((watched / "exceptions.toml").read_text())["exception"]
    assert (entry["because"], entry["host"]) == ("x", "db")
    assert "events" not in entry
    page.wait("return document.querySelector('#list .pill.pass')?.textContent === 'dismissed'")


def test_an_incident_is_confirmed_on_a_phone(incidents: Serving, watched: Path, page: Browser) -> None:
    at_width(page, 390)
    page.wait("return document.documentElement.scrollWidth <= 390")
    page.run("document.querySelector('#list button').click()")
    page.wait("return document.getElementById('incident').open")
    assert page.run("const d = document.getElementById('incident'); return d.scrollWidth <= d.clientWidth")
    page.run("document.querySelector('#confirm').requestSubmit()")
    page.wait("return document.getElementById('answer').textContent.startsWith('Confirmed')")
    assert len((watched / "confirmed.jsonl").read_text().splitlines()) == 1
    assert "<script" not in page.run("return document.getElementById('check').innerText")
    for section in ("incidents", "rate", "learnt"):
        assert page.run(f"return document.getElementById('{section}').hidden") is False


def test_the_list_on_the_page_grows_by_itself(
    incidents: Serving, learnt: Path, watched: Path, page: Browser
) -> None:
    before = page.run("return document.querySelectorAll('#list tbody tr').length")
    page.run("document.querySelectorAll('#list button')[1].focus()")
    focused = page.run("return document.activeElement.dataset.incident")
    with (watched.parent / "evidence" / "app.log").open("a") as log:
        log.writelines(lines(200, start=30_000, seed=9, odd=(30_100,)))
    watch(learnt, watched.parent / "evidence", watched)
    page.wait(f"return document.querySelectorAll('#list tbody tr').length > {before}")
    assert page.run("return document.activeElement.dataset.incident") == focused


def test_who_lost_the_token_is_told_what_to_do(page: Browser, tmp_path: Path) -> None:
    with served(Hub(standing(tmp_path, "monday"))) as port:
        page.open(f"http://127.0.0.1:{port}/?token={TOKEN.text}")
        page.wait("return document.title.startsWith('monday')")
    listener = socket.create_server(("127.0.0.1", port))
    with listener, serving(Hub(standing(tmp_path, "tuesday")), listener, "127.0.0.1", Token()):
        page.wait("return document.getElementById('link').textContent.includes('open the address')")
        page.open(f"http://127.0.0.1:{port}/")
        assert "needs a token" in page.run("return document.body.innerText")
    page.complaints()


def test_events_that_are_no_longer_kept_are_counted(page: Browser, tmp_path: Path) -> None:
    hub = Hub(standing(tmp_path, "monday"), kept=10)
    for event in played(1):
        hub.put(event)
    with served(hub) as port:
        page.open(f"http://127.0.0.1:{port}/?token={TOKEN.text}")
        page.wait("return document.getElementById('missed').textContent.startsWith('31 ')")
    page.complaints()
