"""Packed evidence: equal to plain, whatever the members; damage keeps what came before."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from vestige.errors import EvidenceError
from vestige.evidence.expand import Expander

TEXT = b"".join(b"%06d a line of some log\n" % n for n in range(50_000))


def expand(data: bytes, **options: Any) -> tuple[bytes, list[str]]:
    expander = Expander(io.BytesIO(data), "x.log", **options)
    content = b"".join(expander.pieces())
    assert expander.taken == len(data) or expander.defects
    return content, expander.defects


def pack(data: bytes, kind: str) -> bytes:
    packers: dict[str, Callable[[bytes], bytes]] = {
        "gz": gzip.compress,
        "zst": zstandard.compress,
        "plain": bytes,
    }
    return packers[kind](data)


@pytest.mark.parametrize("kind", ["plain", "gz", "zst"])
def test_packed_content_equals_plain_content(kind: str) -> None:
    assert expand(pack(TEXT, kind)) == (TEXT, [])


@pytest.mark.parametrize("kind", ["gz", "zst"])
@given(parts=st.lists(st.binary(max_size=300), min_size=1, max_size=6))
def test_members_follow_one_another(kind: str, parts: list[bytes]) -> None:
    assert expand(b"".join(pack(part, kind) for part in parts)) == (b"".join(parts), [])


def test_zeros_after_a_gzip_member_are_padding() -> None:
    padded = gzip.compress(b"a\n") + bytes(100) + gzip.compress(b"b\n") + bytes(600_000)
    assert expand(padded) == (b"a\nb\n", [])


@pytest.mark.parametrize("kind", ["gz", "zst"])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.9999])
def test_what_a_truncated_file_still_holds_is_kept(kind: str, share: float) -> None:
    whole = pack(TEXT, kind)
    content, defects = expand(whole[: int(len(whole) * share)])
    assert TEXT.startswith(content)
    assert len(content) > len(TEXT) * share / 4
    assert len(defects) == 1
    assert "cut off" in defects[0]


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_damage_ends_the_file_there(kind: str) -> None:
    whole = bytearray(pack(TEXT, kind))
    whole[len(whole) // 2 : len(whole) // 2 + 64] = bytes(64)
    _, defects = expand(bytes(whole))
    assert len(defects) == 1
    assert "damaged" in defects[0] or "cut off" in defects[0]


def test_bytes_after_the_end_are_left_out_and_told() -> None:
    content, defects = expand(gzip.compress(b"a\n") + b"junk")
    assert content == b"a\n"
    assert "after the end" in defects[0]


@given(data=st.binary(max_size=400))
def test_any_bytes_after_a_magic_number_end_well(data: bytes) -> None:
    for magic in (b"\x1f\x8b", b"\x28\xb5\x2f\xfd"):
        expand(magic + data)


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_a_decompression_bomb_is_refused(kind: str) -> None:
    if kind == "gz":
        squeeze = zlib.compressobj(9, wbits=31)
        bomb = squeeze.compress(bytes(1 << 24)) + squeeze.flush()
    else:
        bomb = zstandard.ZstdCompressor(level=19).compress(bytes(1 << 24))
    with pytest.raises(EvidenceError, match="bomb"):
        expand(bomb, bomb_bytes=1 << 20)


@pytest.mark.parametrize(("magic", "name"), [(b"BZh9", "bzip2"), (b"\xfd7zXZ\0", "xz")])
def test_other_packings_are_named(magic: bytes, name: str) -> None:
    with pytest.raises(EvidenceError, match=name):
        expand(magic + bytes(20))


class Trickle(io.BytesIO):
    """A pipe whose other end writes a byte at a time."""

    def read1(self, size: int | None = -1, /) -> bytes:
        return super().read1(min(size or 1, 1))


@pytest.mark.parametrize("kind", ["plain", "gz", "zst"])
def test_a_pipe_is_read_as_it_fills(kind: str) -> None:
    pieces = Expander(Trickle(pack(TEXT[:3000], kind)), "x.log").pieces()
    assert b"".join(pieces) == TEXT[:3000]
    assert len(next(Expander(Trickle(TEXT), "x.log").pieces())) < 10


def test_a_packing_is_known_by_its_first_bytes_however_slowly_they_come() -> None:
    with pytest.raises(EvidenceError, match="xz files are not read"):
        list(Expander(Trickle(b"\xfd7zXZ\0" + bytes(9)), "x.log").pieces())
