"""Web archives: WARC and WET, whole, packed record by record, broken and cut off."""

import gzip
import random
import zlib
from pathlib import Path
from zipfile import ZipFile

import brotli
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.cli import main
from pipeline.contract import DocumentSpec
from pipeline.source import lines
from pipeline.source.discover import discover
from pipeline.source.fields import USUAL
from pipeline.source.read import read_fragment
from pipeline.source.splitting import fragments
from tests.support.reading import places, read, usual

URL = "https://news.example/2026/{}"


def record(number, block, kind="conversion", content="text/plain", length=None, **fields):
    """A record as Common Crawl writes them."""
    block = block.encode() if isinstance(block, str) else block
    named = {
        "WARC-Type": kind, "WARC-Target-URI": URL.format(number), "WARC-Date": f"2026-11-20T10:00:{number:02}Z",
        "WARC-Record-ID": f"<urn:uuid:{number}>", **{name.replace("_", "-"): value for name, value in fields.items()},
        "Content-Type": content, "Content-Length": len(block) if length is None else length,
    }  # fmt: skip
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"WARC/1.0\r\n{head}\r\n".encode() + block + b"\r\n\r\n"


def answer(number, page, *header, content="text/html; charset=utf-8"):
    """A record of an answer of HTTP."""
    said = "\r\n".join(["HTTP/1.1 200 OK", f"Content-Type: {content}", *header])
    return record(number, f"{said}\r\n\r\n".encode() + page, "response", "application/http; msgtype=response")


INFO = record(0, "software: own\r\n", "warcinfo", "application/warc-fields")
TEXTS = ["Ms Keller flew to Oslo.\nIt rained.", "李雷在上海。", "", "The café in Lyon is shut."]
WET = [record(i, text, WARC_Identified_Content_Language="eng") for i, text in enumerate(TEXTS, 1)]


@pytest.mark.parametrize("packed", [False, True])
def test_texts_of_a_wet_file(tmp_path, packed):
    pieces = [INFO, *WET]
    path = tmp_path / ("a.warc.wet.gz" if packed else "a.wet")
    path.write_bytes(b"".join(map(gzip.compress, pieces)) if packed else b"".join(pieces))
    rows, letters, counts = read(path)
    assert rows == [(f"<urn:uuid:{i}>", text) for i, text in enumerate(TEXTS, 1)]
    assert letters == []
    assert counts["records_of_other_types"] == 1


def test_columns_of_a_record(tmp_path):
    (tmp_path / "a.wet").write_bytes(b"".join(WET[:2]))
    found = discover([str(tmp_path)])
    columns = DocumentSpec(usual=tuple(USUAL), keep=("url", "language", "content_type", "WARC-Type"))
    (block,) = read_fragment(found.store, *fragments(found.store, found.files[0], 1 << 40, columns), columns)
    row = block.columns.to_pylist()[0]
    assert row["created_at"].isoformat() == "2026-11-20T10:00:01+00:00"
    del row["created_at"]
    assert row == {
        "id": "<urn:uuid:1>", "source": "news.example", "url": URL.format(1), "language": "eng", "content_type": "text/plain",
        "WARC-Type": "conversion",
    }  # fmt: skip


PAGE = "<html><head><title>Oslo</title></head><body><p>Ms Keller’s café in Zürich.</p></body></html>"


def _in_chunks(body):
    return (
        b"".join(f"{len(body[i : i + 20]):x}\r\n".encode() + body[i : i + 20] + b"\r\n" for i in range(0, len(body), 20))
        + b"0\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("body", "header"),
    [
        (PAGE.encode(), []),
        (_in_chunks(PAGE.encode()), ["Transfer-Encoding: chunked"]),
        (PAGE.encode(), ["Transfer-Encoding: chunked"]),  # as crawlers write that have joined them
        (gzip.compress(PAGE.encode(), mtime=0), ["content-encoding: gzip"]),
        (PAGE.encode(), ["Content-Encoding: gzip"]),
        (_in_chunks(gzip.compress(PAGE.encode(), mtime=0)), ["Content-Encoding: gzip", "Transfer-Encoding: chunked"]),
        (zlib.compress(PAGE.encode()), ["Content-Encoding: deflate"]),
        (zlib.compress(PAGE.encode(), wbits=-15), ["Content-Encoding: deflate"]),
        (brotli.compress(PAGE.encode()), ["Content-Encoding: br"]),
        (zstandard.compress(PAGE.encode()), ["Content-Encoding: zstd"]),
        (PAGE.encode(), ["X-Folded: a", "  b: c"]),
    ],
)
def test_a_page_however_it_was_sent(tmp_path, body, header):
    (tmp_path / "a.warc").write_bytes(answer(1, body, *header))
    assert read(tmp_path)[:2] == ([("<urn:uuid:1>", PAGE)], [])


@pytest.mark.parametrize(
    ("encoding", "content", "meta"),
    [
        ("gb18030", "text/html; charset=GB2312", ""),
        ("gb18030", "text/html", '<meta charset="gbk">'),
        ("gb18030", "text/html", '<meta http-equiv="Content-Type" content="text/html; charset=gb2312">'),
        ("gb18030", "text/html; charset=utf-8", ""),  # what is said is wrong
        ("gb18030", "text/html; charset=no-such", ""),
        ("utf-8", "text/html; charset=iso-8859-1; x", ""),
        ("utf-16", "text/html", ""),
        ("utf-8", "application/xhtml+xml", '<meta charset="punycode">'),
    ],
)
def test_a_page_in_any_encoding(tmp_path, encoding, content, meta):
    page = f"<html><head>{meta}</head><p>李雷昨天在上海见了韩梅梅，他们一起吃了晚饭。</p></html>"
    (tmp_path / "a.warc").write_bytes(answer(1, page.encode(encoding), content=content))
    (row,), letters, _ = read(tmp_path)
    if "8859" in content:  # it may be what it says
        assert row[1].encode("cp1252", "replace")[:20] == page.encode()[:20]
    else:
        assert (row[1], letters) == (page, [])


def test_what_is_no_text_and_no_page_is_left_alone(tmp_path):
    others = [
        INFO,
        record(1, b"GET / HTTP/1.1\r\n\r\n", "request", "application/http; msgtype=request"),
        answer(2, b"\x89PNG\r\n\x1a\n\0\0", content="image/png"),
        record(3, b"20261120\nns.example", "response", "text/dns"),
        record(4, b'{"languages": []}', "metadata", "application/json"),
        record(5, b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n", "revisit", "application/http; msgtype=response"),
        record(6, b"\x89PNG", content="image/png"),
    ]
    (tmp_path / "a.warc").write_bytes(b"".join(others))
    rows, letters, counts = read(tmp_path)
    assert (rows, letters, counts["records_of_other_types"]) == ([], [], len(others))


@pytest.mark.parametrize("length", [0, 7, 200, 450, 10**9, 10**30, "many", "-3", "²", "9" * 5000])
def test_a_record_whose_length_is_wrong_costs_itself(tmp_path, length):
    good, bad = record(1, "One."), record(2, "x" * 100, length=length)
    (tmp_path / "a.warc").write_bytes(good + bad + b"".join(record(i, "More.") for i in range(3, 6)))
    rows, letters, _ = read(tmp_path)
    assert [id for id, _ in rows] == [f"<urn:uuid:{i}>" for i in (1, 3, 4, 5)]
    assert places(letters) == [(len(good), "bad_warc")]


@pytest.mark.parametrize("middle", [b"\0\xff no record\nat all\n", b"WARC/1.0\r\nWARC-Type: conv", b"WARC/1.0\r\n\r\n"])
def test_what_is_no_record_costs_itself(tmp_path, middle):
    for place in range(3):
        pieces = WET[:2]
        pieces.insert(place, middle + (b"\r\n" if place < 2 else b""))
        (tmp_path / "a.warc").write_bytes(b"".join(pieces))
        rows, letters, _ = read(tmp_path)
        assert [text for _, text in rows] == TEXTS[:2]
        assert [one.position for one in letters] == [len(b"".join(pieces[:place]))]


def _textmill(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return ended.value.code


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_that_is_cut_off_says_so(tmp_path, packed, capsys):
    pack = gzip.compress if packed else bytes
    whole = [pack(WET[0]), pack(record(2, random.Random(0).randbytes(500).hex()))]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / ("a.warc.gz" if packed else "a.warc")).write_bytes(b"".join(whole)[:-150])
    rows, letters, _ = read(tmp_path / "in")
    assert [text for _, text in rows] == TEXTS[:1]
    assert [one.reason for one in letters] == ["file_unreadable"]
    assert "it ends in the middle of the " in letters[0].message
    assert _textmill("tag", str(tmp_path / "in"), str(tmp_path / "out"), "--model", "en-fast") == 4
    assert "it ends in the middle of the " in capsys.readouterr().err
    assert _textmill("verify", str(tmp_path / "out")) == 0


def test_a_broken_gzip_member_costs_its_record(tmp_path):
    pieces = [gzip.compress(one, mtime=0) for one in (INFO, *WET)]
    pieces[2] = pieces[2][:40] + b"\xff" * 20 + pieces[2][60:]
    (tmp_path / "a.warc.gz").write_bytes(b"".join(pieces))
    rows, letters, _ = read(tmp_path)
    assert [text for _, text in rows] == [TEXTS[0], *TEXTS[2:]]
    assert [one.reason for one in letters] == ["file_unreadable"]


def test_records_that_are_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 1000)
    pieces = [
        WET[0],
        record(2, b"x" * 300_000),
        record(3, b"y" * 2000, "resource", "image/png"),
        record(4, "z", length=5000),
        *WET[1:],
    ]
    (tmp_path / "a.warc").write_bytes(b"".join(pieces))
    rows, letters, counts = read(tmp_path)
    assert [text for _, text in rows] == TEXTS
    assert [one.reason for one in letters] == ["line_too_long", "bad_warc"]
    assert counts["records_of_other_types"] == 1
    bomb = answer(9, gzip.compress(b"<html>" + b"z" * (17 << 20), mtime=0), "Content-Encoding: gzip")
    (tmp_path / "a.warc").write_bytes(bomb + WET[0])
    monkeypatch.undo()
    rows, letters, _ = read(tmp_path)
    assert ([text for _, text in rows], places(letters)) == (TEXTS[:1], [(0, "line_too_long")])


@pytest.mark.parametrize(
    ("body", "header"),
    [
        (gzip.compress(b"", mtime=0)[:10] + b"\xff" * 40, "gzip"),
        (b"\xff" * 40, "br"),
        (b"\xff" * 9, "zstd"),
        (b"?", "deflate"),
        (b"?", "x-own"),
    ],
)
def test_a_page_that_cannot_be_unpacked_costs_itself(tmp_path, body, header):
    (tmp_path / "a.warc").write_bytes(answer(1, body, f"Content-Encoding: {header}") + answer(2, PAGE.encode()))
    rows, letters, _ = read(tmp_path)
    assert ([id for id, _ in rows], places(letters)) == (["<urn:uuid:2>"], [(0, "bad_warc")])


def test_a_file_that_is_no_warc_is_called_so(tmp_path):
    (tmp_path / "a.warc").write_bytes(b"<html>\n" * 1000)
    assert read(tmp_path)[0] == []
    assert [(one.reason, one.message) for one in read(tmp_path)[1]] == [("file_unreadable", "no WARC: there is no record in it")]


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl.gz", "a", "a.csv"])
def test_a_web_archive_by_any_name(tmp_path, name):
    data = b"".join(WET)
    (tmp_path / name).write_bytes(gzip.compress(data, mtime=0) if name.endswith("gz") else data)
    found = discover([str(tmp_path)])
    wanted = DocumentSpec(id="id", reading=usual())
    pieces = fragments(found.store, found.files[0], 40, wanted)
    texts = [text for piece in pieces for block in read_fragment(found.store, piece, wanted) for text in block.texts]
    assert texts == TEXTS


def test_a_web_archive_in_an_archive(tmp_path):
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("in/a.warc.gz", b"".join(map(gzip.compress, WET)))
    assert [text for _, text in read(tmp_path)[0]] == TEXTS


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_damage_leaves_the_records_that_it_does_not_reach(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("warc")
    pieces = [record(i, f"Text {i}. " * (1 + i * i)) for i in range(1, 9)]
    whole, at = bytearray(b"".join(pieces)), data.draw(st.integers(0, sum(map(len, pieces))))
    size, kind = data.draw(st.integers(1, 60)), data.draw(st.sampled_from(["remove", "insert", "replace"]))
    noise = data.draw(st.binary(min_size=size, max_size=size))
    whole[at : at if kind == "insert" else at + size] = b"" if kind == "remove" else noise
    Path(folder / "a.warc").write_bytes(whole)
    packed = data.draw(st.booleans())
    if packed:
        (folder / "a.warc").write_bytes(gzip.compress(whole, mtime=0))
    rows, letters, _ = read(folder)
    begins = [sum(map(len, pieces[:i])) for i in range(9)]
    whole_ones = {f"<urn:uuid:{i + 1}>" for i in range(8) if begins[i + 1] <= at or begins[i] >= at + size + 1}
    assert whole_ones <= {id for id, _ in rows}
    assert len(rows) + len(letters) >= 8 - size // 200 - 1


def test_verify_and_clean_html(tmp_path):
    (tmp_path / "in").mkdir()
    page = "<html><body><p>Ms Keller flew from Oslo to Ly<b>on</b>.</p></body></html>"
    (tmp_path / "in" / "a.warc.gz").write_bytes(b"".join(map(gzip.compress, [INFO, answer(1, page.encode()), *WET[:1]])))
    assert _textmill("tag", str(tmp_path / "in"), str(tmp_path / "out"), "--clean", "html", "--keep", "url") == 0
    assert _textmill("verify", str(tmp_path / "out")) == 0
    rows = pq.read_table(tmp_path / "out" / "tags").to_pylist()
    assert [row["url"] for row in rows] == [URL.format(1), URL.format(1)]
    assert "Lyon" in [one["text"] for one in rows[0]["entities"]]
