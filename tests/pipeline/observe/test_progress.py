"""How far a run is, and how long it will take: right within a fifth from a tenth of the run on."""

import gzip
import io
import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.contract import DocumentSpec, TextOptions
from pipeline.observe import progress as module
from pipeline.observe.progress import Progress, quiet
from pipeline.source.discover import discover
from pipeline.source.read import read_fragment
from pipeline.source.read_counts import ReadCounts
from pipeline.source.splitting import fragments
from pipeline.source.tables import stop_reader_processes
from pipeline.worker.split_progress import SplitProgress

ROWS = 2_000
SPEC = DocumentSpec(id="id", reading=TextOptions.usual())


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def rows():
    """Documents of which nine tenths are no text, as those of forums are."""
    rng = random.Random(1)
    return [
        {"id": str(n), "text": "some words " * rng.randint(1, 12), "about": {"x": "y" * rng.randint(100, 900)}}
        for n in range(ROWS)
    ]


def blocks_of(path):
    """The pieces of a file, and its blocks."""
    found = discover([str(path)])
    try:
        pieces = [piece for entry in found.files for piece in fragments(found.store, entry, 1 << 40, SPEC)]
        return pieces, [block for piece in pieces for block in read_fragment(found.store, piece, SPEC, ReadCounts())]
    finally:
        stop_reader_processes()


def write(path):
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist([{**row, "about": json.dumps(row["about"])} for row in rows()]), path)
        return
    lines = "".join(json.dumps(row) + "\n" for row in rows()).encode()
    path.write_bytes(gzip.compress(lines) if path.suffix == ".gz" else lines)


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_progress_inside_a_split_is_told_by_bytes_or_rows(tmp_path, name, monkeypatch):
    monkeypatch.setattr("pipeline.source.blocks.BLOCK_ROWS", 100)
    write(tmp_path / name)
    pieces, blocks = blocks_of(tmp_path / name)
    assert len(blocks) > 10
    far, tokens, read, done = SplitProgress(pieces), sum(piece.tokens for piece in pieces), 0, 0
    for block in blocks:
        read += block.rows
        done += far.read(block)
        assert abs(done / tokens - read / ROWS) < 0.03


def test_what_is_packed_never_ends_too_early(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.source.blocks.BLOCK_ROWS", 100)
    write(tmp_path / "a.jsonl.gz")
    pieces, blocks = blocks_of(tmp_path / "a.jsonl.gz")
    far = SplitProgress(pieces)
    told = [far.read(block) for block in blocks]
    assert all(one >= 0 for one in told)
    assert 0 < sum(told) < sum(piece.tokens for piece in pieces)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 6), st.integers(10, 80))
def test_no_split_is_told_more_than_whole(tmp_path_factory, files, size):
    folder = tmp_path_factory.mktemp("far")
    for number in range(files):
        (folder / f"{number}.jsonl").write_text("".join(json.dumps({"text": "w" * (n % 50 + 1)}) + "\n" for n in range(size)))
    pieces, blocks = blocks_of(folder)
    far, total = SplitProgress(pieces), sum(piece.tokens for piece in pieces)
    done = [far.read(block) for block in blocks]
    assert min(done) >= 0
    assert 0.5 * total < sum(done) <= total


@pytest.mark.parametrize("start_s", [0, 12])
@pytest.mark.parametrize("workers", [1, 4])
def test_the_time_left_is_right_from_a_tenth_on(clock, start_s, workers):
    """Workers take 40 splits in turn, each in ten steps of a second; the start takes time of its own."""
    progress = Progress(io.StringIO())
    progress.expect(40 * 1_000, 40)
    clock[0] += start_s
    whole, seen = 400 / workers, []
    for second in range(int(whole)):
        clock[0] += 1
        for worker in range(workers):
            progress.add(10, 95, 0, 0, 97)  # a little less than whole: the end of a split tells the rest
            if (second + 1) % 10 == 0 and worker < workers:
                progress.part(1_000)
        left, really = progress.state()["seconds_left"], whole - second - 1
        if 0.1 * whole <= second + 1 < whole - 2:
            seen.append(abs(left - really) / really)
    assert max(seen) < 0.2
    assert progress.state()["done"] == 1.0


def test_nothing_but_what_is_waited_for_is_said_in_quiet(clock):
    told = quiet.set(True)
    try:
        stream = io.StringIO()
        progress = Progress(stream)
        progress.expect(1_000, 1)
        clock[0] += 60
        progress.add(1, 10, 0, 0, 100)
        progress.say("a note")
        assert stream.getvalue() == ""
        progress.waits("no worker is alive")
        assert "no worker is alive" in stream.getvalue()
    finally:
        quiet.reset(told)
