"""Packed files and archives, told by their first bytes; and what they lose is a matter of documents, not of dead letters."""

import gzip
import io
import json
import lzma
import tarfile
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from pipeline.errors import TooManyDeadLettersError
from pipeline.source import decompress
from pipeline.source.tables import stop_reader_processes
from tests.support.compressing import PACKERS
from tests.support.reading import places, read, usual
from tests.support.runs import run


@pytest.fixture(autouse=True)
def readers():
    yield
    stop_reader_processes()


def jsonl(*ids):
    return "".join(json.dumps({"id": str(i), "text": f"Lena came to Oslo {i}"}) + "\n" for i in ids).encode()


def ids(rows):
    return [one for one, _ in rows]


@pytest.mark.parametrize("packer", PACKERS)
def test_a_suffix_that_lies_and_packing_twice(tmp_path, packer):
    pack = PACKERS[packer]
    (tmp_path / "a.jsonl").write_bytes(pack(jsonl(1)))
    (tmp_path / "b.jsonl.gz").write_bytes(pack(jsonl(2)))
    (tmp_path / "c.jsonl.xz").write_bytes(gzip.compress(pack(jsonl(3))))
    (tmp_path / f"d.jsonl{packer}").write_bytes(jsonl(4))
    (tmp_path / f"e.jsonl{packer}").write_bytes(pack(jsonl(5)) + pack(b"") + pack(jsonl(6)))
    rows, letters, _ = read(tmp_path)
    assert (ids(rows), letters) == (["1", "2", "3", "4", "5", "6"], [])


@pytest.mark.parametrize("packer", PACKERS)
def test_what_breaks_off_is_said(tmp_path, packer):
    data = PACKERS[packer](jsonl(*range(100)))
    (tmp_path / f"a.jsonl{packer}").write_bytes(data[:-3])
    _, letters, _ = read(tmp_path)
    assert [one.reason for one in letters] == ["file_unreadable"]
    assert "ends in the middle of the" in letters[0].message


def test_zstd_with_a_large_window_and_frames_to_be_skipped(tmp_path):
    wide = zstandard.ZstdCompressor(compression_params=zstandard.ZstdCompressionParameters(window_log=30, enable_ldm=1))
    out = io.BytesIO()
    with wide.stream_writer(out, closefd=False) as stream:
        stream.write(jsonl(1))
    skipped = b"\x5a\x2a\x4d\x18" + (100_000).to_bytes(4, "little") + bytes(100_000)
    (tmp_path / "a.jsonl.zst").write_bytes(skipped + out.getvalue() + skipped + PACKERS[".zst"](jsonl(2)))
    rows, letters, _ = read(tmp_path)
    assert (ids(rows), letters) == (["1", "2"], [])


def test_padding_is_nothing_and_garbage_is_said(tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(jsonl(1)) + bytes(70_000) + gzip.compress(jsonl(2)) + b"garbage")
    rows, letters, _ = read(tmp_path)
    assert ids(rows) == ["1", "2"]
    at = 70_000 + 2 * len(gzip.compress(jsonl(1)))
    assert [one.message for one in letters] == [f"7 bytes from its byte {at:,} on are no gzip member"]


@pytest.mark.parametrize("suffix", [".csv", ".txt"])
def test_a_record_torn_by_a_gap_is_no_record(tmp_path, suffix):
    """Neither what is before the gap nor what is behind it is taken for a whole line."""
    data = ("id,text\n" * (suffix == ".csv") + "".join(f"c{i},Lena came to Oslo {i}\n" for i in range(300))).encode()
    pieces = [bytearray(gzip.compress(data[i : i + 1001])) for i in range(0, len(data), 1001)]
    pieces[2][30:60] = b"\xff" * 30
    (tmp_path / f"a{suffix}.gz").write_bytes(b"".join(pieces))
    rows, letters, _ = read(tmp_path, id=None)
    whole = {f"Lena came to Oslo {i}" if suffix == ".csv" else f"c{i},Lena came to Oslo {i}" for i in range(300)}
    assert 200 < len(rows) < 300
    assert {text for _, text in rows} <= whole
    assert [one.reason for one in letters] == ["file_unreadable"]


def test_a_bomb_in_a_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(decompress, "MAX_UNPACKED", 1 << 20)
    monkeypatch.setattr(decompress, "MAX_RATIO", 10)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(gzip.compress(b'{"text": "x"}\n' + b"\n" * (16 << 20))))
    rows, letters, _ = read(tmp_path, id=None)
    assert ([text for _, text in rows], [one.reason for one in letters]) == (["x"], ["bomb"])


def archives(tmp_path, members):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    for name, mode in (("b.tar", "w"), ("c.tgz", "w:gz"), ("d.jsonl.tar.xz", "w:xz")):
        with tarfile.open(tmp_path / name, mode) as archive:
            for inside, data in members.items():
                info = tarfile.TarInfo(inside)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return ("a.zip", "b.tar", "c.tgz", "d.jsonl.tar.xz")


def test_members_of_archives_are_files(tmp_path):
    table = io.BytesIO()
    pq.write_table(pa.table({"text": ["x"]}), table)
    members = {
        "x/one.jsonl": jsonl(1, 2), "two.csv.gz": gzip.compress(b"id;text\n3;Oslo\n"), "._two.csv": b"\0\1", "read.me": b"hello",
        "bad.txt": b"\x89PNG\r\n\x1a\n" + bytes(99), "t.parquet": table.getvalue(),
        "gbk.txt": "王小明上周去了成都。".encode("gbk"),
    }  # fmt: skip
    for name in archives(tmp_path, members):
        rows, letters, counts = read(tmp_path / name)
        assert ids(rows) == ["1", "2", "3", f"{name}!/gbk.txt@0"]
        assert rows[3][1] == "王小明上周去了成都。"
        assert [(one.path, one.reason) for one in letters] == [
            (f"{name}!/bad.txt", "file_unreadable"), (f"{name}!/t.parquet", "file_unreadable")
        ]  # fmt: skip
        assert (counts["members_of_other_formats"], counts["files_in_gb18030"]) == (1, 1)


def test_archives_that_are_broken_or_locked(tmp_path):
    names = archives(tmp_path, {"one.jsonl": jsonl(*range(1000)), "two.jsonl": jsonl(2000)})
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[200:220] = b"\xff" * 20
    (tmp_path / "a.zip").write_bytes(data)
    rows, letters, _ = read(tmp_path / "a.zip")
    assert ids(rows)[-1] == "2000"
    assert [one.reason for one in letters] == ["file_unreadable"]
    for name in names:
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])
        assert [one.reason for one in read(tmp_path / name)[1]][-1] == "file_unreadable"
    (tmp_path / "e.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    assert places(read(tmp_path / "e.zip")[1]) == [(0, "file_unreadable")]


def test_packed_tables_are_refused_and_named_text_they_are_read(tmp_path):
    pq.write_table(pa.table({"id": ["1"], "text": ["in Oslo"]}), tmp_path / "a.jsonl")
    (tmp_path / "b.parquet.gz").write_bytes(gzip.compress((tmp_path / "a.jsonl").read_bytes()))
    rows, letters, _ = read(tmp_path)
    assert rows == [("1", "in Oslo")]
    assert "unpack it" in letters[0].message


def test_names_without_a_suffix(tmp_path):
    (tmp_path / "part-00000").write_bytes(jsonl(1))
    (tmp_path / "part-00001").write_bytes(gzip.compress(b"[" + jsonl(2).strip() + b"]"))
    (tmp_path / "000000_0").write_text("id\ttext\n3\tOslo\n")
    (tmp_path / "NOTES.md").write_text("none of it")
    pq.write_table(pa.table({"id": ["4"], "text": ["in Oslo"]}), tmp_path / "table")
    rows, _, _ = read(tmp_path)
    assert sorted(ids(rows)) == ["1", "2", "4"]
    assert ids(read(tmp_path / "000000_0", reading=usual(format="tsv"))[0]) == ["3"]


@pytest.mark.parametrize("good", [0, 30_000])
def test_one_damaged_file_counts_for_what_it_held(tmp_path, good):
    """2,000 documents behind one dead letter stop a run of 2,200, and not one of many more."""
    (tmp_path / "in").mkdir()
    broken = bytearray(lzma.compress(jsonl(*range(200, 2200)), check=lzma.CHECK_CRC32))
    broken[100:140] = b"\xff" * 40
    (tmp_path / "in" / "a.jsonl.xz").write_bytes(lzma.compress(jsonl(*range(200))) + bytes(broken))
    (tmp_path / "in" / "b.txt").write_text(" " * 99 + "\n" + "\n" * (good * 60))
    if good:
        assert run(tmp_path / "in", tmp_path / "out", failed_files_share=0.5).status == "finished"
    else:
        with pytest.raises(TooManyDeadLettersError, match="documents are lost in damaged files"):
            run(tmp_path / "in", tmp_path / "out")
