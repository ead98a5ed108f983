"""Readers are made: taught on questions, rounded, calibrated, measured. With encoders small enough for a test."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.errors import DataMissingError, GateFailedError, ModelMissingError, RecipeError
from models.factory import pretrained, reader_student
from models.factory.distill import Learner
from models.factory.examples import gather
from models.factory.probabilities import fit_calibration
from models.factory.reader_corpora import DEV, TRAIN, Question, QuestionCorpus, dev_questions, training_questions, unanswerable
from models.factory.reader_evaluate import judged, reader_figures
from models.factory.reader_examples import BEGIN, END, encode_questions
from models.factory.reader_learning import learned, read_mixture
from models.factory.reader_metrics import answers_score, exact, f1, precision_at
from models.factory.reader_recipe import ReaderDistil
from models.factory.reader_start import fresh_reader
from models.factory.reader_student import answer_distil_loss
from models.factory.reader_training import ReaderRun
from models.factory.task_recipe import load_task_recipe
from models.factory.teacher_logits import LiveTeacher
from models.runtime.encoder import Encoder
from models.runtime.reader import load_reader
from models.runtime.tokenizer import PieceTokenizer
from tests.support import ROOT
from tests.support.small_reader import SMALL, TOKENIZER, write_questions

SMALLER = """
[distil]
learning_rate = 3e-3
epochs = 1
head_rate = 1.0
budget_tokens = 1024
layers = [0, 1]
hidden = 1.0
[prune]
learning_rate = 3e-3
epochs = 2
head_rate = 1.0
budget_tokens = 1024
shape = [1, 64]
"""
RECIPE = """
task = "reader"
name = "small"
summary = "a reader for a test"
lang = "en"
window = 64
calibration_windows = 32
[train]
learning_rate = 3e-3
epochs = {epochs}
head_rate = 1.0
budget_tokens = 1024
"""


def test_f1_and_exact_match_are_those_of_squad_and_cmrc():
    assert exact("The Eiffel Tower!", "eiffel tower", "en")
    assert f1("the big red dog", "a red dog", "en") == pytest.approx(2 * 2 / (3 + 2))
    assert f1("", "", "en") == 1.0
    assert f1("cat", "", "en") == 0.0
    assert exact("\u5317\u4eac\u3002", "\u5317\u4eac", "zh")
    assert f1("\u5728\u5317\u4eac\u5e02", "\u5317\u4eac", "zh") == pytest.approx(2 * 2 / (4 + 2))
    assert answers_score(["Oslo", "x"], [["oslo", "Lyon"], ["y"]], "en") == (50.0, 50.0)
    assert answers_score([], [], "en") == (0.0, 0.0)


def test_precision_of_the_surest():
    scores = np.array([0.9] * 10 + [0.1] * 10)
    right = np.array([True] * 9 + [False] + [True] + [False] * 9)
    assert precision_at(scores, right, 0.5) == 0.9


def test_logistic_regression_finds_the_weights_that_made_the_data():
    rng = np.random.default_rng(0)
    margins = rng.normal(size=(20_000, 2)) * 3
    p = 1 / (1 + np.exp(-(margins @ [0.8, -0.3] + 0.5)))
    right = rng.random(20_000) < p
    found = fit_calibration(margins, right)
    assert np.allclose(found, (0.8, -0.3, 0.5), atol=0.06)


def test_the_ends_of_an_answer_are_marked_and_none_is_at_the_beginning():
    tokenizer = PieceTokenizer(TOKENIZER)
    context = "Nothing here. " * 30 + "Mia Novak lives in Quito."
    start = context.index("Mia Novak")
    asked = [
        Question("a", "Who lives in Quito?", context, ((start, start + 9),)),
        Question("b", "Who?", "Nothing.", ()),
        Question("c", "Half a word?", "unbelievable", ((2, 5),)),
    ]
    examples, of = encode_questions(asked, tokenizer, 64)
    assert {0, 1, 2} == set(of)
    for i, (number, holds) in enumerate(zip(of, examples.sentiment, strict=True)):
        tags = examples.tags[examples.offsets[i] : examples.offsets[i + 1]]
        ids = examples.ids[examples.offsets[i] : examples.offsets[i + 1]]
        assert ((tags & BEGIN) > 0).sum() == ((tags & END) > 0).sum() == 1
        if holds:
            shown = ids[np.argmax(tags & BEGIN) : np.argmax((tags & END) > 0) + 1]
            wanted = {0: "Mia Novak", 2: "unbelievable"}[number]
            assert shown.tolist() == tokenizer.encode([wanted]).ids.tolist()[: len(shown)]
        else:
            assert tags[0] == BEGIN | END
    assert examples.sentiment[np.array(of) == 0].sum() >= 1


def test_a_question_of_a_neighbouring_passage_has_no_answer_there():
    asked = [
        Question(str(i), "Who?", f"Passage {i} of person {i}.", ((len(f"Passage {i} of "), len(f"Passage {i} of person {i}")),))
        for i in range(10)
    ]
    found = unanswerable(asked, 2)
    assert len(found) == 5
    assert all(not one.answers and "person " + one.id[0] not in one.context for one in found)


def test_corpora_that_are_missing_or_broken_are_named(tmp_path):
    with pytest.raises(DataMissingError, match=r"squad11_part.*--data-dir"):
        training_questions(tmp_path, "en")
    write_questions(tmp_path, ["squad11_part"])
    (tmp_path / "qa" / "en" / "squad11_part.jsonl.gz").write_bytes(b"x")
    with pytest.raises(DataMissingError, match="not a corpus of questions"):
        training_questions(tmp_path, "en")


def test_shipped_recipes_are_read(tmp_path):
    assert load_task_recipe(ROOT / "conf/compress/qa-en.toml").name == "qa-en"
    assert load_task_recipe(ROOT / "conf/compress/qa-zh.toml").further.repeats["cmrc2018_train"] > 0
    for gpu in ("qa-en-gpu", "qa-zh-gpu", "qa-en-fast"):
        assert load_task_recipe(ROOT / f"conf/compress/{gpu}.toml").name in gpu
    assert load_task_recipe(ROOT / "conf/compress/en.toml") is None
    (tmp_path / "r.toml").write_text(RECIPE.format(epochs=-1))
    with pytest.raises(RecipeError, match=r"train\.epochs"):
        load_task_recipe(tmp_path / "r.toml")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of a small recipe, and what it said."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrained, "minilm", lambda cache: Encoder(SMALL))
        patch.setattr(pretrained, "tokenizer_json", lambda cache: TOKENIZER)
        root = tmp_path_factory.mktemp("reader")
        write_questions(root, [corpus.name for corpus in TRAIN["en"]] + ["tydi_goldp_en_dev"])
        (root / "r.toml").write_text(RECIPE.format(epochs=6))
        said = []
        run = ReaderRun(load_task_recipe(root / "r.toml"), root, root / "work", root / "cache", root / "zoo", said.append)
        yield run, run.make(), said


@pytest.mark.timeout(300)
def test_a_smaller_reader_learns_from_the_taught_one_and_goes_on_where_it_was_killed(made, monkeypatch, tmp_path):
    run, whole, said = made
    monkeypatch.setattr(pretrained, "minilm", lambda cache: Encoder(SMALL))
    monkeypatch.setattr(pretrained, "tokenizer_json", lambda cache: TOKENIZER)
    (tmp_path / "r.toml").write_text(RECIPE.format(epochs=6) + SMALLER)
    smaller = replace(run, recipe=load_task_recipe(tmp_path / "r.toml"), zoo=tmp_path / "zoo")
    rounds = []

    def killed(encoder, *rest):
        if len(rounds) == 2:
            raise KeyboardInterrupt
        rounds.append(encoder)
        return learned(encoder, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(reader_student, "learned", killed)
        with pytest.raises(KeyboardInterrupt):
            smaller.make()
    kept = {path: path.read_bytes() for path in run.work.glob("*-kept.json")}
    assert len(kept) == 2  # the second round's shape is chosen, and nothing of it learnt
    said.clear()
    metrics = smaller.make()
    assert {path: path.read_bytes() for path in kept} == kept
    assert sum(" batches of " in line for line in said) == 1, said
    assert metrics["layers"] == [[1, 64]] * 2
    assert [stage["name"] for stage in metrics["stages"]] == ["taught", "distilled", "pruned, round 1", "pruned, round 2"]
    assert metrics["stages"][0]["figures"] == whole["figures"]
    assert metrics["figures"]["tydi_f1"] > 50, metrics["figures"]
    assert metrics["sparsity"][-2]["sparsity"] > 0.2
    card = (smaller.zoo / "small" / "card.md").read_text()
    assert "| pruned, round 2 |" in card
    assert "sparsity coefficient" in card
    assert (smaller.zoo / "small" / "front.png").stat().st_size > 1000
    assert load_reader(smaller.zoo / "small", threads=1).calibration == tuple(metrics["calibration"])


def test_a_taught_reader_learns_on_from_another_mixture(made, monkeypatch, tmp_path):
    run, whole, said = made
    monkeypatch.setattr(pretrained, "minilm", lambda cache: Encoder(SMALL))
    monkeypatch.setattr(pretrained, "tokenizer_json", lambda cache: TOKENIZER)
    further = "[further]\nlearning_rate = 1e-3\nbudget_tokens = 1024\nepochs = 2\nrepeats = {{ squad11_part = 1.0, {} = 0 }}\n"
    (tmp_path / "r.toml").write_text(RECIPE.format(epochs=6) + further.format("qamr_dev_test"))
    said.clear()
    on = replace(run, recipe=load_task_recipe(tmp_path / "r.toml"), zoo=tmp_path / "zoo")
    metrics = on.make()
    assert sum(" batches of " in line for line in said) == 1, "what was taught is not taught again"
    assert metrics["steps"]["taught"] == whole["steps"]["taught"]
    assert 0 < metrics["steps"]["further"] < metrics["steps"]["taught"]
    assert metrics["digest"] != whole["digest"]
    (tmp_path / "r.toml").write_text(RECIPE.format(epochs=6) + further.format("nobody"))
    with pytest.raises(DataMissingError, match="no corpus nobody in the mixture; there are squad11_part, "):
        replace(on, recipe=load_task_recipe(tmp_path / "r.toml")).make()


def test_a_reader_learns_from_questions_of_another_language_too(made, monkeypatch, tmp_path):
    run, _, said = made
    monkeypatch.setitem(TRAIN, "zh", (QuestionCorpus("bipar_valid_dev", 2.0),))
    shutil.copytree(run.data_dir / "qa", tmp_path / "qa")
    shutil.copytree(tmp_path / "qa" / "en", tmp_path / "qa" / "zh")
    recipe = run.recipe.model_copy(update={"also": {"zh": 0.25}})
    said.clear()
    mixture = read_mixture(recipe, tmp_path, PieceTokenizer(TOKENIZER), said.append)
    assert mixture.often["zh/bipar_valid_dev"] == 0.5
    assert mixture.often["bipar_valid_dev"] == next(one.repeats for one in TRAIN["en"] if one.name == "bipar_valid_dev")
    assert said[-1].startswith("zh/bipar_valid_dev: ")
    assert len(mixture.bounds) == len(TRAIN["en"]) + 1
    (tmp_path / "r.toml").write_text(RECIPE.format(epochs=1).replace('lang = "en"', 'lang = "en"\nalso = { en = 1.0 }'))
    with pytest.raises(RecipeError, match="also: en is no other language"):
        load_task_recipe(tmp_path / "r.toml")


def test_a_mixture_is_drawn_as_it_says(made):
    run, _, said = made
    mixture = read_mixture(run.recipe, run.data_dir, PieceTokenizer(TOKENIZER), said.append)
    assert sum(len(mixture.share[mine]) for mine in mixture.bounds.values()) == len(mixture.examples)
    drawn = mixture.drawn({"qamr_dev_test": 0.0, "qa_zre": 2.5})
    assert not drawn.repeats[drawn.bounds["qamr_dev_test"]].any()
    qa_zre = mixture.bounds["qa_zre"]
    assert np.allclose(drawn.repeats[qa_zre], 5 * mixture.repeats[qa_zre])  # it was 0.5
    assert np.array_equal(
        drawn.drawn({"qamr_dev_test": 0.6, "qa_zre": 0.5}).repeats, mixture.repeats
    )  # what was left out comes back
    others = [name for name in mixture.bounds if name not in ("qamr_dev_test", "qa_zre")]
    assert all(np.array_equal(drawn.repeats[mixture.bounds[one]], mixture.repeats[mixture.bounds[one]]) for one in others)


def test_the_loss_of_a_student_is_least_where_it_answers_as_the_taught_one():
    examples, _ = encode_questions([Question("a", "Who lives in Quito?", "Mia Novak lives in Quito.", ((0, 9),))],
                                   PieceTokenizer(TOKENIZER), 64)  # fmt: skip
    batch = gather(examples, np.array([0]))
    torch.manual_seed(1)
    taught, other = fresh_reader(Encoder(SMALL)).eval(), fresh_reader(Encoder(SMALL)).eval()
    settings = ReaderDistil(learning_rate=1e-3, alpha=1.0, hidden=1.0)
    loss = answer_distil_loss(LiveTeacher(taught, None, torch.device("cpu")), settings)
    same, another = Learner(taught, SMALL.hidden), Learner(other, SMALL.hidden)
    for learner in (same, another):
        torch.nn.init.eye_(learner.project.weight)
        torch.nn.init.zeros_(learner.project.bias)
    assert abs(loss(same, batch).item()) < 1e-2  # bf16 where the CPU is fast in it
    assert loss(another, batch).item() > 0.1
    torch.nn.init.eye_(another.project.weight.data)
    before = loss(another, batch).item()
    optimizer = torch.optim.SGD(another.student.parameters(), lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        loss(another, batch).backward()
        optimizer.step()
    assert loss(another, batch).item() < before


@pytest.mark.parametrize("aim", ["", "speed = 2.0\nshape = [1, 64]\n"])
def test_pruning_has_one_aim(tmp_path, aim):
    (tmp_path / "r.toml").write_text(RECIPE.format(epochs=1) + f"[prune]\nlearning_rate = 1e-3\n{aim}")
    with pytest.raises(RecipeError, match=r"prune: .*either speed or shape"):
        load_task_recipe(tmp_path / "r.toml")


@pytest.mark.timeout(300)
def test_a_reader_learns_who_went_where(made):
    run, metrics, _ = made
    figures = metrics["figures"]
    assert set(figures) == {f"{name}_{kind}" for name in DEV["en"] for kind in ("em", "f1")} | {
        "calibration_error",
        "precision_at_60",
    }
    assert figures["tydi_f1"] > 60, figures
    assert json.loads((run.zoo / "small" / "metrics.json").read_text())["figures"] == figures
    reader = load_reader(run.zoo / "small", threads=1)
    assert reader_figures(judged(reader, dev_questions(run.data_dir, "en"))) == figures
    assert reader.calibration == tuple(metrics["calibration"])


def test_what_is_done_is_not_done_again_and_a_gate_holds(made):
    run, _, said = made
    said.clear()
    run.make()
    assert not any(line.startswith("step ") for line in said)
    gated = ReaderRun(
        run.recipe.model_copy(update={"gate": {"tydi_f1": 100.1}, "name": "other"}),
        run.data_dir,
        run.work,
        run.cache,
        run.zoo,
        said.append,
    )
    with pytest.raises(GateFailedError, match=r"tydi_f1 .* < 100.1"):
        gated.make()
    assert not (run.zoo / "other").exists()


@pytest.mark.timeout(300)
def test_a_shipped_reader_is_pruned_without_being_taught_again(made, tmp_path):
    run, whole, said = made
    zoo = tmp_path / "zoo"
    shutil.copytree(run.zoo / "small", zoo / "small")
    recipe = RECIPE.partition("[train]")[0].replace('"small"', '"smaller"') + 'start = "zoo:small"\nnone_every = 2\n'
    pruning = "[prune]\nlearning_rate = 3e-3\nepochs = 0.5\nrounds = 1\nhead_rate = 1.0\nbudget_tokens = 1024\nshape = [1, 64]\n"
    (tmp_path / "r.toml").write_text(recipe + pruning)
    said.clear()
    on = replace(run, recipe=load_task_recipe(tmp_path / "r.toml"), work=tmp_path / "work", zoo=zoo)
    metrics = on.make()
    assert [stage["name"] for stage in metrics["stages"]] == ["small", "pruned, round 1"]
    assert set(metrics["steps"]) == {"pruned"}
    # The numbers that its int8 weights stand for read as the shipped one does, but for what was lost in rounding activations.
    assert metrics["stages"][0]["figures"]["tydi_f1"] == pytest.approx(whole["figures"]["tydi_f1"], abs=8)
    assert metrics["layers"] == [[1, 64]] * 2
    assert "The shipped reader `small`" in (zoo / "smaller" / "card.md").read_text()
    shutil.rmtree(zoo / "small")  # it was kept, as it was when the run began
    said.clear()
    assert on.make()["digest"] == metrics["digest"]
    assert not any(" batches of " in line for line in said)


def test_a_start_that_does_not_fit_is_named(made, tmp_path):
    run, _, _ = made
    recipe = RECIPE.partition("[train]")[0]
    (tmp_path / "r.toml").write_text(recipe)
    with pytest.raises(RecipeError, match="train is missing: minilm is a pretrained encoder"):
        load_task_recipe(tmp_path / "r.toml")
    (tmp_path / "r.toml").write_text(recipe.replace('"en"', '"zh"') + 'start = "zoo:small"\n')
    with pytest.raises(RecipeError, match="small reads en, the recipe is for zh"):
        replace(run, recipe=load_task_recipe(tmp_path / "r.toml"), work=tmp_path / "work").make()
    (tmp_path / "r.toml").write_text(recipe + 'start = "zoo:nobody"\n')
    with pytest.raises(ModelMissingError, match="nobody"):
        replace(run, recipe=load_task_recipe(tmp_path / "r.toml"), work=tmp_path / "work").make()
