"""The tensors of BERT and DistilBERT under our names, in float32: without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file

from models.errors import ModelDamagedError
from models.runtime.config import EncoderConfig, LayerShape
from models.runtime.hugging_face_families import Family, number
from models.runtime.hugging_face_labels import Outputs
from models.runtime.labels import NUM_CASES

Float32 = npt.NDArray[np.float32]

LONGEST = 512


class Tensors:
    """The tensors of a model.safetensors, by their names there.

    Args:
        path: The file.

    Attributes:
        path: The file.

    Raises:
        ModelDamagedError: It is no such file, or in a type that numpy does not have.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._found = load_file(path)
        except (SafetensorError, TypeError, KeyError, ValueError) as error:
            raise ModelDamagedError(
                f"{path}: not readable ({error}); save the model in float32: model.float().save_pretrained(FOLDER)"
            ) from error

    def matrix(self, name: str, *shape: int | None) -> Float32:
        """Return a tensor in float32.

        Args:
            name: Its name; of the norms of old files the names gamma and beta are known, too.
            *shape: Its shape, None where any size will do.

        Raises:
            ModelDamagedError: It is absent, not of this shape, or holds no floats.
        """
        old = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        found = self._found.get(name, self._found.get(old))
        if found is None:
            raise ModelDamagedError(f"{self.path}: no tensor {name}; save the whole model with save_pretrained")
        fits = len(found.shape) == len(shape) and all(b in (None, a) for a, b in zip(found.shape, shape, strict=True))
        if not fits or found.dtype.kind != "f":
            raise ModelDamagedError(f"{self.path}: {name} is {found.dtype} of {found.shape}; save the model again, in float32")
        return found.astype(np.float32)

    def linear(self, ours: str, name: str, out: int | None, into: int) -> dict[str, Float32]:
        """Return weight and bias of a layer under our name.

        Args:
            ours: Our name.
            name: Its name in the file.
            out: Outputs, None for any number.
            into: Inputs.
        """
        weight = self.matrix(f"{name}.weight", out, into)
        return {f"{ours}.weight": weight, f"{ours}.bias": self.matrix(f"{name}.bias", len(weight))}

    def norm(self, ours: str, name: str, width: int) -> dict[str, Float32]:
        """Return weight and bias of a LayerNorm under our name.

        Args:
            ours: Our name.
            name: Its name in the file.
            width: Width of the states.
        """
        return {f"{ours}.{kind}": self.matrix(f"{name}.{kind}", width) for kind in ("weight", "bias")}


def body(
    tensors: Tensors, config: Mapping[str, Any], family: Family, outputs: Outputs
) -> tuple[dict[str, Float32], EncoderConfig]:
    """Return everything below the heads, and the shapes of the whole.

    The embedding of the first token type goes into that of the positions, for a text is of no other type. Cases add nothing.

    Args:
        tensors: The model's.
        config: Its config.json.
        family: Its family.
        outputs: What it tells apart.

    Returns:
        The tensors by their names in our encoder's state dict, and its configuration.

    Raises:
        ModelDamagedError: A tensor does not fit, or numbers of config.json do not.
    """
    where = f"{family.root}embeddings."
    words = tensors.matrix(f"{where}word_embeddings.weight", None, None)
    hidden = words.shape[1]
    places = tensors.matrix(f"{where}position_embeddings.weight", None, hidden)[:LONGEST]
    if not family.plain:
        places = places + tensors.matrix(f"{where}token_type_embeddings.weight", None, hidden)[0]
    out = {"words.weight": words, "places.weight": places, "cases.weight": np.zeros((NUM_CASES, hidden), np.float32)}
    out |= tensors.norm("norm", f"{where}LayerNorm", hidden)
    layers, heads = (number(config, key) for key in family.numbers[:2])
    if not (isinstance(layers, int) and isinstance(heads, int) and layers > 0 and heads > 0 and hidden % heads == 0):
        raise ModelDamagedError(f"{tensors.path}: {hidden} wide, where config.json has {layers!r} layers of {heads!r} heads")
    eps = 1e-12 if family.plain else float(config.get("layer_norm_eps", 1e-12))
    for i in range(layers):
        theirs, ours = family.layer.format(i), f"layers.{i}."
        qkv = [tensors.linear("", theirs + name, hidden, hidden) for name in family.qkv]
        out |= {f"{ours}qkv.{kind}": np.concatenate([part[f".{kind}"] for part in qkv]) for kind in ("weight", "bias")}
        out |= tensors.linear(ours + "out", theirs + family.parts["out"], hidden, hidden)
        out |= tensors.linear(ours + "up", theirs + family.parts["up"], None, hidden)
        out |= tensors.linear(ours + "down", theirs + family.parts["down"], hidden, len(out[ours + "up.weight"]))
        for name in ("norm1", "norm2"):
            out |= tensors.norm(ours + name, theirs + family.parts[name], hidden)
    own = outputs.own
    shapes = tuple(LayerShape(heads, len(out[f"layers.{i}.up.weight"])) for i in range(layers))
    return out, EncoderConfig(
        len(words), hidden, shapes, hidden // heads, len(places), eps,
        transitions=outputs.transitions is not None, entity_tags=len(own.entity_tags),
        token_outputs=own.token_outputs, text_outputs=own.text_outputs, pooling=family.pooling,
    )  # fmt: skip


def heads(tensors: Tensors, family: Family, outputs: Outputs, hidden: int) -> dict[str, Float32]:
    """Return the heads: the classifier's rows in our order, and zeros for what the model does not tell.

    Args:
        tensors: The model's.
        family: Its family.
        outputs: Which row is which.
        hidden: Width of the states.

    Returns:
        The tensors by their names in our encoder's state dict.

    Raises:
        ModelDamagedError: A tensor does not fit.
    """
    own = outputs.own
    theirs = tensors.linear("", "classifier", None, hidden)
    weight = np.stack([np.zeros(hidden, np.float32) if row is None else theirs[".weight"][row] for row in outputs.rows])
    bias = np.array([0 if row is None else theirs[".bias"][row] for row in outputs.rows], np.float32)
    mine, other = ("tokens_head", "sentiment_head") if own.entities else ("sentiment_head", "tokens_head")
    out = {f"{mine}.weight": weight, f"{mine}.bias": bias + np.array(outputs.shifts, np.float32)}
    out |= {f"{other}.weight": np.zeros((1, hidden), np.float32), f"{other}.bias": np.zeros(1, np.float32)}
    if own.sentiments:
        out |= tensors.linear("pool", family.pool, hidden, hidden)
    else:
        out |= {"pool.weight": np.zeros((hidden, hidden), np.float32), "pool.bias": np.zeros(hidden, np.float32)}
    if outputs.transitions is not None:
        out["transitions"] = outputs.transitions
    return out
