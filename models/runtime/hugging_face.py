"""Folders of Hugging Face as models: recognised, converted once into a folder of our own, and kept in a cache.

Read are token classification (entities) and sequence classification of BERT and DistilBERT with WordPiece vocabularies. Weights
stay in float32, so scores are those of transformers. Neither torch nor transformers is needed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from models.cache_folder import cache_folder
from models.errors import ModelDamagedError, ModelMissingError
from models.runtime.hugging_face_families import FAMILIES, GELU, number
from models.runtime.hugging_face_labels import names_of, of_texts, of_tokens
from models.runtime.hugging_face_tensors import Tensors, body, heads
from models.runtime.hugging_face_tokenizer import FILES, language, pieces, read_json, tokenizer_json
from models.runtime.package import MANIFEST, MIN_WINDOW, write_package

CONFIG, CHECKPOINT = "config.json", "model.safetensors"
# Weights in other forms.
OTHERS = ("model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5")
ENTITIES, CLASSES = "ForTokenClassification", "ForSequenceClassification"
# One more whenever the same files become another model.
CONVERSION = 1


def is_checkpoint(folder: Path) -> bool:
    """Whether this is a folder as transformers saves models, whatever is in it.

    Args:
        folder: Where it may be.
    """
    return any((folder / name).is_file() for name in (CONFIG, CHECKPOINT, *OTHERS))


def converted(folder: Path) -> Path:
    """Convert a folder of Hugging Face, or find it converted: equal files under an equal name give equal bytes on every machine.

    Args:
        folder: It has config.json, model.safetensors and tokenizer.json, or vocab.txt with tokenizer_config.json.

    Returns:
        A folder in the cache that `open_package` opens. It is there whole or not at all; two processes may make it at once.

    Raises:
        ModelMissingError: A file is absent, or the cache cannot be written.
        ModelDamagedError: A file does not fit, or the model is of a kind that is not read.
    """
    config = read_json(folder / CONFIG)
    _check_kind(config, folder)
    _check_weights(folder)
    name = Path(os.path.abspath(folder)).name
    place = cache_folder() / "models" / _key(folder, name)
    if (place / MANIFEST).is_file():
        return place
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".new-", dir=place.parent) as new:
            made = Path(new) / place.name
            _write(made, name, config, folder)
            _publish(made, place)
    except OSError as error:
        raise ModelMissingError(
            f"{folder} cannot be converted into {place.parent} ({error}); name another cache folder in TEXTMILL_CACHE"
        ) from error
    return place


def _check_kind(config: Mapping[str, Any], folder: Path) -> None:
    """Refuse what this encoder does not compute."""
    kind, architecture = config.get("model_type"), _architecture(config)
    if kind not in FAMILIES:
        raise ModelDamagedError(f"{folder}: a model of the family {kind!r}; only {' and '.join(FAMILIES)} are read, take another")
    if architecture.lower() not in (f"{kind}{ENTITIES}".lower(), f"{kind}{CLASSES}".lower()):
        raise ModelDamagedError(
            f"{folder}: its architecture is {architecture!r}; only {ENTITIES} and {CLASSES} are read, train it as such a one"
        )
    if (problem := config.get("problem_type")) not in (None, "single_label_classification") and architecture.endswith(CLASSES):
        raise ModelDamagedError(f"{folder}: {problem}; only single_label_classification is read: a text has one class")
    wanted = {
        FAMILIES[kind].numbers[2]: (number(config, FAMILIES[kind].numbers[2]), GELU),
        "position_embedding_type": (config.get("position_embedding_type") or "absolute", "absolute"),
        "is_decoder": (config.get("is_decoder") or False, False),
        "pruned_heads": (config.get("pruned_heads") or {}, {}),
    }
    for key, (found, known) in wanted.items():
        if found != known:
            raise ModelDamagedError(f"{folder / CONFIG}: {key} is {found!r}; only {known!r} is read, take a model with that")


def _architecture(config: Mapping[str, Any]) -> str:
    found = config.get("architectures")
    return str(found[0]) if isinstance(found, list) and found else ""


def _check_weights(folder: Path) -> None:
    if (folder / CHECKPOINT).is_file():
        return
    other = next((name for name in OTHERS if (folder / name).is_file()), None)
    if other is None:
        raise ModelMissingError(f"{folder / CHECKPOINT} is missing; copy the model's folder again")
    raise ModelMissingError(
        f"{folder}: weights are read from one {CHECKPOINT}, there is only {other}; "
        "save them again: model.save_pretrained(FOLDER, safe_serialization=True, max_shard_size='50GB')"
    )


def _key(folder: Path, name: str) -> str:
    """SHA-256 over the files that a conversion reads; over the name, too, because the converted model bears it."""
    digest = hashlib.sha256(f"{CONVERSION} {name}".encode())
    for file in (CONFIG, CHECKPOINT, *FILES):
        if (folder / file).is_file():
            with (folder / file).open("rb") as stream:
                digest.update(f"\n{file} {hashlib.file_digest(stream, 'sha256').hexdigest()}".encode())
    return digest.hexdigest()


def _write(made: Path, name: str, config: Mapping[str, Any], folder: Path) -> None:
    family, tokenizer, tensors = FAMILIES[config["model_type"]], tokenizer_json(folder), Tensors(folder / CHECKPOINT)
    finds_entities = _architecture(config).endswith(ENTITIES)
    count = len(tensors.matrix("classifier.bias", None))
    if not finds_entities and count < 2:
        raise ModelDamagedError(f"{folder}: one output is regression; only classifiers of two or more classes are read")
    outputs = (of_tokens if finds_entities else of_texts)(names_of(config, count, folder), folder)
    weights, shapes = body(tensors, config, family, outputs)
    if shapes.positions < MIN_WINDOW:
        raise ModelDamagedError(f"{folder}: {shapes.positions} positions, and {MIN_WINDOW} are the least; take another model")
    vocabulary = pieces(tokenizer)
    if (highest := max(vocabulary.values())) >= shapes.vocab:
        raise ModelDamagedError(
            f"{folder}: the tokenizer has the id {highest}, the model {shapes.vocab} embeddings; save both from the same model"
        )
    weights |= heads(tensors, family, outputs, shapes.hidden)
    try:
        write_package(made, name, language(vocabulary), shapes.positions, shapes, dict(weights), tokenizer, own=outputs.own)
    except ModelDamagedError as error:
        raise ModelDamagedError(f"{folder}: converted, it does not fit ({error}); save it again with save_pretrained") from error


def _publish(made: Path, place: Path) -> None:
    """Move a finished folder to its place, once its bytes are on the disk."""
    for path in made.iterdir():
        with path.open("rb+") as stream:
            os.fsync(stream.fileno())
    try:
        made.rename(place)
    except OSError:
        if not (place / MANIFEST).is_file():  # else another process was first, with the same bytes
            raise
