"""A small store with one trained detector, a page being served, and a reader of its stream."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.pipeline.conftest import FAST, succeed
from tests.service.conftest import lines
from tests.warm import PIPE, Program
from vestige.evaluation.budget import Budget
from vestige.pipeline.learn import learn
from vestige.service.sinks import make
from vestige.service.watch import Watch, WatchOptions
from vestige.sources import registry

HOSTILE_LINE = (
    "<script>document.title='owned'</script><img src=x onerror=alert(1)>\x1b[31m\u202e\u2066 " + "A" * 5_000
)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifteen hundred simulated messages of six hosts in BGL's format."""
    path = tmp_path_factory.mktemp("simulated") / "corpus"
    succeed("simulate", "logs", path, "--messages", 1500, "--days", 2, "--anomalies", "0.1", "--seed", 1)
    return path


@pytest.fixture(scope="session")
def finished(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two light detectors on the corpus, split by host."""
    out = tmp_path_factory.mktemp("runs") / "run"
    models = ["-m", "gbt", "-m", "ngram"]
    succeed("run", "logs", corpus, "--format", "bgl", "--split", "host", *FAST, *models, "-o", out)
    return out


@pytest.fixture(scope="session")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector that learnt without labels from 1,500 lines of an application."""
    home = tmp_path_factory.mktemp("learnt")
    (home / "app.log").write_text("".join(lines(1_500)))
    source = registry.get("logs")
    budget = Budget.parse("5/day")
    learn(source, home / "app.log", home / "normal", options=source.options(), budget=budget)
    return home / "normal"


@pytest.fixture
def watched(learnt: Path, tmp_path: Path) -> Path:
    """The state of a watch that has read two files in `evidence`: one with a crash, one that is hostile."""
    evidence = tmp_path / "evidence"
    evidence.mkdir()
    (evidence / "app.log").write_text("".join(lines(400, start=1_500, seed=1, odd=(1_700,))))
    hostile = [line.replace(" web ", " db ") for line in lines(300, start=1_500, seed=2, odd=(1_650,))]
    hostile = [line.replace("segfault", HOSTILE_LINE) for line in hostile]
    (evidence / "db.log").write_text("".join(hostile))
    watch(learnt, evidence, tmp_path / "state")
    return tmp_path / "state"


def watch(detector: Path, evidence: Path, state: Path) -> None:
    """Watch to the end of what is there."""
    sinks = [make(f"jsonl:{state.parent / 'alerts.jsonl'}", None)]
    Watch.start(detector, [evidence], sinks, state=state, options=WatchOptions(once=True)).run()


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulated episodes of four hosts, none with a fault."""
    path = tmp_path_factory.mktemp("telemetry") / "store"
    options = ["--hosts", 4, "--episodes", 32, "--seconds", 60, "--seed", 3, "--plant", "none=0"]
    succeed("simulate", "telemetry", path, *options)
    return path


@pytest.fixture(scope="session")
def both(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `gbt` in both views on the store, one host held out."""
    out = tmp_path_factory.mktemp("runs") / "both"
    split = ["--split", "host", "--hold-out", "host-4"]
    models = ["-m", "gbt", "--set", "rounds=20", "--view", "both", "--train-jobs", 1, "--device", "cpu"]
    succeed("run", "telemetry", store, *split, *FAST, *models, "-o", out)
    return out


class Answer(NamedTuple):
    """What came of a request."""

    status: int
    headers: dict[str, str]
    body: bytes


class Serving:
    """`vestige dashboard` as a process of its own."""

    def __init__(self, *arguments: object, stdin: int = subprocess.DEVNULL) -> None:
        call = ["dashboard", "--port", "0", *arguments]
        self.process = Program(call, stdin=stdin, stdout=PIPE, stderr=PIPE)
        assert self.process.stdout is not None
        url = self.process.stdout.readline().split()
        assert url, self.process.stderr.read() if self.process.stderr else ""
        self.entry = url[0]
        self.url, _, self.token = self.entry.partition("?token=")
        self.port = int(self.url.rstrip("/").rpartition(":")[2])

    @property
    def bearer(self) -> str:
        """The header that holds the token."""
        return f"Bearer {self.token}"

    def ask(self, path: str = "/", method: str = "GET", body: Any = None, **headers: str) -> Answer:
        """One request; a header's name is written with underscores. It has the token unless it has another
        or a cookie."""
        with contextlib.closing(self._request(path, method, headers, body)) as connection:
            found = connection.getresponse()
            body = b"" if found.headers.get_content_type() == "text/event-stream" else found.read()
            return Answer(found.status, dict(found.headers.items()), body)

    def events(self, after: str | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        """Ids and events of the stream, from the one with the id `after` on, until it ends."""
        headers = {"Last_Event_ID": after} if after else {}
        with contextlib.closing(self._request("/events", "GET", headers)) as connection:
            answer = connection.getresponse()
            assert answer.status == 200
            with answer:
                name = ""
                while line := answer.readline().decode("ascii"):
                    if line.startswith("id: "):
                        name = line.removeprefix("id: ").strip()
                    elif line.startswith("data: "):
                        yield name, json.loads(line.removeprefix("data: "))

    def _request(
        self, path: str, method: str, headers: dict[str, str], body: Any = None
    ) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = {k.replace("_", "-"): v for k, v in headers.items()}
        if not {"Authorization", "Cookie"} & set(sent):
            sent["Authorization"] = self.bearer
        data = None if body is None else json.dumps(body)
        if data is not None:
            sent["Content-Type"] = "application/json"
        connection.request(method, path, data, headers=sent)
        return connection

    def end(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """Ask it to end; its exit code, and what it wrote to standard error."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=30)
        return self.process.wait(), said


Serve = Callable[..., Serving]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts `Serving`, and sees to it that all of them end."""
    started: list[Serving] = []

    def start(*arguments: object, **options: int) -> Serving:
        started.append(Serving(*arguments, **options))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()


@pytest.fixture(scope="module")
def page(finished: Path) -> Iterator[Serving]:
    """The page of a run, without a replay."""
    one = Serving(finished)
    yield one
    one.end()
