"""The texts that students learn from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.errors import DataMissingError, RecipeError
from models.factory.augment import Maker, Neighbours, exchanged
from models.factory.corpora import read
from models.factory.corpus_readers import LabelledText
from models.factory.entity_replacement import Names, gold_names, with_entities_replaced
from models.factory.examples import IGNORE, Examples, concatenate
from models.factory.languages import Language, language
from models.factory.mixture import encode_corpus, gold_texts, sentiment_repeats
from models.factory.recipe import Label
from models.factory.script_forms import in_both_scripts
from models.factory.shelf import Shelf
from models.factory.silver import Codes, SilverTokenizer
from models.runtime.labels import NUM_CASES
from models.runtime.tokenizer import PieceTokenizer


@dataclass(frozen=True, slots=True)
class DistillationData:
    """All texts that a student may draw; text d is one of `names[corpus[d]]`, made of the corpus `origins[corpus[d]]`.

    Attributes:
        shown: The texts with the features that a teacher sees.
        examples: The texts as a student sees them.
    """

    shown: Examples
    examples: Examples
    names: tuple[str, ...]
    origins: tuple[str, ...]
    corpus: npt.NDArray[np.int64]

    def of(self, origins: Collection[str]) -> npt.NDArray[np.int64]:
        """Return the texts that were made of corpora, int64, shape (n,).

        Args:
            origins: Names of the corpora.
        """
        return np.flatnonzero(np.array([origin in origins for origin in self.origins])[self.corpus])

    @property
    def silver(self) -> Codes:
        """LAC's code of every token, int8, shape (N,); IGNORE where the texts are shown without."""
        return silver_codes(self.shown)

    def repeats(self, epochs: dict[str, float], negative_factor: float) -> npt.NDArray[np.float64]:
        """Compute how often each text is to be drawn; a corpus that is not named is not drawn.

        Raises RecipeError if `epochs` names a corpus that the teacher has not labelled.

        Args:
            epochs: Corpus -> how often.
            negative_factor: Weight of negative texts in a three-class corpus.

        Returns:
            float64, shape (D,).

        Raises:
            RecipeError: A corpus is named that the teacher has not labelled.
        """
        if strange := sorted(set(epochs) - set(self.names)):
            raise RecipeError(f"epochs: {strange[0]!r} is not among the labelled texts: {', '.join(self.names)}")
        each = np.array([epochs.get(name, 0.0) for name in self.names])[self.corpus]
        for number in range(len(self.names)):
            mine = self.corpus == number
            each[mine] *= sentiment_repeats(self.examples.sentiment[mine], negative_factor)
        return each


def build_distillation_data(
    label: Label, lang: str, data_dir: Path, tokenizer: PieceTokenizer, seed: int, near: Callable[[], Neighbours],
    most: int, shelf: Shelf | None = None,
) -> DistillationData:  # fmt: skip
    """Read, choose, make and tokenize the texts of a recipe.

    Texts are cut at `most` pieces, and kept on `shelf`, if one is given, where they hang on nothing else. Of the corpora without
    labels those texts are left out that models of the language are measured on.

    Args:
        label: Settings of the step.
        lang: Language.
        data_dir: Folder of the corpora.
        tokenizer: The model's.
        seed: Draws the texts.
        near: Gives near words; asked only where words are exchanged.
        most: Pieces after which a text is cut.
        shelf: Keeps texts that depend on nothing else, if given.

    Returns:
        The texts.

    Raises:
        DataMissingError: A corpus is not there.
    """
    tongue = language(lang)
    kinds: list[tuple[str, str, int, Maker]] = [
        *((name, name, wanted, _chosen) for name, wanted in label.gold.items()),
        *((name, name, wanted, tongue.sentences) for name, wanted in label.unlabelled.items()),
        *((f"{name}-phrases", name, wanted, tongue.phrases) for name, wanted in label.phrases.items()),
        *((f"{name}-whole", name, wanted, _chosen) for name, wanted in label.whole.items()),
    ]
    if label.exchanged:
        exchange = partial(exchanged, neighbours=near())
        kinds += [(f"{name}-exchanged", name, wanted, exchange) for name, wanted in label.exchanged.items()]
    # Filled on the way: texts with other names come last.
    sources: list[Names] = []
    kinds += [
        (f"{name}-renamed", name, wanted, partial(with_entities_replaced, sources=sources))
        for name, wanted in label.renamed.items()
    ]
    alone = not (label.traditional or label.renamed or isinstance(tokenizer, SilverTokenizer))
    parts, corpus = [], []
    for number, (title, name, wanted, make) in enumerate(kinds):
        if alone and title == name and title in label.gold and not wanted:
            parts.append(gold_texts(name, data_dir, tokenizer, most, shelf))
            corpus.append(np.full(len(parts[-1]), number))
            continue

        def texts(
            number: int = number, title: str = title, name: str = name, wanted: int = wanted, make: Maker = make
        ) -> Examples:
            rng = np.random.default_rng([seed, number])
            records = make(read(name, data_dir) if title in label.gold else _unseen(name, tongue, data_dir), wanted, rng)
            if label.renamed and title in label.gold and any(record.tags for record in records):
                sources.append(gold_names(records))
            if label.traditional:
                records = in_both_scripts(records, label.traditional, rng)
            if label.renamed and title in label.unlabelled and isinstance(tokenizer, SilverTokenizer):
                sources.append(tokenizer.names([record.text for record in records]))
            return encode_corpus(name, records, tokenizer, most)

        parts.append(shelf.keep(name, [title, wanted, seed, number, most], texts) if alone and shelf else texts())
        corpus.append(np.full(len(parts[-1]), number))
    titles, names = tuple(kind[0] for kind in kinds), tuple(kind[1] for kind in kinds)
    shown = concatenate(parts)
    return DistillationData(shown, without_features(shown), titles, names, np.concatenate(corpus))


def _unseen(name: str, tongue: Language, data_dir: Path) -> list[LabelledText]:
    """The records of a corpus, but not the texts that models are measured on, which were drawn from the same posts."""
    try:
        measured = {record.text.strip() for record in read(tongue.posts, data_dir, "dev")}
    except DataMissingError:
        measured = set()
    return [record for record in read(name, data_dir) if record.text.strip() not in measured]


def without_features(shown: Examples) -> Examples:
    """Return texts as a model without a teacher's features sees them: what had one has no cased letters.

    Args:
        shown: The texts as a teacher sees them.
    """
    return replace(shown, cases=np.where(shown.cases < NUM_CASES, shown.cases, 0).astype(np.uint8))


def silver_codes(shown: Examples) -> Codes:
    """Return the codes that texts are shown with, int8, shape (N,), IGNORE where there is none.

    Args:
        shown: The texts as a teacher sees them.
    """
    return np.where(shown.cases < NUM_CASES, IGNORE, shown.cases.astype(np.int64) - NUM_CASES).astype(np.int8)


def _chosen(records: list[LabelledText], wanted: int, rng: np.random.Generator) -> list[LabelledText]:
    """`wanted` of the records, or all where that is 0 or more than there are."""
    if not 0 < wanted < len(records):
        return records
    return [records[i] for i in sorted(rng.choice(len(records), wanted, replace=False))]


def describe(pool: DistillationData) -> Iterator[str]:
    """Describe the texts of each corpus.

    Args:
        pool: The texts.

    Yields:
        One line a corpus: texts and tokens.
    """
    for number, name in enumerate(pool.names):
        mine = pool.corpus == number
        yield f"{name}: {mine.sum():,} texts, {pool.examples.lengths[mine].sum():,} tokens"
