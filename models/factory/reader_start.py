"""What a reader begins as: a pretrained encoder with fresh heads, and the vocabulary that it reads with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from models.factory import e5, pretrained
from models.factory.reader_corpora import training_questions
from models.factory.reader_recipe import ReaderRecipe
from models.factory.script_forms import converted
from models.runtime.encoder import Encoder
from models.runtime.labels import ANSWERABLE, READER_CASES, SPAN_ENDS
from models.runtime.tokenizer import PieceTokenizer


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What texts become pieces by.

    Attributes:
        tokenizer_json: The tokenizer in JSON.
        folds: Characters that are read as others, and those others.
    """

    tokenizer_json: str
    folds: tuple[str, str] = ("", "")

    def tokenizer(self) -> PieceTokenizer:
        """Return the tokenizer."""
        return PieceTokenizer(self.tokenizer_json, self.folds)


def vocabulary(recipe: ReaderRecipe, data_dir: Path, cache: Path) -> Vocabulary:
    """Choose the vocabulary of a reader.

    Args:
        recipe: Says where the reader begins.
        data_dir: Folder of the corpora; the Latin pieces of an e5 are those that its questions and passages use most.
        cache: Folder of fetched packages.

    Returns:
        MiniLM's, or one of single characters, in which traditional Chinese is read as simplified.

    Raises:
        DataMissingError: A corpus or package is not there.
        ModelDamagedError: A package is not the pinned one.
    """
    if recipe.start != "e5":
        return Vocabulary(pretrained.tokenizer_json(cache))
    asked = [one for _, questions in training_questions(data_dir, recipe.lang) for one in questions]
    texts = list(dict.fromkeys(text for one in asked for text in (one.question, one.context)))
    tokenizer_json = e5.tokenizer_json(e5.open_checkpoint(cache).pieces, texts, recipe.latin)
    return Vocabulary(tokenizer_json, simplified(list(json.loads(tokenizer_json)["model"]["vocab"])))


def simplified(pieces: Sequence[str]) -> tuple[str, str]:
    """Find the traditional characters of a vocabulary whose simplified ones are in it too.

    Args:
        pieces: The vocabulary.

    Returns:
        The traditional characters and, in the same order, the simplified ones.

    Raises:
        DataMissingError: OpenCC is not installed.
    """
    known = set(pieces)
    pairs = [(one, converted(one, "t2s")) for one in sorted(known) if len(one) == 1]
    kept = [(one, other) for one, other in pairs if one != other and other in known]
    return "".join(one for one, _ in kept), "".join(other for _, other in kept)


def beginning(recipe: ReaderRecipe, words: Vocabulary, cache: Path) -> Encoder:
    """Load the pretrained encoder that a reader begins as.

    Args:
        recipe: Says which one.
        words: Its vocabulary.
        cache: Folder of fetched packages.

    Returns:
        The reader, its heads fresh.

    Raises:
        DataMissingError: A package is not there.
        ModelDamagedError: It is not the pinned one.
    """
    if recipe.start == "e5":
        encoder = e5.encoder(e5.open_checkpoint(cache), words.tokenizer_json)
    elif recipe.start == "mpnet":
        encoder = pretrained.mpnet(cache, words.tokenizer_json)
    else:
        encoder = pretrained.minilm(cache)
    return fresh_reader(encoder)


def fresh_reader(encoder: Encoder) -> Encoder:
    """Make a reader of a pretrained encoder: with heads for both ends and for whether there is an answer.

    Args:
        encoder: The encoder; it is not changed.

    Returns:
        The reader, its heads and case features fresh.
    """
    config = replace(
        encoder.config, cases=READER_CASES, token_outputs=len(SPAN_ENDS), text_outputs=len(ANSWERABLE), transitions=False
    )
    reader = Encoder(config)
    fresh = ("cases.", "tokens_head.", "sentiment_head.", "pool.", "transitions")
    state = {name: value for name, value in encoder.state_dict().items() if not name.startswith(fresh)}
    reader.load_state_dict({**reader.state_dict(), **state})
    return reader
