"""On the real corpora: slow, and only where TEXTMILL_DATA names the folder that holds them (en/, corpora/).

TEXTMILL_REAL_MONTHS says how many months of posts (3, full 12), TEXTMILL_REAL_NEWS how many files of news (1, full 4).
"""

import gzip
import json
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import models
from models.runtime.package import ZOO
from pipeline.config import load_config
from pipeline.run.run import tag_documents
from tests.scale.sizes import size

DATA = Path(os.environ.get("TEXTMILL_DATA") or "absent")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="set TEXTMILL_DATA to the folder with en/ and corpora/"),
]


@pytest.mark.timeout(900)
def test_all_forum_posts(tmp_path):
    files = sorted((DATA / "corpora" / "reddit").rglob("*.jsonl.gz"))[: size("TEXTMILL_REAL_MONTHS", 3, 12)]
    given = {"sources": [*map(str, files)], "output": tmp_path / "out"}
    result = tag_documents(load_config(None, ["id_column=id", "model=en-fast"], given))
    texts, lines = {}, 0
    for path in files:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                lines += 1
                record = json.loads(line)
                texts[record["id"]] = record["text"]
    assert lines == result.rows_in == result.rows_out + result.dead_letters + result.filtered
    rows = entities = 0
    for part in sorted((tmp_path / "out" / "tags").glob("*.parquet")):
        for batch in pq.ParquetFile(part).iter_batches(columns=["id", "entities", "words"]):
            for row in batch.to_pylist():
                rows += 1
                text = texts[row["id"]]
                entities += len(row["entities"])
                assert all(text[e["start"] : e["end"]] == e["text"] for e in row["entities"])
                assert all(0 <= w["start"] < w["end"] <= len(text) for w in row["words"])
    assert rows == result.rows_out
    assert entities > rows / 4
    print(
        f"{rows:,} rows, {entities:,} entities, {result.filtered} filtered, {result.documents_s} documents/s, {result.seconds} s"
    )


@pytest.mark.timeout(900)
def test_posts_news_and_broken_files_in_one_run(tmp_path):
    """Parquet news beside JSON lines and files that are not what they seem: counts agree, offsets hold."""
    broken = tmp_path / "broken"
    broken.mkdir()
    whole = (DATA / "corpora" / "reuters" / "part-0.parquet").read_bytes()
    (broken / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    (broken / "not.parquet").write_bytes(b"PAR1 this is no table PAR1")
    (broken / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"id": "cut", "text": "In Oslo."}\n' * 5000)[:-9])
    (broken / "lines.jsonl").write_text('{"id": "good", "text": "Ms Keller lives in Cork."}\nno json\n')
    files = sorted((DATA / "corpora" / "reuters").glob("*.parquet"))[: size("TEXTMILL_REAL_NEWS", 1, 4)]
    flags = {"sources": [*map(str, files), str(broken)], "output": tmp_path / "out"}
    result = tag_documents(load_config(None, ["id_column=id", "model=en-fast", "failed_files_share=1"], flags))
    news = pq.read_table(files, columns=["id", "text"])
    texts = dict(zip(news["id"].to_pylist(), news["text"].to_pylist(), strict=True)) | {
        "good": "Ms Keller lives in Cork.",
        "cut": "In Oslo.",
    }
    rows = pq.read_table(tmp_path / "out" / "tags", columns=["id", "entities"]).to_pylist()
    ids = [row["id"] for row in rows]
    assert len(ids) == result.rows_out
    assert set(ids) == set(texts)
    assert all(texts[row["id"]][e["start"] : e["end"]] == e["text"] for row in rows for e in row["entities"])
    letters = pq.read_table(tmp_path / "out" / "dead_letters").to_pylist()
    assert len(letters) == result.dead_letters
    assert {Path(one["path"]).name for one in letters} == {"cut.parquet", "not.parquet", "cut.jsonl.gz", "lines.jsonl"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["en", "en-fast", "zh"])
def test_the_card_is_true(name):
    from models.factory.evaluate import evaluate

    written = json.loads((ZOO / name / "metrics.json").read_text())["figures"]
    # Rounding differs a little from CPU to CPU.
    assert evaluate(models.load(name), DATA) == pytest.approx(written, abs=0.4)
