"""Models of the zoo as starts of new ones."""

from __future__ import annotations

import shutil
from pathlib import Path

from models.runtime.encoder import Encoder
from models.runtime.package import TAGGER, ModelPackage, open_package
from models.runtime.weights import to_encoder


def kept_package(source: Path, kept: Path, task: str = TAGGER) -> ModelPackage:
    """Open a model as it was when a run first asked for it: an export may replace it in the zoo.

    Args:
        source: Folder of the model.
        kept: Folder of the run's copies; the copy has the name of `source`.
        task: What the model is for.

    Returns:
        The run's own copy.

    Raises:
        ModelMissingError: There is no such model, or a file of it is absent.
        ModelDamagedError: A file does not fit its digest or the label sets of this version.
    """
    copy = kept / source.name
    if not copy.exists():
        folder = open_package(source, task).folder
        part = copy.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(folder, part)
        part.rename(copy)
    return open_package(copy, task)


def unrounded(package: ModelPackage) -> Encoder:
    """Load a model as a float encoder, to be taught on; its int8 weights become the numbers that they stand for.

    Args:
        package: The model.

    Returns:
        The encoder, on the CPU and in evaluation mode.
    """
    weights = {key: value for key, value in package.weights().items() if not key.endswith((".act_scale", ".act_zero"))}
    return to_encoder(package.config, weights)
