"""A command that has done its work ends as it says, also on a busy machine: no thread of Arrow's holds what Python has read."""

import ast
import io
import os
import subprocess
import sys
from contextlib import suppress

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import orc

from pipeline.source.arrow_footer import count_rows
from pipeline.store.parquet import arrow_batches, arrow_schema, batches, parquet_file, read_table
from tests.support import ROOT
from tests.support.runs import run, write_lines

# How often the command is run; 100 for a figure.
RUNS = int(os.environ.get("TEXTMILL_EXIT_RUNS", "4"))
# What reads by threads of Arrow's own, which may still hold what a Python file gave when the interpreter ends.
BY_THREADS = {"read_table", "ParquetFile", "ParquetDataset", "iter_batches", "open_file", "open_stream"}
HELPER = ROOT / "pipeline" / "store" / "parquet.py"
TABLE = pa.table({"a": [1, 2, 3], "b": ["x", "y", "z"], "c": [0.5, 1.5, 2.5]})


def calls_by_threads(source):
    """Lines on which a module calls `pq.read_table` and the like. Bytes in memory that are an Arrow stream may be read anyhow."""
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Attribute)
            and node.attr in BY_THREADS
            and ast.unparse(node.value) in ("pq", "pa.ipc", "ds", "file")
        ):
            yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.ImportFrom) and node.module == "pyarrow.dataset":
            yield node.lineno, ast.unparse(node)


def test_all_tables_are_read_by_the_thread_that_asks():
    allowed = {"pipeline/worker/isolated.py": {"pa.ipc.open_stream"}, "pipeline/source/tables.py": {"pa.ipc.open_stream"}}
    wrong = [
        f"{name}:{line}: {call}; use pipeline.store.parquet"
        for folder in ("pipeline", "jobs")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path != HELPER and (name := path.relative_to(ROOT).as_posix())
        for line, call in calls_by_threads(path.read_text())
        if call not in allowed.get(name, ())
    ]
    assert wrong == []


def test_the_rule_sees_what_it_forbids():
    source = "x = pq.read_table(s)\nwith pq.ParquetFile(s) as file:\n    file.iter_batches()\npa.ipc.open_file(s)\n"
    source += "from pyarrow.dataset import IpcFileFormat\n"
    assert sorted(line for line, _ in calls_by_threads(source)) == [1, 2, 3, 4, 5]


THREADS = """
import os, sys
from pathlib import Path
import pyarrow as pa, pyarrow.parquet as pq
from pipeline.source.splitting import footer_rows
from pipeline.store.local import LocalStore
from pipeline.store.parquet import arrow_batches, arrow_schema, batches, parquet_file, read_table

def threads():
    return len(os.listdir("/proc/self/task"))

parquet, arrow, way = sys.argv[1:]
pa.table({"a": [1]}).combine_chunks()
before = threads()
for _ in range(20):
    with open(parquet, "rb") as one, open(parquet, "rb") as two, open(arrow, "rb") as three:
        if way == "helper":
            read_table(one), list(batches(parquet_file(two), ["a"])), list(arrow_batches(three))
            store = LocalStore(Path(parquet).parent)
            for entry in store.list():
                footer_rows(store, entry, entry.path.rpartition(".")[2])
                if entry.path.endswith(".arrow"):
                    with store.open_read(entry.path) as stream:
                        arrow_schema(stream)
        else:
            pq.read_table(one)
print(threads() - before, flush=True)
os._exit(0)  # one that has threads may abort at its end: that is what this is about
"""


@pytest.mark.parametrize(("way", "more"), [("helper", False), ("pq.read_table", True)])
def test_reading_starts_no_thread(tmp_path, way, more):
    """The second case is what the first one guards against: it shows that threads would be seen."""
    pq.write_table(TABLE, tmp_path / "t.parquet")
    with pa.ipc.new_stream(tmp_path / "t.arrow", TABLE.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as file:
        file.write_table(TABLE)
    with pa.ipc.new_file(tmp_path / "f.arrow", TABLE.schema) as file:
        file.write_table(TABLE)
    orc.write_table(TABLE, tmp_path / "t.orc")
    command = [sys.executable, "-c", THREADS, str(tmp_path / "t.parquet"), str(tmp_path / "t.arrow"), way]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert (int(done.stdout) > 0) is more


def test_what_is_read_is_what_was_written(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(TABLE, path, row_group_size=1)
    with path.open("rb") as stream:
        assert read_table(stream).equals(TABLE)
        assert read_table(stream, ["c", "a"]).equals(TABLE.select(["c", "a"]))
        file = parquet_file(stream)
        assert pa.Table.from_batches(batches(file, rows=2)).equals(TABLE)
        assert pa.Table.from_batches(batches(file, ["b"], row_groups=[0, 2])).equals(TABLE.select(["b"]).take([0, 2]))
        for read in (lambda: read_table(stream, ["a", "none"]), lambda: list(batches(file, ["none"]))):
            with pytest.raises(KeyError, match="none"):
                read()
    for kind in (pa.ipc.new_file, pa.ipc.new_stream):
        with kind(tmp_path / "t.arrow", TABLE.schema) as writer:
            writer.write_table(TABLE, max_chunksize=2)
        with (tmp_path / "t.arrow").open("rb") as stream:
            assert pa.Table.from_batches(arrow_batches(stream)).equals(TABLE)
            stream.seek(0)
            assert arrow_schema(stream) == TABLE.schema


@given(
    rows=st.integers(0, 200),
    batch=st.integers(1, 50),
    packing=st.sampled_from([None, "lz4", "zstd"]),
    cut=st.floats(0, 0.999),
    harm=st.integers(1, 255),
)
def test_an_arrow_files_rows_are_counted_by_its_footer(rows, batch, packing, cut, harm):
    """Cut off anywhere, or changed anywhere, it is an error or a number, never a crash."""
    words = pa.array([f"w{i % 7}" for i in range(rows)]).dictionary_encode()
    table = pa.table({"a": range(rows), "words": words, "lists": pa.array([[i] for i in range(rows)], pa.list_(pa.int64()))})
    out = io.BytesIO()
    with pa.ipc.new_file(out, table.schema, options=pa.ipc.IpcWriteOptions(compression=packing)) as writer:
        writer.write_table(table, max_chunksize=batch)
    data = out.getvalue()
    assert count_rows(io.BytesIO(data)) == rows
    place = int(cut * len(data))
    with pytest.raises(OSError, match="Arrow file"):
        count_rows(io.BytesIO(data[:place]))
    with suppress(OSError):
        count_rows(io.BytesIO(data[:place] + bytes([data[place] ^ harm]) + data[place + 1 :]))


def test_commands_that_read_end_well_on_a_busy_machine(tmp_path):
    write_lines(tmp_path / "in" / "a.jsonl", *["Ms Keller lives in Cork."] * 20, "{")
    run(tmp_path / "in", tmp_path / "out")
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() + 1)]
    try:
        for number in range(RUNS):
            verb = ("status", "show")[number % 2]
            command = [sys.executable, "-m", "jobs", verb, str(tmp_path / "out")]
            done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
            assert (done.returncode, done.stderr) == (0, ""), f"{verb}, run {number}"
    finally:
        for one in busy:
            one.kill()
            one.wait()
