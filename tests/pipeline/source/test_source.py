"""Every format, every packing, every way in which a file can be wrong."""

import bz2
import errno
import gzip
import io
import json
import os
import sys
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.contract import DocumentSpec
from pipeline.errors import ConfigError, InputChangedError, UnavailableError
from pipeline.nightly.index import read_json
from pipeline.source import decompress, tables
from pipeline.source.discover import discover, partitions_of
from pipeline.source.prefetch import read_ahead
from pipeline.source.read import read_fragment
from pipeline.source.splitting import fragments, pack
from pipeline.store.local import LocalStore

RECORDS = [
    {"id": "1", "text": "Ms Keller, of Oslo", "n": 7, "created_at": "2026-11-22T10:00:00+02:00"},
    {"id": "2", "text": 'a "quoted" word\nand a line', "n": 8, "created_at": "1795300000"},
    {"id": "3", "text": "北京 \u00e9\U0001f600", "n": None, "created_at": "not a time"},
]


@pytest.fixture(autouse=True)
def _no_child_stays():
    yield
    tables.stop_reader_processes()
    assert not tables._idle


def read(source, columns=DocumentSpec(id="id", keep=("n",)), target=1 << 40):  # noqa: B008
    found = discover([str(source)])
    blocks = []
    for entry in found.files:
        for piece in fragments(found.store, entry, target):
            blocks += read_fragment(found.store, piece, columns)
    return blocks


def texts(blocks):
    return [text for block in blocks for text in block.texts]


def letters(blocks):
    return [(one.position, one.reason) for block in blocks for one in block.left_out]


def zstd(data):
    return pa.Codec("zstd").compress(data, asbytes=True)


def zstd_frames(data):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


def as_jsonl(records):
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def as_csv(records):
    table = pa.Table.from_pylist([{k: None if v is None else str(v) for k, v in r.items()} for r in records])
    sink = pa.BufferOutputStream()
    pa.csv.write_csv(table, sink)
    return sink.getvalue().to_pybytes()


PACKERS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".zst": zstd_frames}


@pytest.mark.parametrize("packed", PACKERS)
@pytest.mark.parametrize(("suffix", "write"), [(".jsonl", as_jsonl), (".csv", as_csv)])
def test_text_formats(tmp_path, suffix, write, packed):
    path = tmp_path / f"a{suffix}{packed}"
    path.write_bytes(PACKERS[packed](write(RECORDS)))
    (block,) = read(path)
    assert block.texts == [record["text"] for record in RECORDS]
    assert block.columns["id"].to_pylist() == ["1", "2", "3"]
    assert block.columns["n"].to_pylist()[:2] == ["7", "8"]
    assert [time and time.isoformat() for time in block.columns["created_at"].to_pylist()] == [
        "2026-11-22T08:00:00+00:00",
        "2026-11-21T22:26:40+00:00",
        None,
    ]
    assert block.counts["unreadable_times"] == 1
    # The same position in the plain text, however it is packed.
    assert write(RECORDS)[block.positions[1] :].startswith((b'{"id": "2"', b'"2"'))


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.feather"])
def test_tables(tmp_path, name):
    table = pa.Table.from_pylist(RECORDS).append_column("other", pa.array([[1], [2], []]))
    path = tmp_path / name
    if name == "a.parquet":
        pq.write_table(table.set_column(1, "text", table["text"].dictionary_encode()), path, row_group_size=1)
    else:
        opened = pa.ipc.new_file if name == "a.arrow" else pa.ipc.new_stream
        with path.open("wb") as stream, opened(stream, table.schema) as writer:
            writer.write_table(table)
    (block,) = read(path, DocumentSpec(id="id", keep=("n", "other")))
    assert block.texts == [record["text"] for record in RECORDS]
    assert block.positions == [0, 1, 2]
    assert block.columns["other"].to_pylist() == ["[1]", "[2]", "[]"]
    if name == "a.parquet":
        assert texts(read(path, target=1)) == block.texts


def test_tsv_has_no_quotes_and_text_files_are_lines_or_documents(tmp_path):
    (tmp_path / "a.tsv").write_text('id\ttext\n1\t5" pipe\n2\t"open\n')
    assert texts(read(tmp_path / "a.tsv")) == ['5" pipe', '"open']
    (tmp_path / "b.txt").write_text("one\r\n\n two \n")
    assert texts(read(tmp_path / "b.txt")) == ["one", " two "]
    assert texts(read(tmp_path / "b.txt", DocumentSpec(documents="file"))) == ["one\r\n\n two \n"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".txt"])
def test_encodings(tmp_path, encoding, suffix):
    text = "北京 é\ntwo\n"
    if suffix == ".jsonl":
        text = '{"text": "北京 é"}\n{"text": "two"}\n'
    elif suffix == ".csv":
        text = "id,text\n1,北京 é\n2,two\n"
    data = text.encode(encoding)
    if encoding == "utf-16-be":
        data = b"\xfe\xff" + data
    (tmp_path / f"a{suffix}").write_bytes(data)
    assert texts(read(tmp_path / f"a{suffix}")) == ["北京 é", "two"]
    assert texts(read(tmp_path / f"a{suffix}", target=1)) == ["北京 é", "two"]


def test_what_is_no_utf8_is_replaced_and_counted(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "caf\xe9"}\n{"text": "nul\\u0000 \\ud800"}\n')
    (block,) = read(tmp_path / "a.jsonl")
    assert block.texts == ["caf\ufffd", "nul\x00 \ud800"]
    assert block.counts["replaced_characters"] == 1


def test_bad_lines_are_dead_letters_with_their_place(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.source.lines.MAX_LINE_BYTES", 2000)
    lines = [
        b'{"text": "good"}',
        b"{bad",
        b"[1, 2]",
        b'{"text": null}',
        b'{"body": "x"}',
        b"[" * 1500,
        b'{"text": "' + b"x" * 3000 + b'"}',
        b'{"text": "twice", "text": "last wins"}',
        b'{"text": "big", "n": ' + b"9" * 400 + b"}",
        b'{"text": "nan", "n": NaN}',
        b'{"text": "partial',
    ]
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join(lines))
    blocks = read(path)
    assert texts(blocks) == ["good", "last wins", "big", "nan"]
    places = [sum(len(line) + 1 for line in lines[:i]) for i in (1, 2, 3, 4, 5, 6, 10)]
    reasons = ["not_json", "not_an_object", "no_text", "no_text", "not_json", "line_too_long", "not_json"]
    assert letters(blocks) == list(zip(places, reasons, strict=True))
    assert all(one.raw for block in blocks for one in block.left_out)


def test_csv_records_that_do_not_fit_the_header(tmp_path):
    (tmp_path / "a.csv").write_text("id,text\n1,one,more\n2\n\n3,three\n")
    blocks = read(tmp_path / "a.csv")
    assert texts(blocks) == ["three"]
    assert letters(blocks) == [(8, "bad_csv"), (19, "no_text")]
    (tmp_path / "b.csv").write_text('"unclosed,text\n1,2\n')  # the quote would swallow the file
    (tmp_path / "c.csv").write_text("no,such\n1,2\n")
    assert letters(read(tmp_path / "b.csv")) == [(0, "bad_csv"), (15, "bad_csv")]
    assert letters(read(tmp_path / "c.csv")) == [(0, "no_text"), (8, "no_text")]


@pytest.mark.parametrize("packed", [".gz", ".bz2", ".zst"])
def test_a_truncated_file_is_read_as_far_as_it_goes(tmp_path, packed):
    lines = b"".join(json.dumps({"id": str(i), "text": f"in Oslo {i * 7919 % 10007}"}).encode() + b"\n" for i in range(60000))
    whole = PACKERS[packed](lines)
    path = tmp_path / f"a.jsonl{packed}"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    blocks = read(path)
    assert 0 < len(texts(blocks)) < 60000
    assert [reason for _, reason in letters(blocks)][-1] == "file_unreadable"
    path.write_bytes(whole + whole)
    assert len(texts(read(path))) == 120000  # members behind each other are one file
    (tmp_path / f"b.jsonl{packed}").write_bytes(lines)
    assert len(texts(read(tmp_path / f"b.jsonl{packed}"))) == 60000  # a name that promises what is not so


def test_a_torn_end_takes_nothing_with_it_that_was_there(tmp_path):
    lines = b'{"id": "cut", "text": "In Oslo."}\n' * 5000
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines)[:-9])
    blocks = read(tmp_path / "a.jsonl.gz")
    assert len(texts(blocks)) > 4000
    assert [reason for _, reason in letters(blocks)][-1] == "file_unreadable"


def test_a_bomb_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(decompress, "MAX_UNPACKED", 1 << 20)
    monkeypatch.setattr(decompress, "MAX_RATIO", 100)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"text": "x"}\n' + b"\n" * (8 << 20)))
    blocks = read(tmp_path / "a.jsonl.gz")
    assert texts(blocks) == ["x"]
    assert [reason for _, reason in letters(blocks)] == ["bomb"]


def test_corrupt_tables_are_dead_letters_and_the_next_file_is_read(tmp_path):
    table = pa.Table.from_pylist(RECORDS * 500)
    pq.write_table(table, tmp_path / "b.parquet")
    good = (tmp_path / "b.parquet").read_bytes()
    (tmp_path / "a-footer.parquet").write_bytes(good[:-20])
    (tmp_path / "a-page.parquet").write_bytes(good[:40] + bytes(300) + good[340:])
    (tmp_path / "a-short.parquet").write_bytes(b"PAR1")
    (tmp_path / "a-text.parquet").write_text("not a table at all, but long enough to look like one")
    blocks = read(tmp_path)
    assert len(texts([block for block in blocks if block.paths[:1] == ["b.parquet"]])) == 1500
    dead = {one.path for block in blocks for one in block.left_out if one.reason == "file_unreadable"}
    assert {"a-footer.parquet", "a-short.parquet", "a-text.parquet"} <= dead


def test_tables_whose_columns_are_not_as_expected(tmp_path):
    pq.write_table(pa.table({"body": ["a"]}), tmp_path / "missing.parquet")
    pq.write_table(pa.table({"text": [1, 2]}), tmp_path / "retyped.parquet")
    pq.write_table(pa.table({"n": [1], "text": [b"caf\xe9"], "extra": [{"a": 1}]}), tmp_path / "reordered.parquet")
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "empty.parquet")
    blocks = read(tmp_path)
    assert texts(blocks) == ["caf\ufffd"]
    assert letters(blocks) == [(0, "no_text"), (0, "no_text"), (1, "no_text")]


def test_a_table_that_asks_for_too_much_ends_only_its_reader(tmp_path, monkeypatch):
    pq.write_table(pa.Table.from_pylist(RECORDS), tmp_path / "a.parquet")
    monkeypatch.setattr(tables, "_COMMAND", ["sh", "-c", "read line; kill -ABRT $$"])
    blocks = read(tmp_path / "a.parquet")
    assert letters(blocks) == [(0, "file_unreadable")]


def test_a_reader_that_is_killed_from_outside_is_no_fault_of_its_file(tmp_path, monkeypatch):
    pq.write_table(pa.Table.from_pylist(RECORDS), tmp_path / "a.parquet")
    monkeypatch.setattr(tables, "_COMMAND", ["sh", "-c", "read line; kill -KILL $$"])
    with pytest.raises(UnavailableError, match=r"a\.parquet: the reader was killed from outside \(SIGKILL\)"):
        read(tmp_path / "a.parquet")


def test_ids_are_made_of_path_and_position(tmp_path):
    folder = tmp_path / "dt=2026-11-22" / "source=a%20b"
    folder.mkdir(parents=True)
    (folder / "a.jsonl").write_text('{"text": "one"}\n{"id": {"x": 1}, "text": "two"}\n{"id": "", "text": "three"}\n')
    (block,) = read(tmp_path, DocumentSpec(id="id", partitions=("dt",)))
    made = "dt=2026-11-22/source=a%20b/a.jsonl@"
    assert block.columns["id"].to_pylist() == [made + "0", '{"x": 1}', made + "48"]
    assert block.columns["dt"].to_pylist() == ["2026-11-22"] * 3
    assert block.columns["source"].to_pylist() == ["a b"] * 3
    assert partitions_of("dt=__HIVE_DEFAULT_PARTITION__/x") == {"dt": None}


def test_folders_that_bear_the_name_of_a_column(tmp_path):
    (tmp_path / "lang=en" / "n=7").mkdir(parents=True)
    (tmp_path / "lang=en" / "n=7" / "a.jsonl").write_text('{"text": "one"}\n{"text": "two", "n": 8}\n')
    columns = DocumentSpec(keep=("n",), partitions=("lang",))
    (block,) = read(tmp_path, columns)
    assert block.columns["folder_lang"].to_pylist() == ["en", "en"]
    assert block.columns["n"].to_pylist() == ["7", "8"]
    assert columns.schema().names[:5] == ["id", "source", "created_at", "n", "folder_lang"]


def test_discover(tmp_path):
    for name in ("a.jsonl", "b/c.csv.gz", "b/.hidden.jsonl", "_x/d.jsonl", "e.jsonl._COPYING_", "f.tmp", "g.pdf", "h.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "empty.txt").touch()
    found = discover([str(tmp_path)])
    assert [entry.path for entry in found.files] == ["a.jsonl", "b/c.csv.gz", "h.parquet"]
    assert found.skipped == {"hidden": 2, "unfinished": 2, "empty": 1, "other format": 1}
    several = discover([str(tmp_path / "b"), str(tmp_path / "*.jsonl"), str(tmp_path / "a.jsonl")])
    assert [entry.path for entry in several.files] == ["a.jsonl", "b/c.csv.gz"]
    for source, message in (("absent", "no such file"), ("x*.jsonl", "no file matches"), ("g.pdf", "not a known format")):
        with pytest.raises(ConfigError, match=message):
            discover([str(tmp_path / source)])


def test_a_file_name_that_is_not_utf8(tmp_path):
    import os

    (tmp_path / os.fsdecode(b"\xff.jsonl")).write_text('{"text": "in Oslo"}\n')
    found = discover([str(tmp_path)])
    assert (found.files, found.skipped) == ([], {"name is not UTF-8": 1})
    with pytest.raises(ConfigError, match="rename the file"):
        discover([str(tmp_path / os.fsdecode(b"\xff.jsonl"))])


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "\u00b2", 1e300, -1e300, float("nan"), True, [1], "x" * 5000])
def test_times_that_are_none(tmp_path, time):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "one", "created_at": time}) + "\n")
    (block,) = read(tmp_path / "a.jsonl")
    assert block.columns["created_at"].to_pylist() == [None]
    assert block.counts["unreadable_times"] == 1


def test_a_file_that_changes_is_an_error(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(as_jsonl(RECORDS))
    found = discover([str(path)])
    (piece,) = fragments(found.store, found.files[0], 1 << 40)
    blocks = read_fragment(found.store, piece, DocumentSpec())
    next(blocks)
    with path.open("a") as stream:
        stream.write("{}\n")
    with pytest.raises(InputChangedError, match=r"a\.jsonl: changed"):
        list(blocks)
    path.unlink()
    with pytest.raises(InputChangedError, match="no longer there"):
        list(read_fragment(found.store, piece, DocumentSpec()))


# A file that is mostly control characters is refused as no text.
LINE = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)


@given(st.lists(LINE, max_size=30), st.integers(1, 60), st.sampled_from([".jsonl", ".csv", ".tsv", ".txt"]), st.booleans())
@example(["a", "b"], 1, ".csv", True)
def test_cutting_is_a_partition(tmp_path_factory, lines, target, suffix, ended):
    """However a file is cut, every record is read once, at the same place."""
    path = Path(tmp_path_factory.mktemp("cut")) / f"a{suffix}"
    if suffix == ".jsonl":
        body = [json.dumps({"id": str(i), "text": line}, ensure_ascii=i % 2 == 0) for i, line in enumerate(lines)]
    elif suffix == ".csv":
        body = ["id,text", *(f'{i},"{line.replace(chr(34), chr(34) * 2)}\n"' for i, line in enumerate(lines))]
    elif suffix == ".tsv":
        body = ["id\ttext", *(f"{i}\t{line.replace(chr(9), ' ')}" for i, line in enumerate(lines))]
    else:
        body = lines
    data = "\n".join(body) + ("\n" if ended else "")
    path.write_bytes(data.encode() or b"\n")

    def rows(blocks):
        return [pair for block in blocks for pair in zip(block.positions, block.texts, strict=True)]

    whole = rows(read(path))
    assert rows(read(path, target=target)) == whole
    if suffix == ".jsonl":
        assert [text for _, text in whole] == lines


@given(st.lists(st.integers(0, 5000), max_size=40), st.integers(1, 3000))
def test_packing_keeps_every_fragment_once_and_in_order(tmp_path_factory, sizes, target):
    from pipeline.contract import Fragment

    pieces = [Fragment(f"{i:03d}", "jsonl", 0, size, size, 0, max(1, size)) for i, size in enumerate(sizes)]
    splits = list(pack(pieces, 1, target))
    assert [piece for split in splits for piece in split.fragments] == pieces
    assert [split.number for split in splits] == list(range(len(splits)))
    assert all(split.tokens <= target or len(split.fragments) == 1 for split in splits)


def flaky(store, path, number, after):
    """Reading a file of this machine breaks off, once, as a mounted share does that is away for a moment."""

    class Flaky(io.FileIO):
        broken = False

        def readinto(self, buffer):
            if self.tell() >= after and not Flaky.broken:
                Flaky.broken = True
                raise OSError(number, os.strerror(number))
            return super().readinto(memoryview(buffer)[:1000])

    whole = store.open_read
    store.open_read = lambda name, span=None: io.BufferedReader(Flaky(str(path)), 1000) if name == path.name else whole(name)
    return store


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.txt", "a.jsonl.gz", "a.jsonl.zst", "a.jsonl.bz2"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT])
def test_a_passing_error_of_the_machine_is_no_dead_letter(name, number, tmp_path):
    """The rest of the file is not given up: it is to be tried again."""
    lines = "text\n" + "".join(f'"document {i} says {i * i}"\n' for i in range(5000))
    if "jsonl" in name:
        lines = "".join(json.dumps({"text": f"document {i} says {i * i}"}) + "\n" for i in range(5000))
    packers = {".gz": gzip.compress, ".bz2": bz2.compress, ".zst": lambda data: pa.compress(data, "zstd", asbytes=True)}
    (tmp_path / name).write_bytes(packers.get(Path(name).suffix, bytes)(lines.encode()))
    found = discover([str(tmp_path)])
    (piece,) = fragments(found.store, found.files[0], 1 << 40)
    flaky(found.store, tmp_path / name, number, 4000)
    with pytest.raises(UnavailableError, match=f"{name}: .*; try again"):
        list(read_fragment(found.store, piece, DocumentSpec()))
    rows = sum(block.rows for block in read_fragment(found.store, piece, DocumentSpec()))
    assert rows >= 5000


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_a_passing_error_reaches_this_process_from_the_reader_of_tables(name, tmp_path, monkeypatch):
    code = (
        "import os, pipeline.source.tables as t\n"
        "def fails(*given):\n raise OSError(116, os.strerror(116))\n yield\n"
        "t.rows_of = fails\nt._serve()"
    )
    pq.write_table(pa.Table.from_pylist(RECORDS), tmp_path / "a.parquet")
    (tmp_path / "a.parquet").rename(tmp_path / name)
    monkeypatch.setattr(tables, "_COMMAND", [sys.executable, "-c", code])
    with pytest.raises(UnavailableError, match="Stale file handle"):
        read(tmp_path / name)


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_a_consumer_may_take_longer_than_the_readers_time_limit(name, tmp_path, monkeypatch):
    """The limit is for each answer that is awaited: what the model takes in between does not count."""
    monkeypatch.setattr(tables, "CHILD_S", 1.0)
    table = pa.table({"text": [f"document number {i} says something of some length here" for i in range(20_000)]})
    if name.endswith("parquet"):
        pq.write_table(table, tmp_path / name)
    else:
        with pa.OSFile(str(tmp_path / name), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    found = discover([str(tmp_path)])
    (piece,) = fragments(found.store, found.files[0], 1 << 40)
    assert piece.rows == 20_000
    rows = 0
    for block in read_fragment(found.store, piece, DocumentSpec()):
        rows += block.rows
        assert block.left_out == []
        if rows <= 3 * len(block.texts):
            time.sleep(1.3)  # the model, three times as long as the limit in all
    assert rows == 20_000


def test_a_reader_of_tables_that_is_mute_is_given_up(tmp_path, monkeypatch):
    pq.write_table(pa.Table.from_pylist(RECORDS), tmp_path / "a.parquet")
    monkeypatch.setattr(tables, "CHILD_S", 0.5)
    monkeypatch.setattr(tables, "_COMMAND", [sys.executable, "-c", "import time; time.sleep(3600)"])
    with pytest.raises(UnavailableError, match=r"a\.parquet: the reader gave no answer for 0 s"):
        read(tmp_path / "a.parquet")
    assert not tables._all


def test_who_stops_need_not_wait_for_a_read_that_hangs():
    """Ctrl-C is heard while nothing comes, and the reader that hangs is left behind."""
    begun, never = threading.Event(), threading.Event()

    def hangs():
        begun.set()
        never.wait(60)
        yield 1

    def check():
        if begun.is_set():
            raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        list(read_ahead([hangs, hangs], 2, check))
    assert time.monotonic() - began < 30
    never.set()


def test_an_error_of_the_machine_is_one_of_ours_in_every_reader(tmp_path):
    """A plan, a footer or a manifest that cannot be read for now is not taken for a damaged one."""
    for name in ("a.jsonl", "a.parquet"):
        (tmp_path / name).symlink_to("/proc/self/mem")  # whose first byte is an I/O error
    store = LocalStore(tmp_path)
    for size in (10, -1):
        with store.open_read("a.jsonl") as stream, pytest.raises(UnavailableError, match=r"a\.jsonl: Input/output error"):
            stream.read(size)
    with pytest.raises(UnavailableError, match=r"a\.jsonl: Input/output error"):
        read_json(store, "a.jsonl")
