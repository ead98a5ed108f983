"""How teacher and students are trained, and what every step measures of the model that it leaves."""

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
from models.factory.corpora import CORPORA
from models.factory.distill import Learner, Together, distil_loss, gold_loss_of, teacher_loss, together_loss
from models.factory.evaluate import evaluate, real_sentiment, tasks_of
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
    """Run the step `teacher`: fine-tune the teacher on gold labels of its corpora and save it.

    Word and position embeddings of an English teacher stay as they were pretrained.

    Args:
        shop: Context of the run.
        key: Key of the step; names its checkpoint.

    Returns:
        Record of the step: that of `reached`, with figures of only the tasks whose corpora it was taught: on others it has
        nothing to say.

    Raises:
        DataMissingError: A corpus or the pretrained encoder is absent, or LAC or OpenCC is needed and not installed.
        FactoryError: The recipe has a `[read]` and its step has left no model.
    """
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
    """Copy an encoder with more case features, whose embeddings are zero as yet.

    Args:
        encoder: Encoder that is copied.
        more: Rows that the table of cases gets.

    Returns:
        The copy; it computes the same as long as the new features do not occur.
    """
    wide = Encoder(replace(encoder.config, cases=encoder.config.cases + more))
    state = dict(encoder.state_dict())
    state["cases.weight"] = F.pad(state["cases.weight"], (0, 0, 0, more))
    wide.load_state_dict(state)
    return wide


def with_transitions(encoder: Encoder) -> Encoder:
    """Copy an encoder with CRF transitions between entity tags, all zero as yet.

    Args:
        encoder: Encoder that is copied.

    Returns:
        The copy, or `encoder` itself if it has transitions already.
    """
    if encoder.config.transitions:
        return encoder
    wide = Encoder(replace(encoder.config, transitions=True))
    wide.load_state_dict({**encoder.state_dict(), "transitions": wide.transitions.detach()})
    return wide


def without_transitions(encoder: Encoder) -> Encoder:
    """Copy an encoder without transitions between entity tags, so that every unit's tag is decoded by itself.

    Args:
        encoder: Encoder that is copied.

    Returns:
        The copy, in evaluation mode.
    """
    bare = Encoder(replace(encoder.config, transitions=False))
    bare.load_state_dict({name: value for name, value in encoder.state_dict().items() if name != "transitions"})
    return bare.eval()


def reached(shop: RunContext, model: TokenModel, tagger: Tagger) -> dict[str, Any]:
    """Measure what the table of a card says of one stage.

    Args:
        shop: Context of the run; its real posts are what speed is measured on.
        model: The model that the stage has left.
        tagger: Tagger of that model.

    Returns:
        `figures` on the dev splits in per cent, number of `parameters`, multiply-accumulates a token as `macs_a_token` (None if
        it is no encoder), the engine's speed as `tokens_s` (specials included, padding not), and as `gpu` the name of the GPU
        that computed them, or None.

    Raises:
        DataMissingError: No dev split of the language is there.
    """
    batches = list(tagger.encode(shop.posts[:STAGE_POSTS])[2])
    (seconds,) = alternate([drain(tagger.engine, batches)], 3)
    return {
        "figures": evaluate(tagger, shop.data_dir),
        "parameters": sum(p.numel() for p in model.parameters()),
        "macs_a_token": macs_a_token(model.config) if isinstance(model, Encoder) else None,
        "tokens_s": sum(len(batch.ids) for batch in batches) / seconds,
        "gpu": torch.cuda.get_device_name() if isinstance(tagger.engine, TorchEngine) and tagger.engine.on_cuda else None,
    }


def _prefixed(shop: RunContext, step: str) -> Callable[[str], None]:
    return lambda line: shop.say(f"{step}: {line}")


def student_loss(shop: RunContext, settings: Distil) -> Callable[[torch.nn.Module, examples.Batch], torch.Tensor]:
    """Build the loss of a student that learns from labels alone, gold ones and where wanted LAC's, without a teacher.

    Args:
        shop: Context of the run; the student learns from its pool.
        settings: Weights of the tasks and of LAC's labels.

    Returns:
        Loss of a `Learner` on a batch of the pool, a scalar.
    """
    return gold_loss_of(settings, unseen_id(shop), shop.pool.silver if settings.silver else None, settings.silver)


def unseen_id(shop: RunContext) -> int:
    """Return the id of `[MASK]`, which stands for hidden pieces.

    Args:
        shop: Context of the run, which has the tokenizer.
    """
    unseen = shop.tokenizer.id_of("[MASK]")
    assert unseen is not None
    return unseen


def train_student(
    shop: RunContext, student: TokenModel, settings: Distil, share: float, step: str, mark: str, seed: int,
    each_step: Callable[[int, int], None] | None = None,
) -> None:  # fmt: skip
    """Train a student on the pool, in place, with the teacher's answers where the settings ask for them.

    Args:
        shop: Context of the run.
        student: Model that learns.
        settings: Losses and lengths of the run.
        share: All epochs are multiplied by this.
        step: Step that trains; its folder gets the checkpoint, and lines of progress begin with it.
        mark: Names the checkpoint in the step's folder; a killed run with the same mark goes on where it was.
        seed: Fixes the batches and dropout.
        each_step: Called before each step with its number and the number of steps.
    """
    train_students(shop, [student], settings, share, step, mark, seed, each_step)


def train_students(
    shop: RunContext, students: Sequence[TokenModel], settings: Distil, share: float, step: str, mark: str, seed: int,
    each_step: Callable[[int, int], None] | None = None,
) -> None:  # fmt: skip
    """Train several students side by side on the same batches, in place; the teacher is asked once for each batch.

    Args:
        shop: Context of the run.
        students: Models that learn; one alone is trained as by `train_student`.
        settings: Losses and lengths of the run.
        share: All epochs are multiplied by this.
        step: Step that trains; its folder gets the checkpoint, and lines of progress begin with it.
        mark: Names the checkpoint in the step's folder; a killed run with the same mark goes on where it was.
        seed: Fixes the batches and dropout.
        each_step: Called before each step with its number and the number of steps.
    """
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
    """Interpolate linearly between the weights before a run and those after it (Wortsman et al., 2022).

    Transitions between entity tags are taken from after the run, since they may have been zero before it.

    Args:
        before: State dict before the run.
        after: State dict after the run, with the same names and shapes.
        share: Part of the weights after the run in the result, 0 to 1.

    Returns:
        The state dict between them; tensors that are not floating-point are those after the run.
    """
    between = {
        name: torch.lerp(before[name], value, share) if value.is_floating_point() else value for name, value in after.items()
    }
    return between | {name: value for name, value in after.items() if name == "transitions"}


def origin(shop: RunContext, student: Student) -> Encoder:
    """Load the whole model that a student's layers are copied from.

    Args:
        shop: Context of the run.
        student: The student's part of the recipe; starts from an encoder.

    Returns:
        The float encoder, with all of its layers.

    Raises:
        FactoryError: The step that makes it has not been run.
        DataMissingError: It is a pretrained encoder that pip cannot fetch.
        ModelMissingError: It is a shipped model that is not in the zoo.
    """
    if student.start == "minilm":
        return shop.pretrained("minilm")
    if student.start.startswith(SHIPPED):
        return shop.shipped(student.start.removeprefix(SHIPPED))
    return shop.restore(student.start if student.start in ("teacher", "read") else f"{student.start}.distil")


def distil(shop: RunContext, name: str, key: str) -> dict[str, Any]:
    """Run the step `distil`: train a student at full width on the teacher's answers, with those beside it, and save it.

    A student beside another has learned in that one's run; its step only takes over and measures what was left there.

    Args:
        shop: Context of the run.
        name: Name of the student.
        key: Key of the step; names its checkpoint.

    Returns:
        Record of the step: that of `reached`; for an LSTM `engine_ratio` too.

    Raises:
        FactoryError: A step that this one builds on has not been run.
    """
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
    """Set a student's bias on neutral sentiment for macro recall on texts of the pool, in place.

    Args:
        shop: Context of the run; at most BALANCE_TEXTS of its pool's texts with gold of three classes are used.
        encoder: Model whose sentiment head is changed.

    Returns:
        What was added to the neutral logit; 0.0 if there are no such texts.
    """
    pool = shop.pool
    return fit_logit_bias(encoder, pool.examples, three_class(pool.examples, pool.corpus, BALANCE_TEXTS, shop.recipe.seed))


def calibrate_student(shop: RunContext, encoder: Encoder, window: int) -> dict[str, Any]:
    """Calibrate a quantized encoder's sentiment on the dev split of real posts, on which it is measured too, in place.

    Args:
        shop: Context of the run.
        encoder: Quantized encoder whose sentiment head is changed.
        window: Longest sequence in tokens, specials included.

    Returns:
        The fitted `temperature`, the `bias` of each class, and as `across` what they reach in cross-validation over `folds`
        folds.

    Raises:
        DataMissingError: The posts are absent.
    """
    scores, gold = real_sentiment(shop.tagger(encoder, window, quantized=True), shop.data_dir)
    return calibrate(encoder, scores, gold, shop.recipe.seed)
