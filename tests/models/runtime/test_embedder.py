"""The Embedder: unit vectors, whatever the text; the same alone and among others; the mean of the last states."""

import random

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import models
from models.errors import ModelMissingError
from models.runtime.embedder import load_embedder
from models.runtime.package import EMBEDDER, open_package
from models.runtime.reader import load_reader
from models.runtime.varlen import forward, loop_attention
from models.runtime.weights import to_encoder
from tests.support.small_embedder import write_embedder
from tests.support.tags import TEXTS

LONG = " ".join(TEXTS[:40])
CALM = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_embedder(tmp_path_factory.mktemp("embedder"))


@pytest.fixture(scope="module")
def embedder(folder):
    return load_embedder(folder, engine="openvino", threads=2)


def test_each_text_has_a_vector_of_length_one(embedder):
    @CALM
    @given(st.lists(st.sampled_from(["", " ", "\udcff", LONG, *TEXTS[:10]]) | st.text(max_size=60), max_size=8))
    def holds(texts):
        vectors = embedder.vectors(texts)
        assert len(vectors) == len(texts)
        assert vectors.dtype == np.float32
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6) if texts else True

    holds()


def test_neighbours_and_batches_do_not_matter_to_the_last_bit(embedder, monkeypatch):
    rng = random.Random(0)
    texts = [rng.choice([*TEXTS, LONG, ""]) for _ in range(60)]
    together = embedder.vectors(texts)
    for i in rng.sample(range(60), 20):
        assert (embedder.vectors([texts[i]])[0] == together[i]).all()
    monkeypatch.setattr(embedder, "budget_tokens", 100)
    assert (embedder.vectors(texts) == together).all()


def test_a_vector_is_the_mean_of_the_last_states(folder, embedder):
    package = open_package(folder, EMBEDDER)
    encoder = to_encoder(package.config, package.weights())
    pieces = embedder.tokenizer.encode(TEXTS[:3])
    for text, vector, torch_vector in zip(
        TEXTS, embedder.vectors(TEXTS[:3]), load_embedder(folder, "torch").vectors(TEXTS[:3]), strict=False
    ):
        first, last = pieces.offsets[TEXTS.index(text)], pieces.offsets[TEXTS.index(text) + 1]
        inner = pieces.ids[first:last][:62].tolist()
        ids = torch.tensor([[embedder.tokenizer.cls_id, *inner, embedder.tokenizer.sep_id]])
        cases = torch.tensor([[0, *pieces.cases[first:last][:62].tolist(), 0]])
        with torch.inference_mode():
            states, mean = encoder(ids, cases)
            flat, flat_mean = forward(encoder, ids[0], cases[0], torch.tensor([0, ids.shape[1]]), loop_attention)
        assert torch.allclose(states.mean(dim=1), mean)
        assert torch.allclose(states[0], flat, atol=1e-4)
        assert torch.allclose(mean, flat_mean, atol=1e-4)
        wanted = (mean / mean.norm()).numpy()[0]
        assert np.allclose(vector, wanted, atol=1e-3)
        assert np.allclose(torch_vector, wanted, atol=1e-5)


def test_what_a_window_does_not_hold_is_not_read(embedder):
    words = " ".join(["harbour"] * 200)
    assert (embedder.vectors([words])[0] == embedder.vectors([words + " and a ship"])[0]).all()


def test_models_of_other_tasks_are_refused_with_what_they_are_for(folder):
    with pytest.raises(ModelMissingError, match=r"a tagger, where a embedder is needed; it tags texts"):
        load_embedder("en")
    with pytest.raises(ModelMissingError, match=r"a embedder, where a reader is needed; it makes vectors"):
        load_reader(folder)
    with pytest.raises(ModelMissingError, match=r"it makes vectors of passages: textmill index"):
        models.load(folder)
