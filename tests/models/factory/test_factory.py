"""The factory from teacher to card, on corpora of our own and encoders small enough for a test."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import models
from models.bench import MINILM_L6
from models.errors import DataMissingError, FactoryError, GateFailedError, ModelMissingError, RecipeError
from models.factory import augment, examples, pretrained, prune, steps, teacher_logits
from models.factory.corpora import read
from models.factory.corpus_readers import LabelledText, to_bio
from models.factory.distill import Learner, distil_loss, teacher_loss
from models.factory.evaluate import evaluate, figures_of, project
from models.factory.examples import draw, encode, gather
from models.factory.latency import Costs, measure_costs
from models.factory.logit_bias import neutral_bias
from models.factory.loop import Schedule, fit
from models.factory.mixture import load_mixture
from models.factory.recipe import Distil, Teacher, load_recipe
from models.factory.run_context import RunContext
from models.factory.runner import names, run
from models.factory.teacher_logits import LiveTeacher
from models.factory.training import blended
from models.runtime.config import EncoderConfig, LayerShape
from models.runtime.encoder import Encoder, dropped
from models.runtime.package import ZOO, installed, open_package
from models.runtime.tokenizer import PieceTokenizer
from tests.support.small_data import write_corpora

pytestmark = pytest.mark.alone
SMALL = EncoderConfig(vocab=30522, hidden=32, layers=(LayerShape(2, 128),) * 2, head_dim=16)
TOKENIZER = (ZOO / "en" / "tokenizer.json").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return write_corpora(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def shop(tmp_path_factory, data_dir):
    """A finished run of tests/models/factory/small.toml; the encoders that packages bring are replaced by small random ones."""
    with pytest.MonkeyPatch.context() as patch:
        teacher = replace(SMALL, hidden=48, layers=(LayerShape(3, 128),) * 3, relative_buckets=32)
        patch.setattr(pretrained, "mpnet", lambda cache, tokenizer: Encoder(teacher))
        patch.setattr(pretrained, "minilm", lambda cache: Encoder(SMALL))
        patch.setattr(pretrained, "tokenizer_json", lambda cache: TOKENIZER)
        # Layers so small cost nothing that could be measured.
        patch.setattr(steps, "measure_costs", lambda config: Costs(1.0, 0.0, 0.01, 0.01))
        root = tmp_path_factory.mktemp("factory")
        recipe = load_recipe(Path(__file__).parent / "small.toml")
        shop = RunContext(recipe, data_dir, root / "work", root / "cache", root / "zoo", say=[].append)
        run(shop)
        yield shop


@pytest.mark.timeout(400)
def test_the_whole_path(shop, data_dir):
    assert all(shop.done(step) for step in names(shop.recipe))
    metrics = json.loads((shop.zoo / "small" / "metrics.json").read_text())
    assert set(metrics["stages"]) == {"teacher", "small.distil", "small.prune", "small.quantize"}
    assert metrics["layers"] == [[1, 64], [1, 64]]
    whole = metrics["sparsity"][-1]
    assert whole["sparsity"] == pytest.approx(1 - whole["after"] / whole["before"])
    # What the card says is what the shipped folder gives.
    assert evaluate(models.load(shop.zoo / "small"), data_dir) == metrics["figures"]
    card = (shop.zoo / "small" / "card.md").read_text()
    assert all(f"| {name} |" in card for name in ("lstm", "shape", "zeros"))
    assert (shop.zoo / "small" / "front.png").stat().st_size > 1000


def test_a_shipped_model_is_taught_on(shop, data_dir, tmp_path):
    zoo = Path(shutil.copytree(shop.zoo, tmp_path / "zoo"))
    recipe = load_recipe(Path(__file__).parent / "small_sentiment.toml")
    said = []
    again = RunContext(recipe, data_dir, tmp_path / "work", shop.cache, zoo, said.append)
    run(again)
    before, after = (json.loads((root / "small" / "metrics.json").read_text()) for root in (shop.zoo, zoo))
    assert list(after["stages"]) == ["first teacher", "small before", "sentiment teacher", "small.distil", "small.quantize"]
    assert after["stages"]["first teacher"] == before["stages"]["teacher"]
    assert set(after["stages"]["sentiment teacher"]["figures"]) == {"sst2_accuracy", "semeval2017_recall", "semeval2017_accuracy"}
    assert (after["layers"], after["sparsity"]) == (before["layers"], before["sparsity"])
    assert after["digest"] != before["digest"]
    assert set(before["data"]) <= set(after["data"])
    # The shipped model has been replaced, but this work began with the one before: nothing is to be done again.
    said.clear()
    run(RunContext(recipe, data_dir, again.work, shop.cache, zoo, said.append))
    assert [line for line in said if not line.endswith("done before")] == []

    # The teacher speaks on sentiment, of the corpora that it was taught; the shipped model on all else.
    old = again._ask(again.shipped("small"), "k", again.pool.examples, "old")
    new = again._ask(again.restore("teacher"), "k", again.pool.examples, "new")
    mine = np.isin(again.pool.corpus, [i for i, name in enumerate(again.pool.names) if name != "conll2003"])
    assert 0 < mine.sum() < len(mine)
    np.testing.assert_array_equal(again.answers.tokens, old.tokens)
    np.testing.assert_allclose(again.answers.sentiment[mine], new.sentiment[mine], atol=1e-4)
    np.testing.assert_array_equal(again.answers.sentiment[~mine], old.sentiment[~mine])
    with pytest.raises(ModelMissingError, match="nobody"):
        run(replace(again, recipe=recipe.model_copy(update={"label": recipe.label.model_copy(update={"others": "nobody"})})))


def test_gold_alone_teaches_a_shipped_model_on(shop, data_dir, tmp_path):
    zoo = Path(shutil.copytree(shop.zoo, tmp_path / "zoo"))
    path = tmp_path / "gold.toml"
    path.write_text(
        'lang = "en"\n[teacher]\nlearning_rate = 1e-3\nepochs = {}\n[label]\ngold = { conll2003 = 40, sst2 = 0 }\n'
        '[students.small]\nstart = "zoo:small"\nquantize = { texts = 32 }\n[students.small.distil]\nlearning_rate = 1e-3\n'
        "alpha = 0.0\nhidden = 0.0\nbudget_tokens = 512\npath = 1.0\nblend = 0.25\nepochs = { conll2003 = 1.0, sst2 = 1.0 }\n"
    )
    again = RunContext(load_recipe(path), data_dir, tmp_path / "work", shop.cache, zoo, [].append)
    assert names(again.recipe) == ["small.distil", "small.quantize", "small.export"]
    run(again)
    before, after = (json.loads((root / "small" / "metrics.json").read_text()) for root in (shop.zoo, zoo))
    assert after["digest"] != before["digest"]
    assert list(after["stages"]) == ["first teacher", "small before", "small.distil", "small.quantize"]
    assert (zoo / "small" / "tokenizer.json").read_bytes() == (shop.zoo / "small" / "tokenizer.json").read_bytes()
    # A quarter of the way from what was there before.
    old, new = (again.shipped("small").state_dict(), again.restore("small.distil").state_dict())
    moved = {name: (value - old[name]).abs().max().item() for name, value in new.items() if name in old}
    assert max(moved.values()) > 0
    trained = {name: old[name] + 4 * (new[name] - old[name]) for name in moved}
    for name, value in blended(old, trained, 0.25).items():
        torch.testing.assert_close(value, new[name])
    # The model has learned which tags follow each other, and entities are read off by that.
    steps = models.load(zoo / "small").transitions
    assert (steps.dtype, steps.shape) == (np.float32, (10, 9))
    assert np.abs(steps).max() > 0
    assert models.load(shop.zoo / "small").transitions is None
    assert evaluate(models.load(zoo / "small"), data_dir) == after["figures"]


def test_a_shipped_model_is_the_teacher_of_a_smaller_one(shop, data_dir, tmp_path, monkeypatch):
    """No other teacher is trained, and texts are as long as the window allows."""
    monkeypatch.setattr(steps, "measure_costs", lambda config: Costs(1.0, 0.0, 0.01, 0.01))
    zoo = Path(shutil.copytree(shop.zoo, tmp_path / "zoo"))
    path = tmp_path / "thin.toml"
    fit = "learning_rate = 1e-3\nbudget_tokens = 512\nhidden = 0.5\nepochs = { conll2003 = 0.5, sst2 = 0.5 }\n"
    path.write_text(
        'lang = "en"\n[teacher]\nlearning_rate = 1e-3\nepochs = {}\n[label]\nothers = "small"\n'
        'gold = { conll2003 = 40, sst2 = 0 }\n[students.thin]\nstart = "zoo:small"\nwindow = 16\nquantize = { texts = 32 }\n'
        f"[students.thin.distil]\n{fit}[students.thin.prune]\n{fit}shape = [1, 64]\nrounds = 1\n"
    )
    said = []
    thin = RunContext(load_recipe(path), data_dir, tmp_path / "work", shop.cache, zoo, said.append)
    assert names(thin.recipe) == ["label", "thin.distil", "thin.prune", "thin.quantize", "thin.export"]
    run(thin)
    assert thin.pool.examples.lengths.max() == 16
    assert shop.pool.examples.lengths.max() > 16
    answers = thin._ask(thin.shipped("small"), "k", thin.pool.examples, "small")
    np.testing.assert_array_equal(thin.answers.tokens, answers.tokens)
    np.testing.assert_array_equal(thin.answers.sentiment, answers.sentiment)
    metrics = json.loads((zoo / "thin" / "metrics.json").read_text())
    assert list(metrics["stages"]) == ["first teacher", "small before", "thin.distil", "thin.prune", "thin.quantize"]
    assert models.load(zoo / "thin").window == 16


def test_words_are_exchanged_for_near_ones():
    pieces = ["[CLS]", "good", "fine", "bad", "poor", "##ly", "Oslo"]
    vectors = np.array([[9.0, 9.0], [1.0, 0.1], [1.0, 0.0], [-1.0, 0.1], [-1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    near = augment.Neighbours(vectors, pieces)
    assert ("good" in near, "Oslo" in near, "##ly" in near) == (True, False, False)
    assert set(near.of("good")) == {"fine", "bad", "poor"}
    records = [LabelledText("a good day in Oslo but a bad night in Rome"), LabelledText("no such word ; not one here at all")]
    made = augment.exchanged(records, 40, np.random.default_rng(0), near)
    assert made
    for text in (record.text for record in made):
        assert set(text.split()) - set(records[0].text.split()) <= {"fine", "poor"}
        assert text not in records[0].text


def test_l1_is_reported_honestly(shop):
    report = shop.done("zeros.prune")["sparsity"]
    assert report[-2]["part"] == "all layers"
    assert 0.4 < report[-2]["sparsity"] < 0.5  # half of the matrices; biases and norms stay
    assert shop.restore("zeros.prune").config.layers == SMALL.layers


def test_done_steps_are_skipped_and_gates_still_hold(shop):
    said = []
    again = RunContext(shop.recipe, shop.data_dir, shop.work, shop.cache, shop.zoo, said.append)
    run(again)
    assert [line for line in said if not line.endswith("done before")] == []
    student = shop.recipe.students["small"].model_copy(update={"gate": {"conll2003_f1": 100.1}})
    strict = shop.recipe.model_copy(update={"students": {**shop.recipe.students, "small": student}})
    for _ in range(2):
        with pytest.raises(GateFailedError, match=r"small.quantize.*conll2003_f1.*100.1"):
            run(RunContext(strict, shop.data_dir, shop.work, shop.cache, shop.zoo, said.append))
    with pytest.raises(FactoryError, match="the steps are teacher, label"):
        run(again, only="absent")


def test_phrases_are_parts_of_their_sentences(shop):
    pool = shop.pool
    assert pool.names[-1] == "sst2-phrases"
    assert pool.origins[-1] == "sst2"
    assert (pool.corpus == len(pool.names) - 1).sum() == 30
    with pytest.raises(RecipeError, match="not among the labelled texts"):
        pool.repeats({"absent": 1.0}, 1.0)


def test_labels_go_on_after_a_kill(shop, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def killer(line: str) -> None:
        if "batch 2/" in line:
            raise Killed

    monkeypatch.setattr(teacher_logits, "SAVE_EVERY", 1)
    teacher = shop.restore("teacher")
    with pytest.raises(Killed):
        teacher_logits.compute_logits(teacher, shop.pool.examples, tmp_path, "k", killer)
    said = []
    resumed = teacher_logits.compute_logits(teacher, shop.pool.examples, tmp_path, "k", said.append)
    assert said[0].startswith("labelled batch 3/")
    np.testing.assert_array_equal(resumed.tokens, shop.answers.tokens)
    np.testing.assert_array_equal(resumed.sentiment, shop.answers.sentiment)


def test_a_teacher_asked_on_the_way_says_what_was_kept(shop):
    """Both on the CPU, in bf16 where it has it; the pieces that are hidden are hidden from the student alone."""
    live = teacher_logits.LiveTeacher(shop.restore("teacher"), None, torch.device("cpu"))
    assert live.hidden_size == shop.answers.hidden_size == 48
    batch = gather(shop.pool.examples, np.array([5, 0, 9, 3]), 4)
    kept, asked = shop.answers.of(batch), live.of(batch)
    assert len(kept.tokens) == int(batch.units.sum())
    for name in ("tokens", "hidden", "sentiment"):
        a, b = getattr(kept, name), getattr(asked, name)
        assert a.dtype == b.dtype == torch.float32
        torch.testing.assert_close(a, b, atol=0.06, rtol=0.03, msg=name)
    shown = []

    class Watched(LiveTeacher):
        def of(self, batch):
            shown.append(batch.ids.clone())
            return super().of(batch)

    student = shop.restore("teacher")
    settings = Distil(learning_rate=1e-3, epochs={}, hidden_pieces=0.5)
    torch.manual_seed(0)
    seen = []
    student.encode = lambda ids, cases, mask: (seen.append(ids), type(student).encode(student, ids, cases, mask))[1]
    loss = distil_loss(Watched(shop.restore("teacher"), None, torch.device("cpu")), settings, 103)
    assert loss(Learner(student, 48), batch).isfinite()
    assert (shown[0] == batch.ids).all()
    assert 0.2 < (seen[0] == 103)[batch.mask].float().mean() < 0.7


def test_a_text_is_encoded_alike_in_every_stretch(data_dir, monkeypatch):
    records = read("conll2003", data_dir)
    whole = encode(records, PieceTokenizer(TOKENIZER))
    monkeypatch.setattr(examples, "STRETCH", 3)
    parts = encode(records, PieceTokenizer(TOKENIZER))
    for name in ("ids", "cases", "tags", "upos", "joins", "units", "sentiment", "offsets"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    assert len(encode([], PieceTokenizer(TOKENIZER))) == 0


def test_training_goes_on_after_a_kill_as_if_there_was_none(data_dir, tmp_path):
    class Killed(BaseException):
        pass

    def killer(step: int, steps: int) -> None:
        if step == 5:
            raise Killed

    data, repeats, _ = load_mixture({"conll2003": 1.0, "sst2": 1.0}, data_dir, PieceTokenizer(TOKENIZER), 1.0)
    runs = draw(data, repeats, 256, seed=1)
    schedule = Schedule(1e-3, checkpoint_s=0.0)
    loss = teacher_loss(Teacher(learning_rate=1e-3, epochs={}, hidden_pieces=0.1), 103)

    def train(path: Path, each_step=None) -> Encoder:
        torch.manual_seed(0)
        model = Encoder(replace(SMALL, vocab=30522))
        model.dropout = 0.1
        fit(Learner(model, 1), data, runs, loss, schedule, path, 1, lambda line: None, each_step)
        return model

    whole = train(tmp_path / "a.pt")
    with pytest.raises(Killed):
        train(tmp_path / "b.pt", killer)
    resumed = train(tmp_path / "b.pt")
    assert len(runs) > 8
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, rtol=0, atol=0, msg=name)


def test_draws_are_spread_and_what_counts_for_more_comes_last(data_dir):
    data, _, _ = load_mixture({"conll2003": 1.0, "sst2": 1.0}, data_dir, PieceTokenizer(TOKENIZER), 1.0)
    often = np.arange(len(data)) % 2 == 1
    drawn = draw(data, np.where(often, 6.5, 1.0), 256, seed=1)
    counts = np.bincount(np.concatenate(drawn), minlength=len(data))
    assert (counts[~often] == 1).all()
    assert set(counts[often]) == {6, 7}
    half = np.concatenate(drawn[len(drawn) * 2 // 3 :])
    assert often[half].all()
    first = np.bincount(np.concatenate(drawn[: len(drawn) // 2]), minlength=len(data))
    assert 2 <= first[often].mean() <= 3.5


def test_dropout_keeps_the_mean():
    torch.manual_seed(0)
    ones = torch.ones(300, 70)
    for rows in (False, True):
        out = dropped(ones, 0.25, True, rows)
        assert out.unique().tolist() == pytest.approx([0, 4 / 3])
        assert abs(out.mean().item() - 1) < 0.1
        assert (out.std(dim=1) == 0).all() == rows
    assert dropped(ones, 0.25, False) is ones


def test_shrinking_removes_what_is_useless():
    torch.manual_seed(0)
    encoder = Encoder(SMALL).eval()
    with torch.no_grad():
        encoder.layers[0].out.weight[:, 16:] = 0.0
        encoder.layers[0].down.weight[:, ::2] = 0.0
    everything = prune.Keep(np.arange(2), np.arange(128))
    small = prune.shrink(encoder, [prune.Keep(np.array([0]), np.arange(1, 128, 2)), everything]).eval()
    ids = torch.randint(0, 1000, (3, 9))
    for a, b in zip(encoder(ids, ids * 0), small(ids, ids * 0), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_neutral_is_balanced():
    rng = np.random.default_rng(0)
    gold = np.repeat([0, 1, 2], [50, 300, 100])
    logits = rng.normal(size=(450, 3)) + 3.0 * np.eye(3)[gold] - [0.0, 2.5, 0.0]

    def recall(scores):
        return np.mean([np.mean(scores.argmax(1)[gold == label] == label) for label in range(3)])

    bias = neutral_bias(logits, gold)
    assert 1.5 < bias < 3.0
    assert recall(logits + np.array([0.0, bias, 0.0])) > recall(logits) + 0.1
    assert neutral_bias(np.eye(3)[gold] * 9, gold) == 0.0


def test_costs_of_real_layers():
    costs = measure_costs(replace(MINILM_L6, layers=MINILM_L6.layers[:2]), threads=1)
    assert costs.head_s > 0
    assert costs.block_s > 0
    whole, half = costs.speed(MINILM_L6.layers[:2]), costs.speed((LayerShape(6, 768),) * 2)
    assert 1.1 < half / whole < 4


def test_a_resumed_pruning_chooses_the_same_shapes(shop, tmp_path, monkeypatch):
    """Costs are measured once: other timings after a kill must not change what is removed."""
    monkeypatch.setattr(steps, "measure_costs", lambda config: Costs(1.0, 0.01, 0.02, 0.03))
    first = steps._costs(shop, "small.prune", "k")
    monkeypatch.setattr(steps, "measure_costs", lambda config: Costs(9.0, 0.09, 0.09, 0.09))
    assert steps._costs(shop, "small.prune", "k") == first


def test_quantization_aware_training_runs_where_a_gate_is_missed(shop, tmp_path):
    work = Path(shutil.copytree(shop.work, tmp_path / "work"))
    student = shop.recipe.students["small"].model_copy(update={"gate": {"conll2003_f1": 100.1}})
    recipe = shop.recipe.model_copy(update={"students": {**shop.recipe.students, "small": student}})
    said = []
    with pytest.raises(GateFailedError):
        run(RunContext(recipe, shop.data_dir, work, shop.cache, tmp_path / "zoo", said.append), only="small.quantize")
    assert any("trained on with the rounding" in line for line in said)


def test_bio_and_projection(data_dir):
    assert to_bio(["I-PER", "I-PER", "B-PER", "O", "I-LOC"]) == ("B-PER", "I-PER", "B-PER", "O", "B-LOC")
    record = read("conll2003", data_dir)[0]
    spans = [{"start": a, "end": b, "label": "LOC"} for a, b in record.words[:1]]
    assert project(record, spans, True)[0] == "B-LOC"
    spans[0]["end"] -= 1
    assert project(record, spans, True)[0] == "B-CUT"
    with pytest.raises(DataMissingError, match="--data-dir"):
        read("conll2003", data_dir / "absent")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('start = "minilm"', 'start = "nobody"'), "students.small.start: 'nobody' is neither"),
        (("l1 = 0.5", "l1 = 0.5\nspeed = 2.0"), "exactly one of speed, shape and l1"),
        (("seed = 3", "sed = 3"), "sed: Extra inputs"),
        (("seed = 3", "seed = "), "not TOML"),
    ],
)
def test_wrong_recipes_are_refused(tmp_path, change, message):
    text = (Path(__file__).parent / "small.toml").read_text().replace(*change, 1)
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(RecipeError, match=message):
        load_recipe(tmp_path / "r.toml")


@pytest.mark.parametrize("name", installed())
def test_a_shipped_card_has_every_figure_that_is_measured(name):
    """Whether they are still true, `test_the_card_is_true` measures where the corpora are."""
    metrics = json.loads((ZOO / name / "metrics.json").read_text())
    figures = metrics["stages"][f"{name}.quantize"]["figures"]
    assert metrics["digest"] == open_package(name).digest
    assert metrics["figures"] == figures
    assert [figure.key for figure in figures_of(metrics["lang"])] == [*figures]
    lines = (ZOO / name / "card.md").read_text(encoding="utf-8").splitlines()
    for figure in figures_of(metrics["lang"]):
        (row,) = (line for line in lines if line.startswith(f"| {figure.title} |"))
        assert f" {figures[figure.key]:.2f} |" in row
