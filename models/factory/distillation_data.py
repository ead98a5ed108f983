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
    """All D texts, of N tokens, that students may draw, and which corpus each comes from.

    Text d belongs to the part `names[corpus[d]]`, which was made of the corpus `origins[corpus[d]]`.

    Attributes:
        shown: The texts with the features that only a teacher sees.
        examples: The texts as students see them.
        names: Names of the parts, by which `epochs` of a recipe names them, such as `sst2` or `sst2-phrases`.
        origins: Name in `CORPORA` of the corpus that each part was made of.
        corpus: Number of the part of each text, int64, shape (D,).
    """

    shown: Examples
    examples: Examples
    names: tuple[str, ...]
    origins: tuple[str, ...]
    corpus: npt.NDArray[np.int64]

    def of(self, origins: Collection[str]) -> npt.NDArray[np.int64]:
        """Return the numbers of the texts that were made of some corpora, ascending, int64, shape (n,).

        Args:
            origins: Names of corpora in `CORPORA`.
        """
        return np.flatnonzero(np.array([origin in origins for origin in self.origins])[self.corpus])

    @property
    def silver(self) -> Codes:
        """LAC's code of every token, int8, shape (N,); IGNORE where a token is shown without one."""
        return silver_codes(self.shown)

    def repeats(self, epochs: dict[str, float], negative_factor: float) -> npt.NDArray[np.float64]:
        """Compute how often each text is to be drawn; texts of parts that are not named are not drawn.

        Args:
            epochs: Part, as in `names` -> how often its texts are drawn.
            negative_factor: Further factor for negative texts of a part that holds neutral ones too; see `sentiment_repeats`.

        Returns:
            How often each text is to be drawn, float64, shape (D,).

        Raises:
            RecipeError: `epochs` names a part that is not in `names`.
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
    """Read, choose, derive and tokenize the texts that the recipe's `[label]` asks for.

    Only texts of `label.gold` are taken as they are. From all others, taken unlabelled or derived from a labelled corpus, texts
    are left out that stand in the dev split of the language's real posts, because models are measured on those.

    Args:
        label: How many texts are taken from each corpus, and what is derived from them.
        lang: Language code, ISO 639-1.
        data_dir: Folder that holds the corpora.
        tokenizer: Tokenizer of the teacher; a `SilverTokenizer` adds LAC's codes.
        seed: Seed of the choice of the texts.
        near: Gives the near words of each word; called only if the recipe has texts with words exchanged.
        most: Pieces after which a text is cut, specials not counted.
        shelf: Keeps the encoded texts on disk; None keeps nothing. Not used where encoded texts depend on more than their corpus:
            with `label.traditional`, with `label.renamed`, or with a `SilverTokenizer`.

    Returns:
        The texts, part after part.

    Raises:
        DataMissingError: A corpus is not known or its file is absent, or LAC or OpenCC is needed and not installed.
        RecipeError: The factory does not know the language.
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
    """Return texts as a model without LAC's features sees them.

    LAC's code stands in the place of the case feature of a piece without cased letters; such a piece gets the case for that, 0.

    Args:
        shown: Texts as a teacher sees them.
    """
    return replace(shown, cases=np.where(shown.cases < NUM_CASES, shown.cases, 0).astype(np.uint8))


def silver_codes(shown: Examples) -> Codes:
    """Return the LAC codes that texts are shown with, int8, shape (N,), IGNORE where there is none.

    Args:
        shown: Texts as a teacher sees them, of N tokens.
    """
    return np.where(shown.cases < NUM_CASES, IGNORE, shown.cases.astype(np.int64) - NUM_CASES).astype(np.int8)


def _chosen(records: list[LabelledText], wanted: int, rng: np.random.Generator) -> list[LabelledText]:
    """`wanted` of the records, or all where that is 0 or more than there are."""
    if not 0 < wanted < len(records):
        return records
    return [records[i] for i in sorted(rng.choice(len(records), wanted, replace=False))]


def describe(pool: DistillationData) -> Iterator[str]:
    """Describe the size of each part of the texts.

    Args:
        pool: The texts.

    Yields:
        One line for each part: its name, and its numbers of texts and tokens.
    """
    for number, name in enumerate(pool.names):
        mine = pool.corpus == number
        yield f"{name}: {mine.sum():,} texts, {pool.examples.lengths[mine].sum():,} tokens"
