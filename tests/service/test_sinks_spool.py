"""The queue on disk: what a kill, a full folder and a damaged file leave of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vestige.errors import OutputError
from vestige.service.sinks.spool import HEAD, DamagedError, Spool


def payloads(spool: Spool) -> list[bytes]:
    """What waits, in its order; damaged parts are left out."""
    found: list[bytes] = []
    at = spool.sent
    while True:
        try:
            frame = spool.read(at)
        except DamagedError as damage:
            at = damage.resume
            continue
        if frame is None:
            return found
        found.append(frame.payload)
        at = frame.end


def put(spool: Spool, *found: bytes) -> int:
    return spool.append([(payload, 1) for payload in found])


def parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.part"))


def test_what_waits_is_there_in_the_next_life(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert put(spool, b"a", b"b" * 1000, b"") == 0
    spool.sync()
    spool.abandon()  # killed
    again = Spool(tmp_path)
    assert (again.id, again.waiting) == (spool.id, 3)
    assert payloads(again) == [b"a", b"b" * 1000, b""]


def test_what_was_sent_is_deleted_file_by_file(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment=100)
    for number in range(20):
        put(spool, b"%02d" % number * 20)
    assert len(parts(tmp_path)) == 10
    at, sent = spool.sent, []
    for _ in range(15):
        frame = spool.read(at)
        assert frame is not None
        sent.append(frame.payload[:2])
        at = frame.end
        spool.mark(at, 1, save=False)
    assert sent == [b"%02d" % number for number in range(15)]
    assert spool.waiting == 5
    assert len(parts(tmp_path)) == 3
    spool.close()
    again = Spool(tmp_path, segment=100)
    assert [payload[:2] for payload in payloads(again)] == [b"15", b"16", b"17", b"18", b"19"]


def test_a_mark_that_was_not_saved_sends_again_but_loses_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    put(spool, b"a", b"b")
    first = spool.read(0)
    assert first is not None
    spool.mark(first.end, 1, save=False)
    spool.abandon()
    assert payloads(Spool(tmp_path)) == [b"a", b"b"]


@pytest.mark.parametrize("cut", [1, 5, HEAD.size + 1])
def test_half_a_frame_at_the_end_is_cut_off(tmp_path: Path, cut: int) -> None:
    spool = Spool(tmp_path)
    put(spool, b"whole", b"broken")
    spool.abandon()
    (part,) = parts(tmp_path)
    part.write_bytes(part.read_bytes()[:-cut])
    again = Spool(tmp_path)
    put(again, b"next")
    assert payloads(again) == [b"whole", b"next"]


def test_a_damaged_file_does_not_hold_up_the_next(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment=60)
    for number in range(6):
        put(spool, b"%d" % number * 50)
    spool.abandon()
    first, *_ = parts(tmp_path)
    data = bytearray(first.read_bytes())
    data[HEAD.size + 3] ^= 255
    first.write_bytes(data)
    again = Spool(tmp_path, segment=60)
    assert [payload[:1] for payload in payloads(again)] == [b"1", b"2", b"3", b"4", b"5"]


def test_a_length_that_lies_is_damage(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    put(spool, b"a")
    spool.abandon()
    (part,) = parts(tmp_path)
    part.write_bytes(HEAD.pack(2**32 - 1, 1, 0) + b"a")
    again = Spool(tmp_path)
    assert (payloads(again), again.waiting) == ([], 0)


@settings(max_examples=12)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.data())
def test_cutting_leaves_what_was_there(
    tmp_path_factory: pytest.TempPathFactory, batches: list[int], data: st.DataObject
) -> None:
    spool = Spool(tmp_path_factory.mktemp("spool"), segment=120)
    ends, done = [(0, 0)], 0
    for size in batches:
        put(spool, *(b"%03d" % number * 10 for number in range(done, done + size)))
        done += size
        ends.append((spool.end, done))
    end, known = data.draw(st.sampled_from(ends))
    spool.cut(end)
    assert (spool.end, spool.waiting) == (end, known)
    put(spool, *(b"%03d" % number * 10 for number in range(known, 40)))
    wanted = list(range(40))
    assert [int(payload[:3]) for payload in payloads(spool)] == wanted
    spool.abandon()
    again = Spool(spool.folder, segment=120)
    assert [int(payload[:3]) for payload in payloads(again)] == wanted
    again.close()


def test_what_was_sent_beyond_a_cut_will_be_sent_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    put(spool, b"a")
    end = spool.end
    put(spool, b"b")
    spool.mark(spool.end, 2, save=True)
    spool.cut(end)
    put(spool, b"b")
    spool.abandon()
    assert payloads(Spool(tmp_path)) == [b"b"]


def test_there_is_room_again_once_something_was_sent(tmp_path: Path) -> None:
    spool = Spool(tmp_path, largest=100)
    assert put(spool, b"x" * 40, b"y" * 60, b"z" * 20) == 1
    assert payloads(spool) == [b"x" * 40, b"z" * 20]
    spool.mark(spool.end, 2, save=True)
    assert put(spool, b"y" * 60) == 0


@pytest.mark.parametrize(
    "mark", ["", "[]", "{", '{"format": "vestige-spool/9"}', '{"format": "vestige-spool/1"}']
)
def test_a_mark_that_is_none_is_told(tmp_path: Path, mark: str) -> None:
    (tmp_path / "sent.json").write_text(mark)
    with pytest.raises(OutputError) as caught:
        Spool(tmp_path)
    assert "delete" in caught.value.remedy


def test_a_spool_has_one_writer(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    put(spool, b"a")
    with pytest.raises(OutputError, match="another process"):
        Spool(tmp_path)
    assert payloads(spool) == [b"a"]
    spool.close()
    Spool(tmp_path).close()


def test_what_is_on_the_disk_is_not_synced_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", synced.append)
    spool = Spool(tmp_path)
    put(spool, b"a")
    before = len(synced)
    for _ in range(5):
        spool.sync()
    assert len(synced) == before + 1
    spool.close()
