"""The recipe of a reader: one TOML file with `task = "reader"`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from models.factory.recipe import Fit


class ReaderFit(Fit):
    """Training of a reader."""

    epochs: float = Field(1.0, gt=0, description="how often the mixture is read")
    none_every: int = Field(3, ge=1, description="one question in so many is also asked of a passage that does not answer it")


class ReaderRecipe(BaseModel):
    """Every choice that makes a reader."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: Literal["reader"]
    name: str = Field(description="name in the zoo")
    summary: str = Field(description="what it is for, for its card")
    lang: Literal["en", "zh"]
    start: Literal["minilm", "mpnet", "e5"] = Field("minilm", description="pretrained encoder that is taught")
    latin: int = Field(0, ge=0, description="for e5, pieces of Latin words in the vocabulary")
    seed: int = 1
    window: int = Field(256, ge=64, description="tokens of the longest sequence")
    train: ReaderFit
    calibration_windows: int = Field(512, ge=8, description="windows that the ranges of activations are found on")
    gate: dict[str, float] = Field({}, description="figure -> least value, in per cent; the step fails below")
