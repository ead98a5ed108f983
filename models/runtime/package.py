"""A model as a folder: `model.json` (what it is, and the digests of the rest), `weights.safetensors`, `tokenizer.json`.

Nothing in it is executable. A file that is missing, cut short, changed, or made for other label sets is refused before
any text is tagged.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from models.errors import ModelDamagedError, ModelMissingError
from models.runtime import labels
from models.runtime.config import EncoderConfig
from models.runtime.labels import LABELS, LabelSet

FORMAT = 1
MIN_WINDOW = 16
# The models that "auto" stands for.
AUTO = ("en", "zh")
# The rules by which texts find their model (models.runtime.languages); one more whenever they change.
ROUTING = 2
ZOO = Path(__file__).resolve().parent.parent / "zoo"
WEIGHTS, TOKENIZER, MANIFEST = "weights.safetensors", "tokenizer.json", "model.json"


# What a model does, and what it is for where it was not asked for.
TAGGER, READER, EMBEDDER = "tagger", "reader", "embedder"
USES = {
    TAGGER: "it tags texts: textmill tag",
    READER: "it answers questions: textmill answer",
    EMBEDDER: "it makes vectors of passages: textmill index",
}


def label_map(task: str = TAGGER, own: LabelSet = LABELS) -> dict[str, list[str]]:
    """Return label sets as they stand in `model.json`.

    Args:
        task: What a model does: tag texts, read answers, or make vectors.
        own: What a tagger tells apart; the other tasks have one set for all.
    """
    if task == EMBEDDER:
        return {"word_cases": list(labels.WORD_CASES)}
    if task == READER:
        return {"spans": list(labels.SPAN_ENDS), "answerable": list(labels.ANSWERABLE), "word_cases": list(labels.WORD_CASES)}
    return {
        "entities": list(own.entity_tags),
        "upos": list(labels.UPOS) if own.words else [],
        "joins": list(labels.JOINS) if own.words else [],
        "sentiment": list(own.sentiments),
        "word_cases": list(labels.WORD_CASES),
    }


def _label_set(found: dict[str, list[str]], where: Path) -> LabelSet:
    """What a tagger's manifest says that it tells apart."""
    types = tuple(tag[2:] for tag in found["entities"] if tag.startswith("B-"))
    own = LabelSet(types, tuple(found["sentiment"]), words=bool(found["upos"]))
    if not own.sound or found != label_map(TAGGER, own):
        raise ModelDamagedError(f"{where}: its label sets are not those of this version, nor a set of own types and classes")
    return own


def sha256(path: Path) -> str:
    """Return the SHA-256 digest of a file, in hex.

    Args:
        path: A file that fits into memory.
    """
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass(frozen=True, slots=True)
class ModelPackage:
    """A model folder whose files have been checked; made by `open_package`.

    Attributes:
        folder: Where its three files are.
        name: As `model.json` has it.
        lang: Language that the model reads, ISO 639-1.
        window: Tokens of the longest window, specials included.
        digest: SHA-256 of `model.json`, which names the model with everything that it holds.
        calibration: What makes a probability of a reader's margins, or of a tagger's scores of entities; empty if nothing does.
        folds: Characters that its tokenizer reads as others, and those others.
        sentiment_bias: What is added to the logarithm of the probability of each class; empty if nothing is.
        labels: What a tagger tells apart.
    """

    folder: Path
    name: str
    lang: str
    window: int
    config: EncoderConfig
    digest: str
    calibration: tuple[float, ...] = ()
    folds: tuple[str, str] = ("", "")
    sentiment_bias: tuple[float, ...] = ()
    labels: LabelSet = LABELS

    @property
    def size(self) -> int:
        """Bytes of its three files."""
        return sum((self.folder / name).stat().st_size for name in (WEIGHTS, TOKENIZER, MANIFEST))

    def weights(self) -> dict[str, npt.NDArray[Any]]:
        """Return all tensors by their names in the encoder's state dict, as stored: int8 with scales, float16 or float32."""
        return load_file(self.folder / WEIGHTS)

    def tokenizer_json(self) -> str:
        """Return the tokenizer in the JSON format of the `tokenizers` library."""
        return (self.folder / TOKENIZER).read_text(encoding="utf-8")


def installed(task: str = TAGGER) -> list[str]:
    """Return the names of the models in the zoo that do this.

    Args:
        task: What they do.
    """
    found = {path.parent.name: json.loads(path.read_text()).get("task", TAGGER) for path in ZOO.glob(f"*/{MANIFEST}")}
    return sorted(name for name, does in found.items() if does == task)


def open_package(model: str | Path, task: str = TAGGER) -> ModelPackage:
    """Find a model by its name in the zoo or by its folder, and check every file of it.

    Of a tagger the folder may be one of Hugging Face, see `models.runtime.hugging_face`: it is converted once, and what is opened
    lies in the cache.

    Args:
        model: Name or folder.
        task: What it must do.

    Returns:
        The model; its weights are read again when they are asked for.

    Raises:
        ModelMissingError: It or a file of it is absent, or it does something else.
        ModelDamagedError: A file does not fit.
    """
    folder = ZOO / model if (ZOO / model / MANIFEST).is_file() else Path(model)
    if task == TAGGER and not (folder / MANIFEST).is_file():
        from models.runtime.hugging_face import converted, is_checkpoint

        folder = converted(folder) if is_checkpoint(folder) else folder
    if not (folder / MANIFEST).is_file():
        known = ", ".join(installed(task)) or "none"
        raise ModelMissingError(f"no model {str(model)!r}: neither a folder with a {MANIFEST} nor one of: {known}")
    raw = (folder / MANIFEST).read_bytes()
    try:
        manifest = json.loads(raw)
        version = manifest["format"]
        if version != FORMAT:
            raise ModelDamagedError(f"{folder / MANIFEST}: format {version}, this version reads {FORMAT}")
        for name in (WEIGHTS, TOKENIZER):
            path, wanted = folder / name, manifest["files"][name]
            if not path.is_file():
                raise ModelMissingError(f"{path} is missing; copy the model's folder again")
            if sha256(path) != wanted:
                raise ModelDamagedError(f"{path} is not the file that {MANIFEST} names (sha256 differs); copy it again")
        if (found := manifest.get("task", TAGGER)) != task:
            wanted = f"{task} is needed; {USES[found]}" if found in USES else f"this version knows no {found}"
            raise ModelMissingError(f"{folder}: a {found}, where a {wanted}")
        own = _label_set(manifest["labels"], folder / MANIFEST) if task == TAGGER else LABELS
        if task != TAGGER and manifest["labels"] != label_map(task):
            raise ModelDamagedError(f"{folder / MANIFEST}: its label sets are not those of this version")
        config = EncoderConfig.from_json(manifest["config"])
        package = ModelPackage(
            folder, manifest["name"], manifest["lang"], manifest["window"], config, hashlib.sha256(raw).hexdigest(),
            tuple(map(float, manifest.get("calibration", ()))), _folds(manifest),
            tuple(map(float, manifest.get("sentiment_bias", ()))), own,
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise ModelDamagedError(f"{folder / MANIFEST}: not a model manifest ({error})") from error
    _check_shapes(package, task)
    return package


@dataclass(frozen=True, slots=True)
class Models:
    """One model, or several of which each reads another language.

    Attributes:
        name: The model's own, or for several what they were asked for by.
        packages: The models; of several the first tags texts for which none is nearer.
    """

    name: str
    packages: tuple[ModelPackage, ...]

    @property
    def digest(self) -> str:
        """SHA-256 in hex over the digests of all models and the version of the rules by which texts find theirs."""
        parts = [f"routing {ROUTING}", *(package.digest for package in self.packages)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def open_models(model: str | Path) -> Models:
    """Open and check one model or several.

    Args:
        model: Name in the zoo or model folder, "auto" (every language's default), or several names joined by +.

    Returns:
        The models, in the order in which they are named.

    Raises:
        ModelMissingError: One of them does not exist, or a file of it is absent.
        ModelDamagedError: A file of one does not fit, see `open_package`.
    """
    names = [model]
    if isinstance(model, str) and not Path(model).is_dir():
        names = [*AUTO] if model == "auto" else [*model.split("+")]
    packages = tuple(open_package(name) for name in names)
    return Models(str(model) if len(packages) > 1 else packages[0].name, packages)


def _folds(manifest: dict[str, Any]) -> tuple[str, str]:
    these, those = map(str, manifest.get("folds", ("", "")))
    if len(these) != len(those):
        raise ValueError(f"folds: {len(these)} characters, of which {len(those)} are to be read")
    return these, those


def _shapes(config: EncoderConfig) -> dict[str, tuple[int, int]]:
    wanted = {"words.weight": (config.vocab, config.hidden), "cases.weight": (config.cases, config.hidden)}
    if config.pairs:
        wanted["pairs.weight"] = (config.pairs, config.pair_width)
        wanted["pair_project.weight"] = (config.hidden, 2 * config.pair_width)
    if config.transitions:
        wanted["transitions"] = (config.entity_tags + 1, config.entity_tags)
    wanted["places.weight"] = (config.positions, config.hidden)
    if not config.headless:
        wanted["tokens_head.weight"] = (config.token_outputs, config.hidden)
        wanted["sentiment_head.weight"] = (config.text_outputs, config.hidden)
    for i, shape in enumerate(config.layers):
        wanted[f"layers.{i}.qkv.weight"] = (3 * shape.heads * config.head_dim, config.hidden)
        wanted[f"layers.{i}.out.weight"] = (config.hidden, shape.heads * config.head_dim)
        wanted[f"layers.{i}.down.weight"] = (config.hidden, shape.ffn)
    return wanted


def _check_shapes(package: ModelPackage, task: str) -> None:
    config, path = package.config, package.folder / WEIGHTS
    wanted = package.labels.token_outputs, package.labels.text_outputs
    if task == TAGGER and (config.token_outputs, config.text_outputs) != wanted:
        raise ModelDamagedError(f"{path.parent / MANIFEST}: its outputs are not as many as its labels")
    try:
        weights = package.weights()
    except SafetensorError as error:
        raise ModelDamagedError(f"{path}: not readable as safetensors ({error})") from error
    if not isinstance(package.window, int) or not MIN_WINDOW <= package.window <= config.positions:
        raise ModelDamagedError(f"{path.parent / MANIFEST}: window {package.window!r} is not in {MIN_WINDOW}..{config.positions}")
    for name, size in _shapes(config).items():
        if name not in weights or weights[name].shape != size:
            raise ModelDamagedError(f"{path}: {name} should be {size}, is {getattr(weights.get(name), 'shape', None)}")
    for name, values in weights.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ModelDamagedError(f"{path}: {name} holds values that are not finite")


def write_package(
    folder: Path,
    name: str,
    lang: str,
    window: int,
    config: EncoderConfig,
    weights: dict[str, npt.NDArray[Any]],
    tokenizer_json: str,
    task: str = TAGGER,
    calibration: Sequence[float] = (),
    folds: tuple[str, str] = ("", ""),
    sentiment_bias: Sequence[float] = (),
    own: LabelSet = LABELS,
) -> ModelPackage:
    """Write the three files of a model and open the result, which checks it.

    Args:
        folder: Where the files are written; made if it is absent.
        name: Name that the model will bear.
        lang: Language that it reads, ISO 639-1.
        window: Tokens of the longest window, specials included.
        config: Shapes of the weights.
        weights: All tensors, see `to_weights`.
        tokenizer_json: The tokenizer in JSON.
        task: What it does.
        calibration: What makes a probability of a reader's margins, or of a tagger's scores of entities; empty if nothing does.
        folds: Characters that the tokenizer reads as others, and those others.
        sentiment_bias: What is added to the logarithm of the probability of each class.
        own: What a tagger tells apart.

    Returns:
        The model.

    Raises:
        ModelDamagedError: The weights or the window do not fit the configuration, or weights are not finite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Written as other files are: save_file would let nobody else read it.
    (folder / WEIGHTS).write_bytes(save({key: np.array(value, order="C") for key, value in weights.items()}))
    (folder / TOKENIZER).write_text(tokenizer_json, encoding="utf-8")
    manifest = {
        "format": FORMAT,
        "name": name,
        "lang": lang,
        "window": window,
        "config": config.to_json(),
        "labels": label_map(task, own),
        **({} if task == TAGGER else {"task": task}),
        **({"calibration": list(calibration)} if calibration or task == READER else {}),
        **({"sentiment_bias": list(sentiment_bias)} if sentiment_bias else {}),
        **({"folds": list(folds)} if folds[0] else {}),
        "files": {file: sha256(folder / file) for file in (WEIGHTS, TOKENIZER)},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return open_package(folder, task)
