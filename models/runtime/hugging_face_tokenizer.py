"""The tokenizer of a Hugging Face folder as one JSON text, and the language that its vocabulary is of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from models.errors import ModelDamagedError, ModelMissingError

TOKENIZER, VOCABULARY, SETTINGS, ADDED = "tokenizer.json", "vocab.txt", "tokenizer_config.json", "added_tokens.json"
FILES = (TOKENIZER, VOCABULARY, SETTINGS, ADDED)
SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# What transformers reads a vocabulary by that splits texts as BERT does. Others (Japanese) ask a program first.
CLASSES = ("BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer", "DistilBertTokenizerFast")
# Chinese vocabularies have about 7,000 single Han characters, and hardly anything else; multilingual ones have as many among
# 100,000 pieces of other scripts.
HAN_PIECES = 3000
_HAN = (("\u3400", "\u4dbf"), ("\u4e00", "\u9fff"), ("\uf900", "\ufaff"), ("\U00020000", "\U0003ffff"))


def read_json(path: Path) -> dict[str, Any]:
    """Return the object of a JSON file.

    Args:
        path: The file.

    Raises:
        ModelMissingError: There is no such file.
        ModelDamagedError: It holds something else.
    """
    if not path.is_file():
        raise ModelMissingError(f"{path} is missing; save model and tokenizer into one folder with save_pretrained")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelDamagedError(f"{path}: not JSON ({error}); copy it again") from error
    if not isinstance(found, dict):
        raise ModelDamagedError(f"{path}: not a JSON object; copy it again")
    return found


def tokenizer_json(folder: Path) -> str:
    """Return a folder's WordPiece tokenizer in the JSON format of the `tokenizers` library, the same text on every machine.

    As in transformers, what tokenizer_config.json says of case and accents overrules tokenizer.json; BERT tokenizers lower-case
    if it says nothing of case.

    Args:
        folder: The model's.

    Raises:
        ModelMissingError: There is neither tokenizer.json nor vocab.txt with tokenizer_config.json.
        ModelDamagedError: It is of another kind, or lacks a piece that every text needs.
    """
    if (folder / TOKENIZER).is_file():
        found = read_json(folder / TOKENIZER)
        if (folder / SETTINGS).is_file():
            settings = read_json(folder / SETTINGS)
            normalizer = found.get("normalizer") or {}
            if settings.get("tokenizer_class", CLASSES[0]) in CLASSES and normalizer.get("type") == "BertNormalizer":
                found["normalizer"] = _normalizer(settings)
    elif (folder / VOCABULARY).is_file():
        found = _of_vocabulary(folder)
    else:
        raise ModelMissingError(
            f"{folder}: neither {TOKENIZER} nor {VOCABULARY} of a WordPiece tokenizer, and no other is read; "
            "save it beside the model: AutoTokenizer.from_pretrained(NAME).save_pretrained(FOLDER)"
        )
    model = found.get("model") or {}
    if model.get("type") != "WordPiece" or model.get("continuing_subword_prefix", "##") != "##":
        raise ModelDamagedError(
            f"{folder / TOKENIZER}: a {model.get('type')} tokenizer; only WordPiece with ## inside words is read, "
            "so take a model with such a vocabulary"
        )
    text = json.dumps(found, ensure_ascii=False)
    try:
        absent = {*SPECIALS[:4]}.difference(pieces(text))
    except ValueError as error:
        raise ModelDamagedError(f"{folder}: its tokenizer is not readable ({error}); save it again") from error
    if absent:
        raise ModelDamagedError(f"{folder}: its tokenizer has no {', '.join(sorted(absent))}; take a model that has BERT's")
    return text


def pieces(tokenizer: str) -> dict[str, int]:
    """Return all pieces of a tokenizer with their ids.

    Args:
        tokenizer: Its JSON.

    Raises:
        ValueError: It is no tokenizer that the library `tokenizers` reads.
    """
    try:
        found: dict[str, int] = Tokenizer.from_str(tokenizer).get_vocab(with_added_tokens=True)
    except Exception as error:  # the library raises nothing narrower
        raise ValueError(str(error)) from error
    return found


def language(vocabulary: Iterable[str]) -> str:
    """Tell Chinese models, which read character by character, from all others.

    The files of a model do not say its language. It is taken as Chinese if at least HAN_PIECES pieces, and more than half of
    all, are one Han character; everything else is "en", multilingual models and those of other languages too.

    Args:
        vocabulary: The pieces.

    Returns:
        "zh" or "en".
    """
    bare = [piece.removeprefix("##") for piece in vocabulary]
    han = sum(len(piece) == 1 and any(low <= piece <= high for low, high in _HAN) for piece in bare)
    return "zh" if han >= HAN_PIECES and 2 * han > len(bare) else "en"


def _normalizer(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": settings.get("tokenize_chinese_chars", True),
        "strip_accents": settings.get("strip_accents"),
        "lowercase": settings.get("do_lower_case", True),
    }


def _of_vocabulary(folder: Path) -> dict[str, Any]:
    settings = read_json(folder / SETTINGS)
    kind = settings.get("tokenizer_class") or CLASSES[0]
    added = read_json(folder / ADDED) if (folder / ADDED).is_file() else {}
    try:
        lines = (folder / VOCABULARY).read_text(encoding="utf-8").split("\n")
    except ValueError as error:
        raise ModelDamagedError(f"{folder / VOCABULARY}: not UTF-8 ({error}); copy it again") from error
    vocabulary = {piece: i for i, piece in enumerate(lines[: -1 if lines[-1] == "" else None])}
    if kind not in CLASSES or not added.keys() <= vocabulary.keys():
        what = f"a {kind}" if kind not in CLASSES else f"pieces that {ADDED} adds"
        raise ModelDamagedError(
            f"{folder / VOCABULARY}: {what}, for which it is not enough; a {TOKENIZER} is needed: "
            "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
        )
    whole = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": vocabulary[name], "content": name, **whole} for name in SPECIALS if name in vocabulary],
        "normalizer": _normalizer(settings),
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": None,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": SPECIALS[1],
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocabulary,
        },
    }
