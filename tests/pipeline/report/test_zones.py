"""Reports of a time zone: each document in the day and hour that the zone's clocks show, whatever they do."""

import json
import subprocess
import sys
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jobs.cli import main
from pipeline.errors import ConfigError
from pipeline.report.build import make_report
from pipeline.report.window import ReportWindow
from pipeline.timezones import EPOCH, HOUR_US, STRETCH_US, begin_us, hours, instant, spans, zone_of
from tests.support.report_data import document, letter, made_up, state, write_output

US = timedelta(microseconds=1)
ZONES = [
    "Europe/Berlin", "Asia/Kolkata", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia", "America/Havana",
    "Asia/Kathmandu", "America/New_York", "Africa/Casablanca", "Etc/UTC", "Antarctica/Troll", "America/Toronto",
]  # fmt: skip


def micros(moment):
    return (moment - EPOCH) // US


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def rows(report, name):
    return pq.read_table(report.tables[name]).to_pylist()


def page(report):
    return Path(report.page).read_text(encoding="utf-8")


def told(zone, times):
    """Hour and day of instants, as DuckDB computes them."""
    clock = ReportWindow(None, None, zone.key).clock({time // STRETCH_US for time in times})
    values = ", ".join(f"({n}, {time})" for n, time in enumerate([*times, "null"]))
    sql = f"select {clock.hour('time')}, {clock.day('time')} from (values {values}) v(n, time) order by n"
    *found, of_none = duckdb.sql(sql).fetchall()
    assert of_none == (None, None)
    return found


@settings(max_examples=60, deadline=None)
@given(
    zone=st.one_of(st.sampled_from(ZONES), st.sampled_from(sorted(available_timezones()))),
    times=st.lists(st.datetimes(datetime(1875, 1, 1), datetime(2045, 1, 1)), min_size=1, max_size=8),
)
@example(zone="Pacific/Apia", times=[datetime(2011, 12, 30, 9, 59, 59), datetime(2011, 12, 30, 10)])  # a day was skipped
@example(zone="America/St_Johns", times=[datetime(2010, 11, 7, 2, 30), datetime(2010, 11, 7, 2, 31)])  # back over midnight
@example(zone="America/Toronto", times=[datetime(1919, 3, 31, 4, 29), datetime(1919, 3, 31, 4, 31)])  # a gap around midnight
@example(zone="Australia/Lord_Howe", times=[datetime(2026, 4, 4, 15, 10), datetime(2026, 10, 3, 15, 40)])  # half an hour
def test_hours_and_days_are_those_of_the_zones_clocks(zone, times):
    zone = ZoneInfo(zone)
    times = [micros(time.replace(tzinfo=UTC)) for time in times]
    for time, (hour, day) in zip(times, told(zone, times), strict=True):
        begin, local = instant(hour).astimezone(zone), instant(time).astimezone(zone)
        assert 0 <= time - hour < HOUR_US
        assert (begin.date(), begin.hour, begin.utcoffset()) == (local.date(), local.hour, local.utcoffset())
        before = instant(hour - 1).astimezone(zone)
        assert (begin.minute, begin.second) == (0, 0) or before.utcoffset() != begin.utcoffset()
        this, following = (begin_us(date(1970, 1, 1) + timedelta(n), zone) for n in (day, day + 1))
        assert this <= time < following
        again = begin_us(local.date() + timedelta(1), zone) <= time  # set back over midnight
        assert date(1970, 1, 1) + timedelta(day) == local.date() + timedelta(again)


@settings(max_examples=40, deadline=None)
@given(zone=st.sampled_from([*ZONES, "America/Juneau", "Pacific/Kwajalein"]), day=st.dates(date(1840, 1, 1), date(2045, 1, 1)))
@example(zone="America/Toronto", day=date(1919, 3, 31))
@example(zone="Pacific/Kwajalein", day=date(1993, 8, 21))
def test_a_day_begins_with_the_first_instant_of_its_date(zone, day):
    zone = ZoneInfo(zone)
    begin = begin_us(day, zone)
    assert instant(begin).astimezone(zone).date() >= day
    assert instant(begin - 1).astimezone(zone).date() < day
    assert begin_us(day + timedelta(1), zone) >= begin


def test_hours_follow_each_other_without_gap():
    for zone, day, count in [
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("Europe/Berlin", date(2026, 7, 1), 24),
        ("Asia/Kolkata", date(2026, 7, 1), 24),
        ("Pacific/Apia", date(2011, 12, 30), 0),
        ("Australia/Lord_Howe", date(2026, 4, 5), 25),
    ]:
        begin, end = (begin_us(one, ZoneInfo(zone)) for one in (day, day + timedelta(1)))
        found = hours(ZoneInfo(zone), begin, end)
        assert len(found) == count, zone
        assert found[:1] == [begin][:count]
        assert all(0 < b - a <= HOUR_US for a, b in pairwise([*found, end]))


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Europe/Berlin", date(2026, 10, 25)),
        ("America/New_York", date(2026, 3, 8)),
        ("Asia/Kolkata", date(2026, 11, 22)),
        ("Pacific/Apia", date(2011, 12, 31)),
        ("America/St_Johns", date(2010, 11, 7)),
    ],
)
def test_every_table_of_a_zone_is_that_of_a_slow_count(zone, day, tmp_path):
    first = day - timedelta(8)
    documents = made_up(600, first=str(first), days=10)
    out = write_output(tmp_path / "out", [documents[:300], documents[300:]])
    clock = ZoneInfo(zone)
    wanted_hours, wanted_days, names = Counter(), Counter(), Counter()
    begin, end = begin_us(day, clock), begin_us(day + timedelta(1), clock)
    for one in documents:
        if one["created_at"] is None:
            continue
        time = micros(one["created_at"])
        if begin <= time < end:
            wanted_hours[max(hour for hour in hours(clock, begin, end) if hour <= time)] += 1
            names[one["id"]] += 1
        local = one["created_at"].astimezone(clock).date()
        if day - timedelta(7) <= local <= day:
            wanted_days[local] += 1
    report = make_report(str(out), day, day, zone=zone)
    assert report.documents == sum(wanted_hours.values()) > 20
    found_hours, found_days = Counter(), Counter()
    for row in rows(report, "sentiment"):
        found_hours[micros(row["hour"])] += row["documents"]
    for row in rows(report, "volumes"):
        found_days[row["day"]] += row["documents"]
    assert found_hours == wanted_hours
    assert found_days == wanted_days
    assert {row["day"] for row in rows(report, "entities")} == {day}
    assert {row["id"] for row in rows(report, "examples")} <= set(names)
    schema = pq.read_schema(report.tables["sentiment"])
    assert schema.field("hour").metadata[b"doc"].decode().startswith(f"begin of the hour, that of {zone}, as an instant in UTC")
    assert f"Times are those of {zone}." in page(report)
    assert f"Days and hours are those of {zone}." in page(report)
    assert json.loads((Path(report.folder) / "report.json").read_text())["zone"] == zone
    if zone != "Europe/Berlin":
        return
    days = [make_report(str(out), one, one, zone=zone) for one in (first + timedelta(n) for n in range(-1, 11))]
    everything = make_report(str(out), None, None, zone=zone)
    together = [row for one in days for row in rows(one, "sentiment")]
    assert together == [row for row in rows(everything, "sentiment") if row["hour"]]


def test_the_chart_of_a_day_of_25_hours_names_the_hour_that_comes_twice(tmp_path):
    times = ["2026-10-24T21:59:59", "2026-10-24T22:00:00", "2026-10-25T00:30:00", "2026-10-25T01:30:00", "2026-10-25T22:59:59",
             "2026-10-25T23:00:00"]  # fmt: skip
    out = write_output(tmp_path / "out", [[document(time, time, [("Oslo", "LOC")]) for time in times]])
    report = make_report(str(out), date(2026, 10, 25), date(2026, 10, 25), zone="Europe/Berlin")
    assert report.documents == 4
    for text in ("25 Oct, 02:00 +02:00</th><td>1", "25 Oct, 02:00 +01:00</th><td>1", "25 Oct, 00:00</th><td>1",
                 "25 Oct, 23:00</th><td>1", "2026-10-25 23:59</span>", "2026-10-25 02:30 +01:00</span>"):  # fmt: skip
        assert text in page(report), text
    assert page(report).count('<th scope="row">25 Oct, ') == 25
    assert "<td>2026-11-23 03:00</td>" in page(report), "runs began by the zone's clocks too"
    half = make_report(str(out), date(2026, 10, 25), date(2026, 10, 25), zone="Asia/Kolkata", into=str(tmp_path / "k"))
    assert "25 Oct, 06:00</th><td>1" in page(half)
    assert rows(half, "sentiment")[0]["hour"] == utc("2026-10-24T21:30:00")
    chinese = make_report(str(out), None, None, zone="Asia/Shanghai", lang="zh", into=str(tmp_path / "z"))
    assert "时间为 Asia/Shanghai 当地时间。" in page(chinese)


def test_a_day_that_a_zone_has_skipped_is_not_missing(tmp_path):
    some = [
        document(f"{n}-{hour}", utc("2011-12-25T10:00:00") + timedelta(days=n, hours=hour)) for n in range(8) for hour in (1, 9)
    ]
    out = write_output(tmp_path / "out", [some])
    skipped = make_report(str(out), date(2011, 12, 30), date(2011, 12, 30), zone="Pacific/Apia")
    assert skipped.documents == 0
    window = ReportWindow(date(2011, 12, 31), date(2011, 12, 31), "Pacific/Apia")
    assert [day.day for day in window.before] == [24, 25, 26, 27, 28, 29]
    report = make_report(str(out), date(2011, 12, 31), date(2011, 12, 31), zone="Pacific/Apia")
    assert report.documents == 2
    assert "As many documents as on an average day of the 6 before" in page(report)
    assert "30 Dec" not in page(report)


def test_a_report_of_another_zone_is_a_new_revision_and_one_of_utc_is_as_before(tmp_path):
    out = write_output(tmp_path / "out", [made_up(50)])
    day = date(2026, 11, 22)
    first = make_report(str(out), day, day)
    assert "zone" not in json.loads((Path(first.folder) / "report.json").read_text())
    before = state(Path(first.folder))
    other = make_report(str(out), day, day, zone="Europe/Berlin")
    assert (other.folder, other.revision, other.changed) == (first.folder, 2, True)
    assert make_report(str(out), day, day, zone="Europe/Berlin").changed is False
    assert make_report(str(out), day, day).revision == 3
    kept = state(Path(first.folder))
    assert {name: kept[name] for name in kept if name != "report.json"} == {
        name: before[name] for name in before if name != "report.json"
    }


def test_tables_in_utc_have_the_bytes_that_they_had_before_there_were_zones(tmp_path):
    left = [[letter("dead_letter", "not_json", n) for n in range(3)], [letter("filtered", "no_model_for_language")]]
    documents = made_up(400)
    out = write_output(tmp_path / "out", [documents[:150], documents[150:155], documents[155:]], left)
    known = json.loads((Path(__file__).parent / "report_digests.json").read_text())
    for name, days, lang in [("day", [date(2026, 11, 22)] * 2, "en"), ("week", [date(2026, 11, 16), date(2026, 11, 22)], "zh"),
                             ("all", [None, None], "en")]:  # fmt: skip
        report = make_report(str(out), *days, lang=lang, into=str(tmp_path / name))
        files = {path.name: sha256(path.read_bytes()).hexdigest() for path in Path(report.folder).iterdir()}
        # How Parquet is packed is for its library to say, and how the page looks changes: the numbers are compared.
        assert {n: digest for n, digest in files.items() if n.endswith(".csv") and n != "outcomes.csv"} == known[name]
        for text in ("Times are UTC.", "Days and hours are UTC.") if lang == "en" else ("时间为 UTC。", "日期和小时均为 UTC。"):
            assert text in page(report)
        assert "zone" not in json.loads((Path(report.folder) / "report.json").read_text())


def test_a_zone_that_does_not_exist_is_refused(tmp_path):
    out = write_output(tmp_path / "out", [made_up(5)])
    for wrong in ("Mars/Base", "", "../etc/passwd", "/etc/localtime"):
        with pytest.raises(ConfigError, match="no such time zone"):
            zone_of(wrong)
    with pytest.raises(SystemExit) as stopped:
        main(["report", str(out), "--zone", "Mars/Base"])
    assert stopped.value.code == 2
    assert not (out / "reports").exists()


def test_the_command_takes_a_zone(tmp_path):
    late = [document("a", "2026-11-21T23:30:00", [("Oslo", "LOC")]), document("b", "2026-11-22T23:30:00")]
    out = write_output(tmp_path / "out", [late])
    command = [sys.executable, "-m", "jobs", "report", str(out), "--date", "2026-11-22", "--zone", "Europe/Berlin"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["documents"] == 1
    (row,) = pq.read_table(out / "reports" / "2026-11-22" / "examples.parquet").to_pylist()
    assert row["id"] == "a"


def test_no_change_of_the_clocks_is_missed():
    """Looking once a day is enough: looking every two hours finds no more."""
    low, high = micros(utc("1940-01-01T00:00:00")), micros(utc("2040-01-01T00:00:00"))
    for name in ("Europe/Berlin", "America/St_Johns", "Africa/Casablanca"):
        zone = ZoneInfo(name)
        offsets = [instant(time).astimezone(zone).utcoffset() for time in range(low, high, 2 * HOUR_US)]
        assert len(spans(zone, low, high)) == 1 + sum(a != b for a, b in pairwise(offsets)), name
