from collections.abc import Mapping

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vestige.errors import EvidenceError
from vestige.sources.telemetry import channels
from vestige.sources.telemetry.fields import FIELDS, WALL, CollectorName, schema
from vestige.sources.telemetry.grid import GAP_NS, STALE_NS, Rows, on_grid, steps
from vestige.sources.telemetry.grid import grid as grid_of

NAN = float("nan")
START = 1_780_000_000_000_000_000
S = 10**9
COLUMN = {one.name: number for number, one in enumerate(channels.CHANNELS)}
FAULTS, MEMORY = "proc.process.paging.faults.minor", "proc.process.memory.usage"


def grid(tables: Mapping[CollectorName, pl.DataFrame], t_start_ns: int, t_end_ns: int) -> np.ndarray:
    rows = {collector: Rows(table[WALL].to_numpy(), table) for collector, table in tables.items()}
    return grid_of(rows, t_start_ns, t_end_ns)


def proc(rows: list[tuple[float, int | None]], column: str = "process.paging.faults.minor") -> pl.DataFrame:
    """Rows of proc: seconds since the start and one column's value; the others are null."""
    values = {name: [None] * len(rows) for name in FIELDS["proc"]} | {column: [value for _, value in rows]}
    times = [START + round(t * S) for t, _ in rows]
    return pl.DataFrame({WALL: times, **values}, schema={WALL: pl.Int64, **schema("proc")})


def rate(rows: list[tuple[float, int | None]], seconds: int = 5) -> list[float]:
    found = grid({"proc": proc(rows)}, START, START + seconds * S)
    rates: list[float] = found[:, COLUMN[FAULTS]].tolist()
    return rates


def flows(*rows: dict[str, object]) -> pl.DataFrame:
    plain = {
        "uid": "C1", "id.orig_h": "10.0.0.2", "id.orig_p": 40_000, "id.resp_h": "192.0.2.1", "id.resp_p": 80,
        "proto": "tcp", "service": None, "duration": 0.1, "orig_bytes": 10, "resp_bytes": 100,
        "conn_state": "SF", "orig_pkts": 1, "resp_pkts": 2,
    }  # fmt: skip
    table = [{**plain, **row, WALL: START + round(float(str(row["t"])) * S)} for row in rows]
    return pl.DataFrame(table, schema={WALL: pl.Int64, **schema("netflow")})


def of_flows(table: pl.DataFrame, name: str, seconds: int = 3) -> list[float]:
    found = grid({"netflow": table}, START, START + seconds * S)
    return [round(one, 6) for one in found[:, COLUMN[f"netflow.{name}"]].tolist()]


def same(ours: list[float], theirs: list[float]) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, equal_nan=True)


def test_a_grid_has_a_row_for_each_whole_second() -> None:
    assert steps(START, START + 10 * S - 1) == 9
    assert steps(START, START) == 0
    assert grid({}, START, START + 7 * S).shape == (7, 46)
    assert grid({"proc": proc([(0.5, 1)])}, START, START + S // 2).shape == (0, 46)


def test_a_counter_is_divided_by_the_time_that_really_passed() -> None:
    same(rate([(0.5, 0), (1.5, 10), (2.25, 25), (3.5, 25), (4.5, 35)]), [NAN, 10, 20, 0, 10])


def test_a_reset_is_missing_and_never_negative() -> None:
    same(rate([(0.5, 100), (1.5, 110), (2.5, 3), (3.5, 8), (4.5, 9)]), [NAN, 10, NAN, 5, 1])


BIG = 5_000_000_000


@pytest.mark.parametrize(
    ("read", "rates"),
    [
        # Read as zero once, or for a while, and then the old counter goes on.
        ([BIG, BIG + 10, 0, BIG + 30, BIG + 40], [NAN, 10, NAN, NAN, 10]),
        ([BIG, BIG + 10, 0, 0, 0, BIG + 50, BIG + 60], [NAN, 10, NAN, NAN, NAN, NAN, 10]),
        ([BIG, BIG + 10, 0, BIG + 30, 0, BIG + 50, BIG + 60], [NAN, 10, NAN, NAN, NAN, NAN, 10]),
        ([BIG, BIG + 10, None, 0, BIG + 40, BIG + 50], [NAN, 10, NAN, NAN, NAN, 10]),
        # So from the first reading on.
        ([0, BIG + 10, BIG + 20, BIG + 30], [NAN, NAN, 10, 10]),
        # A part of what is summed up was not read: one of two interfaces.
        ([BIG, BIG + 10, BIG // 2, BIG // 2 + 5, BIG + 40, BIG + 50], [NAN, 10, NAN, NAN, NAN, 10]),
        # Read far too high once.
        ([100, 110, 2**62, 130, 140], [NAN, 10, NAN, NAN, 10]),
        # A reset: it begins anew, from zero or nearly, and stays below or grows back at its own pace.
        ([BIG, BIG + 10, 0, 10, 20], [NAN, 10, NAN, 10, 10]),
        ([BIG, BIG + 10, 3, 13, 23], [NAN, 10, NAN, 10, 10]),
        ([5, 15, 25, 0, 10, 20, 30, 40], [NAN, 10, 10, NAN, 10, 10, 10, 10]),
        ([0, 0, 0, 0], [NAN, 0, 0, 0]),
        ([BIG, 0, 0, 0], [NAN, NAN, 0, 0]),
        # A wrap of 32 bits, and of 64.
        ([2**32 - 15, 2**32 - 5, 5, 15], [NAN, 10, NAN, 10]),
        ([2**63 - 4097, 2**63 - 1, 4095, 8191], [NAN, 4096, NAN, 4096]),
        # Corrected downwards by a little: the counter goes on from there.
        ([1000, 1025, 1049, 1048, 1073, 1098], [NAN, 25, 24, NAN, 25, 25]),
        # A counter that is at rest does not count up from a first zero: it was zero.
        ([0, 10, 10, 10], [NAN, 10, 0, 0]),
        # What cannot be a counter's.
        ([-1, 10, 20], [NAN, NAN, 10]),
    ],
)
def test_a_counter_s_falls_are_told_apart_by_what_comes_after(
    read: list[int | None], rates: list[float]
) -> None:
    same(rate([(second + 0.5, value) for second, value in enumerate(read)], len(read)), rates)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(1, 1000), min_size=4, max_size=30),
    st.integers(10**6, 2**40),
    st.integers(1, 3),
    st.data(),
)
def test_a_counter_that_was_not_read_for_a_while_leaps_nowhere(
    rises: list[int], level: int, zeros: int, data: st.DataObject
) -> None:
    true = [level + int(total) for total in np.cumsum(rises)]
    at = data.draw(st.integers(0, len(true) - 1))
    read = [0 if at <= number < at + zeros and number else value for number, value in enumerate(true)]
    found = np.array(rate([(second + 0.5, value) for second, value in enumerate(read)], len(read)))
    assert np.nanmax(found, initial=0) <= 1000
    plain = np.array(rate([(second + 0.5, value) for second, value in enumerate(true)], len(true)))
    known = ~np.isnan(found)
    back = at + zeros < len(true)
    if back or at == 0:
        np.testing.assert_array_equal(found[known], plain[known])


def test_of_rows_with_one_stamp_a_counter_takes_the_first_and_keeps_its_total() -> None:
    found = rate([(0.2, 0), (1.2, 10), (1.2, 20), (3.2, 30), (4.2, 40)])
    same(found, [NAN, 10, NAN, 10, 10])
    table = proc([(0.2, 5), (0.2, 7)], "process.memory.usage")
    assert grid({"proc": table}, START, START + S)[0, COLUMN[MEMORY]] == 7


def coarse(tables: Mapping[CollectorName, pl.DataFrame], steps_: int, seconds: int) -> np.ndarray:
    rows = {collector: Rows(table[WALL].to_numpy(), table) for collector, table in tables.items()}
    return grid_of(rows, START, START + steps_ * seconds * S, seconds)


@pytest.mark.parametrize("seconds", [3, 15, 60])
def test_rows_are_used_at_their_own_pace(seconds: int) -> None:
    rows: list[tuple[float, int | None]] = [(k * seconds + 0.4, 70 * seconds * k) for k in range(6)]
    found = coarse({"proc": proc(rows)}, 6, seconds)
    assert found.shape == (6, 46)
    same(found[:, COLUMN[FAULTS]].tolist(), [NAN, 70, 70, 70, 70, 70])
    assert np.isnan(grid({"proc": proc(rows)}, START, START + 6 * seconds * S)[:, COLUMN[FAULTS]]).all()


def test_a_coarse_step_takes_in_all_that_a_fast_collector_counted() -> None:
    """The rate of a step of 15 s is not that of its last second."""
    total = np.cumsum([second % 15 for second in range(45)])
    rows: list[tuple[float, int | None]] = [(k + 0.4, int(value)) for k, value in enumerate(total)]
    found = coarse({"proc": proc(rows)}, 3, 15)[:, COLUMN[FAULTS]]
    same(found.tolist(), [105 / 14, 7, 7])
    rows[20] = rows[20][0], 0  # a reset inside the second step
    for at in range(21, 45):
        rows[at] = rows[at][0], int(total[at] - total[20])
    same(coarse({"proc": proc(rows)}, 3, 15)[:, COLUMN[FAULTS]].tolist(), [105 / 14, NAN, 7])


def test_connections_of_a_coarse_step_are_summed_up_over_all_of_it() -> None:
    table = flows({"t": 0.5}, {"t": 14.5}, {"t": 15.5, "service": "dns"})
    found = coarse({"netflow": table}, 2, 15)
    assert found[:, COLUMN["netflow.conn_count"]].tolist() == [2, 1]
    assert found[:, COLUMN["netflow.orig_bytes"]].tolist() == [20, 10]
    assert found[0, COLUMN["netflow.iat_mean"]] == 14
    assert on_grid(np.array([START, START + 20 * S]), np.array([0, 1]), START, 3, 15).tolist() == [0, 1, 1]
    assert steps(START, START + 44 * S, 15) == 2


def test_one_lost_row_is_missing_and_bridged_two_are_not() -> None:
    same(rate([(0.2, 0), (1.2, 1), (3.2, 21), (4.2, 22)]), [NAN, 1, NAN, 10, 1])
    same(rate([(0.2, 0), (1.2, 1), (4.2, 31)]), [NAN, 1, NAN, NAN, NAN])


def test_rows_may_jitter_around_the_second() -> None:
    same(rate([(0.0, 0), (1.1, 11), (1.9, 19), (3.05, 29), (3.98, 39)], 4)[2:], [10, 10 / 0.93])
    assert not np.isnan(rate([(k + 0.2 * (-1) ** k, k) for k in range(1, 6)])[2:]).any()


def test_a_repeated_row_changes_nothing() -> None:
    same(rate([(0.5, 0), (1.5, 10), (1.5, 10), (2.5, 30)], 3), [NAN, 10, 20])


def test_what_could_not_be_read_is_missing() -> None:
    same(rate([(0.5, 0), (1.5, None), (2.5, 30), (3.5, 31)], 4), [NAN, NAN, NAN, 1])


def test_a_gauge_is_the_last_value_before_the_second_was_over() -> None:
    table = proc([(0.5, 5), (0.75, 7), (2.9, 9)], "process.memory.usage")
    found = grid({"proc": table}, START, START + 4 * S)[:, COLUMN[MEMORY]]
    same(found.tolist(), [7, 7, 9, 9])
    later = grid({"proc": table}, START, START + 6 * S)[:, COLUMN[MEMORY]]
    assert np.isnan(later[4:]).all(), f"older than {STALE_NS} ns"


def test_collectors_that_are_not_there_are_missing() -> None:
    found = grid({"netflow": flows({"t": 0.5})}, START, START + 2 * S)
    assert np.isnan(found[:, :34]).all()
    assert not np.isnan(found[:, 34:44]).any()


def test_a_silent_network_is_no_missing_network() -> None:
    found = grid({"netflow": flows({"t": 0.5}).clear()}, START, START + 2 * S)
    assert (found[:, 34:44] == 0).all()
    assert np.isnan(found[:, 44:]).all()


def test_connections_are_summed_up_by_second_in_any_order() -> None:
    table = flows(
        {"t": 2.0, "id.resp_p": 53, "service": "dns", "proto": "udp", "orig_bytes": None},
        {"t": 0.1, "id.resp_p": 80, "id.resp_h": "a"},
        {"t": 0.7, "id.resp_p": 81, "id.resp_h": "b", "conn_state": "S0"},
        {"t": 0.3, "id.resp_p": 80, "id.resp_h": "b"},
        {"t": 0.9, "id.resp_p": 81, "id.resp_h": "b", "proto": "icmp", "id.orig_p": 3},
    )
    expected: dict[str, list[float]] = {
        "conn_count": [4, 0, 1], "orig_bytes": [40, 0, 0], "resp_bytes": [400, 0, 100],
        "orig_pkts": [4, 0, 1], "resp_pkts": [8, 0, 2], "uniq_resp_h": [2, 0, 1], "uniq_resp_p": [2, 0, 1],
        "conn_state_s0": [1, 0, 0], "dns_queries": [0, 0, 1], "icmp_unreachable": [1, 0, 0],
        "resp_p_entropy": [1, NAN, 0], "iat_mean": [round(0.8 / 3, 6), NAN, NAN],
    }  # fmt: skip
    for name, values in expected.items():
        same(of_flows(table, name), values)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=12), st.integers(1, 12))
def test_ports_and_their_entropy_are_those_of_a_plain_count(ports: list[int], times: int) -> None:
    table = flows(*({"t": 0.5, "id.resp_p": port, "id.resp_h": str(port % 3)} for port in ports * times))
    share = np.unique(ports, return_counts=True)[1] / len(ports)
    assert of_flows(table, "uniq_resp_p", 1) == [len(share)]
    assert of_flows(table, "uniq_resp_h", 1) == [len({port % 3 for port in ports})]
    same(of_flows(table, "resp_p_entropy", 1), [round(float(-(share * np.log2(share)).sum()), 6)])


def test_ports_that_cannot_be_are_told_apart_beside_an_unknown_one() -> None:
    ports = (2**63 - 1, 2**63 - 2, None, -5)
    rows: list[dict[str, object]] = [{"t": 0.5, "id.resp_p": port} for port in ports]
    assert of_flows(flows(*rows), "uniq_resp_p", 1) == [4]


def test_what_a_connection_does_not_say_adds_nothing() -> None:
    unknown = dict.fromkeys(("id.orig_p", "id.resp_p", "proto", "service", "conn_state", "resp_bytes"))
    table = flows({"t": 0.1, **unknown}, {"t": 0.2, "proto": "icmp", "id.orig_p": None}, {"t": 0.3})
    for name, value in {
        "conn_count": 3, "resp_bytes": 200, "uniq_resp_p": 2, "uniq_resp_h": 1,
        "conn_state_s0": 0, "dns_queries": 0, "icmp_unreachable": 0,
    }.items():  # fmt: skip
        same(of_flows(table, name, 1), [value])


@pytest.mark.parametrize(
    ("proto", "address", "kind", "unreachable"),
    [
        ("icmp", "192.0.2.1", 3, 1),
        ("ICMP", "192.0.2.1", 1, 0),
        ("icmp", "2001:db8::1", 1, 1),
        ("icmp", "2001:db8::1", 3, 0),
        ("icmp", "::ffff:192.0.2.1", 3, 1),
        ("icmp", "::ffff:192.0.2.1", 1, 0),
        ("ICMP6", "2001:db8::1", 1, 1),
        ("ipv6-icmp", None, 1, 1),
        ("58", "2001:db8::1", 1, 1),
        ("58", "2001:db8::1", 3, 0),
        ("1", "192.0.2.1", 3, 1),
        ("tcp", "2001:db8::1", 1, 0),
        ("icmp", None, 3, 1),
        (None, "2001:db8::1", 1, 0),
    ],
)
def test_icmp_of_either_kind_has_its_own_numbers(
    proto: str | None, address: str | None, kind: int, unreachable: int
) -> None:
    table = flows({"t": 0.5, "proto": proto, "id.resp_h": address, "id.orig_p": kind})
    assert of_flows(table, "icmp_unreachable", 1) == [unreachable]


def test_a_connection_may_have_several_services() -> None:
    names = ("dns", "DNS,ssl", "ssl,Dns", "mdns", "dnsx,ssl", None)
    rows: list[dict[str, object]] = [{"t": 0.5, "service": name} for name in names]
    table = flows(*rows)
    assert of_flows(table, "dns_queries", 1) == [3]


def test_responders_are_the_same_in_capitals() -> None:
    hosts = ("2001:DB8::A", "2001:db8::a", "2001:db8::b")
    rows: list[dict[str, object]] = [{"t": 0.1, "id.resp_h": host} for host in hosts]
    table = flows(*rows)
    assert of_flows(table, "uniq_resp_h", 1) == [2]


def test_rows_that_miss_the_episode_altogether_are_an_error() -> None:
    other_clock = flows({"t": 0.5}).with_columns(pl.lit(12_345 * S, pl.Int64).alias(WALL))
    with pytest.raises(EvidenceError, match="1 rows of netflow, and none of them in the episode"):
        grid({"netflow": other_clock}, START, START + 2 * S)
    with pytest.raises(EvidenceError, match="of proc"):
        grid({"proc": proc([(-7200.0, 1)])}, START, START + 2 * S)


def test_infinity_and_the_largest_integers_are_survived() -> None:
    table = proc([(0.5, -(2**63)), (1.5, 2**63 - 1), (2.5, 2**63 - 1)])
    found = grid({"proc": table}, START, START + 3 * S)
    assert found[2, COLUMN[FAULTS]] == 0
    load = pl.lit([float("inf"), float("nan"), 1e308]).explode()
    guest = pl.DataFrame(
        {WALL: [START + round(t * S) for t in (0.5, 1.5, 2.5)], **dict.fromkeys(FIELDS["guest"], 1)},
        schema={WALL: pl.Int64, **schema("guest")},
    ).with_columns(load1=load)
    assert np.isnan(grid({"guest": guest}, START, START + 3 * S)[:, COLUMN["guest.load1"]]).all()


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-3 * S, 15 * S), st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))),
        max_size=40,
    ),
)
def test_no_rate_is_ever_negative_or_infinite(rows: list[tuple[int, int | None]]) -> None:
    table = proc([(t / S, value) for t, value in rows])
    try:
        found = grid({"proc": table}, START, START + 12 * S)[:, COLUMN[FAULTS]]
    except EvidenceError:
        return
    assert not np.isinf(found).any()
    assert not (found < 0).any()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4 * S), st.integers(0, 1000)), min_size=1, max_size=12))
def test_rates_are_those_of_a_plain_reckoning(moves: list[tuple[int, int]]) -> None:
    t = np.cumsum([gap for gap, _ in moves])
    value = 1 + np.cumsum([rise for _, rise in moves])  # one that begins at zero may not have been read
    found = grid(
        {"proc": proc(list(zip((t / S).tolist(), value.tolist(), strict=True)))}, START, START + 60 * S
    )
    t = np.array([round(one / S * S) for one in t.tolist()])
    for step, ours in enumerate(found[:, COLUMN[FAULTS]].tolist()):
        over = (step + 1) * S
        known = np.flatnonzero(t <= over)
        at = known[-1] if len(known) else -1
        if at < 1 or over - t[at] > STALE_NS or t[at] - t[at - 1] > GAP_NS:
            assert np.isnan(ours)
        else:
            expected = (value[at] - value[at - 1]) / ((t[at] - t[at - 1]) / S)
            assert ours == pytest.approx(expected, rel=1e-6)


def test_a_label_holds_until_the_next() -> None:
    t = np.array([START - 5, START + 2 * S, START + 3 * S + 1])
    found = on_grid(t, np.array([0, 1, 2], dtype=np.uint8), START, 5)
    assert found.tolist() == [0, 0, 1, 2, 2]


def test_the_order_of_collectors_does_not_matter() -> None:
    tables: dict[CollectorName, pl.DataFrame] = {
        "proc": proc([(0.5, 1), (1.5, 3)]),
        "netflow": flows({"t": 1.2}),
    }
    ours = grid(tables, START, START + 2 * S)
    theirs = grid(dict(reversed(tables.items())), START, START + 2 * S)
    assert np.array_equal(ours, theirs, equal_nan=True)
