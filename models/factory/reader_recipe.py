"""The recipe of a reader: one TOML file with `task = "reader"`."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.factory.recipe import SHIPPED, Fit, PruningAim


class ReaderFit(Fit):
    """Training of a reader on gold answers."""

    epochs: float = Field(1.0, gt=0, description="how often the mixture is read")


class ReaderFurther(Fit):
    """More training of the taught reader, on another mixture and with other rates."""

    epochs: float = Field(1.0, gt=0, description="how often the mixture is read")
    repeats: dict[str, float] = Field({}, description="corpus -> how often each of its questions is drawn, where that changes")


class ReaderLearning(Fit):
    """Training of a reader on the answers of a larger one, and on gold answers."""

    epochs: float = Field(1.0, gt=0, description="how often the mixture is read")
    alpha: float = Field(0.7, ge=0, le=1, description="weight of the taught reader's answers; the rest are gold ones")
    temperature: float = Field(2.0, gt=0, description="softens the distributions of both (Hinton et al., 2015)")
    hidden: float = Field(0.0, ge=0, description="weight of the cosine loss to the taught reader's last hidden states")


class ReaderDistil(ReaderLearning):
    """A smaller reader that learns from the taught one."""

    start: Literal["taught", "minilm"] = Field("taught", description="what it begins as: the taught reader, or MiniLM")
    layers: tuple[int, ...] = Field((), description="layers of the start that are kept; none given is all")


class ReaderPrune(ReaderLearning, PruningAim):
    """Pruning in rounds, each followed by recovery on the answers of the taught reader."""

    @model_validator(mode="after")
    def _one_aim(self) -> Self:
        if (self.speed is None) == (self.shape is None):
            raise ValueError("give either speed or shape")
        return self


class ReaderRecipe(BaseModel):
    """Every choice that makes a reader: it is taught, and where the recipe says so a smaller one learns of it and is pruned.

    A recipe may also begin with a reader that is shipped, which needs no teaching.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: Literal["reader"]
    name: str = Field(description="name in the zoo")
    summary: str = Field(description="what it is for, for its card")
    lang: Literal["en", "zh"]
    start: str = Field(
        "minilm",
        pattern=f"^(minilm|mpnet|e5|{SHIPPED}.+)$",
        description='pretrained encoder that is taught: "minilm", "mpnet" or "e5"; or "zoo:NAME", a shipped reader',
    )
    latin: int = Field(0, ge=0, description="for e5, pieces of Latin words in the vocabulary")
    seed: int = 1
    window: int = Field(256, ge=64, description="tokens of the longest sequence")
    also: dict[str, float] = Field(
        {}, description="another language -> how often its questions are drawn too, times what they are for a reader of it"
    )
    none_every: int = Field(3, ge=1, description="one question in so many is also asked of a passage that does not answer it")
    train: ReaderFit | None = Field(None, description="teaching; only a shipped reader can do without")
    further: ReaderFurther | None = Field(None, description="more training of the taught reader, before anything else")
    distil: ReaderDistil | None = Field(None, description="the smaller reader; without it the taught one is pruned")
    prune: ReaderPrune | None = None
    calibration_windows: int = Field(512, ge=8, description="windows that the ranges of activations are found on")
    gate: dict[str, float] = Field({}, description="figure -> least value, in per cent; the step fails below")

    @model_validator(mode="after")
    def _taught(self) -> Self:
        if strange := sorted(set(self.also) - ({"en", "zh"} - {self.lang})):
            raise ValueError(f"also: {strange[0]} is no other language that there are questions in (en, zh)")
        if self.train is None and not self.start.startswith(SHIPPED):
            raise ValueError(f"train is missing: {self.start} is a pretrained encoder, and has to be taught")
        return self
