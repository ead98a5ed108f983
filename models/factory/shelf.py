"""The encoded texts of a work, kept on disk as they were when it began: made once, and there on a machine without the corpora."""

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
    """A folder of encoded texts; `tokenizer` is the text of the tokenizer that encodes them."""

    folder: Path
    tokenizer: str

    def keep(self, name: str, made: list[Any], make: Callable[[], Examples]) -> Examples:
        """The texts of corpus `name`, chosen and encoded as `made` says (anything that is JSON): those kept, or what `make`
        gives, which is kept then.
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
