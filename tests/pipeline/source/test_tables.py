"""Tables of any schema: every row is a document or a dead letter, and a value that cannot be read costs that value alone."""

import json
import random
import re
from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import orc

from pipeline.contract import DocumentSpec
from pipeline.sink.plan_log import Plan, decode, encode
from pipeline.source.arrow_values import plain
from pipeline.source.count import count_documents
from pipeline.source.discover import discover
from pipeline.source.read import read_fragment
from pipeline.source.read_counts import ReadCounts
from pipeline.source.splitting import fragments, pack
from pipeline.source.tables import stop_reader_processes
from tests.support.arrow_data import arrays
from tests.support.tables import USUAL, counts, read, rows, texts


@pytest.fixture(autouse=True)
def _no_child_stays():
    yield
    stop_reader_processes()


def write_arrow(table, path):
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def write_all(table, folder):
    pq.write_table(table, folder / "a.parquet")
    write_arrow(table, folder / "b.arrow")


def not_utf8(*values):
    """A string array of these bytes."""
    return pa.Array.from_buffers(pa.string(), len(values), pa.array(values, pa.binary()).buffers())


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data(), st.integers(0, 5))
def test_any_array_has_plain_values(data, size):
    """As many as it has rows, as JSON can hold them, and those of a slice are the slice of them."""
    array = data.draw(arrays(size))
    lost = Counter()
    values = plain(array, lost)
    assert len(values) == size
    json.dumps(values)
    assert json.dumps(plain(array.slice(1), Counter())) == json.dumps(values[1:])


@pytest.mark.slow
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data(), st.integers(0, 4))
def test_any_table_gives_a_document_or_a_dead_letter_a_row(tmp_path_factory, data, size):
    folder = tmp_path_factory.mktemp("any")
    names = data.draw(st.lists(st.sampled_from(["text", "id", "created_at", "date", "source", "k", "x"]), min_size=1, max_size=5))
    table = pa.Table.from_arrays([data.draw(arrays(size)) for _ in names], names=names)
    files = 1
    write_arrow(table, folder / "a.arrow")
    try:
        pq.write_table(table, folder / "b.parquet")
        files = 2
    except (pa.ArrowException, OSError):  # a type that Parquet does not have
        (folder / "b.parquet").unlink(missing_ok=True)
    blocks = read(folder)
    assert sum(block.rows for block in blocks) == files * size
    assert {one.reason for block in blocks for one in block.left_out} <= {"no_text"}


def test_what_no_python_object_can_hold_costs_itself_alone(tmp_path):
    """A time of the year 148113, bytes that are no UTF-8 in every kind of column, a zone that nobody knows."""
    table = pa.table(
        {
            "id": not_utf8(b"a\xff", b"b", b"c"),
            "text": not_utf8(b"C\xd4te", b"Oslo", b"Lyon"),
            "created_at": pa.array([2**62, 1795170600000000, None], pa.timestamp("us", "Mars/Olympus")),
            "source": not_utf8(b"x", b"\xfe", b"z"),
            "k": pa.array([2**31 - 1, 0, None], pa.date32()),
        }
    )
    write_all(table, tmp_path)
    for block in read(tmp_path):
        assert block.texts == ["C\ufffdte", "Oslo", "Lyon"]
        assert block.columns["id"].to_pylist() == ["a\ufffd", "b", "c"]
        assert block.columns["source"].to_pylist() == ["x", "\ufffd", "z"]
        assert block.columns["created_at"].to_pylist() == [None, datetime(2026, 11, 20, 10, 30, tzinfo=UTC), None]
        assert block.columns["k"].to_pylist() == [None, "1970-01-01", None]
        assert block.counts == {"replaced_characters": 3, "unreadable_times": 1, "unreadable_values": 1}


def test_a_parquet_file_of_an_arrow_dictionary_of_bytes_that_are_no_utf8(tmp_path):
    """Arrow refuses to make the dictionary again, and with it the whole column; rows before it are not read twice."""
    strings = [b"Oslo"] * 3000 + [b"C\xd4te"] * 10  # in the last row group
    places = pa.array(range(len(strings)), pa.int32())
    table = pa.table({"text": pa.DictionaryArray.from_arrays(places, not_utf8(*strings)), "k": range(len(strings))})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=1500)
    blocks = read(tmp_path)
    assert texts(blocks) == ["Oslo"] * 3000 + ["C\ufffdte"] * 10
    assert [row["k"] for row in rows(blocks)] == [str(i) for i in range(len(strings))]
    assert counts(blocks)["replaced_characters"] == 10


@pytest.mark.parametrize(
    ("values", "are"),
    [
        ([b"abc", b"\x00\xff", None], ["abc", "00ff", None]),
        ([Decimal("1.50"), Decimal("1E+3"), None], ["1.50", "1000.00", None]),
        ([date(2026, 11, 20), None], ["2026-11-20", None]),
        ([datetime(2026, 11, 20, 10, 30), None], ["2026-11-20T10:30:00", None]),
        ([float("nan"), 1.0, None], [None, "1.0", None]),
        ([1, 2, None], ["1", "2", None]),
        ([True, None], ["true", None]),
        ([["a", 1]] and [[1, 2], None], ["[1, 2]", None]),
        ([{"a": "\u00fc"}, None], ['{"a": "\u00fc"}', None]),
        (pa.array([UUID(int=7).bytes, None], pa.uuid()), [str(UUID(int=7)), None]),
        (pa.array(["x", None]).dictionary_encode(), ["x", None]),
        (pa.array(["x", None], pa.string_view()), ["x", None]),
        (pa.array([5, None], pa.duration("ms")), ["PT0.005S", None]),
    ],
)
def test_ids_and_kept_values_are_plain_strings(values, are, tmp_path):
    array = values if isinstance(values, pa.Array) else pa.array(values)
    write_arrow(pa.table({"id": array, "k": array, "text": ["x"] * len(array)}), tmp_path / "a.arrow")
    found = rows(read(tmp_path))
    assert [row["id"] for row in found] == [one or f"a.arrow@{i}" for i, one in enumerate(are)]
    assert [row["k"] for row in found] == [
        "NaN" if one != one else told for one, told in zip(array.to_pylist(), are, strict=True)
    ]


def test_of_columns_of_one_name_the_last_counts_as_in_json(tmp_path):
    table = pa.Table.from_arrays([pa.array(["1"]), pa.array(["Oslo"]), pa.array(["Lyon"])], names=["id", "text", "text"])
    write_all(table, tmp_path)
    (tmp_path / "c.jsonl").write_text('{"id": "1", "text": "Oslo", "text": "Lyon"}\n')
    assert texts(read(tmp_path)) == ["Lyon"] * 3


def test_columns_that_differ_from_file_to_file(tmp_path):
    tables = [
        {"id": pa.array([1]), "text": ["a"], "k": pa.array([1.5])},
        {"id": pa.array(["x"]), "text": ["b"], "timestamp": pa.array([1795170600])},
        {"text": ["c"], "k": pa.array([[1]]), "date": pa.array([date(2026, 11, 20)])},
        {"id": pa.nulls(1), "text": pa.nulls(1)},
    ]
    for i, table in enumerate(tables):
        pq.write_table(pa.table(table), tmp_path / f"{i}.parquet")
    blocks = read(tmp_path)
    assert [(row["id"], row["k"]) for row in rows(blocks)] == [("1", "1.5"), ("x", None), ("2.parquet@0", "[1]")]
    assert [row["created_at"] and f"{row['created_at']:%d %H:%M}" for row in rows(blocks)] == [None, "20 10:30", "20 00:00"]
    assert [(one.path, one.reason) for block in blocks for one in block.left_out] == [("3.parquet", "no_text")]


def test_a_dead_letter_of_a_table_shows_its_row(tmp_path):
    write_all(pa.table({"id": ["7"], "text": pa.array([7]), "other": ["x"]}), tmp_path)
    pq.write_table(pa.table({"body": ["Oslo"], "n": [1]}), tmp_path / "c.parquet")
    raws = [json.loads(one.raw) for block in read(tmp_path) for one in block.left_out]
    assert raws == [{"text": 7, "id": "7"}] * 2 + [{"body": "Oslo", "n": 1}]


def test_only_the_columns_that_are_needed_are_read(tmp_path):
    """A column that cannot be read is no matter where nobody asks for it."""
    good = pa.table({"text": ["Oslo"] * 100, "s": [{"body": "x", "n": 1}] * 100, "other": [str(i) * 50 for i in range(100)]})
    pq.write_table(good, tmp_path / "a.parquet", compression="none", use_dictionary=False)
    chunk = pq.read_metadata(tmp_path / "a.parquet").row_group(0).column(3)
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    data[chunk.data_page_offset : chunk.data_page_offset + 40] = bytes(40)
    (tmp_path / "a.parquet").write_bytes(data)
    assert texts(read(tmp_path)) == ["Oslo"] * 100
    assert texts(read(tmp_path, DocumentSpec(text="s.body"))) == ["x"] * 100
    assert [one.reason for block in read(tmp_path, DocumentSpec(text="other")) for one in block.left_out] == ["file_unreadable"]


def test_orc_and_avro(tmp_path):
    import fastavro

    table = pa.table(
        {"id": ["1", "2"], "text": ["Oslo", None], "created_at": pa.array([1795170600, None], pa.timestamp("ns")), "k": [1, 2]}
    )
    orc.write_table(table, str(tmp_path / "a.orc"))
    fields = [
        {"name": "id", "type": "string"},
        {"name": "text", "type": ["null", "bytes", "string"]},
        {"name": "created_at", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}]},
        {"name": "k", "type": {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}},
    ]
    records = [
        {"id": "1", "text": "Oslo", "created_at": datetime(1970, 1, 1, tzinfo=UTC), "k": Decimal("1.50")},
        {"id": "2", "text": b"C\xd4te", "created_at": None, "k": Decimal("2.00")},
    ]
    with (tmp_path / "b.avro").open("wb") as file:
        fastavro.writer(file, fastavro.parse_schema({"type": "record", "name": "r", "fields": fields}), records)
    blocks = read(tmp_path)
    assert texts(blocks) == ["Oslo", "Oslo", "C\ufffdte"]
    assert [(row["id"], row["k"]) for row in rows(blocks)] == [("1", "1"), ("1", "1.50"), ("2", "2.00")]
    assert [(one.path, one.reason, json.loads(one.raw)["id"]) for block in blocks for one in block.left_out] == [
        ("a.orc", "no_text", "2")
    ]
    (tmp_path / "a.orc").write_bytes((tmp_path / "a.orc").read_bytes()[:-30])
    (tmp_path / "b.avro").write_bytes((tmp_path / "b.avro").read_bytes()[:-3])
    assert [(one.path, one.reason) for block in read(tmp_path) for one in block.left_out] == [
        ("a.orc", "file_unreadable"),
        ("b.avro", "file_unreadable"),
    ]


def test_an_avro_time_that_is_out_of_range_costs_itself_alone(tmp_path):
    import fastavro

    raw = {"type": "record", "name": "r", "fields": [{"name": "text", "type": "string"}, {"name": "created_at", "type": "long"}]}
    with (tmp_path / "a.avro").open("wb") as file:
        fastavro.writer(file, fastavro.parse_schema(raw), [{"text": "a", "created_at": 2**62}, {"text": "b", "created_at": 0}])
    typed = b'{"type": "long", "logicalType": "timestamp-micros"}'
    data = (tmp_path / "a.avro").read_bytes()
    assert b'"long"' in data
    with (tmp_path / "a.avro").open("rb") as file:
        reader = fastavro.reader(file)
        schema = json.loads(json.dumps(reader.writer_schema).replace('"long"', typed.decode()))
        records = list(reader)
    with (tmp_path / "a.avro").open("wb") as file:
        fastavro.writer(file, schema, records)
    blocks = read(tmp_path)
    assert texts(blocks) == ["a", "b"]
    assert [row["created_at"] for row in rows(blocks)] == [None, datetime(1970, 1, 1, tzinfo=UTC)]
    assert counts(blocks)["unreadable_times"] == 1


@pytest.mark.parametrize("suffix", ["arrow", "arrows"])
def test_an_arrow_stream_by_either_name(tmp_path, suffix):
    table = pa.table({"text": ["Oslo", "Lyon"]})
    with pa.OSFile(str(tmp_path / f"a.{suffix}"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    assert texts(read(tmp_path)) == ["Oslo", "Lyon"]


@pytest.mark.filterwarnings("ignore:Feather V1:DeprecationWarning")
def test_feather_of_version_1_is_named_with_the_remedy(tmp_path):
    from pyarrow import feather

    feather.write_feather(pa.table({"text": ["x"]}), str(tmp_path / "a.feather"), version=1)
    (letter,) = [one for block in read(tmp_path) for one in block.left_out]
    assert letter.reason == "file_unreadable"
    assert "Feather of version 1: write it anew" in letter.message


def write_table(table, path):
    import fastavro

    match path.suffix:
        case ".parquet":
            pq.write_table(table, path, row_group_size=len(table) // 2 + 1)
        case ".orc":
            orc.write_table(table, str(path), stripe_size=1024)
        case ".arrow":
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
                writer.write_table(table, max_chunksize=7)
        case ".avro":
            schema = fastavro.parse_schema({"type": "record", "name": "r", "fields": [{"name": "text", "type": "string"}]})
            with path.open("wb") as file:
                fastavro.writer(file, schema, table.to_pylist(), sync_interval=64)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 60), st.integers(1, 40), st.sampled_from([".parquet", ".orc", ".arrow", ".avro"]))
def test_ranges_of_rows_are_the_whole(tmp_path_factory, size, target, suffix):
    """However few row groups a table has, it is cut, and its pieces hold what it holds, at the same places."""
    folder = tmp_path_factory.mktemp("ranges")
    write_table(pa.table({"text": [f"document {i}" for i in range(size)]}), folder / f"a{suffix}")

    def places(target):
        found = [pair for block in read(folder, USUAL, target) for pair in zip(block.positions, block.texts, strict=True)]
        return found

    assert places(target) == places(1 << 40) == [(i, f"document {i}") for i in range(size)]


def test_a_row_group_that_is_too_big_is_shared(tmp_path):
    pq.write_table(pa.table({"text": ["Oslo"] * 1000}), tmp_path / "a.parquet")
    found = discover([str(tmp_path)])
    pieces = list(fragments(found.store, found.files[0], 100))
    assert len(pieces) > 1
    assert [piece.skip for piece in pieces] == [sum(piece.rows for piece in pieces[:i]) for i in range(len(pieces))]
    assert sum(piece.rows for piece in pieces) == 1000
    assert decode(encode(Plan(1, 1, "/", {}, tuple(pack(pieces, 1, 100)))), "p").splits == tuple(pack(pieces, 1, 100))


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from([".parquet", ".orc", ".arrow", ".avro"]),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    st.floats(0.5, 1),
)
def test_a_damaged_table_costs_itself_alone(tmp_path_factory, suffix, damage, left):
    """Whatever bytes it has, it is read as far as that goes, with a dead letter for what is lost, and never an exception; rows
    are as many as the footer tells, where there is one.
    """
    path = tmp_path_factory.mktemp("damaged") / f"a{suffix}"
    write_table(pa.table({"text": [f"document {i}" for i in range(30)]}), path)
    data = bytearray(path.read_bytes())
    for place, byte in damage:
        data[int(place * len(data))] = byte
    path.write_bytes(data[: max(1, int(len(data) * left))])
    found = discover([str(path.parent)])
    for entry in found.files:
        for piece in fragments(found.store, entry, 1 << 40):
            met = ReadCounts()
            blocks = list(read_fragment(found.store, piece, USUAL, met))
            assert met.documents == sum(block.rows for block in blocks)
            assert met.agrees(piece)
            assert met.broken == ("file_unreadable" in {one.reason for block in blocks for one in block.left_out})
        count_documents(found.store, entry, USUAL)


def _piecewise(path, packed):
    """A table in several pieces, of texts that do not pack well."""
    import fastavro

    some = random.Random(1)
    table = pa.table({"text": [some.randbytes(60).hex() for _ in range(6000)]})
    match path.suffix:
        case ".parquet":
            pq.write_table(table, path, row_group_size=500, compression="zstd" if packed else "none", use_dictionary=False)
        case ".orc":
            orc.write_table(table, str(path), stripe_size=64 << 10, compression="snappy" if packed else "uncompressed")
        case ".arrow":
            options = pa.ipc.IpcWriteOptions(compression="lz4" if packed else None)
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema, options=options) as writer:
                writer.write_table(table, max_chunksize=500)
        case ".avro":
            schema = fastavro.parse_schema({"type": "record", "name": "r", "fields": [{"name": "text", "type": "string"}]})
            with path.open("wb") as file:
                fastavro.writer(file, schema, table.to_pylist(), "deflate" if packed else "null", sync_interval=60_000)
    return table["text"].to_pylist()


@pytest.mark.parametrize("places", [(0.3,), (0.3, 0.65), (0.3, 0.35, 0.6, 0.65, 0.7)])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("suffix", [".parquet", ".orc", ".arrow", ".avro"])
def test_a_damaged_piece_of_a_table_costs_itself(tmp_path, suffix, packed, places):
    """However it is cut: rows behind it have their numbers, and those that are lost are counted. What is not packed has no
    checksum: most of its damage is another text.
    """
    path = tmp_path / f"a{suffix}"
    whole = _piecewise(path, packed)
    data = bytearray(path.read_bytes())
    for place in places:
        at = int(len(data) * place)
        data[at : at + 300] = b"\xff" * 300
    path.write_bytes(data)
    found = discover([str(tmp_path)])
    for target in (1 << 40, 50_000):
        there, lost, rows = {}, [], 0
        for piece in fragments(found.store, found.files[0], target, USUAL):
            met = ReadCounts()
            for block in read_fragment(found.store, piece, USUAL, met):
                there |= zip(block.positions, block.texts, strict=True)
                told = [re.search(r"; ([\d,]+) rows are lost", one.message) for one in block.left_out]
                lost += [int(one[1].replace(",", "")) for one in told]
            assert met.agrees(piece)
            rows += met.documents - met.broken + met.unread
        assert rows == len(whole) == len(there) + sum(lost)
        assert sum(whole[i] != text for i, text in there.items()) <= 60 * len(places)
        assert len(there) >= len(whole) // 4
        assert lost or not packed


def test_a_footer_that_counts_other_rows_than_there_are_is_damage(tmp_path):
    import fastavro

    write_table(pa.table({"text": ["Oslo", "Lyon"]}), tmp_path / "a.avro")
    data = (tmp_path / "a.avro").read_bytes()
    with (tmp_path / "a.avro").open("rb") as file:
        (block,) = fastavro.block_reader(file)
    at = data.index(b"Oslo") - 3  # the count of records, zigzag; then the block's size and the first string's
    assert (data[at], block.num_records) == (4, 2)
    (tmp_path / "a.avro").write_bytes(data[:at] + b"\x03" + data[at + 1 :])
    assert [one.reason for block in read(tmp_path) for one in block.left_out] == ["file_unreadable"]


def test_a_file_that_is_no_parquet_is_called_so(tmp_path):
    (tmp_path / "a.parquet").write_bytes(bytes(range(256)) * 80)
    found = discover([str(tmp_path)])
    (piece,) = fragments(found.store, found.files[0], 1 << 40)
    (letter,) = [one for block in read_fragment(found.store, piece, DocumentSpec()) for one in block.left_out]
    assert "Parquet magic bytes not found in footer" in letter.message
    stop_reader_processes()
