"""How often the passage that answers a question is found: by terms, by vectors, by both, and after the reader has read.

Run: python docs/measure/retrieval.py DATA LANG [READ [KEEP]]   (needs textmill[ask,factory])
LANG is en or zh. READ is the number of passages that the reader reads of every fourth question; 0, the default, reads none.
KEEP is a folder for the index, which is then not made again. The questions and documents are those of
models/factory/retrieval_set.py; what is found are the passages that `textmill index` cuts. A question counts as found at R@k if
among the first k passages one holds at least half of an answer where the corpus says that it stands, or, in the column
"document", one is of its document.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.factory.reader_corpora import Question
from models.factory.retrieval_set import RetrievalSet, retrieval_set
from models.runtime.cpu import cpu_name
from models.runtime.package import EMBEDDER, READER, installed
from models.runtime.reader import load_reader
from pipeline.ask.found import found_answers, surest_first
from pipeline.ask.index import build_index
from pipeline.ask.search import Passage, PassageIndex
from pipeline.sink.attempt import FOOTER
from pipeline.sink.layout import TAGS
from pipeline.store.local import LocalStore

RANKS = (1, 5, 20)
DEPTH = 50
DOCUMENTS_A_PART = 1000
# One question in so many is read.
FOURTH = 4
# Share of Chinese characters that are misheard, and the common characters of each sound, made when they are first needed.
MISHEARD = 0.15
SOUNDING: dict[str, list[str]] = {}
ENTITY = pa.struct([("text", pa.string()), ("label", pa.string()), ("start", pa.int32())])
SCHEMA = pa.schema(
    [("id", pa.string()), ("text", pa.string()), ("source", pa.string()), ("created_at", pa.timestamp("us", "UTC")),
     ("lang", pa.string()), ("sentiment", pa.string()), ("entities", pa.list_(ENTITY))]
)  # fmt: skip


def write_output(folder: Path, documents: Sequence[str], lang: str) -> None:
    """Write documents as parts of an output, without tags: they do not matter here."""
    (folder / TAGS).mkdir(parents=True)
    for at in range(0, len(documents), DOCUMENTS_A_PART):
        some = documents[at : at + DOCUMENTS_A_PART]
        rows = [
            {
                "id": str(at + i),
                "text": text,
                "source": "",
                "created_at": None,
                "lang": lang,
                "sentiment": "neutral",
                "entities": [],
            }
            for i, text in enumerate(some)
        ]
        table = pa.Table.from_pylist(rows, SCHEMA)
        footer = {FOOTER: json.dumps({"attempt": f"measure-{at}", "rows": len(some)}).encode()}
        pq.write_table(table.replace_schema_metadata(footer), folder / TAGS / f"part-{at:06d}.parquet")


def holds(passage: Passage, question: Question) -> bool:
    """Whether a passage of the question's document holds at least half of an answer."""
    end = passage.start + len(passage.text)
    return any(2 * (min(last, end) - max(first, passage.start)) >= last - first for first, last in question.answers)


def shares(found_in: RetrievalSet, ranked: Sequence[Sequence[Passage]]) -> dict[str, list[float]]:
    """R@1, R@5 and R@20 in per cent: of passages with the answer, of their documents, and of passages by corpus."""
    number = {text: str(i) for i, text in enumerate(found_in.documents)}
    mine = [[one.id == number[q.context] for one in some] for q, some in zip(found_in.questions, ranked, strict=True)]
    right = [
        [its and holds(one, q) for its, one in zip(which, some, strict=True)]
        for which, q, some in zip(mine, found_in.questions, ranked, strict=True)
    ]
    groups = {"passage": (right, ""), "document": (mine, ""), **{name: (right, name) for name in dict.fromkeys(found_in.corpus)}}
    table: dict[str, list[float]] = {}
    for group, (hits, corpus) in groups.items():
        kept = [hit for hit, name in zip(hits, found_in.corpus, strict=True) if corpus in ("", name)]
        table[group] = [100 * float(np.mean([any(hit[:most]) for hit in kept])) for most in RANKS]
    return table


def heard_wrongly(question: str, rng: random.Random) -> str:
    """A question of which some Chinese characters are others that sound the same, tones apart, as a recognizer may write them."""
    from pypinyin import lazy_pinyin

    if not SOUNDING:
        for row in range(0xB0, 0xD8):
            for column in range(0xA1, 0xFF):
                try:
                    one = bytes((row, column)).decode("gb2312")
                except UnicodeDecodeError:
                    continue
                SOUNDING.setdefault(lazy_pinyin(one)[0], []).append(one)
    changed = [(rng.random() < MISHEARD and SOUNDING.get(lazy_pinyin(one)[0])) or [one] for one in question]
    return "".join(rng.choice(some) for some in changed)


def by(key: Callable[[Passage], float], found: Sequence[Sequence[Passage]]) -> list[list[Passage]]:
    """The passages of each question, those with the highest score first."""
    return [sorted(some, key=lambda one: (-key(one), one.part, one.row, one.start)) for some in found]


def show(title: str, table: dict[str, list[float]]) -> None:
    """Print a table."""
    print(f"{title:32} " + "  ".join(f"{group} " + " ".join(f"{value:5.1f}" for value in row) for group, row in table.items()))


def main() -> None:
    """Measure."""
    data, lang, read = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 0
    found_in = retrieval_set(data, lang)
    print(f"{cpu_name()}; {len(found_in.questions):,} questions, {len(found_in.documents):,} documents; R@{RANKS}")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(sys.argv[4]) if len(sys.argv) > 4 else Path(made)
        if not (folder / "out").exists():
            write_output(folder / "out", found_in.documents, lang)
        begin = time.perf_counter()
        vectors = "embed-en" if f"embed-{lang}" in installed(EMBEDDER) else None
        counts = build_index(LocalStore(folder / "out"), folder / "index", embedder=vectors)
        print(f"{counts.passages:,} passages, index made in {time.perf_counter() - begin:.0f} s")
        index = PassageIndex(folder / "index")
        begin = time.perf_counter()
        found = [index.candidates(one.question, DEPTH) for one in found_in.questions]
        print(f"{1000 * (time.perf_counter() - begin) / len(found):.1f} ms a question")
        show("BM25", shares(found_in, by(lambda one: one.bm25, found)))
        if vectors:
            show("vectors", shares(found_in, by(lambda one: one.cosine or 0.0, found)))
            show("both", shares(found_in, by(lambda one: one.score, found)))
        if lang == "zh":
            misheard = [heard_wrongly(one.question, random.Random(i)) for i, one in enumerate(found_in.questions)]
            for spoken in (False, True):
                heard = [index.candidates(question, DEPTH, spoken=spoken) for question in misheard]
                show(f"BM25, misheard, spoken={spoken}", shares(found_in, by(lambda one: one.score, heard)))
        if read and f"qa-{lang}" in installed(READER):
            reader = load_reader(f"qa-{lang}")
            some = RetrievalSet(found_in.questions[::FOURTH], found_in.corpus[::FOURTH], found_in.documents)
            first = by(lambda one: one.score, found[::FOURTH])
            show("these before", shares(some, first))
            begin = time.perf_counter()
            ranked = []
            for question, passages in zip(some.questions, first, strict=True):
                asked = passages[:read]
                answers = reader.read([question.question] * len(asked), [one.text for one in asked])
                ranked.append([one.passage for one in surest_first(found_answers(answers, asked, lang))])
            took = (time.perf_counter() - begin) / len(ranked)
            show(f"{read} read by qa-{lang}", shares(some, ranked))
            print(f"{len(ranked):,} questions read, {1000 * took:.0f} ms each")


if __name__ == "__main__":
    main()
