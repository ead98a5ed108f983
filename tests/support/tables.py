"""Tables as a run reads them: plan, read and count, which must agree."""

from collections import Counter

from pipeline.contract import DocumentSpec
from pipeline.source.count import count_documents
from pipeline.source.discover import discover
from pipeline.source.read import read_fragment
from pipeline.source.read_counts import ReadCounts
from pipeline.source.splitting import fragments

USUAL = DocumentSpec(usual=("id", "time"), separator="\n", keep=("k",))


def read(folder, columns=USUAL, target=1 << 40):
    """Blocks of all files; what was met and what is counted in another way agree."""
    found = discover([str(folder)])
    blocks = []
    for entry in found.files:
        documents = 0
        for piece in fragments(found.store, entry, target):
            met = ReadCounts()
            blocks += read_fragment(found.store, piece, columns, met)
            documents += met.documents - met.broken + met.unread
        counted = count_documents(found.store, entry, columns)
        assert counted.documents - counted.broken == documents
    return blocks


def rows(blocks):
    return [row for block in blocks for row in block.columns.to_pylist()]


def texts(blocks):
    return [text for block in blocks for text in block.texts]


def counts(blocks):
    return sum((block.counts for block in blocks), Counter())
