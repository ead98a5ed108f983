"""A report and a night whose claim is lost publish and remove nothing more: what is there now may be somebody else's."""

from datetime import date

import pytest

from pipeline.errors import LostClaimError
from pipeline.nightly.config import load_night
from pipeline.nightly.garbage_collect import garbage_collect
from pipeline.nightly.night import run_night
from pipeline.report import build as make_module
from pipeline.report.build import make_report
from pipeline.report.publish import claim_of, publish
from pipeline.store import claim
from pipeline.store.local import LocalStore
from tests.support.counting_report import Here
from tests.support.nights import DAYS, conf_of, manifests, write_day
from tests.support.report_data import document, visible, write_output

DAY = date(2026, 11, 22)


@pytest.fixture
def sleep(monkeypatch):
    """Lets the machine sleep for an hour: the clock that goes on meanwhile shows it."""
    slept, clock = [0.0], claim.time.clock_gettime

    class Clock:
        def __getattr__(self, name):
            return getattr(claim_time, name)

        def clock_gettime(self, which):
            return clock(which) + slept[0]

    claim_time = claim.time
    monkeypatch.setattr(claim, "time", Clock())
    return lambda *_, **__: slept.__setitem__(0, slept[0] + 3600.0)


def test_a_report_whose_claim_is_lost_before_it_is_published_is_not(tmp_path, monkeypatch, sleep):
    out = write_output(tmp_path / "out", [[document("a", f"{DAY}T08:00:00")]])
    agree = make_module.check_consistency
    monkeypatch.setattr(make_module, "check_consistency", lambda *given: (agree(*given), sleep()))
    with pytest.raises(LostClaimError):
        make_report(str(out), DAY, DAY)
    assert visible(out / "reports") == [f"{DAY}.new"]  # it may be that of who has the claim now
    monkeypatch.setattr(make_module, "check_consistency", agree)
    assert make_report(str(out), DAY, DAY).revision == 1
    assert visible(out / "reports") == [str(DAY)]


def test_a_report_whose_claim_is_lost_while_folders_change_names_leaves_the_rest_to_the_next(tmp_path, monkeypatch, sleep):
    out = write_output(tmp_path / "out", [[document("a", f"{DAY}T08:00:00")]])
    make_report(str(out), DAY, DAY)
    exchange = LocalStore.swap_folders
    monkeypatch.setattr(LocalStore, "swap_folders", lambda *given: (exchange(*given), sleep()))
    with pytest.raises(LostClaimError):
        make_report(str(out), DAY, DAY, lang="zh")
    monkeypatch.setattr(LocalStore, "swap_folders", exchange)
    assert visible(out / "reports") == [str(DAY), f"{DAY}.new"]
    assert not make_report(str(out), DAY, DAY, lang="zh").changed
    assert visible(out / "reports") == [str(DAY), f"{DAY}.r1"]


def test_a_night_whose_claim_is_lost_while_a_report_is_made_publishes_nothing(tmp_path, sleep):
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    write_day(data, DAYS[0])
    config = load_night(conf_of(tmp_path, data, out))

    class Sleeping(Here):
        def make(self, order, check, deadline_s):
            super().make(order, lambda: None, deadline_s)
            sleep()

    with pytest.raises(LostClaimError):
        run_night(config, DAYS[0], Sleeping(), print)
    assert not list((out / "nights").glob("*/r*"))
    assert not list((out / "nights").glob("*/.r*"))
    run_night(config, DAYS[0], Here(), print)
    assert len(manifests(out, DAYS[0])) == 1


def test_nothing_is_retired_or_published_once_the_claim_is_lost(tmp_path):
    store = LocalStore(tmp_path)
    for name in ("one", "other"):
        with store.create_exclusive(f"_staging/{name}/x"):
            pass

    def lost():
        raise LostClaimError("lost")

    with pytest.raises(LostClaimError):
        garbage_collect(store, 1e12, 1.0, lost)
    with pytest.raises(LostClaimError):
        publish(store, "_staging/one", 1, lost)
    assert len(list(store.list())) == 2
    assert claim_of("a/b") == "a/.b.claim"
    assert claim_of("b") == ".b.claim"
