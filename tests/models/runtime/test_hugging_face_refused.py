"""Folders of Hugging Face that are not read: each is refused with its reason, and nothing is left in the cache."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import BertForTokenClassification

import models
from models.errors import ModelDamagedError, ModelMissingError
from models.runtime.package import open_package
from tests.support.hugging_face import VOCABULARY, make

pytestmark = pytest.mark.usefixtures("cache")


def changed(**values):
    """Change config.json; None removes a key."""

    def change(folder):
        config = {**json.loads((folder / "config.json").read_text()), **values}
        (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not None}))

    return change


def of_tokenizer(**values):
    def change(folder):
        found = json.loads((folder / "tokenizer.json").read_text())
        found["model"] |= values
        (folder / "tokenizer.json").write_text(json.dumps(found))

    return change


def specials(folder):
    found = json.loads((folder / "tokenizer.json").read_text())
    found |= {"added_tokens": [], "post_processor": None, "model": {**found["model"], "vocab": {"[UNK]": 0, "a": 1}}}
    (folder / "tokenizer.json").write_text(json.dumps(found))


def without(*names, then=()):
    def change(folder):
        for name in names:
            (folder / name).unlink()
        for name in then:
            (folder / name).write_bytes(b"{}")

    return change


def tensor(name, of):
    def change(folder):
        found = load_file(folder / "model.safetensors")
        save_file({**found, name: np.ascontiguousarray(of(found[name]))}, folder / "model.safetensors")

    return change


def japanese(folder):
    without("tokenizer.json")(folder)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertJapaneseTokenizer"}')


def added(folder):
    japanese(folder)
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "added_tokens.json").write_text('{"<user>": 999}')


def bfloat16(folder):
    BertForTokenClassification.from_pretrained(folder).to(torch.bfloat16).save_pretrained(folder)


def cut(folder):
    raw = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(raw[:-9])


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (changed(model_type="roberta"), ModelDamagedError, "family 'roberta'; only bert and distilbert are read"),
        (changed(model_type=None), ModelDamagedError, "family None"),
        (changed(architectures=["BertForQuestionAnswering"]), ModelDamagedError, "'BertForQuestionAnswering'; only ForToken"),
        (changed(architectures=None), ModelDamagedError, "its architecture is ''"),
        (changed(hidden_act="gelu_new"), ModelDamagedError, "hidden_act is 'gelu_new'; only 'gelu' is read"),
        (changed(position_embedding_type="relative_key"), ModelDamagedError, "position_embedding_type is 'relative_key'"),
        (changed(is_decoder=True), ModelDamagedError, "is_decoder is True"),
        (changed(pruned_heads={"0": [1]}), ModelDamagedError, "pruned_heads"),
        (changed(num_attention_heads=5), ModelDamagedError, "32 wide, where config.json has 2 layers of 5 heads"),
        (changed(num_hidden_layers=3), ModelDamagedError, r"no tensor bert.encoder.layer.2.*save the whole model"),
        (changed(id2label={"0": "O"}), ModelDamagedError, "names 1 labels, the classifier has 7 outputs"),
        (without("config.json"), ModelMissingError, "config.json is missing"),
        (without("model.safetensors"), ModelMissingError, "model.safetensors is missing"),
        (without("model.safetensors", then=["pytorch_model.bin"]), ModelMissingError, r"pytorch_model.bin; .*safe_serial"),
        (without("model.safetensors", then=["model.safetensors.index.json"]), ModelMissingError, r"index.json; .*max_shard_size"),
        (without("tokenizer.json"), ModelMissingError, "neither tokenizer.json nor vocab.txt"),
        (without("tokenizer.json", "tokenizer_config.json", then=["vocab.txt"]), ModelMissingError, "config.json is missing"),
        (of_tokenizer(type="BPE"), ModelDamagedError, "a BPE tokenizer; only WordPiece with ##"),
        (of_tokenizer(type="Unigram"), ModelDamagedError, "a Unigram tokenizer"),
        (of_tokenizer(continuing_subword_prefix="@@"), ModelDamagedError, "only WordPiece with ##"),
        (of_tokenizer(vocab={"[UNK]": 0, "a": 500}), ModelDamagedError, "has the id 500, the model 109 embeddings"),
        (specials, ModelDamagedError, r"its tokenizer has no \[CLS\], \[PAD\], \[SEP\]"),
        (of_tokenizer(vocab=[]), ModelDamagedError, "its tokenizer is not readable"),
        (japanese, ModelDamagedError, "a BertJapaneseTokenizer, .*a tokenizer.json is needed"),
        (added, ModelDamagedError, "pieces that added_tokens.json adds"),
        (bfloat16, ModelDamagedError, r"bfloat16.*model.float\(\)"),
        (cut, ModelDamagedError, "model.safetensors: not readable"),
        (tensor("classifier.weight", lambda t: t[:, :5]), ModelDamagedError, "classifier.weight is float32 of"),
        (tensor("classifier.bias", lambda t: t * np.float32(np.nan)), ModelDamagedError, "not finite"),
        (tensor("bert.embeddings.position_embeddings.weight", lambda t: t[:7]), ModelDamagedError, "7 positions"),
        (tensor("bert.embeddings.word_embeddings.weight", lambda t: t[:90]), ModelDamagedError, "the id 105, .*90 embeddings"),
    ],
)  # fmt: skip
def test_what_is_not_read_is_refused_with_a_reason(tmp_path, cache, change, error, said):
    folder = tmp_path / "ner"
    make(folder)
    change(folder)
    with pytest.raises(error, match=said) as caught:
        models.load(folder)
    assert str(folder) in str(caught.value)
    assert not [*cache.rglob("model.json")]
    assert not [*cache.rglob(".new-*")]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed(problem_type="multi_label_classification"), "multi_label_classification; only single_label"),
        (changed(problem_type="regression"), "regression; only single_label"),
        (tensor("classifier.bias", lambda t: t[:1]), "one output is regression"),
        (tensor("bert.pooler.dense.weight", lambda t: t[:1]), "bert.pooler.dense.weight is float32 of"),
    ],
)  # fmt: skip
def test_classifiers_that_are_refused(tmp_path, change, said):
    make(tmp_path / "mood", task="texts")
    change(tmp_path / "mood")
    with pytest.raises(ModelDamagedError, match=said):
        models.load(tmp_path / "mood")


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    make(tmp_path / "ner")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TEXTMILL_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelMissingError, match=r"cannot be converted into .*TEXTMILL_CACHE"):
        open_package(tmp_path / "ner")
