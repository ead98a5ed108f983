"""What a reader begins as: a pretrained encoder with fresh heads or a shipped reader, and the vocabulary that it reads with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from models.errors import RecipeError
from models.factory import e5, pretrained
from models.factory.reader_corpora import training_questions
from models.factory.reader_recipe import ReaderRecipe
from models.factory.recipe import SHIPPED
from models.factory.script_forms import converted
from models.factory.shipped import kept_package, unrounded
from models.runtime.encoder import Encoder
from models.runtime.labels import ANSWERABLE, READER_CASES, SPAN_ENDS
from models.runtime.package import READER, ModelPackage
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


@dataclass(frozen=True, slots=True)
class Start:
    """Where a run finds what its reader begins as.

    Attributes:
        recipe: Says what that is.
        data_dir: Folder of the corpora; the Latin pieces of an e5 are those that its questions and passages use most.
        cache: Folder of fetched packages.
        work: Folder of the run, which keeps a copy of a shipped reader.
        zoo: Folder of the shipped readers.
    """

    recipe: ReaderRecipe
    data_dir: Path
    cache: Path
    work: Path
    zoo: Path

    def shipped(self) -> ModelPackage | None:
        """Open the shipped reader that is begun with.

        Returns:
            It, or None if the recipe begins with a pretrained encoder.

        Raises:
            ModelMissingError: There is no such reader, or a file of it is absent.
            ModelDamagedError: A file does not fit its digest.
            RecipeError: It is of another language.
        """
        if not self.recipe.start.startswith(SHIPPED):
            return None
        package = kept_package(self.zoo / self.recipe.start.removeprefix(SHIPPED), self.work / "shipped", READER)
        if package.lang != self.recipe.lang:
            raise RecipeError(f"start: {package.name} reads {package.lang}, the recipe is for {self.recipe.lang}")
        return package

    def vocabulary(self) -> Vocabulary:
        """Choose the vocabulary of the reader.

        Returns:
            The shipped reader's; MiniLM's; or one of single characters, in which traditional Chinese is read as simplified.

        Raises:
            DataMissingError: A corpus or package is not there.
            ModelDamagedError: A package is not the pinned one.
        """
        if (package := self.shipped()) is not None:
            return Vocabulary(package.tokenizer_json(), package.folds)
        if self.recipe.start != "e5":
            return Vocabulary(pretrained.tokenizer_json(self.cache))
        read = training_questions(self.data_dir, self.recipe.lang, self.recipe.also)
        asked = [one for _, _, questions in read for one in questions]
        texts = list(dict.fromkeys(text for one in asked for text in (one.question, one.context)))
        tokenizer_json = e5.tokenizer_json(e5.open_checkpoint(self.cache).pieces, texts, self.recipe.latin)
        return Vocabulary(tokenizer_json, simplified(list(json.loads(tokenizer_json)["model"]["vocab"])))

    def encoder(self, words: Vocabulary) -> Encoder:
        """Load what the reader begins as.

        Args:
            words: Its vocabulary.

        Returns:
            The shipped reader in floats; or a pretrained encoder with fresh heads.

        Raises:
            DataMissingError: A package is not there.
            ModelDamagedError: It is not the pinned one.
        """
        if (package := self.shipped()) is not None:
            return unrounded(package)
        if self.recipe.start == "e5":
            encoder = e5.encoder(e5.open_checkpoint(self.cache), words.tokenizer_json)
        elif self.recipe.start == "mpnet":
            encoder = pretrained.mpnet(self.cache, words.tokenizer_json)
        else:
            encoder = pretrained.minilm(self.cache)
        return fresh_reader(encoder)


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
