"""The recipe of an embedder: one TOML file with `task = "embedder"`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class EmbedderRecipe(BaseModel):
    """Every choice that makes an embedder: MiniLM-L6 as its package brings it, rounded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: Literal["embedder"]
    name: str = Field(description="name in the zoo")
    summary: str = Field(description="what it is for, for its card")
    lang: Literal["en"]
    seed: int = 1
    window: int = Field(256, ge=64, description="tokens of the longest sequence")
    calibration_texts: int = Field(512, ge=8, description="passages that the ranges of activations are found on")
    gate: dict[str, float] = Field({}, description="figure -> least value, in per cent; the model is not exported below")
