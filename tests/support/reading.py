"""Files of text as a run reads them: plan, read and count, which must agree."""

from collections import Counter
from dataclasses import replace

from pipeline.contract import DocumentSpec, TextOptions
from pipeline.source.count import count_documents
from pipeline.source.discover import discover
from pipeline.source.read import read_fragment
from pipeline.source.read_counts import ReadCounts
from pipeline.source.splitting import fragments

USUAL = TextOptions.usual()


def usual(**more):
    """What is meant where nothing is said, but for this."""
    return replace(USUAL, **more)


def read(path, target=1 << 40, id="id", reading=USUAL, **columns):
    """Of the files of a path: ids with their texts, places and reasons of dead letters, counts. Reader and counter must agree."""
    found = discover([str(path)], unnamed=reading.format)
    wanted = DocumentSpec(id=id, reading=reading, **columns)
    blocks = []
    for entry in found.files:
        met = 0
        for piece in fragments(found.store, entry, target, wanted):
            one = ReadCounts()
            here = list(read_fragment(found.store, piece, wanted, one))
            assert one.documents == sum(block.rows for block in here)
            met += one.documents
            blocks += here
        assert met == count_documents(found.store, entry, wanted).documents
    texts = [text for block in blocks for text in block.texts]
    ids = [one for block in blocks for one in block.columns["id"].to_pylist()]
    letters = [one for block in blocks for one in block.left_out]
    return list(zip(ids, texts, strict=True)), letters, sum((block.counts for block in blocks), Counter())


def places(letters):
    """Where dead letters are, and why."""
    return [(one.position, one.reason) for one in letters]
