"""The hub: each reader gets every line once and in order, as long as it keeps up; memory is bounded."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from vestige.dashboard.events import Recording
from vestige.dashboard.hub import PIECE, Hub


def recording(number: int) -> Recording:
    return Recording(number=number, id=f"r{number}", synthetic=False)


def numbers(found: list[tuple[int, str]]) -> list[int]:
    return [json.loads(line)["number"] for _, line in found]


@given(st.integers(0, 3), st.integers(1, 20), st.lists(st.integers(0, 30), max_size=12))
def test_a_reader_goes_forward_and_misses_only_what_is_no_longer_kept(
    standing: int, kept: int, puts: list[int]
) -> None:
    hub = Hub(map(recording, range(standing)), kept=kept)
    place, seen, end, lost = 0, [], standing, 0
    for count in puts:
        for _ in range(count):
            hub.put(recording(end))
            end += 1
        found, place, missed = hub.after(place)
        if place < end:
            more, place, missed = hub.after(place)
            found += more
        lost += missed
        assert place == end
        seen += numbers(found)
        assert [at for at, _ in found] == numbers(found)
    assert seen == sorted(set(seen))
    # What a reader was not shown, it is told about; a lasting event may be shown nevertheless.
    assert 0 <= len(seen) - (end - lost) <= lost or not puts
    assert seen[:standing] == list(range(min(standing, len(seen))))
    newest = list(range(max(standing, end - kept), end))
    assert not puts or seen[-len(newest) :] == newest or not newest


def test_a_new_reader_learns_which_recording_it_looks_into() -> None:
    hub = Hub([], kept=3)
    hub.put(recording(0))
    other = recording(9).model_copy(update={"event": "perf"})
    for _ in range(5):
        hub.put(other)
    found, place, missed = hub.after(0)
    assert [at for at, _ in found] == [0, 3, 4, 5]
    assert missed == 3
    assert hub.after(place) == ([], place, 0)


def test_a_reader_gets_no_more_than_a_piece_at_a_time() -> None:
    hub = Hub(map(recording, range(3)), kept=PIECE * 3)
    for number in range(3, 3 + 2 * PIECE):
        hub.put(recording(number))
    place, sizes = 0, []
    while (answer := hub.after(place))[0]:
        sizes.append(len(answer[0]))
        place = answer[1]
    assert sizes == [3, PIECE, PIECE]


def test_an_id_says_where_to_go_on_and_only_ours_do() -> None:
    hub = Hub(map(recording, range(5)))
    assert hub.resume(hub.id(3)) == 4
    assert hub.resume(hub.id(10**9)) == 5
    strange = ["", "3", ".", f"{hub.epoch}.", f"{hub.epoch}.-1", f"{hub.epoch}.٣", f"x{hub.id(3)}",
               f"{hub.epoch}.{'9' * 5000}", "\x00"]  # fmt: skip
    assert {hub.resume(one) for one in [None, *strange]} == {0}
    assert Hub([]).resume(hub.id(3)) == 0


def test_many_readers_while_it_is_written_to() -> None:
    hub = Hub([], kept=100_000)
    got: list[list[int]] = [[] for _ in range(3)]

    def read(mine: list[int]) -> None:
        place = 0
        while len(mine) < 3000:
            found, place, _ = hub.after(place)
            mine += numbers(found)

    readers = [threading.Thread(target=read, args=(one,)) for one in got]
    for one in readers:
        one.start()
    for number in range(3000):
        hub.put(recording(number))
    for one in readers:
        one.join(30)
    assert got == [list(range(3000))] * 3


def test_its_memory_stays_flat_whatever_comes() -> None:
    hub = Hub([], kept=2_000)
    one = Recording(number=1, id="x" * 600, synthetic=False)

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    for _ in range(4_000):
        hub.put(one)
    before = resident()
    for _ in range(20_000):
        hub.put(one)
    # 20,000 lines of 700 bytes would be 14 MB.
    assert resident() - before < 5_000_000
    assert hub.after(0)[2] == 22_000
