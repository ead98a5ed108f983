"""The recipe of a reader: one TOML file with `task = "reader"`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from models.factory.recipe import Fit
from models.factory.task_recipe import load_of_task


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
    layers: tuple[int, ...] = Field((), description="layers of it that are kept; by default all")
    latin: int = Field(0, ge=0, description="for e5, pieces of Latin words in the vocabulary")
    pairs: int = Field(0, ge=0, description="for e5, rows of the table of neighbouring characters")
    pair_width: int = Field(0, ge=0, description="for e5, width of such a row")
    seed: int = 1
    window: int = Field(256, ge=64, description="tokens of the longest sequence")
    train: ReaderFit
    calibration_windows: int = Field(512, ge=8, description="windows that the ranges of activations are found on")
    gate: dict[str, float] = Field({}, description="figure -> least value, in per cent; the step fails below")


def load_reader_recipe(path: Path) -> ReaderRecipe | None:
    """Read a recipe, if it is one of a reader.

    Args:
        path: TOML file.

    Returns:
        The recipe; None for one of another task, and for what is no TOML file, of which `load_recipe` says what is wrong.

    Raises:
        RecipeError: A key of it is wrong; names the key.
    """
    return load_of_task(path, "reader", ReaderRecipe)
