"""Real posts: how they are read, masked, measured and calibrated on; runs by the clock and side by side, of kept texts."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import DataMissingError, RecipeError
from models.factory import calibrate, loop
from models.factory.corpora import CORPORA, read
from models.factory.corpus_readers import LabelledText, read_folder, read_labelled, read_posts, read_tabbed, words_of_spans
from models.factory.decision import biased, fit_decision
from models.factory.distill import Learner, Together, distil_loss, teacher_loss, together_loss
from models.factory.distillation_data import build_distillation_data
from models.factory.evaluate import evaluate, figures_of, macro_f1, posts
from models.factory.examples import IGNORE, RATHER_NEGATIVE, RATHER_POSITIVE, Examples, draw, encode, gather
from models.factory.loop import Schedule, fit
from models.factory.losses import sentiment_loss
from models.factory.mixture import gold_texts, load_mixture
from models.factory.probabilities import expected_calibration_error
from models.factory.recipe import Distil, Label, Teacher, load_recipe
from models.factory.shelf import Shelf
from models.factory.teacher_logits import Asked, Once
from models.factory.training import with_transitions, without_transitions
from models.runtime.config import EncoderConfig, LayerShape
from models.runtime.encoder import Encoder
from models.runtime.labels import ENTITY_TAGS, NUM_TOKEN_OUTPUTS
from models.runtime.load import load_one
from models.runtime.package import ZOO
from models.runtime.tokenizer import PieceTokenizer
from tests.support import ROOT
from tests.support.small_data import write_corpora

SMALL = EncoderConfig(vocab=30522, hidden=32, layers=(LayerShape(2, 64),), head_dim=16)
TOKENIZER = (ZOO / "en" / "tokenizer.json").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tokenizer():
    return PieceTokenizer(TOKENIZER)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    root = write_corpora(tmp_path_factory.mktemp("data"))
    for split in ("real", "real_train"):
        (root / split).mkdir()
        lines = [
            {"text": "Lovely day in Oslo", "sentiment": "positive", "entities": [{"label": "LOC", "start": 14, "end": 18}]},
            {"text": f"New {split} train leaves at 4", "sentiment": "neutral", "entities": []},
            {"text": "I hate Halvex.", "sentiment": "negative", "entities": [{"label": "ORG", "start": 7, "end": 13}]},
        ]
        (root / split / "en.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return root


@st.composite
def spanned(draw):
    text = draw(st.text(st.sampled_from("ab Z9.-é中'"), min_size=1, max_size=30))
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=6)))
    kinds = draw(st.lists(st.sampled_from(["PER", "LOC", "ORG", "MISC"]), min_size=3, max_size=3))
    spans = [(a, b, kind) for (a, b), kind in zip(list(pairwise(cuts))[::2], kinds, strict=False)]
    return text, [(a, b, kind) for a, b, kind in spans if text[a:b] == text[a:b].strip() and text[a:b]]


@given(spanned())
def test_the_tags_of_words_say_what_the_spans_say(given_spans):
    text, spans = given_spans
    words, tags = words_of_spans(text, spans)
    assert "".join(text[a:b] for a, b in words) == "".join(text.split())
    found = []
    for (start, end), tag in zip(words, tags, strict=True):
        if tag.startswith("B-"):
            found.append((start, end, tag[2:]))
        elif tag.startswith("I-"):
            assert found[-1][2] == tag[2:]
            found[-1] = (found[-1][0], end, tag[2:])
    assert found == spans


def test_posts_are_read_and_taught(data_dir, tokenizer):
    records = list(read_posts(data_dir / "real" / "en.jsonl"))
    assert [record.sentiment for record in records] == [2, 1, 0]
    assert records[0].spans == ((14, 18, "LOC"),)
    coded = encode(records, tokenizer)
    tags = coded.tags[coded.offsets[0] : coded.offsets[1]]
    assert [ENTITY_TAGS[code] for code in tags if code != IGNORE] == ["O", "O", "O", "B-LOC"]


def test_tabbed_columns_and_labelled_lines(tmp_path):
    (tmp_path / "b.conll").write_text("Rome\tB-LOC\tB-place\n\n")
    (tmp_path / "a.conll").write_text("New\tB-LOC\tB-x\nYork\tI-LOC\tI-x\nis\tO\tB-y\n")
    records = list(read_folder(read_tabbed, ".conll", tmp_path))
    assert [(record.text, record.tags) for record in records] == [
        ("New York is", ("B-LOC", "I-LOC", "O")),
        ("Rome", ("B-LOC",)),
    ]
    with pytest.raises(DataMissingError, match="--data-dir"):
        list(read_folder(read_tabbed, ".tsv", tmp_path))
    (tmp_path / "x.tsv").write_text("positive\tfine\t0.9\nbad\tline\n")
    lines = read_labelled(tmp_path / "x.tsv")
    assert next(lines) == LabelledText("fine", sentiment=2)
    with pytest.raises(DataMissingError, match=r"x\.tsv, line 2: 'bad'"):
        next(lines)


def test_where_no_text_is_called_neutral_neutral_learns_nothing(tmp_path, tokenizer):
    (tmp_path / "en/sentiment/labelled_sentences").mkdir(parents=True)
    (tmp_path / "en/sentiment/labelled_sentences/train.tsv").write_text("negative\tbad\npositive\tgood\n")
    assert not CORPORA["labelled_sentences"].neutral_known
    coded = gold_texts("labelled_sentences", tmp_path, tokenizer, 20, None)
    assert coded.sentiment.tolist() == [RATHER_NEGATIVE, RATHER_POSITIVE]
    logits = torch.tensor([[1.0, 9.0, 2.0], [0.5, -1.0, 0.0], [0.0, 1.0, 2.0]], requires_grad=True)
    codes = torch.tensor([RATHER_POSITIVE, RATHER_NEGATIVE, IGNORE])
    loss = sentiment_loss(logits, codes)
    a, b = torch.tensor([1.0, 2.0]).softmax(0)[1], torch.tensor([0.5, 0.0]).softmax(0)[0]
    torch.testing.assert_close(loss, -(a.log() + b.log()) / 2)
    loss.backward()
    assert (logits.grad[:, 1] == 0).all()
    assert (logits.grad[:2, 0] != 0).all()
    known = torch.tensor([0, 1, 2])
    torch.testing.assert_close(sentiment_loss(logits, known), torch.nn.functional.cross_entropy(logits, known))


def test_calibration_error_and_macro_f1():
    # Ten answers with .95 of which nine are right; ten with .55 of which none is.
    confidence, right = np.repeat([0.95, 0.55], 10), np.array([True] * 9 + [False] * 11)
    assert expected_calibration_error(confidence, right) == pytest.approx((10 * 0.05 + 10 * 0.55) / 20)
    assert expected_calibration_error(np.zeros(0), np.zeros(0, dtype=bool)) == 0.0
    assert macro_f1(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2])) == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)


def test_real_posts_are_measured(data_dir):
    tagger = load_one("en-fast", threads=1)
    figures = evaluate(tagger, data_dir)
    keys = [figure.key for figure in figures_of("en") if figure.key.startswith("real_")]
    assert set(keys) <= set(figures)
    records = read("real-en", data_dir, "dev")
    rows = tagger.tag([record.text for record in records])["entities"].to_pylist()
    found = {(n, e["start"], e["end"], e["label"]) for n, row in enumerate(rows) for e in row}
    gold = {(n, *span) for n, record in enumerate(records) for span in record.spans}
    assert posts(tagger, records, True)["f1"] == pytest.approx(2 * len(found & gold) / (len(found) + len(gold)))


def test_scores_are_fitted_to_what_is_true():
    rng = np.random.default_rng(0)
    right = rng.normal(size=(4000, 3))
    p = np.exp(right) / np.exp(right).sum(axis=1, keepdims=True)
    gold = np.array([rng.choice(3, p=row) for row in p])
    # A model that is three times too sure, and too fond of "negative".
    logits = 3 * right + np.array([1.5, 0.0, 0.0])
    temperature, bias = calibrate.fit(logits, gold)
    assert temperature == pytest.approx(3, rel=0.15)
    assert bias == pytest.approx([-1.0, 0.5, 0.5], abs=0.25)

    def error(scores):
        return expected_calibration_error(scores.max(axis=1), scores.argmax(axis=1) == gold)

    before, after = (error(calibrate.calibrated(logits, *one)) for one in ((1.0, np.zeros(3)), (temperature, bias)))
    assert before > 0.15
    assert after < 0.03
    assert calibrate.across(logits, gold, 0)["sentiment_ece"] < 4

    model = Encoder(SMALL).eval()
    ids = torch.randint(1000, 2000, (400, 9))
    with torch.no_grad():
        told = model(ids, ids * 0)[1].softmax(-1).numpy()
        found = calibrate.calibrate(model, told, gold[:400], 1)
        now = model(ids, ids * 0)[1].softmax(-1).numpy()
    assert now == pytest.approx(calibrate.calibrated(np.log(told), found["temperature"], np.array(found["bias"])), abs=1e-4)


def few(tokenizer, data_dir) -> tuple[Examples, list]:
    data, repeats, _ = load_mixture({"conll2003": 1.0, "sst2": 1.0}, data_dir, tokenizer, 1.0)
    return data, draw(data, repeats, 128, seed=1)


def test_a_run_ends_by_the_clock_with_its_rate_at_the_end(data_dir, tokenizer, tmp_path, monkeypatch):
    data, runs = few(tokenizer, data_dir)
    now = [100.0]

    def clock() -> float:
        now[0] += 1.0
        return now[0]

    monkeypatch.setattr(loop.time, "monotonic", clock)
    seen, rates, said = [], [], []
    model = Learner(Encoder(SMALL), 1)
    gold = teacher_loss(Teacher(learning_rate=1e-3, epochs={}), 103)

    def loss(learner, batch):
        seen.append(batch.docs)
        return gold(learner, batch)

    factor = Schedule.factor
    monkeypatch.setattr(Schedule, "factor", lambda self, step, steps: rates.append(factor(self, step, steps)) or rates[-1])
    fit(model, data, runs, loss, Schedule(1e-3, limit_s=12.0), tmp_path / "c.pt", 1, said.append)
    assert now[0] - 100 <= 16
    assert 8 <= len(seen) <= 12 < len(runs)
    assert rates[-1] < 0.15
    assert "the clock overtook" in said[-1]
    # What was read is spread over the whole run.
    at = [next(i for i, run in enumerate(runs) if run is docs) for docs in seen]
    assert max(np.diff(at)) <= 2 * len(runs) / len(at)
    assert torch.load(tmp_path / "c.pt", weights_only=True)["step"] == len(runs)


@given(st.integers(1, 300), st.floats(0.5, 100), st.data())
@settings(max_examples=50)
def test_the_clock_leaves_out_batches_and_never_goes_back(steps, limit, data):
    schedule = Schedule(1e-3, limit_s=limit)
    start = data.draw(st.integers(0, steps - 1))
    step, seconds = start, 0.0
    while step < steps:
        seconds += data.draw(st.floats(0, limit / 5))
        after = schedule.after(step, steps, start, seconds)
        assert step < after <= steps
        assert after == steps or seconds < limit
        step = after
    assert Schedule(1e-3).after(start, steps, 0, 1e9) == start + 1


class Told:
    """Answers that are the same for the same texts, and how often they were asked for."""

    hidden_size = 7

    def __init__(self) -> None:
        self.asked = 0

    def of(self, batch):
        self.asked += 1
        generator = torch.Generator().manual_seed(int(batch.docs.sum()))
        n = int(batch.units.sum())
        tokens = torch.randn(n, NUM_TOKEN_OUTPUTS, generator=generator)
        return Asked(tokens, torch.randn(n, 7, generator=generator), torch.randn(len(batch.docs), 3, generator=generator))


def test_students_side_by_side_learn_what_each_learns_alone(data_dir, tokenizer, tmp_path):
    data, runs = few(tokenizer, data_dir)
    runs = runs[:10]
    settings = Distil(learning_rate=1e-3, epochs={}, hidden=0.5)
    shapes = (SMALL, replace(SMALL, layers=(LayerShape(1, 64),) * 2))

    def learners():
        torch.manual_seed(5)
        return [Learner(Encoder(shape), 7) for shape in shapes]

    told = Told()
    loss = together_loss(distil_loss(Once(told), settings, 103))
    both = Together(learners())
    fit(both, data, runs, loss, Schedule(1e-3), tmp_path / "b.pt", 1, [].append)
    assert told.asked == len(runs)
    for number, learner in enumerate(learners()):
        fit(learner, data, runs, distil_loss(Told(), settings, 103), Schedule(1e-3), tmp_path / f"{number}.pt", 1, [].append)
        for name, value in learner.state_dict().items():
            torch.testing.assert_close(both.learners[number].state_dict()[name], value, atol=1e-5, rtol=1e-4, msg=name)
    batch = gather(data, runs[0])
    assert Once(told).of(batch).sentiment.shape == (len(runs[0]), 3)


def test_texts_that_were_kept_need_no_corpora(data_dir, tokenizer, tmp_path):
    shelf = Shelf(tmp_path / "texts", TOKENIZER)
    label = Label(gold={"conll2003": 0, "sst2": 7}, unlabelled={"reddit": 5}, whole={"reddit": 6}, phrases={"sst2": 4})

    def pool(where, on):
        return build_distillation_data(label, "en", where, tokenizer, 3, lambda: pytest.fail("no words are exchanged"), 30, on)

    bare, first, again = pool(data_dir, None), pool(data_dir, shelf), pool(tmp_path / "absent", shelf)
    assert again.names == ("conll2003", "sst2", "reddit", "sst2-phrases", "reddit-whole")
    for one in (first, again):
        np.testing.assert_array_equal(one.corpus, bare.corpus)
        for name in ("ids", "cases", "tags", "upos", "joins", "units", "sentiment", "offsets"):
            np.testing.assert_array_equal(getattr(one.examples, name), getattr(bare.examples, name))
    mixed, _, _ = load_mixture({"conll2003": 1.0}, tmp_path / "absent", tokenizer, 1.0, most=30, shelf=shelf)
    np.testing.assert_array_equal(mixed.ids, bare.examples.take(np.flatnonzero(bare.corpus == 0)).ids)
    with pytest.raises(DataMissingError):
        load_mixture({"conll2003": 1.0}, tmp_path / "absent", tokenizer, 1.0, most=31, shelf=shelf)


def test_what_is_measured_on_is_not_labelled(data_dir, tokenizer, tmp_path):
    """The real posts were drawn from the corpora without labels."""
    (tmp_path / "corpora/tweets").mkdir(parents=True)
    texts = ["Lovely day in Oslo", "Another day in Lyon", " I hate Halvex. "]
    (tmp_path / "corpora/tweets/a.jsonl").write_text("")
    import gzip

    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    (tmp_path / "corpora/tweets/a.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "real").mkdir()
    (tmp_path / "real/en.jsonl").write_bytes((data_dir / "real/en.jsonl").read_bytes())
    pool = build_distillation_data(Label(gold={}, whole={"tweets": 0}), "en", tmp_path, tokenizer, 3, dict, 30)
    expected = encode([LabelledText(texts[1])], tokenizer)
    np.testing.assert_array_equal(pool.examples.ids, expected.ids)


def test_a_student_beside_another_has_its_settings(tmp_path):
    text = (
        'lang = "en"\n[teacher]\nlearning_rate = 1e-3\nepochs = { sst2 = 1.0 }\n[label]\ngold = { sst2 = 0 }\n'
        '[students.a]\nstart = "zoo:en"\n[students.a.distil]\nlearning_rate = 2e-3\nminutes = 0.5\nepochs = { sst2 = 1.0 }\n'
        '[students.b]\nstart = "zoo:en-fast"\nbeside = "a"\n'
    )
    path = tmp_path / "r.toml"
    path.write_text(text)
    recipe = load_recipe(path)
    assert recipe.students["b"].distil == recipe.students["a"].distil
    assert recipe.students["a"].distil.schedule().limit_s == 30
    for wrong in ('beside = "b"', 'beside = "c"'):
        path.write_text(text.replace('beside = "a"', wrong))
        with pytest.raises(RecipeError, match=r"students\.b\.beside"):
            load_recipe(path)
    path.write_text(text + "[students.b.distil]\nlearning_rate = 9e-3\nepochs = { sst2 = 1.0 }\n")
    with pytest.raises(RecipeError, match="beside or"):
        load_recipe(path)


def test_steps_from_tag_to_tag_can_be_left_out():
    whole = with_transitions(Encoder(SMALL)).eval()
    bare = without_transitions(whole)
    assert not bare.config.transitions
    ids = torch.randint(1000, 2000, (2, 5))
    torch.testing.assert_close(bare(ids, ids * 0), whole(ids, ids * 0))


def test_the_recipe_for_a_gpu_is_whole():
    recipe = load_recipe(ROOT / "conf/compress/en-gpu.toml")
    named = {f"{name}-whole" for name in recipe.label.whole} | {*recipe.label.gold, *recipe.label.unlabelled}
    assert set(recipe.students["en"].distil.epochs) == named
    assert set(recipe.teacher.epochs) == set(recipe.label.gold)
    assert recipe.students["en-fast"].beside == "en"
    assert not {"conll2020"} & {*recipe.teacher.epochs, *named}


def test_biases_make_what_is_called_negative_mostly_negative():
    """Posts of which the model calls too many negative: the biases take that back, also on posts that they were not chosen on."""
    rng = np.random.default_rng(4)
    gold = rng.choice(3, size=600, p=(0.15, 0.6, 0.25))
    logits = rng.normal(size=(600, 3)) + 2.2 * np.eye(3)[gold] + (0.9, 0.0, -0.4)
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    before, found = scores.argmax(axis=1), fit_decision(scores, gold, 0)
    assert found["bias"][1] == 0
    assert found["bias"][0] < -0.3
    assert found["bias"][2] > found["bias"][0]
    assert found["across"]["negative_precision"] > 100 * np.mean(gold[before == 0] == 0) + 10
    assert found["across"]["macro_f1"] > 100 * macro_f1(gold, before)
    assert np.allclose(biased(scores, np.zeros(3)), scores)
    after = biased(scores, np.array(found["bias"]))
    assert np.allclose(after.sum(axis=1), 1)
    assert (after.argmax(axis=1) == (np.log(scores) + found["bias"]).argmax(axis=1)).all()
    assert fit_decision(scores, gold, 0) == found
