"""Scores of entities: probabilities that keep their order, and the doubtful ones left out."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import models
from models.errors import ModelDamagedError
from models.runtime.confidence import calibrated, margin, surer
from models.runtime.labels import MIN_SCORE, SENTIMENTS
from models.runtime.package import MANIFEST, ZOO
from models.runtime.schema import TAGS
from tests.support.runs import rows, run
from tests.support.tags import TEXTS

SCORES = st.floats(0, 1, width=32)


def tags_of(scores):
    """A table with an entity for each score."""
    moods = dict.fromkeys(("negative", "neutral", "positive"), 0.3)
    row = {"lang": "en", "sentiment": "neutral", "sentiment_scores": moods, "words": []}
    entity = {"text": "x", "label": "PER", "start": 0, "end": 1}
    return pa.Table.from_pylist([{**row, "entities": [{**entity, "score": s} for s in one]} for one in scores], schema=TAGS)


@given(st.lists(st.lists(SCORES, max_size=4), max_size=6), SCORES)
def test_what_is_left_out_is_what_is_less_sure(scores, least):
    tags = tags_of(scores)
    kept = surer(tags, least)
    assert kept.schema == TAGS
    wanted = [{**row, "entities": [e for e in row["entities"] if e["score"] >= np.float32(least)]} for row in tags.to_pylist()]
    assert kept.to_pylist() == wanted
    # Several chunks, and offsets that do not begin at 0.
    sliced = surer(pa.concat_tables([tags, tags]).slice(len(scores) // 2, len(scores)), least)
    assert sliced.to_pylist() == (wanted + wanted)[len(scores) // 2 :][: len(scores)]


@given(st.lists(SCORES, min_size=2, max_size=20), st.floats(0.1, 3), st.floats(-3, 3))
def test_probabilities_keep_the_order_of_scores(scores, slope, constant):
    before = np.array(sorted(scores), np.float32)
    after = calibrated(before, (slope, constant))
    assert ((after >= 0) & (after <= 1)).all()
    assert (np.diff(after) >= 0).all()
    assert np.allclose(calibrated(before, (1.0, 0.0)), before, atol=2e-6)
    assert calibrated(before, ()) is before


def test_a_models_own_scores_become_probabilities(tmp_path):
    folder = tmp_path / "raw"
    shutil.copytree(ZOO / "en-fast", folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    weights, bias = manifest.pop("calibration"), np.array(manifest.pop("sentiment_bias"))
    (folder / MANIFEST).write_text(json.dumps(manifest))
    raw, fitted = (models.load(model, threads=1).tag(TEXTS[:80]).to_pylist() for model in (folder, "en-fast"))
    pairs = [(a, b) for one, two in zip(raw, fitted, strict=True) for a, b in zip(one["entities"], two["entities"], strict=True)]
    assert len(pairs) > 20
    assert all({**a, "score": 0} == {**b, "score": 0} for a, b in pairs)
    mine = margin(np.array([a["score"] for a, _ in pairs])) * weights[0] + weights[1]
    assert np.allclose([b["score"] for _, b in pairs], 1 / (1 + np.exp(-mine)), atol=1e-5)
    for one, two in zip(raw, fitted, strict=True):
        logs = np.log(list(one["sentiment_scores"].values())) + bias
        assert np.allclose(list(two["sentiment_scores"].values()), np.exp(logs) / np.exp(logs).sum(), atol=1e-5)
        assert two["sentiment"] == SENTIMENTS[np.argmax(logs)]
    assert models.load("en-fast", threads=1).tag([""])["sentiment"].to_pylist() == ["neutral"]
    (folder / MANIFEST).write_text(json.dumps({**manifest, "calibration": [1.0], "sentiment_bias": list(bias)}))
    with pytest.raises(ModelDamagedError, match="1 weights of an entity's score and 3 of sentiment, not 2 and 3"):
        models.load(folder, threads=1)


@pytest.mark.parametrize(("flags", "least"), [({}, MIN_SCORE), ({"min_score": 0.0}, 0.0), ({"min_score": 0.9}, 0.9)])
def test_a_run_writes_the_entities_that_are_sure_enough(tmp_path, flags, least):
    texts = TEXTS[:120]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    run(tmp_path / "in.jsonl", str(tmp_path / "out"), id_column="", languages="all", **flags)
    every = {tuple(e.values()) for row in models.load("en-fast", threads=1).tag(texts).to_pylist() for e in row["entities"]}
    found = {(e["text"], e["label"], e["start"], e["end"], e["score"]) for row in rows(tmp_path / "out") for e in row["entities"]}
    assert found == {one for one in every if one[-1] >= np.float32(least)}
    assert len({one for one in every if one[-1] < MIN_SCORE}) > 0
