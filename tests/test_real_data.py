"""On the real corpora: slow, and only where TEXTMILL_DATA names the folder that holds them (en/, corpora/)."""

import gzip
import json
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import models
from models.runtime.package import ZOO
from pipeline.config import load_config
from pipeline.run import tag_documents

DATA = Path(os.environ.get("TEXTMILL_DATA", "absent"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="set TEXTMILL_DATA to the folder with en/ and corpora/"),
]


@pytest.mark.timeout(900)
def test_all_forum_posts(tmp_path):
    source = DATA / "corpora" / "reddit"
    result = tag_documents(
        load_config(None, ["id_column=id", "model=en-fast"], {"sources": [str(source)], "output": tmp_path / "out"})
    )
    texts, lines = {}, 0
    for path in sorted(source.rglob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                lines += 1
                record = json.loads(line)
                texts[record["id"]] = record["text"]
    assert lines == result.rows_out + result.dead_letters
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


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["en", "en-fast"])
def test_the_card_is_true(name):
    from models.factory.evaluate import evaluate

    written = json.loads((ZOO / name / "metrics.json").read_text())["figures"]
    # Rounding differs a little from CPU to CPU.
    assert evaluate(models.load(name), DATA) == pytest.approx(written, abs=0.4)
