"""What the Tagger promises of every text."""

import json
import os
import random
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import models
from models.errors import ModelDamagedError, ModelMissingError
from models.runtime.package import ZOO
from tests.support.tags import check_offsets

DATA = Path(os.environ.get("TEXTMILL_DATA") or "absent")
ODD = ["", " \t\n", "\u0000", "\u200b", "e\u0301 Zu\u0308rich", "\U0001f468\u200d\U0001f469\u200d\U0001f467 in Paris",
       "a\ud800b London", "\u05e9\u05dc\u05d5\u05dd Tel Aviv", "x" * 5000, "U.S. " * 900]  # fmt: skip


def test_finds_entities(tagger):
    row = tagger.tag(["Angela Merkel visited Paris with the staff of Siemens."]).to_pylist()[0]
    assert {(e["text"], e["label"]) for e in row["entities"]} >= {("Angela Merkel", "PER"), ("Paris", "LOC")}


def test_odd_texts_have_a_defined_result(tagger):
    table = tagger.tag(ODD)
    assert table.schema.equals(models.TAGS)
    check_offsets(ODD, table)
    assert table["words"].to_pylist()[:2] == [[], []]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(max_size=200), max_size=6))
def test_offsets_of_any_text(tagger, texts):
    check_offsets(texts, tagger.tag(texts))


def test_no_texts(tagger):
    assert tagger.tag([]).num_rows == 0


def test_damaged_models_are_refused(tmp_path: Path):
    with pytest.raises(ModelMissingError, match="no model"):
        models.load(tmp_path / "absent")
    folder = tmp_path / "m"
    shutil.copytree(ZOO / "en-fast", folder)
    raw = (folder / "weights.safetensors").read_bytes()
    (folder / "weights.safetensors").write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    with pytest.raises(ModelDamagedError, match="sha256"):
        models.load(folder)
    (folder / "weights.safetensors").write_bytes(raw)
    manifest = json.loads((folder / "model.json").read_text())
    manifest["labels"]["sentiment"].reverse()
    (folder / "model.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelDamagedError, match="label sets"):
        models.load(folder)
    manifest["labels"]["sentiment"].reverse()
    for window in (2, 4096, "128"):
        (folder / "model.json").write_text(json.dumps({**manifest, "window": window}))
        with pytest.raises(ModelDamagedError, match="window"):
            models.load(folder)


def test_an_aborted_call_leaves_the_tagger_usable(tagger):
    with pytest.raises(TypeError):
        tagger.tag(["Oslo " * 60_000, None])
    assert tagger.tag(["in Oslo"]).num_rows == 1


@pytest.mark.parametrize("more", [{}, {"relative_buckets": 8}], ids=["plain", "relative"])
def test_padding_changes_no_bit(more):
    """A text has the same scores in any company, however long that is: a cache may stand for the model."""
    import openvino as ov
    import torch

    from models.runtime.config import EncoderConfig, LayerShape
    from models.runtime.encoder import Encoder
    from models.runtime.openvino_graph import build

    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig(50, 64, (LayerShape(2, 64), LayerShape(2, 128)), 70, **more)).eval()
    for weight in encoder.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    weights = {name: value.numpy() for name, value in encoder.state_dict().items()}
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = ov.Core().compile_model(build(encoder.config, weights), "CPU", settings)

    def scores(ids, length):
        padded = np.zeros((1, length), np.int32)
        padded[0, : len(ids)] = ids
        out = compiled([padded, padded * 0, (np.arange(length) < len(ids))[None].astype(np.float32)])
        return out[0][0, : len(ids)].copy(), out[1][0].copy()

    for length in (1, 5, 15, 16, 17, 40, 53):
        ids = np.random.default_rng(length).integers(1, 50, length)
        tokens, sentiment = scores(ids, length)
        for longer in (length + 1, length + 3, 64, 70):
            other = scores(ids, longer)
            np.testing.assert_array_equal(other[0], tokens)
            np.testing.assert_array_equal(other[1], sentiment)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not DATA.is_dir(), reason="set TEXTMILL_DATA to the folder with corpora/")
@pytest.mark.parametrize(
    ("name", "corpus"), [("en-fast", "reddit/month=2012-01"), ("en", "reddit/month=2012-01"), ("zh", "tnews")]
)
def test_real_texts_have_the_same_scores_in_any_company(name, corpus):
    from pipeline.contract import DocumentSpec
    from pipeline.source.texts import texts_of

    draw = random.Random(1)
    texts = list(dict.fromkeys(texts_of([str(DATA / "corpora" / corpus)], DocumentSpec())))
    draw.shuffle(texts)
    texts = texts[: 500 if name == "en" else 1500]
    tagger = models.load(name, threads=1)
    together = tagger.tag(texts)
    for _ in range(3):
        some = [i for i in range(len(texts)) if draw.random() < 0.4]
        assert tagger.tag([texts[i] for i in some]).equals(together.take(some))


@pytest.mark.parametrize(
    ("vocab", "pairs"),
    [(50, {}), (50, {"pairs": 40, "pair_width": 8}), (30_000, {"pairs": 131_071, "pair_width": 8})],
    ids=["plain", "pairs", "many pairs"],
)
def test_flat_padded_and_openvino_agree(vocab, pairs):
    import openvino as ov
    import torch

    from models.runtime.config import EncoderConfig, LayerShape
    from models.runtime.encoder import Encoder
    from models.runtime.openvino_graph import build
    from models.runtime.varlen import forward, loop_attention

    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig(vocab, 64, (LayerShape(2, 64), LayerShape(1, 128)), 32, **pairs)).eval()
    for weight in encoder.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    ids = torch.randint(1, vocab, (2, 7))
    mask = torch.arange(7)[None] < torch.tensor([[7], [4]])
    with torch.inference_mode():
        tokens, sentiment = encoder(ids, ids * 0, mask)
        flat = forward(encoder, ids[mask], ids[mask] * 0, torch.tensor([0, 7, 11], dtype=torch.int32), loop_attention)
        # A text alone, without padding.
        alone = encoder(ids[1:, :4], ids[1:, :4] * 0)
    np.testing.assert_allclose(flat[0], tokens[mask], atol=1e-5)
    np.testing.assert_allclose(flat[1], sentiment, atol=1e-5)
    np.testing.assert_allclose(alone[0][0], tokens[1, :4], atol=1e-5)
    weights = {name: value.numpy() for name, value in encoder.state_dict().items()}
    compiled = ov.Core().compile_model(build(encoder.config, weights), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    out = compiled([ids.int().numpy(), (ids * 0).int().numpy(), mask.float().numpy()])
    np.testing.assert_allclose(out[0][mask.numpy()], tokens[mask], atol=1e-4)
    np.testing.assert_allclose(out[1], sentiment, atol=1e-4)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ("Oslo", r"texts is a str, .*write tag\(\[text\]\)"),
        (b"Oslo", "texts is a bytes"),
        (None, "texts is a NoneType"),
        (iter(["Oslo"]), "not a sequence of strings"),
        ([None], r"texts\[0\] is a NoneType, not a string"),
        (["Oslo", 1], r"texts\[1\] is a int"),
        (pa.array(["Oslo", None]), r"texts\[1\] is a NoneType"),
    ],
)
def test_what_is_no_sequence_of_strings_is_refused(tagger, texts, said):
    with pytest.raises(TypeError, match=said):
        tagger.tag(texts)


def test_an_arrow_array_is_a_sequence_of_strings(tagger):
    assert tagger.tag(pa.array(["In Oslo.", ""])).equals(tagger.tag(("In Oslo.", "")))
