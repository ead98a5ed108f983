"""Runs whose input and output lie on HDFS or S3: what they give is what a run on local files gives."""

import gzip
import json
import os
import socket
import subprocess
import sys
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config import load_config
from pipeline.errors import ClaimedError, ConfigError, InputChangedError, UnavailableError
from pipeline.observe.doctor import check_output
from pipeline.run.run import tag_documents
from pipeline.sink.layout import CLAIM
from pipeline.source.discover import discover
from pipeline.store.claim import holder
from pipeline.store.hdfs import web
from pipeline.store.open import join_url, open_store, split_url
from pipeline.store.settings import StoreConfig
from tests.support.remote import Place, remote_place

TEXTS = ["Ms Keller flew to Oslo.", "Volta Energy is in Cork.", "A day like any other.", "We loved Lyon."]


# What differs between them is tested in test_store; a whole run takes its time on the S3 server.
ALL = ["hdfs-native", pytest.param("webhdfs", marks=pytest.mark.slow), pytest.param("s3", marks=pytest.mark.slow)]


@pytest.fixture(params=ALL)
def place(request):
    return remote_place(request)


@pytest.mark.parametrize("place", ["hdfs-native", "webhdfs", "s3"], indirect=True)
def test_a_run_of_every_format(place):
    records = [{"id": f"{i}", "text": text} for i, text in enumerate(TEXTS)]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(records), sink, row_group_size=2)
    place.put("in/dt=2026-11-22/a b.parquet", sink.getvalue().to_pybytes())
    place.put("in/c%20#d.csv", b"id,text\n7,Ms Keller in Cork\n")
    place.put("in/北京.jsonl.gz", gzip.compress(b'{"id": "g", "text": "We loved Lyon."}\nbroken\n'))
    place.put("in/e.txt", b"a line from Oslo\n")
    place.put("in/f.jsonl", b"")
    result = place.run()
    assert (result.rows_out, result.dead_letters, result.status, result.skipped) == (7, 1, "finished", {"empty": 1})
    rows = {row["id"]: row for row in place.rows()}
    assert set(rows) == {"0", "1", "2", "3", "7", "g", "e.txt@0"}
    assert [rows["0"]["dt"], rows["7"]["dt"]] == ["2026-11-22", None]
    assert [entity["text"] for entity in rows["3"]["entities"]] == ["Lyon"]
    assert [(row["path"], row["reason"]) for row in place.rows("dead_letters")] == [("北京.jsonl.gz", "not_json")]
    before = place.state()
    assert place.run().status == "nothing to do"
    assert place.state() == before
    assert not [path for path in before if path.startswith(("_staging", "_next", "_before", "_state"))]
    assert holder(open_store(f"{place.url}/out", place.config), CLAIM) is None


def test_tags_are_those_of_local_files_however_a_file_is_cut(place, tmp_path):
    texts = [f"Ms Keller of house {i} lives in Cork and works for Volta Energy." for i in range(120)]
    place.put_lines("in/a.jsonl", *texts)
    with place.store.open_read("in/a.jsonl") as stream:
        (tmp_path / "a.jsonl").write_bytes(stream.read())
    local = {"sources": [str(tmp_path / "a.jsonl")], "output": tmp_path / "out", "id_column": "id"}
    tag_documents(load_config(None, ["model=en-fast", "threads=1", "split_tokens=600"], local))
    result = place.run("in/*.jsonl", split_tokens=600)
    assert result.parts > 2
    rows = [row for path in sorted((tmp_path / "out" / "tags").iterdir()) for row in pq.read_table(path).to_pylist()]
    assert place.rows() == rows


def test_all_is_tagged_anew_in_place_of_the_old(place):
    place.put_lines("in/a.jsonl", *TEXTS)
    place.put("in/bad.jsonl", b"broken\n")
    place.run()
    place.store.delete("in/bad.jsonl")
    place.store.delete("in/a.jsonl")
    place.put_lines("in/a.jsonl", *TEXTS, "One more from Leeds.")
    with pytest.raises(InputChangedError, match=r"a\.jsonl: changed"):
        place.run()
    assert place.run(retag=True).rows_out == 5
    assert sorted(row["id"] for row in place.rows()) == [f"a-{i}" for i in range(5)]
    assert place.rows("dead_letters") == []
    assert place.run().status == "nothing to do"
    assert {path.split("/")[0] for path in place.state()} == {"_plans", "_runs", "tags"}


def test_a_second_run_at_once_is_told_who_works_there(place):
    place.put_lines("in/a.jsonl", "in Oslo")
    with open_store(f"{place.url}/out", place.config).claim(CLAIM) as held:
        held()
        with pytest.raises(ClaimedError, match=f"process {os.getpid()}"):
            place.run()
    assert place.run().rows_out == 1


def test_status_show_and_doctor_by_url(place, tmp_path):
    place.put_lines("in/a.jsonl", *TEXTS)
    place.run(time_column="at", absent_columns="allow")
    settings = tmp_path / "store.toml"
    values = {key: value for key, value in place.config.model_dump(mode="json").items() if value is not None}
    settings.write_text("[store]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()))

    def asked(verb):
        command = [sys.executable, "-m", "jobs", verb, f"{place.url}/out", "--config", str(settings)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert "parts: 1 of 1" in asked("status").stdout
    assert "4 documents, 0 dead letters" in asked("show").stdout
    before = place.state()
    checks = list(check_output(f"{place.url}/out", place.config))
    # It warns of the column that was asked for, and of documents without a time.
    assert [check.well for check in checks] == [True, True, None, None], checks
    assert place.state() == before


def test_wrong_places_are_clear_errors(hdfs, tmp_path):
    with pytest.raises(ConfigError, match="no such file or folder"):
        discover([f"{hdfs.url}/absent"], hdfs.config())
    with pytest.raises(ConfigError, match="several file systems"):
        discover([f"{hdfs.url}/", str(tmp_path)], hdfs.config())
    with pytest.raises(ConfigError, match=r"without \.\."):
        open_store("hdfs://host/a/../b")
    with pytest.raises(ConfigError, match="no store for"):
        open_store("nothing://host/a")
    with pytest.raises(ConfigError, match="for reading"), open_store("memory://a").create_exclusive("x"):
        pass
    quick = {"client": "native", "retry_s": 0.0, "timeout_s": 5.0}
    with pytest.raises(UnavailableError):
        discover(["hdfs://127.0.0.1:1/a"], StoreConfig(**quick))


@pytest.mark.parametrize("url", ["hdfs://h:8020/a/b", "s3://bucket/a b/%20#", "hdfs://h", "/tmp/x"])
def test_urls_have_one_form(url):
    assert join_url(*split_url(url)) == url
    assert join_url(*split_url(f"{url}//")) == url


@pytest.mark.parametrize("workers", [2])
def test_ray_workers_on_hdfs(hdfs, workers):
    place = Place(f"{hdfs.url}/runs/{uuid4().hex[:8]}", hdfs.config())
    for name in "abc":
        place.put_lines(f"in/{name}.jsonl", *TEXTS)
    result = place.run(workers=workers, split_tokens=80)
    assert (result.rows_out, result.status) == (12, "finished")
    assert len({row["id"] for row in place.rows()}) == 12


@pytest.mark.timeout(180)
def test_workers_of_several_nodes_are_given_what_lies_near(hdfs, monkeypatch):
    """All nodes and DataNodes are this machine, so every lease is near, once both call it by one name."""
    if not hdfs.nodes:
        pytest.skip("no WebHDFS: TEXTMILL_TEST_WEBHDFS is not set")
    from ray.cluster_utils import Cluster

    told = web._place
    monkeypatch.setattr(web, "_place", lambda one: told({**one, "hosts": [socket.gethostname()] * len(one["hosts"])}))
    place = Place(f"{hdfs.url}/runs/{uuid4().hex[:8]}", hdfs.config())
    for name in "abcd":
        place.put_lines(f"in/{name}.jsonl", *(f"Ms Keller of house {i} lives in Cork." for i in range(60)))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        result = place.run(address=cluster.address, split_tokens=600)
    finally:
        cluster.shutdown()
    assert (result.status, result.rows_out) == ("finished", 240)
    (metrics,) = (json.loads(data) for path, data in place.state().items() if path.endswith(".metrics.json"))
    assert metrics["near_leases"] == result.parts >= 4
