"""A corpus whose truth is known: what must become of every document is written down while its file is made."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

# Words of every text, in either script: none of them may stand in a log.
SECRETS = ("Quillfeather", "鹅毛笔")
CORPORA = 3
SPLIT_TOKENS = 1200
_NAMES = ("Keller", "Volta", "Moreau", "Okafor", "Lindqvist", "Tanaka", "Ferrari", "Novak")
_PLACES = ("Oslo", "Cork", "Lyon", "Paris", "Lagos", "Kyoto", "Prague", "Bergen")
_ENDS = ("and was glad", "and lost a case", "in heavy rain", "with Volta Energy", "for a talk at the bank", "to see a doctor")
_SCHEMA = pa.schema([("id", pa.string()), ("text", pa.string())])


@dataclass(slots=True)
class Corpus:
    """Files by their path, and what must come of them: ids that are tagged and ids that are filtered, each with the path and the
    position of its document, and the path and position of every dead letter with its reason.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    tagged: dict[str, tuple[str, int]] = field(default_factory=dict)
    filtered: dict[str, tuple[str, int]] = field(default_factory=dict)
    dead: dict[tuple[str, int], str] = field(default_factory=dict)


def make(number: int) -> Corpus:
    """Corpus `number`, always the same: about 600 documents in every format."""
    maker = _Maker(random.Random(number))
    maker.lines("posts.jsonl", 60, bad=True)
    maker.lines("更多/posts 2.jsonl", 40)
    maker.lines("packed/posts.jsonl.gz", 40, pack=gzip.compress, bad=True)
    maker.lines("packed/more.jsonl.zst", 40, pack=lambda data: pa.compress(data, "zstd", asbytes=True))
    maker.table_text("news.csv", 60, bad=True)
    maker.table_text("packed/news.csv.gz", 40, pack=gzip.compress)
    maker.table_text("news.tsv", 40)
    maker.plain("notes.txt", 50)
    maker.parquet("tables/facts.parquet", 90)
    maker.parquet("tables/more.parquet", 50)
    maker.arrow("tables/facts.arrow", 50, pa.ipc.new_file)
    maker.arrow("tables/stream.arrow", 40, pa.ipc.new_stream)
    return maker.corpus


class _Maker:
    def __init__(self, rng: random.Random) -> None:
        self.corpus, self._rng, self._count = Corpus(), rng, 0
        self._shared = [self._english() for _ in range(20)]

    def _english(self) -> str:
        rng = self._rng
        said = [
            f"{rng.choice(('Ms', 'Mr', 'Dr'))} {rng.choice(_NAMES)} of {SECRETS[0]} {rng.randrange(1000)} flew from "
            f"{rng.choice(_PLACES)} to {rng.choice(_PLACES)} {rng.choice(_ENDS)}."
            for _ in range(rng.choice((1, 1, 2, 4)))
        ]
        return " ".join(said)

    def _document(self, path: str, position: int, has_id: bool = True) -> tuple[str, str]:
        """Id and text of the next document, which is told to the truth."""
        self._count += 1
        id = f"d{self._count:05d}" if has_id else f"{path}@{position}"
        if self._rng.random() < 0.06:
            self.corpus.filtered[id] = (path, position)
            return id, f"{SECRETS[1]}公司今天在北京发布了第{self._count}号公告,市场反应热烈。"
        self.corpus.tagged[id] = (path, position)
        return id, self._rng.choice(self._shared) if self._rng.random() < 0.25 else self._english()

    def _kill(self, path: str, position: int, reason: str) -> None:
        self.corpus.dead[path, position] = reason

    def lines(self, path, count, bad=False, pack=bytes):
        out = bytearray()
        for i in range(count):
            if bad and i % 20 == 7:
                broken = {
                    7: ("not_json", f'{{"id": "x", "text": "{SECRETS[0]} is bro'),
                    27: ("not_an_object", f'["{SECRETS[0]}"]'),
                }
                reason, line = broken.get(i, ("no_text", json.dumps({"id": "y", "body": SECRETS[0]})))
                self._kill(path, len(out), reason)
                out += f"{line}\n\n".encode()
            has_id = i % 9 != 4
            id, text = self._document(path, len(out), has_id)
            out += json.dumps({"text": text, **({"id": id} if has_id else {})}, ensure_ascii=i % 2 == 0).encode() + b"\n"
        self.corpus.files[path] = pack(bytes(out))

    def table_text(self, path, count, bad=False, pack=bytes):
        """CSV has quoted line ends, TSV has none."""
        tabs = path.endswith(".tsv")

        def row(*values):
            found = io.StringIO()
            csv.writer(found, delimiter="\t" if tabs else ",", lineterminator="\n" if tabs else "\r\n").writerow(values)
            return found.getvalue().encode()

        out = bytearray(row("id", "text"))
        for i in range(count):
            if bad and i % 25 == 11:
                self._kill(path, len(out), "bad_csv")
                out += row("z", SECRETS[0], "one", "too many")
            id, text = self._document(path, len(out))
            out += row(id, text if tabs or i % 3 else text.replace(" flew", ',\r\n"flew"'))
        self.corpus.files[path] = pack(bytes(out))

    def plain(self, path, count):
        out = bytearray()
        for _ in range(count):
            out += self._document(path, len(out), has_id=False)[1].encode() + b"\n"
        self.corpus.files[path] = bytes(out)

    def _table(self, path, count, bad):
        rows = []
        for i in range(count):
            if bad and i % 30 == 13:
                self._kill(path, i, "no_text")
                rows.append(("n", None))
            else:
                rows.append(self._document(path, i))
        return pa.table({"id": [one[0] for one in rows], "text": [one[1] for one in rows]}, schema=_SCHEMA)

    def parquet(self, path, count):
        out = io.BytesIO()
        pq.write_table(self._table(path, count, bad=True), out, row_group_size=16)
        self.corpus.files[path] = out.getvalue()

    def arrow(self, path, count, writer):
        table, out = self._table(path, count, bad=False), io.BytesIO()
        with writer(out, _SCHEMA) as stream:
            stream.write_table(table, max_chunksize=20)
        self.corpus.files[path] = out.getvalue()
