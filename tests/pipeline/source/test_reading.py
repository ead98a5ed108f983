"""Files of text as people have them: what is broken costs itself, and reader, cutter and counter agree on what there is."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.source.tables import stop_reader_processes
from tests.support.compressing import PACKERS
from tests.support.reading import read, usual


@pytest.fixture(autouse=True)
def readers():
    yield
    stop_reader_processes()  # as a run does at its end


PARTS = st.lists(
    st.sampled_from(
        [b'"', b'""', b",", b"\n", b"\r\n", b"\r", b"a", b"text,n", b"\\", b"\xef\xbb\xbf", b"\xff", b"\xc4\xe3", b"\0",
         b" ", b";", b"\t",         b'{"text": "x"}', b'{"text":\n"y"}', b"[", b"]", b"{", b"}", b'"text"', b":", b"long " * 30]
    ),
    max_size=40,
)  # fmt: skip


@settings(deadline=None, max_examples=120)
@given(
    PARTS, st.sampled_from([".csv", ".tsv", ".jsonl", ".txt"]), st.integers(1, 40), st.sampled_from(["auto", "gb18030", "marks"])
)
@example([b"text,n", b"\n", b'"', b"a", b"\n", b"a", b"\n", b'"', b"a", b"\n", b"a"], ".csv", 1, "auto")
def test_whatever_a_file_holds_its_pieces_hold_what_the_whole_does(tmp_path_factory, parts, suffix, target, encoding):
    """Any bytes, any cuts: the same documents and dead letters at the same places, and as many as are counted."""
    path = tmp_path_factory.mktemp("any") / f"a{suffix}"
    path.write_bytes(b"text,n\n" * (suffix == ".csv") + b"text\tn\n" * (suffix == ".tsv") + b"".join(parts))
    if not path.stat().st_size:
        return
    whole, pieces = (read(path, target, id=None, reading=usual(encoding=encoding)) for target in (1 << 40, target))
    assert whole[:2] == pieces[:2]


@settings(deadline=None, max_examples=80)
@given(st.binary(max_size=400), st.sampled_from([".csv", ".tsv", ".jsonl", ".txt", ".csv.gz"]), st.integers(1, 40))
def test_no_bytes_make_a_reader_fail(tmp_path_factory, data, suffix, target):
    path = tmp_path_factory.mktemp("bytes") / f"a{suffix}"
    path.write_bytes(data)
    if data:
        read(path, target)


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_packed_bytes_that_are_damaged_cost_what_is_damaged(tmp_path_factory, data):
    """Any damage to a packed file ends no run, and reader and counter agree on it."""
    packer = data.draw(st.sampled_from(sorted(PACKERS)))
    packed = bytearray(b"".join(PACKERS[packer](LINES[i : i + 2000]) for i in range(0, len(LINES), 2000)))
    for place in data.draw(st.lists(st.integers(0, len(packed) - 1), max_size=4)):
        packed[place] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("damaged") / f"a.jsonl{packer}"
    path.write_bytes(packed[: data.draw(st.integers(1, len(packed)))])
    rows, letters, _ = read(path)
    assert rows or letters


ROWS = {(str(i), f"Lena came to Oslo {i * 7919 % 10007}") for i in range(300)}
LINES = "".join(json.dumps({"id": one, "text": text}) + "\n" for one, text in sorted(ROWS)).encode()


@pytest.mark.parametrize("packer", PACKERS)
def test_what_lies_behind_a_broken_piece_of_a_packed_file_is_read(tmp_path, packer):
    pieces = [PACKERS[packer](LINES[i : i + 1000]) for i in range(0, len(LINES), 1000)]
    broken = bytearray(pieces[5])
    broken[len(broken) // 2 : len(broken) // 2 + 8] = b"\xa5" * 8
    (tmp_path / f"a.jsonl{packer}").write_bytes(b"".join([*pieces[:5], bytes(broken), *pieces[6:]]))
    rows, letters, counts = read(tmp_path)
    assert 240 < len(rows) < 300
    assert set(rows) < ROWS
    assert [one.reason for one in letters].count("file_unreadable") >= 1
    assert counts["lost_bytes"] > 0
    assert abs(counts["lost_documents"] + len(letters) + len(rows) - 300) < 40
