"""Sinks over the network, to real servers on loopback that fail in between and come back."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service.rows import STEP, alert
from tests.service.servers import Syslog, Web, free_port
from tests.service.test_sinks_formats import parse_5424, parse_cef
from vestige.errors import UsageError
from vestige.service.sinks import Sink, make, make_all
from vestige.service.sinks.lines import json_line
from vestige.service.sinks.making import TOKEN, webhook
from vestige.service.sinks.rfc5424 import syslog
from vestige.service.sinks.sender import NetworkSink, Patience, in_batches, one_by_one
from vestige.service.sinks.syslog import Datagrams, Stream, counted
from vestige.service.sinks.webhook import batches

PATIENCE = Patience(first_s=0.02, longest_s=0.05, linger_s=20.0, linger_lost_s=0.1)
SETTLE_S = 0.15


@pytest.fixture(autouse=True)
def _no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN, raising=False)


@pytest.fixture
def closing() -> Iterator[list[Sink]]:
    """Sinks that are closed at the end, whatever happens."""
    held: list[Sink] = []
    yield held
    for sink in held:
        sink.close()


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def patient(sink: Sink) -> Sink:
    """`sink`, which waits longer at its end than a busy machine takes."""
    assert isinstance(sink, NetworkSink)
    sink._patience = PATIENCE
    return sink


def web_sink(port: int, folder: Path | None, **options: Any) -> NetworkSink:
    url = f"http://127.0.0.1:{port}/hook"
    return NetworkSink(f"webhook:{url}", webhook(url), batches, folder, patience=PATIENCE, **options)


def stream_sink(port: int, folder: Path | None, context: ssl.SSLContext | None = None) -> NetworkSink:
    outlet = Stream("syslog+tcp://test", "127.0.0.1", port, counted, context, settle_s=SETTLE_S)
    return NetworkSink("syslog+tcp://test", outlet, one_by_one(syslog), folder, patience=PATIENCE)


def texts(messages: list[bytes]) -> list[str]:
    """The messages of evidence that syslog messages carry, each once, in their order."""
    found = [parse_5424(message)[2].partition(": ")[2] for message in messages]
    return list(dict.fromkeys(found))


def alerts(first: int, last: int) -> list[dict[str, Any]]:
    return [alert(number) for number in range(first, last)]


def expected(last: int) -> list[str]:
    return [f"login of user{number}" for number in range(last)]


# Syslog


def test_udp_has_a_message_a_datagram(tmp_path: Path) -> None:
    server = Syslog(free_port(socket.SOCK_DGRAM))
    with server.udp():
        sink = patient(make(f"syslog://127.0.0.1:{server.port}", tmp_path))
        sink.write([*alerts(0, 20), STEP])
        sink.flush()
        sink.close()
    assert texts(server.messages) == expected(20)
    assert len(server.messages) == 20
    assert sink.told() == [
        "1 steps without an alert were not written: this format has alerts and incidents only"
    ]


def test_udp_that_nobody_listens_to_is_sent_later(tmp_path: Path, closing: list[Sink]) -> None:
    server = Syslog(free_port(socket.SOCK_DGRAM))
    outlet = Datagrams("syslog://test", "127.0.0.1", server.port, settle_s=SETTLE_S)
    sink = NetworkSink("syslog://test", outlet, one_by_one(syslog), tmp_path, patience=PATIENCE)
    closing.append(sink)
    sink.write(alerts(0, 5))
    until(lambda: any("nothing is taken since" in sentence for sentence in sink.told()))
    assert re.search(r"^5 rows wait in .*: nothing is taken since .*refused", sink.told()[0], re.IGNORECASE)
    with server.udp():
        until(lambda: sink.told() == [])
    assert texts(server.messages) == expected(5)


def test_tcp_counts_octets_and_keeps_the_order(tmp_path: Path) -> None:
    server = Syslog(free_port())
    with server.tcp():
        sink = patient(make(f"syslog+tcp://127.0.0.1:{server.port}", tmp_path))
        for number in range(50):
            sink.write([alert(number, text=f"zwölf\n{number}")])
        sink.close()
        assert sink.told() == []
    assert [parse_5424(each)[2] for each in server.messages] == [
        f"Unusual on web-1: zwölf\\x0a{number}" for number in range(50)
    ]


def test_a_tcp_server_that_fails_in_between_loses_nothing(tmp_path: Path, closing: list[Sink]) -> None:
    server = Syslog(free_port(), most=7)  # drops every connection after seven messages
    sink = stream_sink(server.port, tmp_path)
    closing.append(sink)
    sink.write(alerts(0, 10))  # nobody listens yet
    with server.tcp():
        until(lambda: len(server.messages) >= 7)
        sink.write(alerts(10, 20))
        until(lambda: len(server.messages) >= 14)
    sink.write(alerts(20, 30))
    server.most = None
    with server.tcp():
        until(lambda: sink.told() == [])
        sink.write(alerts(30, 40))
        until(lambda: sink.told() == [])
    assert texts(server.messages) == expected(40)


def test_what_a_server_took_but_never_read_is_sent_again(tmp_path: Path, closing: list[Sink]) -> None:
    """A machine acknowledges bytes for a program that then dies: only time shows it."""
    server = Syslog(free_port())
    sink = stream_sink(server.port, tmp_path)
    closing.append(sink)
    with socket.create_server(("127.0.0.1", server.port)) as deaf:
        sink.write(alerts(0, 3))
        taken, _ = deaf.accept()
        until(lambda: len(taken.recv(100_000, socket.MSG_PEEK)) > 1000)
        taken.close()
    with server.tcp():
        until(lambda: sink.told() == [])
    assert texts(server.messages) == expected(3)


def test_cef_comes_by_line(tmp_path: Path) -> None:
    server = Syslog(free_port(), by_line=True)
    with server.tcp():
        sink = patient(make(f"cef+tcp://127.0.0.1:{server.port}", tmp_path))
        sink.write([alert(number, text=f"a\n|={number}") for number in range(5)])
        sink.close()
    read = [parse_cef(message)[1]["msg"] for message in server.messages]
    assert read == [f"a\\x0a|={number}" for number in range(5)]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that nobody else signed, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl here to make a certificate with")
    folder = tmp_path_factory.mktemp("certificate")
    paths = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", paths[1], "-out", paths[0], "-days", "2", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return paths


def test_tls_is_encrypted_and_survives_a_restart(
    tmp_path: Path, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server = Syslog(free_port())
    sink = stream_sink(server.port, tmp_path, ssl.create_default_context())
    sink.write(alerts(0, 5))
    with server.tcp(context):
        until(lambda: len(server.messages) >= 5)
    sink.write(alerts(5, 10))
    with server.tcp(context):
        sink.close()
        assert sink.told() == []
    assert texts(server.messages) == expected(10)
    made = make(f"syslog+tls://127.0.0.1:{server.port}", tmp_path)
    assert isinstance(made, NetworkSink)
    made.close()


def test_a_certificate_that_nobody_vouches_for_gets_nothing(
    tmp_path: Path, certificate: tuple[Path, Path], closing: list[Sink]
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server = Syslog(free_port())
    sink = stream_sink(server.port, None, ssl.create_default_context())
    closing.append(sink)
    with server.tcp(context):
        sink.write(alerts(0, 1))
        until(lambda: any("certificate verify failed" in sentence.lower() for sentence in sink.told()))
    assert server.messages == []


# Webhook


def test_a_webhook_gets_rows_as_they_are_in_batches(tmp_path: Path) -> None:
    server = Web(free_port())
    with server.http():
        sink = patient(make(f"webhook:http://127.0.0.1:{server.port}/a b?c=ü", tmp_path))
        sink.write([*alerts(0, 700), STEP])
        sink.close()
    assert server.taken == [*alerts(0, 700), STEP]
    assert [len(rows) for _, rows, _ in server.requests] == [500, 201]
    headers = server.requests[0][0]
    assert headers["Content-Type"] == "application/json"
    assert "Authorization" not in headers
    assert len(set(server.keys)) == 2
    assert sink.told() == []


def test_a_webhook_that_fails_in_between_loses_nothing(tmp_path: Path, closing: list[Sink]) -> None:
    server = Web(free_port(), answers=[(503, {}), (0, {}), (429, {"Retry-After": "0"}), (204, {}), (500, {})])
    sink = web_sink(server.port, tmp_path)
    closing.append(sink)
    sink.write(alerts(0, 3))
    until(lambda: any("refused" in sentence.lower() for sentence in sink.told()))
    with server.http():
        until(lambda: sink.told() == [])
        sink.write(alerts(3, 6))
        until(lambda: sink.told() == [])
    sink.write(alerts(6, 9))
    with server.http():
        until(lambda: sink.told() == [])
    assert server.taken == alerts(0, 9)
    statuses = [status for _, _, status in server.requests]
    assert statuses == [503, 0, 429, 204, 500, 204, 204]
    assert server.keys[:3] == [server.keys[3]] * 3  # the same batch, again
    assert server.keys[4] == server.keys[5]
    assert len(set(server.keys)) == 3


def test_what_a_webhook_will_never_take_is_given_up_and_told(tmp_path: Path) -> None:
    server = Web(free_port(), answers=[(400, {}), (204, {})])
    sink = web_sink(server.port, tmp_path)
    with server.http():
        sink.write(alerts(0, 2))
        sink.write(alerts(2, 3))
        sink.close()
    assert server.taken == alerts(2, 3)
    assert sink.told() == ["2 rows were not sent: it answers 400 Bad Request"]


@pytest.mark.parametrize("status", [301, 401, 403, 404, 500])
def test_what_people_can_mend_is_waited_for(status: int, tmp_path: Path) -> None:
    server = Web(free_port(), answers=[(status, {"Location": "http://127.0.0.1:9/"})])
    sink = web_sink(server.port, tmp_path)
    with server.http():
        sink.write(alerts(0, 1))
        sink.close()
    assert server.taken == alerts(0, 1)
    assert sink.told() == []


def test_the_token_comes_from_the_environment_and_is_shown_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(TOKEN, "hush-hush")
    server = Web(free_port(), answers=[(401, {}), (204, {})])
    with server.http():
        sink = web_sink(server.port, tmp_path / "spool")
        sink.write(alerts(0, 1))
        sink.close()
    assert server.requests[0][0]["Authorization"] == "Bearer hush-hush"
    shown = [caplog.text, *sink.told(), json.dumps(sink.position()), sink.spec]
    kept = [path.read_bytes().decode(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    assert len(kept) == 2
    assert not any("hush" in text for text in [*shown, *kept])
    with pytest.raises(UsageError, match="unencrypted"):
        make("webhook:http://example.org/hook", tmp_path)
    monkeypatch.setenv(TOKEN, "hush\nX-Evil: 1")
    with pytest.raises(UsageError, match="no header"):
        make(sink.spec, tmp_path)


def test_an_address_with_a_password_is_refused_without_repeating_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        make("webhook:https://me:hush@example.org/", tmp_path)
    assert "hush" not in str(caught.value)
    assert TOKEN in caught.value.remedy


def test_secrets_in_an_address_are_not_told(tmp_path: Path) -> None:
    sink = make(f"webhook:http://127.0.0.1:{free_port()}/services/hush?key=hush", tmp_path)
    sink.write(alerts(0, 1))
    until(lambda: any("nothing is taken since" in sentence for sentence in sink.told()))
    assert "hush" not in " ".join(sink.told())
    sink._patience = Patience(linger_s=0)  # type: ignore[attr-defined]
    sink.close()


def test_nothing_is_sent_before_something_is_written(tmp_path: Path) -> None:
    before = threading.active_count()
    server = Web(free_port())
    with server.http():
        sink = make(f"webhook:http://127.0.0.1:{server.port}/", tmp_path)
        assert threading.active_count() == before + 1  # the server's own
        sink.close()
    assert server.requests == []


# Kills, spools


def test_what_waits_is_sent_by_the_next_life_and_later_rows_once(tmp_path: Path) -> None:
    server = Web(free_port())
    first = web_sink(server.port, tmp_path)
    first.write(alerts(0, 3))
    first.flush()
    position = json.loads(json.dumps(first.position()))
    first.write(alerts(3, 6))
    first._stop = True
    first._spool.abandon()  # killed: nobody closes it
    second = web_sink(server.port, tmp_path)
    second.restore(position)
    second.write(alerts(3, 6))
    with server.http():
        second.close()
    assert server.taken == alerts(0, 6)


def test_a_resend_after_a_kill_has_the_same_key(tmp_path: Path) -> None:
    server = Web(free_port())
    with server.http():
        first = web_sink(server.port, tmp_path)
        position = first.position()
        first.write(alerts(0, 3))
        until(lambda: len(server.requests) == 1)
        first.close()
        second = web_sink(server.port, tmp_path)
        second.restore(position)
        second.write(alerts(0, 3))  # the state knew nothing of them
        second.close()
    assert server.taken == [*alerts(0, 3)] * 2
    assert server.keys[0] == server.keys[1]


def test_a_full_spool_takes_no_more_and_says_so(tmp_path: Path) -> None:
    server = Web(free_port())
    sink = web_sink(server.port, tmp_path, largest=4000)
    sink.write(alerts(0, 3))
    for number in range(3, 20):
        sink.write([alert(number)])
    told = " ".join(sink.told())
    lost = re.search(r"(\d+) rows were not sent: the spool was full", told)
    assert lost is not None
    kept = 20 - int(lost[1])
    assert 3 <= kept < 10
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 4400
    with server.http():
        sink.close()
    assert server.taken == alerts(0, kept)


def test_without_a_state_what_was_not_sent_is_counted() -> None:
    sink = web_sink(free_port(), None)
    folder = sink._spool.folder
    sink.write(alerts(0, 3))
    sink.close()
    assert sink.told() == ["3 rows were not sent: nobody took them, and without --state no spool is kept"]
    assert not folder.exists()


def test_a_server_that_says_nothing_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sink = web_sink(silent.getsockname()[1], tmp_path)
        sink._patience = Patience(linger_s=0.2)
        sink.write(alerts(0, 1))
        sink.flush()
        started = time.monotonic()
        sink.close()
        assert time.monotonic() - started < 2
    assert re.search(r"^1 rows wait in ", sink.told()[0])


def test_a_server_that_speaks_no_http_is_told_harmlessly(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as odd:
        sink = web_sink(odd.getsockname()[1], tmp_path)
        sink._patience = Patience(linger_s=0)
        sink.write(alerts(0, 1))
        taken, _ = odd.accept()
        taken.sendall(b"\x1b[2J\x07 evil\r\n\r\n")
        until(lambda: any("no answer that is HTTP" in sentence for sentence in sink.told()))
        taken.close()
        sink.close()
    assert all(sentence.isprintable() for sentence in sink.told())


def test_batches_are_bounded_by_rows_and_bytes() -> None:
    records = [json_line({"n": number}) for number in range(10)]
    found = in_batches(records, 4, 1000)
    assert [count for _, count in found] == [4, 4, 2]
    assert json.loads(found[2][0]) == [{"n": 8}, {"n": 9}]
    assert [count for _, count in in_batches(records, 100, 20)] == [2] * 5
    assert [count for _, count in in_batches([b"x" * 100], 100, 20)] == [1]


def test_a_spool_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    sink = make(f"webhook:http://127.0.0.1:{free_port()}/", tmp_path)
    (folder,) = (tmp_path / "spool").iterdir()
    assert folder.stat().st_mode & 0o077 == 0
    (part,) = folder.glob("*.part")
    assert part.stat().st_mode & 0o077 == 0
    assert part.stat().st_uid == os.geteuid()
    sink.close()


def test_what_waits_for_a_sink_that_is_not_named_any_more_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = Web(free_port())
    spec = f"webhook:http://127.0.0.1:{server.port}/"
    sink = make(spec, tmp_path)
    assert isinstance(sink, NetworkSink)
    sink._patience = Patience(linger_s=0)
    sink.write(alerts(0, 3))
    sink.close()
    caplog.clear()
    make_all(["jsonl:-", "terminal"], tmp_path)
    (folder,) = (tmp_path / "spool").iterdir()
    assert f"3 rows wait in {folder} for a sink that is not named now" in caplog.text
    caplog.clear()
    with server.http():
        (again,) = make_all([spec], tmp_path)
        patient(again).close()
    assert server.taken == alerts(0, 3)
    make_all([], tmp_path)
    assert "wait" not in caplog.text


def test_two_sinks_do_not_write_to_the_same_place(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="named 2 times"):
        make_all(["webhook:http://127.0.0.1:1/", "jsonl:-", "webhook:http://127.0.0.1:1/"], tmp_path)
    (tmp_path / "link").symlink_to("a")
    with pytest.raises(UsageError, match="one file"):
        make_all([f"jsonl:{tmp_path}/a", f"ecs:{tmp_path}/link"], tmp_path)
    for sink in make_all(["jsonl:/dev/null", "ecs:/dev/null", f"ocsf:{tmp_path}/a"], tmp_path):
        sink.close()
