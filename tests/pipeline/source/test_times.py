"""Times as people and programs write them: the right instant, or none."""

import email.utils
import json
import time
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.source.path_times import time_of_path
from pipeline.source.times import check_form, instant

AT = datetime(2026, 11, 20, 10, 30, 5, tzinfo=UTC)
DAY = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "is_"),
    [
        ("2026-11-20", DAY),
        ("20261120", DAY),
        (20261120, DAY),
        ("2026-W47-5", DAY),
        ("2026W475", DAY),
        ("2026-324", DAY),
        ("2026/11/20", DAY),
        ("2026.11.20", DAY),
        ("2026年11月20日", DAY),
        ("20 Nov 2026", DAY),
        ("November 20, 2026", DAY),
        (date(2026, 11, 20), DAY),
        ("2026-11-19T24:00:00Z", DAY),
        ("20261120T103005Z", AT),
        ("20261120103005", AT),
        (20261120103005, AT),
        ("20261120103005000", AT),
        ("2026-11-20 10:30:05", AT),
        ("2026-11-20T10:30:05,000+00:00", AT),
        ("2026-11-20T10:30:05.000000000Z", AT),
        ("2026-11-20T18:30:05+0800", AT),
        ("2026-11-20T18:30:05+08", AT),
        ("2026-11-20T10:30.0833333Z", AT - timedelta(microseconds=2)),
        ("2026-11-20T11:30:05+01:00[Europe/Paris]", AT),
        ("2026-11-20T11:30:05[Europe/Paris]", AT),
        ("2026-11-20 18:30:05 Asia/Shanghai", AT),
        ("2026-11-20 10:30:05 UTC", AT),
        ("2026-11-20 10:30:05 gmt", AT),
        ("2026-11-20 05:30:05 EST", AT),
        ("2026/11/20 10:30:05", AT),
        ("2026-11-20 10:30:05 AM", AT),
        ("Fri, 20 Nov 2026 18:30:05 +0800", AT),
        ("Fri, 20 Nov 2026 10:30:05 GMT", AT),
        ("20 Nov 2026 04:30:05 CST", AT),  # mail's CST is America's
        ("Fri Nov 20 18:30:05 +0800 2026", AT),
        ("Fri Nov 20 10:30:05 2026", AT),
        ("Fri Nov 20 2026 18:30:05 GMT+0800 (China Standard Time)", AT),
        ("Nov 20, 2026 10:30:05 am", AT),
        ("Nov 20, 2026, 10:30:05 PM", AT + timedelta(hours=12)),
        ("2026年11月20日 10:30:05", AT),
        ("2026年11月20日10时30分5秒", AT),
        ("2026年11月20日 星期五 上午10:30:05", AT),
        ("2026年11月20日下午10:30:05", AT + timedelta(hours=12)),
        ("２０２６年１１月２０日　１０：３０：０５", AT),
        ("/Date(1795170605000)/", AT),
        ({"$date": "2026-11-20T10:30:05Z"}, AT),
        ({"$date": 1795170605000}, AT),
        ({"$date": {"$numberLong": "1795170605000"}}, AT),
        ({"$date": {"$numberLong": "-1000"}}, datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (1795170605, AT),
        ("1795170605", AT),
        ("1.795170605E9", AT),
        (1795170605.0, AT),
        (1795170605000, AT),
        (1795170605000000, AT),
        (1795170605000000000, AT),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2017-01-01T08:59:60+09:00", datetime(2017, 1, 1, tzinfo=UTC)),
        ("", None),
        (None, None),
    ],
)
def test_an_instant(written, is_):
    assert instant(written) == is_


@pytest.mark.parametrize(
    "written",
    [
        "2026", 2026, "2026-11", "01/02/2026", "20/11/2026", "11/20/2026 10:30", "20-11-2026", "20.11.2026", "10:30",
        "12 PM", "yesterday", "2026-02-30", "2026-13-01", "2026-11-20T25:00", "2026-11-20T24:01", "2026-11-20T10:60",
        "2026-366", "2026-W54-1", "20261320", "20261120253000", 20261399103000, "2026112010", "202611201030", 0, -1, 1,
        12, 86400, 1e300, -1e300, 10**40, "1e300", float("nan"), float("inf"), True, [1], ["2026-11-20"],
        {"date": "2026-11-20"}, {"$date": [1]}, {"$date": True}, {}, b"2026-11-20", "Thu, 20 Nov 2026 10:30:00 GMT",
        "Fri, 20 Nov 26 10:30:00 GMT", "Fri Nov 20 10:30:00 CST 2026", "2026-11-20 10:30 IST",
        "2026-11-20 10:30 Mars/Olympus", "2026-10-25T02:30[Europe/Paris]", "2026-03-29T02:30[Europe/Paris]",
        "2026-11-20T10:30:60Z", "2016-12-31T23:59:60+01:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-01:00",
        "2026年13月1日", "2026年11月20日 晚上1:00", "\u00b2", "1.2.3", "2026-11-20T10:30:00+99:00", "x" * 5000,
        "192.168.2026.1", "13800138000",
    ],
)  # fmt: skip
def test_what_is_no_time_or_may_be_two(written):
    with pytest.raises(ValueError, match=r"\w"):
        instant(written)


MOMENTS = st.datetimes(datetime(1974, 1, 1), datetime(2199, 12, 31), timezones=st.just(UTC))
ZONED = st.builds(
    lambda moment, minutes: moment.astimezone(timezone(timedelta(minutes=minutes))), MOMENTS, st.integers(-14 * 60, 14 * 60)
)


def whole(moment):
    return moment.replace(microsecond=0)


@given(ZONED)
def test_what_a_formatter_writes_is_the_same_instant(moment):
    """Of isoformat in each of its lengths and separators, of email.utils, strftime of Twitter's form, JSON of JavaScript."""
    assert instant(moment.isoformat()) == moment
    assert instant(moment.isoformat(" ")) == moment
    assert instant(moment.isoformat().replace(".", ",")) == moment
    assert instant(moment.strftime("%Y%m%dT%H%M%S.%f%z")) == moment
    assert instant(moment.strftime("%G-W%V-%uT%H:%M:%S.%f%z")) == moment
    assert instant(moment.strftime("%Y-%jT%H:%M:%S.%f%z")) == moment
    assert instant(email.utils.format_datetime(moment)) == whole(moment)
    assert instant(moment.strftime("%a %b %d %H:%M:%S %z %Y")) == whole(moment)
    utc = moment.astimezone(UTC)
    assert instant(email.utils.format_datetime(utc, usegmt=True)) == whole(utc)
    assert instant(utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")) == utc.replace(
        microsecond=utc.microsecond // 1000 * 1000
    )
    assert instant(time.asctime(utc.timetuple())) == whole(utc)
    assert instant(f"{utc.year}年{utc.month}月{utc.day}日 {utc:%H:%M:%S}") == whole(utc)
    assert instant(f"{utc.year}/{utc.month}/{utc.day} {utc:%H:%M}") == whole(utc).replace(second=0)
    assert instant({"$date": utc.isoformat()}) == utc
    if utc.year < 2100:
        assert instant(utc.strftime("%Y%m%d%H%M%S")) == whole(utc)


@given(MOMENTS)
def test_numbers_are_told_by_their_size(moment):
    """Or refused where the digits are a date as well, which is rare; never another instant."""
    micros = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    for number in (micros // 10**6, micros // 1000, micros, micros * 1000, micros / 10**6, str(micros // 1000)):
        try:
            found = instant(number)
        except ValueError:
            assert len(str(int(float(number)))) in (10, 12)
        else:
            assert abs(found - moment) < timedelta(seconds=1)


@given(st.one_of(st.text(max_size=30), st.integers(), st.floats(), st.from_regex(r"[0-9T:/.+\- ZW年月日]{1,25}", fullmatch=True)))
def test_any_value_is_a_time_in_utc_or_a_value_error(value):
    try:
        found = instant(json.loads(json.dumps(value)))
    except ValueError:
        return
    assert found is None or found.utcoffset() == timedelta()


def test_a_format_of_ones_own_is_the_only_one():
    assert instant("01/02/2026", "%d/%m/%Y") == datetime(2026, 2, 1, tzinfo=UTC)
    assert instant("01/02/2026 +0100", "%m/%d/%Y %z") == datetime(2026, 1, 1, 23, tzinfo=UTC)
    assert instant(1000, "ms") == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert instant("86400", "s") == datetime(1970, 1, 2, tzinfo=UTC)
    assert instant(AT, "%d/%m/%Y") == AT  # what a table has as a time needs no format
    with pytest.raises(ValueError, match="does not match format"):
        instant("2026-11-20", "%d/%m/%Y")
    for form, wrong in (("%H:%M", "no year"), ("%d/%m/%Y %Z", "%z"), ("%Y-%Q", "strptime")):
        with pytest.raises(ValueError, match=wrong):
            check_form(form)
    for form in ("s", "ns", "%d.%m.%y", "%c"):
        check_form(form)


@pytest.mark.parametrize(
    ("path", "told_by", "is_"),
    [
        ("dt=2026-11-20/a.jsonl", "folder", DAY),
        ("x/date=20261120/a.jsonl", "folder", DAY),
        ("year=2026/month=11/day=20/a.jsonl", "folder", DAY),
        ("year=2026/month=11/day=20/hour=10/a.jsonl", "folder", DAY + timedelta(hours=10)),
        ("dt=soon/2026-11-20.jsonl", "folder", None),
        ("year=2026/month=13/a.jsonl", "folder", None),
        ("dt=2026-11-20/a.jsonl", "name", None),
        ("in/posts-2026-11-20.jsonl.gz", "name", DAY),
        ("in/20261120.parquet", "name", DAY),
        ("in/posts_20261120_103005.csv", "name", AT),
        ("in/2026-11-20_to_2026-11-27.csv", "name", None),
        ("in/part-12026112012.csv", "name", None),
        ("dt=2026-11-20/2026-11-21.jsonl", "column", None),
    ],
)
def test_the_time_of_a_place(path, told_by, is_):
    assert time_of_path(path, told_by) == is_
