"""Embedders are made: rounded, measured, exported, or refused. With an encoder small enough for a test."""

import json

import pytest

from models.errors import GateFailedError, RecipeError
from models.factory import pretrained, retrieval_set
from models.factory.embedder_evaluate import RANKS
from models.factory.embedder_making import EmbedderRun
from models.factory.reader_corpora import TRAIN
from models.factory.task_recipe import load_task_recipe
from models.runtime.embedder import load_embedder
from models.runtime.encoder import Encoder
from tests.support import ROOT
from tests.support.small_reader import SMALL, TOKENIZER, write_questions

RECIPE = """
task = "embedder"
name = "small"
summary = "an embedder for a test"
lang = "en"
window = 64
calibration_texts = 16
"""


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """What makes an embedder with a recipe's further lines; the pretrained encoder is a small one."""
    monkeypatch.setattr(pretrained, "tokenizer_json", lambda cache, negation: TOKENIZER)
    monkeypatch.setattr(pretrained, "minilm", lambda cache: Encoder(SMALL))
    names = {corpus.name for corpus in TRAIN["en"]} | {*retrieval_set.ASKED["en"]}
    data = write_questions(tmp_path / "data", sorted(names), 12)

    def make(more=""):
        (tmp_path / "recipe.toml").write_text(RECIPE + more)
        recipe = load_task_recipe(tmp_path / "recipe.toml")
        return EmbedderRun(recipe, data, tmp_path / "work", tmp_path, tmp_path / "zoo", lambda line: None)

    return make


def test_an_embedder_is_rounded_measured_and_exported(shop):
    run = shop("[gate]\ncosine = 90.0\n")
    metrics = run.make()
    assert set(metrics["figures"]) == {*(f"r_at_{rank}" for rank in RANKS), "cosine"}
    assert all(0 <= metrics["figures"][f"r_at_{rank}"] <= 100 for rank in RANKS)
    folder = run.zoo / "small"
    assert json.loads((folder / "metrics.json").read_text())["figures"] == metrics["figures"]
    assert "| passages/s |" in (folder / "card.md").read_text()
    embedder = load_embedder(folder, threads=1)
    assert embedder.digest == metrics["digest"]
    assert embedder.vectors(["Who went to Oslo?"]).shape == (1, SMALL.hidden)


def test_a_gate_that_fails_exports_nothing(shop):
    run = shop("[gate]\ncosine = 100.1\n")
    with pytest.raises(GateFailedError, match=r"cosine .* < 100.1"):
        run.make()
    assert not (run.zoo / "small").exists()


def test_recipes_are_told_by_their_task(tmp_path):
    shipped = load_task_recipe(ROOT / "conf/compress/embed-en.toml")
    assert shipped is not None
    assert (shipped.name, shipped.task) == ("embed-en", "embedder")
    (tmp_path / "bad.toml").write_text(RECIPE + "windw = 3\n")
    with pytest.raises(RecipeError, match="windw"):
        load_task_recipe(tmp_path / "bad.toml")
