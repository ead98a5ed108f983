"""One big packed file, many workers: it is cut by what it unpacks to, and its pieces hold what the whole holds."""

import json
import os
import random
import subprocess
import sys
from itertools import pairwise

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.contract import DocumentSpec
from pipeline.source import cursors, decompress
from pipeline.source.cursors import Cursors
from pipeline.source.discover import discover
from pipeline.source.read import read_fragment
from pipeline.source.read_counts import ReadCounts
from pipeline.source.splitting import fragments
from tests.support.compressing import PACKERS
from tests.support.reading import USUAL

COLUMNS = DocumentSpec(id="id", reading=USUAL)


def made(kind, number, rng):
    """A file of so many records of a kind."""
    if kind == "csv":
        inside = ["", "\n", '""', "\n\n", ","]
        return b"id,text\n" + b"".join(f'{i},"Lena came{rng.choice(inside)} to Oslo {i}"\r\n'.encode() for i in range(number))
    if kind == "tsv":
        return b"id\ttext\n" + b"".join(f"{i}\tLena came to Oslo {i}\n".encode() for i in range(number))
    if kind == "txt":
        return b"".join(f"Lena came to Oslo {i}{' and stayed' * rng.randrange(9)}\n".encode() for i in range(number))
    return b"".join(
        json.dumps({"id": str(i), "text": f"Lena came to Oslo {i} " + "x" * rng.randrange(99)}).encode() + b"\n"
        for i in range(number)
    )


def packed(data, packer, members, rng):
    """The data, in so many members of about the same size, wherever a line ends."""
    places = sorted({0, len(data), *(rng.randrange(len(data) + 1) for _ in range(members - 1))})
    return b"".join(PACKERS[packer](data[i:j]) for i, j in pairwise(places))


def pieces_of(path, target):
    found = discover([str(path)])
    (entry,) = found.files
    return found.store, list(fragments(found.store, entry, target, COLUMNS))


def content(store, piece, cursors=None):
    """What comes of a fragment: documents, and what is left out, in order."""
    met = ReadCounts()
    blocks = list(read_fragment(store, piece, COLUMNS, met, cursors=cursors))
    found = [(place, text) for block in blocks for place, text in zip(block.positions, block.texts, strict=True)]
    assert met.documents == sum(block.rows for block in blocks)
    return found, [(one.position, one.reason, one.message, one.raw) for block in blocks for one in block.left_out]


@settings(max_examples=100, deadline=None)
@given(
    kind=st.sampled_from(["jsonl", "csv", "tsv", "txt"]),
    packer=st.sampled_from(sorted(PACKERS)),
    number=st.integers(1, 120),
    members=st.sampled_from([1, 1, 2, 30]),
    target=st.integers(5, 2000),
    harm=st.sampled_from(["none", "none", "cut", "change", "remove"]),
    seed=st.integers(0, 1 << 16),
)
def test_the_pieces_hold_what_the_whole_holds(tmp_path_factory, kind, packer, number, members, target, harm, seed):
    rng = random.Random(seed)
    plain = made(kind, number, rng)
    data = packed(plain, packer, members, rng)
    at = rng.randrange(16, max(17, len(data)))
    data = {
        "none": data,
        "cut": data[:at],
        "change": data[:at] + bytes([data[at % len(data)] ^ 255]) + data[at + 1 :],
        "remove": data[:at] + data[at + 20 :],
    }[harm]
    path = tmp_path_factory.mktemp("in") / f"a.{kind}{packer}"
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decompress, "_APART_BYTES", 1)
        patch.setattr(cursors, "_KEPT_BYTES", rng.choice([0, 1 << 20]))
        store, (whole,) = pieces_of(path, 1 << 40)
        store, parts = pieces_of(path, target)
        expected = content(store, whole)
        if harm == "none":
            beside = tmp_path_factory.mktemp("plain") / f"a.{kind}"
            beside.write_bytes(plain)
            unpacked, (piece,) = pieces_of(beside, 1 << 40)
            assert expected == content(unpacked, piece)
        one = Cursors()  # as one worker reads them in order
        found = [content(store, piece, one) for piece in parts]
        assert ([x for tags, _ in found for x in tags], [x for _, out in found for x in out]) == expected
        # As another one reads them, which has them in another order, or begins with one of them.
        for i in rng.sample(range(len(parts)), len(parts)):
            assert content(store, parts[i], one) == found[i]
        i = rng.randrange(len(parts))
        assert content(store, parts[i]) == found[i]


class Counting:
    """A store that counts the bytes that are read."""

    def __init__(self, store):
        self._store, self.read = store, 0

    def __getattr__(self, name):
        return getattr(self._store, name)

    def open_read(self, path, span=None):
        outer, stream = self, self._store.open_read(path, span)

        class Stream:
            def __enter__(self):
                return self

            def __exit__(self, *raised):
                stream.close()

            def __getattr__(self, name):
                return getattr(stream, name)

            def read(self, size=-1):
                data = stream.read(size)
                outer.read += len(data)
                return data

        return Stream()


@pytest.mark.parametrize("packer", [".gz", ".zst"])
def test_a_worker_goes_on_where_it_is(tmp_path, packer):
    path = tmp_path / f"a.jsonl{packer}"
    path.write_bytes(PACKERS[packer](made("jsonl", 100_000, random.Random(1))))
    store, parts = pieces_of(path, 20_000)
    counting, one = Counting(store), Cursors()
    assert len(parts) > 50
    for piece in parts[::2]:  # another worker has the others
        content(counting, piece, one)
    assert counting.read < 1.1 * path.stat().st_size + decompress.CHUNK_BYTES  # the head is read apart


@pytest.mark.parametrize("packer", sorted(PACKERS))
def test_of_a_file_of_many_members_no_more_is_read_than_is_wanted(tmp_path, packer):
    rng = random.Random(1)
    path = tmp_path / f"a.jsonl{packer}"
    path.write_bytes(packed(b"".join(made("jsonl", 2000, rng) for _ in range(40)), packer, 100, rng))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decompress, "_APART_BYTES", 1 << 10)
        store, parts = pieces_of(path, 20_000)
    counting = Counting(store)
    content(counting, parts[-2])
    assert len(parts) > 40
    assert counting.read < 0.2 * path.stat().st_size + 2 * decompress.CHUNK_BYTES


def test_what_is_no_file_of_lines_stays_whole(tmp_path):
    path = tmp_path / "a.json.gz"
    path.write_bytes(PACKERS[".gz"](json.dumps([{"text": f"Oslo {i}"} for i in range(1000)]).encode()))
    _, parts = pieces_of(path, 100)
    assert [piece.is_whole for piece in parts] == [True]


def test_a_run_that_was_killed_goes_on_where_it_was(tmp_path):
    """The file is many parts, each of which holds records that stand together; those that are there stay."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl.zst").write_bytes(PACKERS[".zst"](made("jsonl", 300, random.Random(1))))
    command = [sys.executable, "-m", "jobs", "tag", str(tmp_path / "in"), str(tmp_path / "out"), "--model", "en-fast"]
    command += ["--id-column", "id", "--split-tokens", "1000"]
    killed = subprocess.run(
        command, env={**os.environ, "TEXTMILL_FAULT": "part.rename.after:3"}, check=False, capture_output=True
    )
    assert killed.returncode == -9
    first = {path.name: path.read_bytes() for path in (tmp_path / "out" / "tags").iterdir()}
    subprocess.run(command, check=True, capture_output=True)
    parts = sorted((tmp_path / "out" / "tags").iterdir())
    assert len(first) == 3
    assert len(parts) > 5
    assert {name: (tmp_path / "out" / "tags" / name).read_bytes() for name in first} == first
    ids = [sorted(map(int, pq.read_table(part, partitioning=None)["id"].to_pylist())) for part in parts]
    assert [one for part in ids for one in part] == list(range(300))
    verified = subprocess.run([*command[:3], "verify", str(tmp_path / "out")], check=True, capture_output=True, text=True)
    found = json.loads(verified.stdout)
    assert (found["status"], found["documents"], found["counted"]) == ("agrees", 300, 300)
