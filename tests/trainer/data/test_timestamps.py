"""The rule for times, against datetime itself."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtower_trainer.data.timestamps import END_S, iso_utc, parse_timestamp, timestamp_parser

MOMENTS = st.datetimes(
    min_value=datetime(1970, 1, 2), max_value=datetime(2099, 12, 30)
)  # a day from the ends, so that no zone leaves the range
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))


@given(MOMENTS, ZONES, st.sampled_from([" ", "T"]))
def test_iso_times_with_a_zone(moment: datetime, zone: timezone, separator: str) -> None:
    there = moment.replace(tzinfo=zone)
    whole = there.replace(microsecond=0)
    assert parse_timestamp(there.isoformat(separator)) == whole.timestamp()


@given(MOMENTS)
def test_a_time_without_a_zone_is_utc(moment: datetime) -> None:
    moment = moment.replace(microsecond=0)
    seconds = moment.replace(tzinfo=timezone.utc).timestamp()
    assert parse_timestamp(moment.isoformat()) == seconds
    assert parse_timestamp(iso_utc(int(seconds))) == seconds


@given(st.integers(0, END_S - 1))
def test_seconds(seconds: int) -> None:
    assert parse_timestamp(str(seconds)) == seconds
    assert parse_timestamp(f"{seconds}.75") == seconds


@given(st.integers(100_000_000, END_S - 1), st.sampled_from([1_000, 1_000_000, 1_000_000_000]))
def test_finer_units_by_their_size(seconds: int, unit: int) -> None:
    assert parse_timestamp(str(seconds * unit + unit - 1)) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2017-12-31", 1_514_678_400),
        ("2017-12-31 18:05", 1_514_743_500),
        ("2017-12-31T18:05:59,5Z", 1_514_743_559),
        ("2017-12-31T18:05:59.123456789Z", 1_514_743_559),
        ("2017-12-31T19:05+0100", 1_514_743_500),
        ("1.5e9", 1_500_000_000),
        ("1500000000000.0", 1_500_000_000),
    ],
)
def test_forms(text: str, seconds: int) -> None:
    assert parse_timestamp(text) == seconds


NO_TIMES = """
yesterday nan inf -inf -1 -0.5 1969-12-31 2100-01-01 4102444800 20000000000 1e30
999999999999999999999999999999 1_000 2017-13-01 2017-02-30 12/31/2017 0x10 2017-12-31T25:00
1970-01-01T00:00+01:00
"""


@pytest.mark.parametrize("text", ["", *NO_TIMES.split()])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the reader asks for no more than that
        parse_timestamp(text)


def test_a_pattern() -> None:
    parse = timestamp_parser("%m/%d/%Y %H:%M")
    assert parse("12/31/2017 18:05") == 1_514_743_500
    assert parse("12/31/2017 18:05") == 1_514_743_500
    for text in ("1514743500", "13/31/2017 00:00", "12/31/1969 00:00"):
        with pytest.raises(ValueError):  # noqa: PT011
            parse(text)
