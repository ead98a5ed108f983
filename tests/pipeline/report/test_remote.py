"""Reports and nights whose output lies on a real HDFS or on S3 are those of local files."""

import functools
import json
import os
import signal
import subprocess
import sys
from datetime import date

import pyarrow.parquet as pq
import pytest

from jobs.reports import reporter
from models.runtime import load as loading
from pipeline import faults
from pipeline.nightly.config import load_night
from pipeline.nightly.night import run_night
from pipeline.report.build import make_report
from pipeline.report.schema import TABLES
from pipeline.sink.layout import CLAIM
from pipeline.store.claim import holder
from pipeline.store.objects import ObjectStore
from pipeline.store.open import open_store
from tests.support.remote import remote_place, table_of_store
from tests.support.report_data import made_up, write_output

DAY = date(2026, 11, 22)


@pytest.fixture(autouse=True, scope="module")
def one_model():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "load", functools.cache(loading.load))
        yield


@pytest.fixture(params=["hdfs-native", pytest.param("s3", marks=pytest.mark.slow)])
def place(request):
    return remote_place(request)


def upload(place, folder, source):
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        place.put(f"{folder}/{path.relative_to(source).as_posix()}", path.read_bytes())


def read(place, path):
    with place.store.open_read(path) as stream:
        return pq.read_table(stream)


def test_textmill_report_of_an_output_elsewhere(place, tmp_path):
    documents = made_up(300)
    local = write_output(tmp_path / "out", [documents[:200], documents[200:]])
    upload(place, "out", local)
    (tmp_path / "store.toml").write_text(table_of_store(place, "store"))
    command = [
        sys.executable,
        "-m",
        "jobs",
        "report",
        f"{place.url}/out",
        "--date",
        str(DAY),
        "--config",
        tmp_path / "store.toml",
    ]
    done = subprocess.run([*command, "--zone", "Europe/Berlin"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first = json.loads(done.stdout)
    wanted = make_report(str(local), DAY, DAY, zone="Europe/Berlin")
    assert (first["folder"], first["documents"]) == (f"{place.url}/out/reports/{DAY}", wanted.documents)
    for name in TABLES:
        with open(wanted.tables[name], "rb") as stream:
            assert read(place, f"out/reports/{DAY}/{name}.parquet").equals(pq.read_table(stream)), name
    again = subprocess.run([*command, "--zone", "Europe/Berlin"], capture_output=True, text=True, check=True)
    assert (json.loads(again.stdout)["changed"], json.loads(again.stdout)["revision"]) == (False, 1)
    kept = {entry.path.rsplit("/", 1)[-1]: entry.size for entry in place.store.list(f"out/reports/{DAY}")}
    killed = subprocess.run(command, env={**os.environ, faults.ENV: "report.exchange.after"}, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    other = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert (other["changed"], other["revision"]) == (False, 2), "the next one has finished what was killed"
    folders = {entry.path.split("/")[2] for entry in place.store.list("out/reports")}
    assert folders - {f".{DAY}.claim"} == {str(DAY), f"{DAY}.r1"}, "the revision before is kept, nothing else is left"
    assert {entry.path.rsplit("/", 1)[-1]: entry.size for entry in place.store.list(f"out/reports/{DAY}.r1")} == kept


@pytest.mark.parametrize("place", [pytest.param("s3", marks=pytest.mark.slow)], indirect=True)
@pytest.mark.parametrize("moved", [1, 5, 19])
def test_killed_between_two_objects_a_report_is_finished_by_the_next_one(place, tmp_path, moved, monkeypatch):
    upload(place, "out", write_output(tmp_path / "out", [made_up(20)]))
    report = functools.partial(make_report, f"{place.url}/out", DAY, DAY, reach=place.config)
    for revision, zone in enumerate(("UTC", "Europe/Berlin"), 1):
        count = iter(range(1000))
        rename = ObjectStore.rename_no_overwrite

        def stops(store, source, target, count=count, rename=rename):
            if "/_" not in source and "reports/" in source and store.stat(source) and next(count) == moved:
                with store.open_read(source) as stream, store.create_exclusive(target) as copy:
                    copy.write(stream.read())
                raise KeyboardInterrupt  # when the copy is there, and not yet removed
            return rename(store, source, target)

        with monkeypatch.context() as patch:
            patch.setattr(ObjectStore, "rename_no_overwrite", stops)
            with pytest.raises(KeyboardInterrupt):
                report(zone=zone)
        again = report(zone=zone)
        assert (again.revision, again.changed) == (revision, False)
        found = {entry.path.removeprefix("out/reports/") for entry in place.store.list("out/reports")}
        found = {path for path in found if not path.startswith(f".{DAY}.claim/")}
        names = {"index.html", "report.json", *(f"{name}.{kind}" for name in TABLES for kind in ("csv", "parquet"))}
        folders = [f"{DAY}", *([f"{DAY}.r1"] if revision == 2 else [])]
        assert found == {f"{folder}/{name}" for folder in folders for name in names}


def write_day(put, name, times):
    rows = [{"id": time, "text": "Ms Keller flew to Oslo. We loved it.", "created_at": time, "source": "a"} for time in times]
    put(f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_textmill_nightly_from_and_to_elsewhere(place, tmp_path):
    def night(config, day):
        return run_night(config, day, reporter(), lambda text: None)

    def config(name, source, output, store):
        path = tmp_path / f"{name}.toml"
        tag = f'sources = ["{source}"]\noutput = "{output}"\nid_column = "id"\nmodel = "en-fast"\nthreads = 1\n'
        path.write_text(f'zone = "Europe/Berlin"\nsince = 2026-11-21\n[tag]\n{tag}{store}')
        return load_night(path)

    remote = config("remote", f"{place.url}/in", f"{place.url}/out", table_of_store(place, "tag.store"))
    local = config("local", tmp_path / "in", tmp_path / "out", "")
    (tmp_path / "in").mkdir()
    puts = (lambda name, data: place.put(f"in/{name}", data), lambda name, data: (tmp_path / "in" / name).write_bytes(data))
    for put in puts:
        write_day(put, "a", ["2026-11-21T08:00:00Z", "2026-11-21T23:30:00Z", "2026-11-22T08:00:00Z"])
    assert [one["rows"] for one in night(remote, DAY).made] == [1, 2]
    for put in puts:
        write_day(put, "late", ["2026-11-21T09:00:00Z"])
    late = night(remote, DAY)
    assert [(one["date"], one["revision"], one["rows"]) for one in late.made] == [("2026-11-21", 2, 2), ("2026-11-22", 2, 2)]
    assert night(remote, DAY).made == []
    night(local, DAY)
    mine = open_store(str(tmp_path / "out"))
    for day in ("2026-11-21", "2026-11-22"):
        folders = []
        for store, number in ((open_store(f"{place.url}/out", place.config), 2), (mine, 1)):
            with store.open_read(f"nights/{day}/r{number:04d}.json") as stream:
                folders.append(json.load(stream)["folder"])
        for name in TABLES.keys() - {"outcomes"}:  # of parts and runs, which are others
            with mine.open_read(f"{folders[1]}/{name}.parquet") as stream:
                assert read(place, f"out/{folders[0]}/{name}.parquet").equals(pq.read_table(stream)), (day, name)
    left = [entry.path for entry in place.store.list("out") if "_staging" in entry.path or ".claim/" in entry.path]
    assert left == []
    assert holder(open_store(f"{place.url}/out", place.config), CLAIM) is None
