"""Masks: what they replace, what they leave alone, and that no text makes them slow."""

from __future__ import annotations

import time

import pytest

from vestige.sources.logs.format import every, load
from vestige.sources.logs.masks import GUESSED, SHARED, Masker


@pytest.mark.parametrize(
    ("name", "text", "masked"),
    [
        ("ip", "from 10.1.2.3:80, x10.1.2.3 v1.2", "from <ip>, x10.1.2.3 v1.2"),
        ("ip_six", "at fe80:0:0:0:1:2:3:4.", "at <ip_six>."),
        ("num", "3 -4 5.6 a7 8b x-9 R02-M1", "<num> <num> <num> a7 8b x-<num> R02-M1"),
        ("hex", "0xdeadBEEF 0x 10x1", "<hex> 0x 10x1"),
        ("hash", "deadbeef01 12345678 deadbeef a1b2c3d4", "<hash> 12345678 deadbeef <hash>"),
        ("path", "open /var/log/a.log, and/or </b>", "open <path>, and/or </b>"),
        ("winpath", r"from C:\Windows\a.dll, x", "from <winpath>, x"),
        ("url", "see https://a.example/b?c=1 now", "see <url> now"),
        ("email", "to ann@example.org", "to ann<email>"),
        ("uuid", "[01234567-89ab-cdef-0123-456789abcdef]", "[<uuid>]"),
        ("mac", "00:1a:2b:3c:4d:5e up", "<mac> up"),
        ("host", "ns.example.org and a.b", "<host> and a.b"),
        ("endpoint", "db.example:443 ok", "<endpoint> ok"),
        ("size", "5.4 KB of 12 bytes, 3 Bs", "<size> of <size>, 3 Bs"),
        ("time", "12:30:01.5 and 1:2", "<time> and 1:2"),
        ("date", "2016/9/27 and 2016/9-27", "<date> and 2016/9-27"),
        ("id", "attempt_01_m-2 rdd_7", "attempt<id> rdd<id>"),
        ("digits", "a7b", "a<digits>b"),
    ],
)
def test_a_shared_mask(name: str, text: str, masked: str) -> None:
    assert Masker([(name, SHARED[name])]).mask(text) == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("java.lang.NullPointerException in java.util.HashMap.get", None),
        ("at a.b.c.d.Cart.add", None),
        ("web1.example.org and DB.EXAMPLE.ORG", "<host> and <host>"),
        ("ip-10-0-0-1.eu-west-1.compute.internal.", "<host>."),
    ],
)
def test_a_class_is_no_machine_in_a_guessed_format(text: str, masked: str | None) -> None:
    assert Masker([("host", GUESSED["host"])]).mask(text) == (masked or text)


def test_masks_are_applied_in_their_order() -> None:
    block = ("block", r"blk_-?\d+")
    assert Masker([block, ("num", SHARED["num"])]).mask("blk_-1 of 2") == "<block> of <num>"


def test_a_pattern_that_does_not_compile_is_named() -> None:
    with pytest.raises(ValueError, match="mask 'oops' is no regular expression"):
        Masker([("oops", "(")])


HOSTILE = [
    "1",
    "a",
    "1.",
    "a.",
    "/",
    "/a",
    ":",
    "0:",
    "-",
    "1-",
    "a1",
    "_1",
    "@a.",
    " ",
    "1 ",
    "rhost=",
    "\\",
    "aé",
]


@pytest.mark.parametrize("name", [name for name, _ in every()])
def test_no_text_makes_shipped_masks_slow(name: str) -> None:
    masker = Masker([*load(name).resolved_masks, *SHARED.items()])
    began = time.process_time()
    for part in HOSTILE:
        masker.mask(part * (8192 // len(part)) + "!")
    assert time.process_time() - began < 3


@pytest.mark.parametrize(
    "secret", ["root/123456", "root/a]b", "root/]", "root/x] failed [", "b'root'/b'p]w'"]
)
@pytest.mark.parametrize("end", ["failed", "succeeded"])
def test_no_part_of_a_password_is_left(secret: str, end: str) -> None:
    mask = Masker(load("kippo").resolved_masks).mask
    assert mask(f"login attempt [{secret}] {end}") == f"login attempt [<login>] {end}"


def test_a_password_is_masked_where_the_line_was_cut_off() -> None:
    assert Masker(load("kippo").resolved_masks).mask("login attempt [root/a]b") == "login attempt [<login>"
