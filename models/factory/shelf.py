"""Encoded texts of a work folder, kept on disk as they were when it began.

They are made once, and then are there on a machine without the corpora too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from models.factory.corpora import CORPORA
from models.factory.examples import Examples
from models.factory.files import write_whole


@dataclass(frozen=True, slots=True)
class Shelf:
    """A cache of encoded texts on disk.

    Attributes:
        folder: Where the files lie.
        tokenizer: JSON of the tokenizer that encodes the texts; texts of another one are not found.
    """

    folder: Path
    tokenizer: str

    def keep(self, name: str, made: list[Any], make: Callable[[], Examples]) -> Examples:
        """Load the texts that were kept for a corpus and a choice, or make them and keep them.

        Args:
            name: Name of the corpus in `CORPORA`.
            made: How its texts were chosen and encoded, anything that is JSON; texts of another choice are kept apart.
            make: Reads and encodes the texts; called only if they are not kept.

        Returns:
            The texts.
        """
        corpus = CORPORA[name]
        says = json.dumps([name, corpus.misc_known, corpus.neutral_known, made, self.tokenizer])
        path = self.folder / f"{name}-{hashlib.sha256(says.encode()).hexdigest()[:16]}.npz"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            examples = make()
            write_whole(path, partial(_write, examples))
            return examples
        with np.load(path) as file:
            return Examples(**{field.name: file[field.name] for field in fields(Examples)})


def _write(examples: Examples, path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, **{field.name: getattr(examples, field.name) for field in fields(Examples)})
