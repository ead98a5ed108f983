"""Nights with the real reports: in a named zone, over a change of clocks, late data, and what a clean run says of the same."""

import functools
import json
from datetime import date

import pyarrow.parquet as pq
import pytest

from jobs.reports import reporter
from models.runtime import load as loading
from pipeline.nightly.night import run_night
from pipeline.report.build import make_report
from pipeline.report.schema import TABLES
from tests.support.nights import config_of, manifests

DAY = date(2026, 10, 25)  # 25 hours in Berlin


@pytest.fixture(autouse=True, scope="module")
def one_model():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "load", functools.cache(loading.load))
        yield


def quiet(text):
    """Where the lines of a job go that nobody reads."""


def write(data, name, *times):
    data.mkdir(exist_ok=True)
    lines = [{"id": time, "text": "Ms Keller flew to Oslo.", "created_at": time, "source": "a"} for time in times]
    (data / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + "broken\n")


def table(out, day, name):
    """A table of the current revision of a date."""
    return pq.read_table(out / manifests(out, day)[-1]["folder"] / f"{name}.parquet")


def test_a_night_of_a_named_zone_over_a_change_of_clocks(tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    write(data, "a", "2026-10-24T21:59:59Z", "2026-10-24T23:30:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z")
    write(data, "b", "2026-10-25T22:59:59Z", "2026-10-25T23:30:00Z")
    conf = config_of(tmp_path, data, out, 'zone = "Europe/Berlin"\nsince = 2026-10-24\ntrailing_days = 1')
    night = run_night(conf, date(2026, 10, 26), reporter(), quiet)
    assert [(one["date"], one["rows"]) for one in night.made] == [("2026-10-24", 1), ("2026-10-25", 4), ("2026-10-26", 1)]
    hours = [f"{row['hour']:%dT%H}" for row in table(out, DAY, "sentiment").to_pylist()]
    assert hours == ["24T23", "25T00", "25T01", "25T22"], "instants: the hour that comes twice is two"
    assert set(table(out, DAY, "entities")["day"].to_pylist()) == {DAY}
    about = json.loads((out / manifests(out, DAY)[-1]["folder"] / "report.json").read_text())
    assert (about["zone"], about["counts"]["documents"]) == ("Europe/Berlin", 4)
    assert manifests(out, DAY)[-1]["settings"]["zone"] == "Europe/Berlin"
    other = conf.model_copy(update={"zone": "UTC", "since": None})
    again = run_night(other, date(2026, 10, 26), reporter(), quiet)
    assert {one["reason"] for one in again.made} == {"settings"}
    assert [(one["date"], one["rows"], one["revision"]) for one in again.made] == [
        ("2026-10-24", 2, 2), ("2026-10-25", 4, 2), ("2026-10-26", 0, 2),
    ]  # fmt: skip


def test_reports_of_nights_with_a_late_file_equal_those_of_one_clean_run(tmp_path):
    data, out, clean = tmp_path / "data", tmp_path / "out", tmp_path / "clean"
    conf = config_of(tmp_path, data, out, "trailing_days = 7")
    write(data, "a", *(f"2026-10-24T0{n}:00:00Z" for n in range(5)))
    run_night(conf, date(2026, 10, 24), reporter(), quiet)
    write(data, "b", *(f"2026-10-25T0{n}:00:00Z" for n in range(5)))
    run_night(conf, DAY, reporter(), quiet)
    write(data, "late", *(f"2026-10-24T1{n}:00:00Z" for n in range(3)))
    run_night(conf, DAY, reporter(), quiet)
    run_night(config_of(tmp_path, data, clean, "since = 2026-10-24"), DAY, reporter(), quiet)
    for day in (date(2026, 10, 24), DAY):
        for name in TABLES.keys() - {"outcomes"}:
            assert table(out, day, name).equals(table(clean, day, name)), (day, name)
        # By part and run, which differ; the documents do not.
        assert tagged(table(out, day, "outcomes")) == tagged(table(clean, day, "outcomes")) == 8 - 3 * (day == DAY)
    everything = [make_report(str(one), None, None) for one in (out, clean)]
    sums = [
        pq.read_table(one.tables["outcomes"]).group_by(["outcome", "reason"]).aggregate([("documents", "sum")])
        for one in everything
    ]
    assert sums[0].sort_by("outcome").equals(sums[1].sort_by("outcome"))
    assert sums[0].num_rows == 2


def tagged(outcomes):
    return sum(row["documents"] for row in outcomes.to_pylist() if row["outcome"] == "tagged")
