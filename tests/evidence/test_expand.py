"""Packed evidence: equal to plain, whatever the members; damage keeps what came before."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Callable
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from vestige.errors import EvidenceError
from vestige.evidence.expand import Expander, is_packed

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


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_bytes_after_the_end_are_left_out_and_told(kind: str) -> None:
    content, defects = expand(pack(b"a\n", kind) + b"junk, and more of it")
    assert content == b"a\n"
    assert "after the end" in defects[0]


def test_a_frame_that_needs_a_dictionary_says_so() -> None:
    samples: list[bytes | bytearray | memoryview[int]] = []
    samples += [b"%d a line of some log, %d\n" % (n, n * n) for n in range(2000)]
    dictionary = zstandard.train_dictionary(1024, samples)
    packed = zstandard.ZstdCompressor(dict_data=dictionary).compress(TEXT[:4000])
    content, (defect,) = expand(packed)
    assert content == b""
    assert f"packed with the dictionary {dictionary.dict_id()}" in defect


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
    """A pipe whose other end writes a byte, or so many, at a time."""

    def __init__(self, data: bytes, *, most: int = 1) -> None:
        super().__init__(data)
        self._most = most

    def read1(self, size: int | None = -1, /) -> bytes:
        return super().read1(min(size or 1, self._most))


@pytest.mark.parametrize("kind", ["plain", "gz", "zst"])
def test_a_pipe_is_read_as_it_fills(kind: str) -> None:
    pieces = Expander(Trickle(pack(TEXT[:3000], kind)), "x.log").pieces()
    assert b"".join(pieces) == TEXT[:3000]
    assert len(next(Expander(Trickle(TEXT), "x.log").pieces())) < 10


def test_a_packing_is_known_by_its_first_bytes_however_slowly_they_come() -> None:
    with pytest.raises(EvidenceError, match="xz files are not read"):
        list(Expander(Trickle(b"\xfd7zXZ\0" + bytes(9)), "x.log").pieces())


@pytest.mark.parametrize("content", [b"", b"four"])
def test_frames_without_content_are_skipped_wherever_they_stand(content: bytes) -> None:
    for low in (0x50, 0x5F):
        skippable = bytes([low]) + b"\x2a\x4d\x18" + len(content).to_bytes(4, "little") + content
        first, second = zstandard.compress(b"a\n"), zstandard.compress(b"b\n")
        packed = skippable + first + skippable + skippable + second + skippable
        assert expand(packed) == (b"a\nb\n", [])
        assert is_packed(io.BytesIO(packed))


def long_frame(window_log: int) -> bytes:
    parameters = zstandard.ZstdCompressionParameters(window_log=window_log, enable_ldm=True)
    packing = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return packing.compress(b"a line\n") + packing.flush()


def test_a_window_up_to_128_mib_is_read_and_a_larger_one_is_not_called_damaged() -> None:
    assert expand(long_frame(27)) == (b"a line\n", [])
    content, (defect,) = expand(long_frame(28))
    assert content == b""
    assert "sound Zstandard data, packed with a window of 256 MiB" in defect
    assert "zstd -d --long=31 FILE" in defect
    content, (defect,) = expand(zstandard.compress(b"b\n") + long_frame(28))
    assert content == b"b\n"
    assert "window" in defect


def archive(kind: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as tar:
        member = tarfile.TarInfo("logs/web1/auth.log")
        member.size = 6
        tar.addfile(member, io.BytesIO(b"a\nb\nc\n"))
    return out.getvalue()


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
@pytest.mark.parametrize("kind", ["plain", "gz", "zst"])
def test_an_archive_is_refused_with_the_command_that_unpacks_it(kind: str, form: int) -> None:
    packed = pack(archive(form), kind)
    for file in (io.BytesIO(packed), Trickle(packed, most=200)):
        with pytest.raises(EvidenceError, match=r"(?s)tar archive.*tar -xf"):
            list(Expander(file, "x.tar").pieces())


@given(data=st.binary(max_size=1200))
def test_what_only_looks_like_an_archive_is_read_as_it_is(data: bytes) -> None:
    assert expand(b"a\0" + data) == (b"a\0" + data, [])
    assert b"".join(Expander(Trickle(b"a\0" + data), "x").pieces()) == b"a\0" + data
