"""Delta and Iceberg tables: what the newest snapshot names is read, and nothing else of their folders."""

import json
import sys

import pyarrow as pa
import pytest

from pipeline.errors import ConfigError
from pipeline.source.discover import discover
from pipeline.source.tables import stop_reader_processes
from tests.support.tables import read, texts


@pytest.fixture(autouse=True)
def _no_child_stays():
    yield
    stop_reader_processes()


FIRST, SECOND = pa.table({"text": ["gone"]}), pa.table({"text": ["Oslo", "Lyon"]})


def delta(folder):
    from deltalake import write_deltalake

    write_deltalake(str(folder), FIRST)
    write_deltalake(str(folder), SECOND, mode="overwrite")
    write_deltalake(str(folder), pa.table({"text": ["Cork"]}), mode="append")


def iceberg(folder):
    from pyiceberg.catalog.memory import InMemoryCatalog
    from pyiceberg.utils.concurrent import ExecutorFactory

    catalog = InMemoryCatalog("c", warehouse=str(folder.parent))
    catalog.create_namespace("n")
    table = catalog.create_table("n.t", schema=FIRST.schema, location=f"file://{folder}")
    table.append(FIRST)
    table.overwrite(SECOND)
    table.append(pa.table({"text": ["Cork"]}))
    catalog.close()
    ExecutorFactory.get_or_create().shutdown()  # the library keeps the threads of its writer
    ExecutorFactory._instance = None


@pytest.mark.parametrize("write", [delta, iceberg])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_newest_snapshot_is_read(write, tmp_path):
    write(tmp_path / "lake" / "t")
    (tmp_path / "lake" / "other.jsonl").write_text('{"text": "beside"}\n')
    assert sorted(texts(read(tmp_path / "lake"))) == ["Cork", "Lyon", "Oslo", "beside"]
    assert sorted(texts(read(tmp_path / "lake" / "t"))) == ["Cork", "Lyon", "Oslo"]
    assert discover([str(tmp_path / "lake" / "t")]).skipped["not in the table's snapshot"] >= 1


@pytest.mark.parametrize(("library", "extra"), [("deltalake", "delta"), ("pyiceberg.table", "iceberg")])
def test_a_table_whose_library_is_not_installed_is_refused(library, extra, tmp_path, monkeypatch):
    """Its folder also holds what was deleted, so reading all of it would be wrong."""
    inside = {"delta": "t/_delta_log/00000000000000000000.json", "iceberg": "t/metadata/v1.metadata.json"}[extra]
    (tmp_path / inside).parent.mkdir(parents=True)
    (tmp_path / inside).write_text(json.dumps({}))
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigError, match=rf"/t: a .* table; .*\[{extra}\]"):
        discover([str(tmp_path)])


def test_a_log_that_is_damaged_is_an_error_that_names_the_table(tmp_path):
    (tmp_path / "t" / "_delta_log").mkdir(parents=True)
    (tmp_path / "t" / "_delta_log" / "00000000000000000000.json").write_text("no")
    with pytest.raises(ConfigError, match="/t: a Delta table that cannot be read"):
        discover([str(tmp_path)])


def test_a_delta_table_whose_files_do_not_tell_its_rows_is_refused(tmp_path):
    from deltalake import write_deltalake

    write_deltalake(str(tmp_path / "t"), FIRST)
    log = tmp_path / "t" / "_delta_log" / "00000000000000000001.json"
    protocol = {
        "minReaderVersion": 3,
        "minWriterVersion": 7,
        "readerFeatures": ["deletionVectors"],
        "writerFeatures": ["deletionVectors"],
    }
    log.write_text(json.dumps({"protocol": protocol}) + "\n")
    with pytest.raises(ConfigError, match="a Delta table with deletionVectors"):
        discover([str(tmp_path)])
