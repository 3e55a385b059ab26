"""The page in a browser: it shows what it is told, whatever that is, and breaks no policy of its own."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dashboard.browser import THERE, Browser, browser
from tests.evaluation.made_up import made_up_run
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
