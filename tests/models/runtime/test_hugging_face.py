"""Folders of Hugging Face: the same scores as transformers gives, one conversion, and a reason for what is refused."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.numpy import load_file, save_file

import models
from models.errors import ModelDamagedError
from models.runtime import hugging_face
from models.runtime.config import EncoderConfig
from models.runtime.decode import entity_spans, path_spans, softmax
from models.runtime.hugging_face_labels import NEVER, names_of, of_texts, of_tokens
from models.runtime.hugging_face_tokenizer import HAN_PIECES, language
from models.runtime.package import ZOO, open_models, open_package
from models.runtime.varlen import forward, loop_attention
from models.runtime.viterbi import viterbi_paths
from models.runtime.weights import to_encoder
from tests.support import ROOT
from tests.support.hugging_face import BIO, LETTERS, TEXTS, make
from tests.support.runs import run, write_lines

pytestmark = pytest.mark.usefixtures("cache")


def scores(tagger, texts):
    """For each text with pieces its ids, the logits of its tokens and its own."""
    _, windows, batches = tagger.encode(texts)
    found = {}
    for one in tagger.engine.infer(batches):
        for row, window in enumerate(one.batch.windows.tolist()):
            at = slice(*one.batch.offsets[row : row + 2].tolist())
            found[int(windows.doc[window])] = one.batch.ids[at].tolist(), one.tokens[at], one.sentiment[row]
    return found


def theirs(model, tokenizer, text):
    with torch.inference_mode():
        inputs = tokenizer(text, return_tensors="pt")
        accepted = {key: inputs[key] for key in ("input_ids", "attention_mask")}
        return inputs["input_ids"][0].tolist(), model(**accepted).logits[0].numpy(), inputs


def spans(text, logits, names, tokenizer):
    """Entities by the best tag of each first piece: a B begins one, and so does an I after O; the type is the most probable."""
    inputs = tokenizer(text, return_offsets_mapping=True)
    tokens, p, units = tokenizer.convert_ids_to_tokens(inputs["input_ids"]), softmax(logits), []
    for i, (token, (start, end)) in enumerate(zip(tokens, inputs["offset_mapping"], strict=True)):
        if token.startswith("##"):
            units[-1][2] = end
        elif 0 < i < len(tokens) - 1:
            units.append([p[i], start, end])
    found, before = [], "O"
    for row, start, end in units:
        tag = names[int(row.argmax())]
        if tag[0] == "B" or (tag[0] == "I" and before == "O"):
            found.append([start, end, row])
        elif tag[0] == "I":
            found[-1] = [found[-1][0], end, found[-1][2] + row]
        before = tag
    types = sorted({name[2:] for name in names if name != "O"})
    of = {kind: [i for i, name in enumerate(names) if name[2:] == kind] for kind in types}
    return [(text[a:b], max(types, key=lambda kind: mass[of[kind]].sum()), a, b) for a, b, mass in found]


@pytest.mark.parametrize("engine", ["torch", "openvino"])
@pytest.mark.parametrize("family", ["bert", "distilbert"])
@pytest.mark.parametrize(("cased", "only_vocabulary"), [(False, False), (True, False), (True, True), (False, True)])
def test_tokens_have_the_logits_and_entities_of_transformers(tmp_path, engine, family, cased, only_vocabulary):
    model, tokenizer = make(tmp_path / "ner", family, cased=cased, only_vocabulary=only_vocabulary)
    tagger = models.load(tmp_path / "ner", engine=engine, threads=1)
    assert tagger.labels.entities == ("LOC", "PER", "ORG")
    assert (tagger.labels.sentiments, tagger.labels.words, tagger.lang, tagger.window) == ((), False, "en", 64)
    order = [BIO.index(tag) for tag in tagger.labels.entity_tags]
    mine, rows = scores(tagger, TEXTS), tagger.tag(TEXTS).to_pylist()
    entities = 0
    for i, text in enumerate(TEXTS):
        ids, logits, _ = theirs(model, tokenizer, text)
        if i in mine:
            assert mine[i][0] == ids
            np.testing.assert_allclose(mine[i][1], logits[:, order], atol=1e-4)
        found = [(e["text"], e["label"], e["start"], e["end"]) for e in rows[i]["entities"]]
        assert found == spans(text, logits, BIO, tokenizer)
        assert (rows[i]["sentiment"], rows[i]["sentiment_scores"], rows[i]["words"]) == (None, None, [])
        entities += len(found)
    assert entities > 10
    assert len(mine) == len(TEXTS) - 1


@pytest.mark.parametrize("engine", ["torch", "openvino"])
@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_texts_have_the_probabilities_of_transformers(tmp_path, engine, family):
    model, tokenizer = make(tmp_path / "mood", family, "texts", seed=5)
    tagger = models.load(tmp_path / "mood", engine=engine, threads=1)
    assert tagger.labels.sentiments == ("negative", "LABEL_1", "neutral", "positive")
    rows = tagger.tag(TEXTS).to_pylist()
    seen = set()
    for text, row in zip(TEXTS, rows, strict=True):
        logits = theirs(model, tokenizer, text)[1]
        p = dict(zip(["positive", "LABEL_1", "negative", "neutral"], softmax(logits).tolist(), strict=True))
        if text:
            assert row["sentiment_scores"] == pytest.approx(p, abs=1e-4)
            assert row["sentiment"] == max(p, key=p.__getitem__)
            seen.add(row["sentiment"])
        assert (row["entities"], row["words"]) == ([], [])
    assert rows[TEXTS.index("")]["sentiment"] == "neutral"
    assert len(seen) > 1
    long = tagger.tag(["Anna visited Oslo. " * 60]).to_pylist()[0]
    assert sum(long["sentiment_scores"].values()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_flat_tokens_and_layers_on_several_devices_pool_the_first_token_too(tmp_path, family):
    model, tokenizer = make(tmp_path / "mood", family, "texts", seed=5)
    package = open_package(tmp_path / "mood")
    texts = [text for text in TEXTS if text]
    logits = [theirs(model, tokenizer, text)[1] for text in texts]
    order = [["positive", "LABEL_1", "negative", "neutral"].index(name) for name in package.labels.sentiments]
    staged = scores(models.load(tmp_path / "mood", devices=(("cpu", "cpu"),)), texts)
    encoder = to_encoder(package.config, package.weights())
    sequences = [torch.tensor(staged[i][0]) for i in range(len(texts))]
    bounds = torch.tensor([0, *np.cumsum([len(ids) for ids in sequences])], dtype=torch.int32)
    ids = torch.cat(sequences)
    with torch.inference_mode():
        flat = forward(encoder, ids, ids * 0, bounds, loop_attention)[1]
    for i in range(len(texts)):
        np.testing.assert_allclose(flat[i], logits[i][order], atol=1e-4)
        np.testing.assert_allclose(staged[i][2], logits[i][order], atol=1e-4)


@pytest.mark.parametrize("names", [["LOC", "O", "PER", "ORG"], ["I-LOC", "O", "I-PER", "I-ORG"]], ids=["plain", "I alone"])
def test_runs_of_one_type_are_entities_where_no_tag_begins_one(tmp_path, names):
    model, tokenizer = make(tmp_path / "io", names=names)
    tagger = models.load(tmp_path / "io", engine="openvino", threads=1)
    assert tagger.labels.entities == ("LOC", "PER", "ORG")
    touching = 0
    for text, row in zip(TEXTS, tagger.tag(TEXTS).to_pylist(), strict=True):
        _, logits, inputs = theirs(model, tokenizer, text)
        tokens, p, wanted, before = tokenizer.convert_ids_to_tokens(inputs["input_ids"][0]), softmax(logits), [], "O"
        for i, token in enumerate(tokens[1:-1], 1):
            if token.startswith("##"):
                continue
            kind = names[int(p[i].argmax())].removeprefix("I-")
            if kind == before and kind != "O":
                wanted[-1][1].append(p[i].max())
            elif kind != "O":
                wanted.append((kind, [p[i].max()]))
                touching += before != "O"
            before = kind
        assert [e["label"] for e in row["entities"]] == [kind for kind, _ in wanted]
        assert [e["score"] for e in row["entities"]] == pytest.approx([np.mean(some) for _, some in wanted], abs=1e-4)
    assert touching > 3


def decoded(outputs, *best):
    """Types and extents where the model's own outputs that are named win clearly, one a unit."""
    own = np.zeros((len(best), max(row for row in outputs.rows if row is not None) + 1), np.float32)
    own[np.arange(len(best)), best] = 12
    columns = [np.zeros(len(best)) if row is None else own[:, row] for row in outputs.rows]
    p = softmax((np.stack(columns, 1) + np.array(outputs.shifts)).astype(np.float32))
    new = np.arange(len(best)) == 0
    steps = outputs.transitions
    first, last, kind, score = entity_spans(p, new) if steps is None else path_spans(p, viterbi_paths(p, new, steps))
    assert (score > 0.99).all()
    return [(a, b, outputs.own.entities[k]) for a, b, k in zip(first.tolist(), last.tolist(), kind.tolist(), strict=True)]


def test_tags_of_every_scheme_that_is_read():
    where = Path("m")
    bio = of_tokens(["I-a", "O", "B-b", "B-a", "I-b"], where)
    assert (bio.own.entities, bio.rows, bio.transitions) == (("a", "b"), (1, 3, 0, 2, 4), None)
    assert decoded(bio, 3, 0, 3, 1, 0, 2) == [(0, 1, "a"), (2, 2, "a"), (4, 4, "a"), (5, 5, "b")]
    # IOB1, where a type never touches itself: a B of the others is left out.
    some = of_tokens(["O", "B-a", "I-a", "I-b"], where)
    assert some.rows == (0, 2, 2, 3, 3)
    assert decoded(some, 2, 2, 3, 3, 0, 3, 2) == [(0, 1, "a"), (2, 3, "b"), (5, 5, "b"), (6, 6, "a")]
    alone = of_tokens(["O", "B-day", "B-a", "I-a"], where)
    assert alone.rows == (0, 1, None, 2, 3)
    assert alone.shifts == (0, 0, NEVER, 0, 0)
    assert decoded(alone, 1, 1, 2, 3) == [(0, 0, "day"), (1, 1, "day"), (2, 3, "a")]
    assert of_tokens(["O", "B_a", "I_a"], where).own.entities == ("a",)
    assert of_tokens(["O", "E-Mail", "S-Bahn"], where).own.entities == ("E-Mail", "S-Bahn")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["NOUN", "VERB", "PUNCT", "O"], r"m: a model of parts of speech \(NOUN, VERB, PUNCT\)"),
        (["O", "B-a", "I-a", "E-a", "S-a"], "BIOES or BILOU"),
        (["O", "B-a", "I-a", "L-a", "U-a"], "BIOES or BILOU"),
        (["LABEL_0", "LABEL_1", "LABEL_2"], "id2label has to name O and others"),
        (["B-a", "I-a"], "id2label has to name O"),
        (["O"], "id2label has to name O and others"),
        (["O", "B-a", "I-a", "[CLS]"], r"the label '\[CLS\]' is neither O nor"),
        (["O", "B-a", "B_a"], "two labels are one tag"),
    ],
)
def test_tags_that_are_refused(names, said):
    with pytest.raises(ModelDamagedError, match=said):
        of_tokens(names, Path("m"))


def test_classes_of_texts():
    assert of_texts(["b", "POSITIVE", "a", "Negative"], Path("m")).rows == (0, 3, 2, 1)
    assert of_texts(["LABEL_0", "LABEL_1"], Path("m")).own.sentiments == ("LABEL_0", "LABEL_1")
    assert names_of({}, 2, Path("m")) == ["LABEL_0", "LABEL_1"]
    for names, said in ((["good", "good"], "twice"), (["Neutral", "neutral"], "two classes have one name")):
        with pytest.raises(ModelDamagedError, match=said):
            of_texts(names_of({"id2label": dict(enumerate(names))}, 2, Path("m")), Path("m"))
    for given in ({"0": "a"}, {"0": "a", "2": "b"}, {"x": "a"}, ["a", "b"]):
        with pytest.raises(ModelDamagedError, match="id2label"):
            names_of({"id2label": given}, 2, Path("m"))


def test_the_language_is_that_of_a_vocabulary_of_han_alone():
    han = [chr(0x4E00 + i) for i in range(HAN_PIECES)]
    assert language([*han, *("##" + one for one in han), *LETTERS]) == "zh"
    assert language(han[:-1]) == "en"
    assert language([*han, *(f"word{i}" for i in range(HAN_PIECES + 1))]) == "en"


def test_a_conversion_is_the_same_everywhere_and_is_made_once(tmp_path, cache, monkeypatch):
    make(tmp_path / "ner")
    first = open_package(tmp_path / "ner")
    assert (first.name, first.folder.parent) == ("ner", cache / "models")
    files = {path.name: path.read_bytes() for path in first.folder.iterdir()}
    assert sorted(files) == ["model.json", "tokenizer.json", "weights.safetensors"]
    with monkeypatch.context() as patched:
        patched.setattr(hugging_face, "write_package", lambda *_, **__: pytest.fail("converted again"))
        assert open_models(str(tmp_path / "ner")).packages == (first,)
        patched.chdir(tmp_path / "ner")
        assert open_package(".") == first
    monkeypatch.setenv("TEXTMILL_CACHE", str(tmp_path / "another"))
    shutil.copytree(tmp_path / "ner", tmp_path / "copy" / "ner")
    with ThreadPoolExecutor(4) as pool:  # at once, as two processes may
        found = {package.digest for package in pool.map(open_package, [tmp_path / "copy" / "ner"] * 4)}
    assert found == {first.digest}
    (again,) = (tmp_path / "another" / "models").iterdir()
    assert {path.name: path.read_bytes() for path in again.iterdir()} == files


def test_other_files_and_other_names_are_converted_anew(tmp_path):
    make(tmp_path / "ner")
    first = open_package(tmp_path / "ner").digest
    shutil.copytree(tmp_path / "ner", tmp_path / "named")
    named = open_package(tmp_path / "named")
    assert named.name == "named"
    assert named.digest != first
    settings = json.loads((tmp_path / "ner" / "tokenizer_config.json").read_text())
    (tmp_path / "ner" / "tokenizer_config.json").write_text(json.dumps({**settings, "do_lower_case": False}))
    again = open_package(tmp_path / "ner")
    assert json.loads(again.tokenizer_json())["normalizer"]["lowercase"] is False
    assert again.digest not in (first, named.digest)


ALONE = """
import sys
import models
models.open_package(sys.argv[1])
print(sorted({"torch", "transformers"} & sys.modules.keys()))
"""


def test_a_conversion_needs_neither_torch_nor_transformers(tmp_path):
    make(tmp_path / "ner")
    command = [sys.executable, "-c", ALONE, str(tmp_path / "ner")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env={**os.environ})
    assert done.stdout == "[]\n"


def test_old_names_of_norms_are_known(tmp_path):
    make(tmp_path / "ner")
    path = tmp_path / "ner" / "model.safetensors"
    before, tensors = open_package(tmp_path / "ner").weights(), load_file(path)
    for new, old in (("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta")):
        tensors = {name.replace(new, old): value for name, value in tensors.items()}
    save_file(tensors, path)
    after = open_package(tmp_path / "ner").weights()
    assert before.keys() == after.keys()
    assert all((before[name] == after[name]).all() for name in before)


def test_shipped_models_keep_their_pooling_and_unknown_ones_are_refused(tmp_path):
    assert open_package("en-fast").config.pooling == "mean"
    assert "pooling" not in (ZOO / "en-fast" / "model.json").read_text()
    config = open_package("en-fast").config.to_json()
    with pytest.raises(ValueError, match="pooling 'last', this version knows mean, first, first-relu"):
        EncoderConfig.from_json({**config, "pooling": "last"})


def test_a_run_with_such_a_folder(tmp_path):
    make(tmp_path / "ner")
    write_lines(tmp_path / "in.jsonl", *TEXTS[:3])
    run(tmp_path / "in.jsonl", tmp_path / "out", model=str(tmp_path / "ner"), languages="all", min_score=0)
    table = pq.read_table(tmp_path / "out" / "tags")
    assert table.num_rows == 3
    assert table["sentiment"].null_count == table["sentiment_scores"].null_count == 3
    tagged = models.load(tmp_path / "ner", threads=1).tag(TEXTS[:3])
    by_id = sorted(table.to_pylist(), key=lambda row: row["id"])
    assert [row["entities"] for row in by_id] == tagged["entities"].to_pylist()
    assert sum(len(row["entities"]) for row in by_id) > 2
    assert {row["lang"] for row in by_id} == {"en"}
