"""Access logs: models see the answer, who asked, the method and the shape of the path."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sources.logs.rows import rows
from vestige.sources.logs.blocks import Block
from vestige.sources.logs.format import load
from vestige.sources.logs.labels import LabelRule
from vestige.sources.logs.parse import Parser, Rules
from vestige.sources.logs.templates import Matcher, fit_templates
from vestige.sources.logs.words import words_of

BEFORE = "192.0.2.7 - - [10/Oct/2000:13:55:36 -0700] "
CHROME = '"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/90.0 Safari/537.36"'
FIREFOX = '"Mozilla/5.0 (Windows NT 10.0; rv:109.0) Gecko/20100101 Firefox/115.0"'
SAFARI = '"Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.1 Safari/605.1.15"'


def seen(line: str) -> str:
    """What models see of a line."""
    parser = Parser(Rules(load("access"), LabelRule("none")))
    messages = parser.parse(Block(line.encode() + b"\n", 0, 1, final=True))
    return messages.texts[int(messages.text[0])]


@pytest.mark.parametrize(
    ("request_line", "text"),
    [
        (f'"GET /item/17?page=2&q=shoes HTTP/1.1" 200 23 "http://a/" {CHROME}',
         "<ok><chrome> GET /item/<number>?page=<value>&q=<value>"),
        (f'"GET /js/app.min.js?v=3 HTTP/1.1" 304 0 "-" {FIREFOX}',
         "<not_modified><firefox> GET /js/<file>.js?v=<value>"),
        (f'"HEAD / HTTP/2.0" 301 0 "-" {SAFARI} 0.005 17', "<moved><safari> HEAD / <num> <num>"),
        ('"GET /a?id=1%27%20OR%201=1 HTTP/1.1" 500 0 "-" "sqlmap/1.6#stable (https://sqlmap.org)"',
         "<server_error><scanner> GET /a?id=<number>%27%20OR%201=<value>"),
        ('"GET / HTTP/1.1" 200 0 "-" "${jndi:ldap://x/a}"', '<ok> "${jndi:ldap://x/a}" GET /'),
        ('"GET / HTTP/1.1" 200 0 "-" "Mozilla/5.0 () { :;} Firefox/9"',
         '<ok> "Mozilla/<number>.<number> () { :;} Firefox/<number>" GET /'),
        ('"GET /robots.txt HTTP/1.1" 200 9 "-" "Mozilla/5.0 (compatible; Googlebot/2.1; +http://a/b.html)"',
         "<ok><bot> GET /robots.txt"),
        ('"POST /wp-login.php HTTP/1.1" 403 0 "-" "-"', "<forbidden><nobody> POST /wp-login.php"),
        ('"GET /x HTTP/1.1" 200 0 "-" "curl/8.1"', "<ok><tool> GET /x"),
        ('"GET /x HTTP/1.1" 200 0 "-" "Shop/3.1 (iPhone; iOS 14)"', "<ok><client> GET /x"),
        ('"GET /old" 200 226', "<ok> GET /old"),
        (r'"GET /q\"uote HTTP/1.1" 401 2', r'<unauthorized> GET /q\"uote'),
        (r'"\x16\x03" 400 226', r'"\x16\x03" <num> <bytes>'),
        ('"-" 408 -', '"-" <num> -'),
    ],
)  # fmt: skip
def test_what_models_see_of_a_request(request_line: str, text: str) -> None:
    assert seen(BEFORE + request_line) == text


def test_answers_clients_methods_and_paths_have_templates_of_their_own() -> None:
    texts = [
        seen(f'{BEFORE}"{method} {path} HTTP/1.1" {status} 1 "-" {agent}')
        for method in ("GET", "POST")
        for path in ("/", "/login", "/item/3", "/a/b/c")
        for status in (200, 404, 403, 500)
        for agent in (CHROME, FIREFOX, '"curl/8.1"')
    ]
    assert len(set(texts)) == len(texts) == 96
    templates = fit_templates(texts, [1] * len(texts))
    matched = Matcher(templates).match(texts)
    assert len(set(matched.tolist())) == 96
    assert {"not_found", "chrome", "login"} <= {word.strip("<>") for text in texts for word in words_of(text)}


def test_a_virtual_host_may_stand_first(tmp_path: Path) -> None:
    path = tmp_path / "vhosts.log"
    lines = [
        f'{host}:443 192.0.2.7 - - [10/Oct/2000:13:55:3{n} +0000] "GET /a.gif HTTP/1.1" 200 6 "" {CHROME}\n'
        for n, host in enumerate(["a.example.org", "b.example.org", "a.example.org"])
    ]
    path.write_text("".join(lines))
    assert rows(path) == [(f"2000-10-10T13:55:3{n}", "<ok><chrome> GET /<file>.gif") for n in range(3)]
