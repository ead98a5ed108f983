"""The recipe: one TOML file that fixes every choice of the factory. Unknown keys are refused with their path."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.errors import RecipeError
from models.factory.loop import Schedule


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Fit(_Strict):
    """One training run.

    Attributes:
        learning_rate: Peak rate of the pretrained layers.
        dropout: Probability that a value is dropped in training.
    """

    learning_rate: float = Field(gt=0)
    budget_tokens: int = Field(2048, ge=128, description="padded tokens a batch")
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps in which the rate rises")
    floor: float = Field(0.0, ge=0, le=1, description="share of the peak rate at the end")
    head_rate: float = Field(10.0, ge=1, description="learning rate of fresh layers / of the others")
    dropout: float = Field(0.0, ge=0, lt=1)
    joins: float = Field(0.2, ge=0, description="weight of where words begin; entities weigh 1, parts of speech 0.5")

    minutes: float | None = Field(
        None,
        gt=0,
        description="what a run may take: batches that the clock overtakes are left out",
    )
    checkpoint_s: float = Field(300.0, gt=0, description="seconds between checkpoints")

    def schedule(self) -> Schedule:
        """Return the schedule of learning rates and checkpoints that these settings describe, `minutes` turned into seconds."""
        limit = None if self.minutes is None else 60 * self.minutes
        return Schedule(
            self.learning_rate, self.warmup, self.floor, head_rate=self.head_rate, checkpoint_s=self.checkpoint_s, limit_s=limit
        )


class Reading(Fit):
    """Pretraining of an encoder before it is taught: sentences with silver labels and masked pieces."""

    layers: tuple[int, ...] = Field((), description="layers of the e5 that are kept; none given is all")
    pairs: int = Field(0, ge=0, description="rows of the table of neighbouring characters; 0 is no table")
    pair_width: int = Field(64, ge=1, description="width of a row of that table")
    sentences: dict[str, int] = Field(description="corpus -> at most so many of its sentences")
    traditional: float = Field(0.25, ge=0, le=1, description="share of the sentences that is shown in the other script")
    share: float = Field(1.0, gt=0, description="how often each sentence is read")
    silver: float = Field(1.0, ge=0, description="weight of the silver labels")
    guess: float = Field(1.0, ge=0, description="weight of the masked pieces")


class Taught(Fit):
    """Settings of a run that learns from gold labels, of a teacher or a student."""

    sentiment: float = Field(0.5, ge=0, description="weight of sentiment; entities weigh 1, parts of speech 0.5")
    path: float = Field(
        0.0, ge=0, description="weight of the loss over whole paths of gold entity tags (a CRF); the model gets transitions then"
    )
    pair_dropout: float = Field(0.0, ge=0, lt=1, description="share of the rows of the table of neighbours that is not seen")
    hidden_pieces: float = Field(0.0, ge=0, lt=1, description="share of the pieces that is not seen")


class Teacher(Taught):
    """The teacher: which encoder it is, and how often it sees each corpus.

    Attributes:
        encoder: The pretrained encoder that it begins as.
        window: Longest sequence in tokens, specials included.
        epochs: Corpus -> how often its texts are drawn.
    """

    encoder: Literal["mpnet", "minilm", "e5"] = "mpnet"
    latin: int = Field(9000, ge=0, description="Latin pieces in the vocabulary of an e5")
    traditional: float = Field(0.0, ge=0, le=1, description="Chinese only: share of the gold texts shown in the other script")
    silver: bool = Field(False, description="Chinese only: LAC's labels are shown to it as a feature of every character")
    hidden_silver: float = Field(
        0.0, ge=0, le=1, description="share of the texts in training that are shown without, so that students start well"
    )
    window: int = Field(128, ge=16, le=512)
    epochs: dict[str, float]
    balance: bool = Field(True, description="set the neutral bias for macro recall on training texts")
    gate: dict[str, float] = Field(default_factory=dict, description="figure -> least value, in per cent")


class Label(_Strict):
    """The texts that the teacher labels for the students."""

    gold: dict[str, int] = Field(description="labelled corpus -> at most so many texts; 0 is all")
    unlabelled: dict[str, int] = Field(default_factory=dict, description="unlabelled corpus -> so many sentences")
    traditional: float = Field(0.0, ge=0, le=1, description="Chinese only: share of the texts shown in the other script")
    whole: dict[str, int] = Field(
        default_factory=dict,
        description="unlabelled corpus -> so many of its texts, uncut, in `epochs` NAME-whole",
    )
    phrases: dict[str, int] = Field(
        default_factory=dict, description="labelled corpus -> so many parts of its sentences, in `epochs` NAME-phrases"
    )
    exchanged: dict[str, int] = Field(
        default_factory=dict, description="labelled corpus -> so many texts with words exchanged, in `epochs` NAME-exchanged"
    )
    renamed: dict[str, int] = Field(
        default_factory=dict, description="corpus with entities -> so many texts with other names, in `epochs` NAME-renamed"
    )
    others: str | None = Field(
        None,
        description="a shipped model that answers in the teacher's place; the teacher, taught nothing but sentiment, then "
        "only says the sentiment of the corpora that it was taught, and is not made where it is taught none",
    )


class Distil(Taught):
    """Losses and lengths of a student's training on the teacher's labels.

    Attributes:
        temperature: Softens the distributions of teacher and student (Hinton et al., 2015).
    """

    epochs: dict[str, float] = Field(description="corpus -> how often its labelled texts are drawn")
    share: float = Field(1.0, gt=0, description="all epochs are multiplied by this")
    alpha: float = Field(0.7, ge=0, le=1, description="weight of the teacher where gold labels are known too")
    temperature: float = Field(2.0, gt=0)
    hidden: float = Field(1.0, ge=0, description="weight of the cosine loss to the teacher's last hidden states")
    non_o: float = Field(3.0, ge=1, description="weight of units that the teacher may hold for an entity")
    blend: float = Field(
        1.0, gt=0, le=1, description="share of the trained weights in the result; the rest are those from before the run"
    )
    silver: float = Field(0.0, ge=0, description="Chinese only, without a teacher only: weight of LAC's labels beside gold")

    @model_validator(mode="after")
    def _without_teacher(self) -> Self:
        if self.asks_teacher and self.silver:
            raise ValueError("silver is for gold alone: give alpha = 0 and hidden = 0 too")
        return self

    @property
    def asks_teacher(self) -> bool:
        """Whether the teacher's answers are needed; with `alpha` and `hidden` 0 gold labels alone teach."""
        return bool(self.alpha or self.hidden)


class PruningAim(_Strict):
    """What structured pruning is to reach, and in how many rounds.

    Attributes:
        rounds: Rounds in which the aim is approached.
        min_heads: Heads that every layer keeps at least, on the way to `speed`.
        min_ffn: Feed-forward neurons that every layer keeps at least, on the way to `speed`.
    """

    rounds: int = Field(2, ge=1)
    speed: float | None = Field(None, gt=0, description="tokens/s wanted, as a ratio to the fp32 encoder before pruning")
    shape: tuple[int, int] | None = Field(None, description="heads and feed-forward width of every layer")
    min_heads: int = Field(2, ge=1)
    min_ffn: int = Field(128, ge=64)

    def round_share(self, number: int) -> float:
        """Return the share of the recovery that a round has: the last, which is shipped, has half; the others share the rest.

        Args:
            number: Number of the round, from 1.
        """
        return 1.0 if self.rounds == 1 else 0.5 if number == self.rounds else 0.5 / (self.rounds - 1)


class Prune(Distil, PruningAim):
    """Pruning in rounds, each followed by recovery on the teacher's labels; exactly one of three aims is given.

    `speed` removes the heads and neurons that give least for their measured cost, `shape` the least important ones of every
    layer; `l1` only zeroes the smallest weights (nothing gets smaller or faster; for comparison).
    """

    l1: float | None = Field(None, gt=0, lt=1, description="share of the layers' weights that is zeroed")

    @model_validator(mode="after")
    def _one_aim(self) -> Self:
        if sum(aim is not None for aim in (self.speed, self.shape, self.l1)) != 1:
            raise ValueError("give exactly one of speed, shape and l1")
        return self


class Quantize(_Strict):
    """Static int8 quantization, followed by quantization-aware training where `qat` is given and a gate is missed without it.

    Attributes:
        qat: Settings of the quantization-aware training; None is none.
    """

    texts: Annotated[int, Field(ge=16, description="real texts that set the ranges of the activations")] = 400
    balance: Annotated[bool, Field(description="set the neutral bias again: for students of a teacher that had it wrong")] = False
    calibrate: Annotated[
        bool, Field(description="fit temperature and class biases of sentiment on the dev split of the real posts")
    ] = False
    paths: Annotated[bool, Field(description="read entities off the best path where the model has learned steps")] = True
    qat: Distil | None = None


class Student(_Strict):
    """One student: a model that is shipped, or only measured beside the shipped ones.

    Attributes:
        window: Longest sequence in tokens, specials included.
        max_mb: Megabytes (1e6 bytes) that the package of a shipped model may have.
        gate: Figure -> least value after quantization, in per cent.
        summary: What the card says of the model in a few words.
    """

    start: str = Field(
        description='"minilm", "teacher", "read" (what that step left), "lstm", "zoo:NAME" (a shipped model, to be taught on) or '
        "the name of a student above, taken as it was distilled"
    )
    layers: tuple[int, ...] = Field((), description="layers of the start that are kept; none given is all")
    beside: str | None = Field(
        None, description="a student above, with which it learns in one run, from the same batches and answers, by its [distil]"
    )
    window: int = Field(128, ge=16, le=512)
    ship: bool = Field(True, description="export it to the zoo; else it stands in the cards' tables for comparison")
    max_mb: float = 30.0
    distil: Distil
    prune: Prune | None = None
    quantize: Quantize = Quantize()
    gate: dict[str, float] = Field(default_factory=dict)
    summary: str = ""


# What a student may start from, beside the students above it.
BUILT_IN = ("minilm", "teacher", "read", "lstm")
SHIPPED = "zoo:"


class Recipe(_Strict):
    """The whole path, from teacher to shipped models.

    Attributes:
        lang: Language code, a key of `models.factory.languages.LANGUAGES`.
        seed: Fixes what is drawn, shuffled and initialised.
        students: Name -> student; one may start from another that stands above it.
    """

    lang: str
    seed: int = 0
    negative_factor: float = Field(1.0, ge=1, description="weight of negative texts in three-class sentiment")
    read: Reading | None = Field(None, description="Chinese only: text that an e5 reads before it is taught")
    teacher: Teacher
    label: Label
    students: dict[str, Student]

    @model_validator(mode="before")
    @classmethod
    def _beside(cls, data: Any) -> Any:
        """A student beside another has that one's [distil]."""
        found = data.get("students") if isinstance(data, dict) else None
        students: dict[str, Any] = found if isinstance(found, dict) else {}
        for name, student in students.items():
            if not isinstance(student, dict) or "beside" not in student:
                continue
            other = students.get(student["beside"])
            if other is None or "distil" not in other or "beside" in other or student["beside"] == name:
                raise ValueError(f"students.{name}.beside: {student['beside']!r} is no student with a [distil] of its own")
            if student.get("distil", other["distil"]) != other["distil"]:
                raise ValueError(f"students.{name}: give beside or [distil], not both")
            student["distil"] = other["distil"]
        return data

    @property
    def asks_teacher(self) -> bool:
        """Whether any student learns from the teacher's answers."""
        runs = [run for student in self.students.values() for run in (student.distil, student.prune, student.quantize.qat)]
        return any(run is not None and run.asks_teacher for run in runs)

    @property
    def trains_teacher(self) -> bool:
        """Whether a teacher is trained: not where a shipped model answers and the teacher would be taught nothing."""
        answers = self.asks_teacher and (self.label.others is None or bool(self.teacher.epochs))
        return answers or any(student.start == "teacher" for student in self.students.values())

    @property
    def most_pieces(self) -> int:
        """Pieces after which the texts that students learn from are cut: what the largest window holds beside the specials."""
        return max(student.window for student in self.students.values()) - 2

    @model_validator(mode="after")
    def _starts_exist(self) -> Self:
        known = set(BUILT_IN)
        for name, student in self.students.items():
            if student.start not in known and not student.start.startswith(SHIPPED):
                raise ValueError(
                    f"students.{name}.start: {student.start!r} is neither one of {', '.join(BUILT_IN)} nor zoo:NAME nor a "
                    "student above"
                )
            if student.start == "read" and self.read is None:
                raise ValueError(f"students.{name}.start is 'read', but there is no [read]")
            if student.start == "lstm" and (student.prune or student.ship or student.layers):
                raise ValueError(f"students.{name}: an LSTM has no layers to choose or prune, and is not shipped (ship = false)")
            known.add(name)
        return self


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Args:
        path: The TOML file.

    Returns:
        The recipe.

    Raises:
        RecipeError: The file is absent, not TOML, or not a valid recipe; the message names the file, the key and what is wrong.
    """
    try:
        return Recipe.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise RecipeError(f"{path}: no such recipe") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path}: not TOML: {error}") from error
    except ValidationError as error:
        lines = [f"{path}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise RecipeError("\n".join(lines)) from error
