"""The example texts, and what holds of the tags of any text."""

import json

import pytest

from tests.support import ROOT

TEXTS = []
for line in (ROOT / "examples" / "documents" / "posts.jsonl").read_text().splitlines():
    try:
        TEXTS.append(str(json.loads(line)["text"]))
    except (ValueError, KeyError, TypeError):
        continue


def check_offsets(texts, table):
    for text, row in zip(texts, table.to_pylist(), strict=True):
        for entity in row["entities"]:
            assert text[entity["start"] : entity["end"]].encode("utf-8", "replace").decode() == entity["text"]
        ends = [0, *(word["end"] for word in row["words"])]
        assert all(word["start"] >= end for word, end in zip(row["words"], ends, strict=False))
        assert sum(row["sentiment_scores"].values()) == pytest.approx(1, abs=1e-5)


def same(one, two, tolerance=1e-3):
    """Labels and extents equal, scores within the tolerance."""
    for a, b in zip(one, two, strict=True):
        assert [{**e, "score": 0} for e in a["entities"]] == [{**e, "score": 0} for e in b["entities"]]
        assert [e["score"] for e in a["entities"]] == pytest.approx([e["score"] for e in b["entities"]], abs=tolerance)
        assert a["words"] == b["words"]
        assert a["sentiment"] == b["sentiment"]
        assert a["sentiment_scores"] == pytest.approx(b["sentiment_scores"], abs=tolerance)
