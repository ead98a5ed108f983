"""Logical dates: days of a zone, whatever its clocks do; never the time at which a job happens to run."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jobs import nightly
from pipeline.errors import ConfigError
from pipeline.nightly.dates import days, days_of, last_ended, parse_date, window
from pipeline.timezones import begin_us, instant, zone_of

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Shanghai", "Asia/Kathmandu", "America/Sao_Paulo", "Pacific/Apia"]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(instant):
    return (instant - EPOCH) // timedelta(microseconds=1)


@settings(deadline=None)
@given(zone=st.sampled_from(ZONES), times=st.lists(st.datetimes(datetime(1970, 1, 1), datetime(2037, 1, 1)), max_size=20))
@example(zone="Pacific/Apia", times=[datetime(2011, 12, 30, 9, 59, 59), datetime(2011, 12, 30, 10)])  # a day was skipped
@example(zone="Europe/Berlin", times=[datetime(2024, 10, 26, 21, 59), datetime(2024, 10, 26, 22), datetime(2024, 10, 27, 22, 59)])
@example(zone="America/Sao_Paulo", times=[datetime(2018, 11, 4, 2, 59), datetime(2018, 11, 4, 3)])  # there was no midnight
def test_an_instant_belongs_to_the_day_that_its_zones_calendar_shows(zone, times):
    instants = [time.replace(tzinfo=UTC) for time in times]
    found = days_of(np.array([micros(one) for one in instants], dtype=np.int64), ZoneInfo(zone))
    by_place = {int(place): day for day, places in found for place in places}
    assert [by_place[i] for i in range(len(instants))] == [one.astimezone(ZoneInfo(zone)).date() for one in instants]
    assert [day for day, _ in found] == sorted({day for day, _ in found})


@settings(deadline=None)
@given(zone=st.sampled_from([*ZONES, "America/St_Johns", "America/Havana"]), day=st.dates(date(1970, 1, 2), date(2037, 1, 1)))
@example(zone="America/St_Johns", day=date(2010, 11, 7))  # clocks went back over midnight
def test_days_follow_each_other_without_gap_or_overlap(zone, day):
    begin, end = (instant(begin_us(one, ZoneInfo(zone))) for one in (day, day + timedelta(days=1)))
    skipped = (zone, day) == ("Pacific/Apia", date(2011, 12, 30))
    assert timedelta(hours=0 if skipped else 22) <= end - begin <= timedelta(hours=26)
    edges = np.array([micros(begin), micros(end) - 1, micros(end)], dtype=np.int64)
    if not skipped:
        assert [(one, list(places)) for one, places in days_of(edges, ZoneInfo(zone))] == [
            (day, [0, 1]),
            (day + timedelta(days=1), [2]),
        ]


def test_a_day_of_a_change_of_clocks_has_23_or_25_hours():
    berlin = ZoneInfo("Europe/Berlin")
    lengths = {
        day: instant(begin_us(day + timedelta(days=1), berlin)) - instant(begin_us(day, berlin))
        for day in days(date(2024, 1, 1), date(2024, 12, 31))
    }
    odd = {day: length for day, length in lengths.items() if length != timedelta(days=1)}
    assert odd == {date(2024, 3, 31): timedelta(hours=23), date(2024, 10, 27): timedelta(hours=25)}


def test_leap_days_and_ends_of_months():
    assert days(date(2024, 2, 28), date(2024, 3, 1)) == [date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1)]
    assert len(days(date(2023, 2, 28), date(2023, 3, 1))) == 2
    assert days(date(2024, 1, 2), date(2024, 1, 1)) == []
    assert window(date(2024, 3, 1), 2) == [date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1)]


def test_times_that_have_no_date_are_no_days():
    times = np.array([-(2**62), 2**62, 0], dtype=np.int64)
    assert [(day, list(places)) for day, places in days_of(times, zone_of("UTC"))] == [(date(1970, 1, 1), [2])]


def test_the_default_is_the_last_day_that_has_ended_there():
    shanghai, new_york = ZoneInfo("Asia/Shanghai"), ZoneInfo("America/New_York")
    now = datetime(2024, 3, 1, 2, tzinfo=UTC)
    assert (last_ended(now, shanghai), last_ended(now, new_york)) == (date(2024, 2, 29), date(2024, 2, 28))
    assert nightly.default_date("UTC") in (datetime.now(UTC).date() - timedelta(days=1), datetime.now(UTC).date())


@pytest.mark.parametrize("text", ["2024-02-30", "20240229", "yesterday", "", "2024-W09-4"])
def test_what_is_no_date_is_refused(text):
    with pytest.raises(ConfigError, match="2026-11-22"):
        parse_date(text)
    assert parse_date("2024-02-29") == date(2024, 2, 29)


def test_a_zone_that_does_not_exist_is_refused():
    for name in ("Mars/Base", "../etc/passwd", ""):
        with pytest.raises(ConfigError, match="no such time zone"):
            zone_of(name)
