"""Nights that are missed, killed, stopped, or late: what is published equals what one clean run publishes."""

import functools
import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from models.runtime import load as loading
from pipeline import faults
from pipeline.errors import ClaimedError, ConfigError, OutputError
from pipeline.nightly.config import load_night
from pipeline.nightly.night import run_night
from pipeline.nightly.reporting import ChildReporter
from pipeline.sink.layout import CLAIM
from pipeline.store.local import LocalStore
from tests.scale.sizes import size
from tests.support import ROOT
from tests.support.counting_report import Here
from tests.support.nights import (
    DAYS,
    FIRST,
    check,
    command,
    conf_of,
    config_of,
    environment,
    manifests,
    nightly,
    runs,
    tables,
    write_day,
)
from tests.support.runs import rows, state


def quiet(text):
    """Where the lines of a job go that nobody reads."""


def night(config, day):
    return run_night(config, day, Here(), quiet)


def tags(out):
    """All that was tagged, scores to the last bit: documents that stand beside one in a batch do not matter."""
    return sorted(rows(out), key=lambda row: row["id"])


def test_thirty_nights_with_two_missed_one_killed_and_a_late_file_equal_one_clean_run(tmp_path):
    data, out, clean = tmp_path / "data", tmp_path / "out", tmp_path / "clean"
    conf = conf_of(tmp_path, data, out)
    late = DAYS[6]
    for i, day in enumerate(DAYS):
        write_day(data, day)
        if i in (10, 11):
            continue  # nobody was there
        if i == 15:
            nightly(conf, day, -signal.SIGKILL, TEXTMILL_FAULT="report.after")
            assert not manifests(out, day)
        if i == 20:
            write_day(data, late, 3, "late")
        made = night(load_night(conf), day).made
        if i == 12:
            assert [one["date"] for one in made] == [str(DAYS[j]) for j in (10, 11, 12)]
        elif i == 20:  # the report of a day looks two days back
            assert [(one["date"], one["reason"]) for one in made] == [
                *((str(DAYS[j]), "late data") for j in (6, 7, 8)), (str(day), "first"),
            ]  # fmt: skip
        else:
            assert [one["date"] for one in made] == [str(day)]
    first, second = manifests(out, late)
    assert (first["rows"], second["rows"], second["revision"]) == (6, 9, 2)
    check(out)
    one = config_of(tmp_path, data, clean, f"since = {FIRST}")
    assert len(night(one, DAYS[-1]).made) == 30
    check(clean)
    assert tables(out) == tables(clean)
    assert tags(out) == tags(clean)
    assert len(tags(out)) == 30 * 6 + 3
    before = state(out)
    assert night(load_night(conf), DAYS[-1]).made == []
    after = state(out)
    assert {name: after[name] for name in before if not name.startswith("_nightly/claim")} == {
        name: data for name, data in before.items() if not name.startswith("_nightly/claim")
    }
    assert "2024-02-29" in tables(out)


@pytest.fixture(autouse=True, scope="module")
def one_model():
    """The model of nights in this process is loaded once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "load", functools.cache(loading.load))
        yield


@pytest.fixture(scope="module")
def two_days(tmp_path_factory):
    """Two days' data, and what a clean run publishes of the second."""
    folder = tmp_path_factory.mktemp("nights")
    data = folder / "data"
    for day in DAYS[:2]:
        write_day(data, day)
    config = config_of(folder, data, folder / "golden", f"since = {FIRST}")
    night(config, DAYS[1])
    return data, tables(folder / "golden")


# The others are much the same; `make test-all` takes them too.
QUICK = ("days.rename.after", "report.after", "revision.write.after", "revision.rename.after", "night.write.after")
POINTS = (*faults.NIGHT_POINTS, "plan.rename.after", "part.rename.after", "manifest.rename.after")


@pytest.mark.parametrize("point", [pytest.param(one, marks=() if one in QUICK else pytest.mark.slow) for one in POINTS])
def test_killed_at_every_point_and_run_again(point, two_days, tmp_path):
    data, golden = two_days
    out = tmp_path / "out"
    conf = conf_of(tmp_path, data, out, f"since = {FIRST}")
    error = nightly(conf, DAYS[1], -signal.SIGKILL, TEXTMILL_FAULT=point)
    assert "Keller" not in error
    ended = runs(out, DAYS[1])
    assert [one["exit_code"] for one in ended] == ([0] if point == "night.rename.after" else [])
    again = night(load_night(conf), DAYS[1])  # the claim of a dead process of this machine is taken over at once
    whole = manifests(out, DAYS[0]) + manifests(out, DAYS[1])
    assert [(one["date"], one["revision"]) for one in whole] == [(str(day), 1) for day in DAYS[:2]]
    assert len(again.made) <= 2
    assert tables(out) == golden
    check_left(out)


def check_left(out):
    """What a killed run has left is gone after a day: here, as if one had passed."""
    from pipeline.nightly.garbage_collect import garbage_collect

    garbage_collect(LocalStore(out), time.time() + 100_000, 24)
    check(out)
    named = {json.loads(path.read_text())["folder"] for path in (out / "nights").glob("*/r*.json")}
    assert {path.relative_to(out).as_posix() for path in (out / "nights").glob("*/r*-*")} == named
    assert not [path for path in (out / "_nightly" / "_staging").rglob("*") if path.is_file()]


def test_what_is_young_is_not_removed(two_days, tmp_path):
    out = tmp_path / "out"
    (out / "nights" / str(DAYS[1]) / "r0001-other").mkdir(parents=True)
    young = out / "nights" / str(DAYS[1]) / "r0001-other" / "half.parquet"
    young.write_text("half")
    config = config_of(tmp_path, two_days[0], out)
    assert night(config, DAYS[1]).retired == []
    assert young.exists()
    staged = young.parent.parent / "r0001-killed.new" / "half.parquet"  # what a report that was killed leaves
    staged.parent.mkdir()
    claim = young.parent.parent / ".r0001-killed.claim"
    for path in (young, staged, claim):
        path.write_text("half")
        os.utime(path, (1, 1))
    gone = [f"nights/{DAYS[1]}/{name}" for name in (".r0001-killed.claim", "r0001-killed.new", "r0001-other")]
    assert night(config, DAYS[1]).retired == gone
    assert tables(out) == {str(DAYS[1]): two_days[1][str(DAYS[1])]}


@pytest.fixture
def held(two_days, tmp_path):
    """A night that waits in its report, in a process of its own; the file that holds it, its job file and its output."""
    hold, out = tmp_path / "hold", tmp_path / "out"
    conf = conf_of(tmp_path, two_days[0], out, f"since = {FIRST}")
    hold.touch()
    process = subprocess.Popen(
        command("nightly", conf, "--date", DAYS[1]), env=environment(hold=hold), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    until = time.monotonic() + 60
    while not (tmp_path / "hold.waiting").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)
    yield process, hold, conf, out
    process.kill()
    process.communicate()


def test_of_two_drivers_one_works_and_the_other_says_so(held, two_days):
    process, hold, conf, out = held
    error = nightly(conf, DAYS[1], 3)
    assert f"is held by process {process.pid} on " in error
    hold.unlink()
    assert process.wait(60) == 0
    assert sorted(one["exit_code"] for one in runs(out, DAYS[1])) == [0, 3]
    assert tables(out) == two_days[1]
    check(out)


def test_sigterm_stops_within_grace_and_may_be_tried_again(held, two_days):
    process, hold, conf, out = held
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 3
    assert time.monotonic() - began < 10
    (one,) = runs(out, DAYS[1])
    assert (one["status"], one["exit_code"]) == ("stopped", 3)
    assert not list((out / "nights").glob("*/*"))
    check(out)
    hold.unlink()
    night(load_night(conf), DAYS[1])
    assert tables(out) == two_days[1]


def test_a_driver_that_is_killed_leaves_no_process(held):
    process, *_ = held
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=True)
    assert children.stdout.split()
    process.kill()
    process.wait()
    until = time.monotonic() + 20
    while any(os.path.exists(f"/proc/{child}") for child in children.stdout.split()):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_who_reads_the_log_may_go_away_and_the_gateway_may_be_down(two_days, tmp_path):
    out = tmp_path / "out"
    conf = conf_of(tmp_path, two_days[0], out, f'since = {FIRST}\nmetrics_url = "http://127.0.0.1:9"')
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        command("nightly", conf, "--date", DAYS[1]), env=environment(), stdout=subprocess.PIPE, stderr=write, check=False
    )
    os.close(write)
    assert done.returncode == 0
    assert json.loads(done.stdout)["status"] == "finished"
    full = os.open("/dev/full", os.O_WRONLY)
    done = subprocess.run(command("nightly", conf, "--date", DAYS[1]), env=environment(), stdout=subprocess.PIPE, stderr=full)
    os.close(full)
    assert done.returncode == 0
    assert tables(out) == two_days[1]
    check(out)


def test_nobody_tags_while_reports_are_made(two_days, tmp_path):
    out, tried = tmp_path / "out", []

    class Trying(Here):
        def make(self, order, check, deadline_s):
            with pytest.raises(ClaimedError), LocalStore(out).claim(CLAIM):
                pass
            tried.append(order.first)
            super().make(order, check, deadline_s)

    run_night(config_of(tmp_path, two_days[0], out), DAYS[1], Trying(), quiet)
    assert tried == [str(DAYS[1])]


def test_tagging_needs_no_reader_of_its_log_either(two_days, tmp_path):
    read, write = os.pipe()
    os.close(read)
    line = [sys.executable, "-m", "jobs", "tag", str(two_days[0]), str(tmp_path / "out"), "--model", "en-fast"]
    done = subprocess.run(line, env=environment(), stdout=subprocess.PIPE, stderr=write, check=False, cwd=ROOT)
    os.close(write)
    assert (done.returncode, json.loads(done.stdout)["rows_out"]) == (0, 12)


def test_a_gateway_that_is_up_is_told_of_each_night_also_of_one_that_failed(two_days, tmp_path):
    told = []

    class Gateway(BaseHTTPRequestHandler):
        def do_PUT(self):
            told.append((self.path, self.rfile.read(int(self.headers["Content-Length"])).decode()))
            self.send_response(202)
            self.end_headers()

        def log_message(self, *args):
            """Nobody reads it."""

    with HTTPServer(("127.0.0.1", 0), Gateway) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        config = config_of(tmp_path, two_days[0], tmp_path / "out", f'metrics_url = "http://127.0.0.1:{server.server_port}"')
        with pytest.raises(Exception, match="report"):
            run_night(config, DAYS[1], ChildReporter("tests.pipeline.nightly.test_nights:broken", 0), quiet)
        night(config, DAYS[1])
        server.shutdown()
        thread.join()
    assert [path for path, _ in told] == ["/metrics/job/textmill"] * 2
    assert "textmill_night_exit_code 2.0" in told[0][1]
    assert "textmill_night_exit_code 0.0" in told[1][1]
    assert "textmill_night_revisions 1.0" in told[1][1]


def broken(**fields):
    raise OutputError("the report knows of something")


def dying(**fields):
    os._exit(7)


def empty(into, **fields):
    """Makes nothing."""


@pytest.mark.parametrize(("name", "code"), [("broken", 2), ("dying", 3), ("empty", 4)])
def test_a_report_that_fails_fails_the_night_with_its_code(name, code, two_days, tmp_path):
    out = tmp_path / "out"
    config = config_of(tmp_path, two_days[0], out)
    bad = ChildReporter(f"tests.pipeline.nightly.test_nights:{name}", 0)
    with pytest.raises(Exception, match="report") as raised:
        run_night(config, DAYS[1], bad, quiet)
    assert raised.value.exit_code == code
    (one,) = runs(out, DAYS[1])
    assert (one["status"], one["exit_code"], bool(one["error"])) == ("failed", code, True)
    assert not list((out / "nights").glob("*/*"))
    assert night(config, DAYS[1]).status == "finished"
    assert tables(out) == {str(DAYS[1]): two_days[1][str(DAYS[1])]}


def slow(**fields):
    time.sleep(60)


def test_a_report_has_a_deadline(two_days, tmp_path):
    config = config_of(tmp_path, two_days[0], tmp_path / "out", "report_s = 0.5")
    with pytest.raises(Exception, match=r"longer than 0 s|report_s"):
        run_night(config, DAYS[1], ChildReporter("tests.pipeline.nightly.test_nights:slow", 0), quiet)


def test_what_the_command_line_gives_and_the_manifest_says_agree(two_days, tmp_path):
    out = tmp_path / "out"
    conf = conf_of(tmp_path, two_days[0], out)
    nightly(conf, DAYS[1])
    changed = tmp_path / "changed"
    write_day(changed, DAYS[0])
    again = conf_of(tmp_path / "c", changed, tmp_path / "of_changed")
    nightly(again, DAYS[0])
    write_day(changed, DAYS[0], 9)
    assert "changed since it was tagged" in nightly(again, DAYS[0], 4)
    assert [one["exit_code"] for one in runs(tmp_path / "of_changed", DAYS[0])] == [0, 4]
    other = conf_of(tmp_path / "o", two_days[0], out, tag="keep_text = true")
    assert "keep_text" in nightly(other, DAYS[1], 2)
    missing = conf_of(tmp_path / "m", tmp_path / "nowhere", tmp_path / "of_missing")
    assert "no such file or folder" in nightly(missing, DAYS[1], 2)
    assert [one["exit_code"] for one in runs(tmp_path / "of_missing", DAYS[1])] == [2]


def test_dates_after_the_logical_one_wait_and_those_before_the_first_are_told(two_days, tmp_path):
    out = tmp_path / "out"
    config = config_of(tmp_path, two_days[0], out)
    made = night(config, DAYS[0])
    assert [one["date"] for one in made.made] == [str(DAYS[0])]
    assert night(config, DAYS[1]).older == 0
    later = config_of(tmp_path / "b", two_days[0], tmp_path / "later")
    assert night(later, DAYS[1]).older == 6
    assert list(tables(tmp_path / "later")) == [str(DAYS[1])]


def test_a_night_without_documents_is_reported_and_documents_without_a_date_are_told(tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    config = config_of(tmp_path, data, out)
    assert [(one["date"], one["rows"]) for one in night(config, FIRST).made] == [(str(FIRST), 0)]
    (data / "a.jsonl").write_text('{"id": "1", "text": "Ms Keller flew to Oslo."}\n')
    result = night(config, FIRST)
    assert (result.undated, result.made) == (1, [])


def test_tags_made_anew_make_new_revisions(two_days, tmp_path):
    from pipeline.run.run import tag_documents

    config = config_of(tmp_path, two_days[0], tmp_path / "out")
    night(config, DAYS[1])
    tag_documents(config.tag.model_copy(update={"retag": True}))
    (made,) = night(config, DAYS[1]).made
    assert (made["revision"], made["reason"]) == (2, "tagged anew")
    other = config.model_copy(update={"lang": "zh"})
    assert [one["reason"] for one in night(other, DAYS[1]).made] == ["settings"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('zone = "Mars/Base"\n', "Mars/Base"),
        ("retire = 3\n", "retire"),
        ("[watch]\npol_s = 3\n", "watch.pol_s"),
        ("since = 7\n", "since"),
    ],
)
def test_settings_that_are_wrong_are_named(text, wanted, tmp_path):
    conf = conf_of(tmp_path, tmp_path, tmp_path / "out")
    tag = conf.read_text()
    conf.write_text(tag + text if text.startswith("[") else text + tag)
    with pytest.raises(ConfigError, match=wanted.replace(".", r"\.")) as raised:
        load_night(conf)
    assert str(conf) in str(raised.value)


def test_the_shipped_job_file_is_right(monkeypatch):
    monkeypatch.chdir(ROOT)
    config = load_night(ROOT / "conf" / "nightly.toml")
    # Every line that is commented out is a setting, with its default.
    text = (ROOT / "conf" / "nightly.toml").read_text().splitlines()
    shown = [line.removeprefix("# ") for line in text if line.startswith("# ") and " = " in line and line[2].islower()]
    assert len(shown) > 20
    assert config.watch.poll_s == 30


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_nights_of_real_posts_equal_one_clean_run(tmp_path):
    """Each night has a process of its own; two nights are missed, one is killed, one file comes late.

    TEXTMILL_NIGHTS says how many there are (12, full 30).
    """
    nights = size("TEXTMILL_NIGHTS", 12, 30)
    missed, killed, late_at, late_of = nights // 3, nights // 2 + 1, nights * 2 // 3, nights // 5
    corpus = os.environ.get("TEXTMILL_DATA")
    if not corpus:
        pytest.skip("set TEXTMILL_DATA")
    by_day = defaultdict(list)
    for path in sorted(Path(corpus, "corpora", "reddit").glob("month=2012-0[12]/*.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            for line in stream:
                by_day[json.loads(line)["created_at"][:10]].append(line)
    chosen = sorted(by_day)[30 - nights // 2 :][:nights]  # with the end of a month
    data, out, clean = tmp_path / "data", tmp_path / "out", tmp_path / "clean"
    data.mkdir()
    conf = conf_of(tmp_path, data, out)
    late = by_day[chosen[late_of]][::10]
    began, seconds = time.monotonic(), []
    for i, day in enumerate(chosen):
        lines = [line for line in by_day[day] if i != late_of or line not in late]
        (data / f"{day}.jsonl").write_text("".join(lines), encoding="utf-8")
        if i in (missed, missed + 1):
            continue
        if i == killed:
            nightly(conf, day, -signal.SIGKILL, TEXTMILL_FAULT="revision.write.after")
        if i == late_at:
            (data / "late.jsonl").write_text("".join(late), encoding="utf-8")
        one = time.monotonic()
        made = [(revision["date"], revision["reason"]) for revision in nightly(conf, day)["made"]]
        seconds.append(time.monotonic() - one)
        wanted = [(day, "first")]
        if i == missed + 2:
            wanted = [(chosen[j], "first") for j in (missed, missed + 1, missed + 2)]
        elif i == late_at:
            wanted = [*((chosen[j], "late data") for j in (late_of, late_of + 1, late_of + 2)), (day, "first")]
        assert made == wanted
    check_left(out)
    one = time.monotonic()
    once = nightly(conf_of(tmp_path, data, clean, f"since = {chosen[0]}"), chosen[-1])
    clean_s = time.monotonic() - one
    assert len(once["made"]) == nights
    check(clean)
    assert tables(out) == tables(clean)
    assert tags(out) == tags(clean)
    documents = sum(len(by_day[day]) for day in chosen)
    filtered = len(rows(clean, "filtered")) + len(rows(clean, "dead_letters"))
    assert len(tags(out)) == documents - filtered
    middle = sorted(seconds)[len(seconds) // 2]
    print(
        f"{documents} documents of {nights} days: {len(seconds)} nights in {time.monotonic() - began - clean_s:.0f} s, "
        f"the median one in {middle:.1f} s; one clean run in {clean_s:.0f} s"
    )
