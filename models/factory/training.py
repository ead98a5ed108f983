"""How a teacher and a student are taught, and what every step measures of the model that it leaves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models.bench import alternate, drain, engine_ratio
from models.factory import examples, prune
from models.factory.calibrate import calibrate
from models.factory.card import macs_a_token
from models.factory.corpora import CORPORA, read
from models.factory.distill import Learner, Together, distil_loss, gold_loss_of, teacher_loss, together_loss
from models.factory.evaluate import evaluate, sentiment_scores, tasks_of
from models.factory.languages import language
from models.factory.logit_bias import fit_logit_bias, three_class
from models.factory.loop import fit
from models.factory.lstm import LstmTagger
from models.factory.mixture import load_mixture
from models.factory.recipe import SHIPPED, Distil, Student
from models.factory.run_context import RunContext
from models.factory.silver import NUM_SILVER
from models.factory.teacher_logits import Once
from models.runtime.encoder import Encoder, TokenModel
from models.runtime.engines import TorchEngine, default_threads
from models.runtime.tagger import Tagger

# Posts on which the speed of a student that is not shipped, and of a stage, is measured; texts that set the neutral bias.
SPEED_POSTS = 400
STAGE_POSTS = 120
BALANCE_TEXTS = 2000


def train_teacher(shop: RunContext, key: str) -> dict[str, Any]:
    """Fine-tune the teacher on the gold labels of all corpora; embeddings of an English one stay as they were."""
    settings = shop.recipe.teacher
    data, repeats, sizes = load_mixture(
        settings.epochs, shop.data_dir, shop.teacher_tokenizer, shop.recipe.negative_factor, settings.traditional,
        settings.window - 2, None if settings.silver else shop.shelf,
    )  # fmt: skip
    torch.manual_seed(shop.recipe.seed)
    teacher = shop.restore("read") if shop.recipe.read else shop.pretrained(settings.encoder)
    if settings.silver:
        teacher = with_features(teacher, NUM_SILVER)
    if settings.path:
        teacher = with_transitions(teacher)
    teacher.dropout, teacher.pair_dropout = settings.dropout, settings.pair_dropout
    if settings.encoder != "e5":
        for part in (teacher.words, teacher.places, teacher.relative):
            if part is not None:
                part.requires_grad_(False)
    runs = examples.draw(data, repeats, settings.budget_tokens, shop.recipe.seed)
    checkpoint = shop.folder("teacher") / f"checkpoint-{key}.pt"
    loss = teacher_loss(settings, unseen_id(shop))
    fit(Learner(teacher, 1), data, runs, loss, settings.schedule(), checkpoint, shop.recipe.seed, _prefixed(shop, "teacher"))
    corpus = np.repeat(np.arange(len(settings.epochs)), sizes)
    if settings.balance:
        fit_logit_bias(teacher, data, three_class(data, corpus, BALANCE_TEXTS, shop.recipe.seed))
    shop.save("teacher", teacher)
    record = reached(shop, teacher, shop.tagger(teacher, settings.window))
    # A teacher of some tasks has nothing to say on the others.
    taught = {CORPORA[name].train for name in settings.epochs}
    spoken = [task for task in tasks_of(shop.recipe.lang) if CORPORA[task.corpus].train in taught]
    keys = {figure.key for task in spoken for figure in task.figures}
    return record | {"figures": {key: value for key, value in record["figures"].items() if key in keys}}


def with_features(encoder: Encoder, more: int) -> Encoder:
    """The encoder with a case table that has `more` rows, zero as yet."""
    wide = Encoder(replace(encoder.config, cases=encoder.config.cases + more))
    state = dict(encoder.state_dict())
    state["cases.weight"] = F.pad(state["cases.weight"], (0, 0, 0, more))
    wide.load_state_dict(state)
    return wide


def with_transitions(encoder: Encoder) -> Encoder:
    """The encoder with weights for the steps from tag to tag, all zero as yet; as it is if it has them."""
    if encoder.config.transitions:
        return encoder
    wide = Encoder(replace(encoder.config, transitions=True))
    wide.load_state_dict({**encoder.state_dict(), "transitions": wide.transitions.detach()})
    return wide


def without_transitions(encoder: Encoder) -> Encoder:
    """The encoder without weights for the steps from tag to tag, so that entities are read off unit by unit."""
    bare = Encoder(replace(encoder.config, transitions=False))
    bare.load_state_dict({name: value for name, value in encoder.state_dict().items() if name != "transitions"})
    return bare.eval()


def reached(shop: RunContext, model: TokenModel, tagger: Tagger) -> dict[str, Any]:
    """What the table of a card says of one stage: the figures, its size, multiply-accumulates and speed, and where on a GPU."""
    batches = list(tagger.encode(shop.posts[:STAGE_POSTS])[2])
    (seconds,) = alternate([drain(tagger.engine, batches)], 3)
    return {
        "figures": evaluate(tagger, shop.data_dir),
        "parameters": sum(p.numel() for p in model.parameters()),
        "macs_a_token": macs_a_token(model.config) if isinstance(model, Encoder) else None,
        "tokens_s": sum(len(batch.ids) for batch in batches) / seconds,
        "gpu": torch.cuda.get_device_name() if isinstance(tagger.engine, TorchEngine) and tagger.engine.flat else None,
    }


def _prefixed(shop: RunContext, step: str) -> Callable[[str], None]:
    return lambda line: shop.say(f"{step}: {line}")


def student_loss(shop: RunContext, settings: Distil) -> Callable[[torch.nn.Module, examples.Batch], torch.Tensor]:
    """The loss of a student without a teacher on the pool's texts."""
    return gold_loss_of(settings, unseen_id(shop), shop.pool.silver if settings.silver else None, settings.silver)


def unseen_id(shop: RunContext) -> int:
    """The id that stands for hidden pieces."""
    unseen = shop.tokenizer.id_of("[MASK]")
    assert unseen is not None
    return unseen


def train_student(
    shop: RunContext, student: TokenModel, settings: Distil, share: float, step: str, mark: str, seed: int,
    each_step: Callable[[int, int], None] | None = None,
) -> None:  # fmt: skip
    """One run of a student on the teacher's answers, in place; `mark` names its checkpoint in the step's folder."""
    train_students(shop, [student], settings, share, step, mark, seed, each_step)


def train_students(
    shop: RunContext, students: Sequence[TokenModel], settings: Distil, share: float, step: str, mark: str, seed: int,
    each_step: Callable[[int, int], None] | None = None,
) -> None:  # fmt: skip
    """As `train_student`, of several that learn from the same batches; the teacher is asked once."""
    pool, answers = shop.pool, Once(shop.answers) if settings.asks_teacher else None
    loss = student_loss(shop, settings) if answers is None else distil_loss(answers, settings, unseen_id(shop))
    repeats = pool.repeats(settings.epochs, shop.recipe.negative_factor) * settings.share * share
    runs = examples.draw(pool.examples, repeats, settings.budget_tokens, seed)
    torch.manual_seed(seed)
    learners, before = [], []
    for student in students:
        student.dropout, student.pair_dropout = settings.dropout, settings.pair_dropout
        before.append({name: value.clone() for name, value in student.state_dict().items()} if settings.blend < 1 else {})
        learners.append(Learner(student, 1 if answers is None else answers.hidden_size))
    model = learners[0] if len(learners) == 1 else Together(learners)
    path = shop.folder(step) / f"checkpoint-{mark}.pt"
    loss = loss if len(learners) == 1 else together_loss(loss)
    fit(model, pool.examples, runs, loss, settings.schedule(), path, seed, _prefixed(shop, step), each_step)
    for student, old in zip(students, before, strict=True):
        if old:
            student.load_state_dict(blended(old, student.state_dict(), settings.blend))


def blended(before: Mapping[str, Tensor], after: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Weights between those before a run and those after it (Wortsman et al. 2022); steps from tag to tag, which may have been
    zero before, are those after it.
    """
    between = {
        name: torch.lerp(before[name], value, share) if value.is_floating_point() else value for name, value in after.items()
    }
    return between | {name: value for name, value in after.items() if name == "transitions"}


def origin(shop: RunContext, student: Student) -> Encoder:
    """The whole model that the student's layers are copied from."""
    if student.start == "minilm":
        return shop.pretrained("minilm")
    if student.start.startswith(SHIPPED):
        return shop.shipped(student.start.removeprefix(SHIPPED))
    return shop.restore(student.start if student.start in ("teacher", "read") else f"{student.start}.distil")


def distil(shop: RunContext, name: str, key: str) -> dict[str, Any]:
    """The student at full width learns from the teacher, with those that are beside it; one beside another has learned then."""
    student = shop.recipe.students[name]
    step = f"{name}.distil"
    if student.beside is not None:
        model: TokenModel = shop.restore(_beside(student.beside, name))
    else:
        torch.manual_seed(shop.recipe.seed + 1)
        others = [other for other, one in shop.recipe.students.items() if one.beside == name]
        model, *companions = (_begun(shop, shop.recipe.students[one]) for one in (name, *others))
        train_students(shop, [model, *companions], student.distil, 1.0, step, key, shop.recipe.seed + 1)
        for other, companion in zip(others, companions, strict=True):
            assert isinstance(companion, Encoder)
            shop.save(_beside(name, other), companion)
    if isinstance(model, Encoder):
        shop.save(step, model)
    tagger = shop.tagger(model, student.window)
    record = reached(shop, model, tagger)
    if not isinstance(model, Encoder):
        record["engine_ratio"] = engine_ratio(tagger, shop.posts[:SPEED_POSTS], default_threads(), rounds=3)[0]
    return record


def _beside(name: str, other: str) -> str:
    """Where the run of student `name` leaves the one that learned beside it."""
    return f"{name}.distil/beside-{other}"


def _begun(shop: RunContext, student: Student) -> TokenModel:
    """A student before it has learned."""
    if student.start == "lstm":
        return LstmTagger(shop.pretrained("minilm").words.weight.detach())
    whole = origin(shop, student)
    model = prune.keep_layers(whole, student.layers or tuple(range(len(whole.config.layers))))
    return with_transitions(model) if student.distil.path else model


def balance_student(shop: RunContext, encoder: TokenModel) -> float:
    pool = shop.pool
    return fit_logit_bias(encoder, pool.examples, three_class(pool.examples, pool.corpus, BALANCE_TEXTS, shop.recipe.seed))


def calibrate_student(shop: RunContext, encoder: Encoder, window: int) -> dict[str, Any]:
    """Fit what the quantized encoder says of sentiment to the real posts that it is measured on, in place."""
    records = read(language(shop.recipe.lang).posts, shop.data_dir, "dev")
    scores, gold = sentiment_scores(shop.tagger(encoder, window, quantized=True), records)
    return calibrate(encoder, scores, gold, shop.recipe.seed)
