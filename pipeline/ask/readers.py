"""The readers of all languages, and which of them reads a question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from models.runtime.package import READER, installed
from models.runtime.reader import Reader, load_reader
from models.runtime.script import languages


@dataclass(frozen=True, slots=True)
class Readers:
    """The readers that are loaded, each when it is first needed.

    Args:
        load: Gives the reader of a language, or None where there is none.

    Attributes:
        loaded: Those that were asked for, by language.
    """

    load: Callable[[str], Reader | None]
    loaded: dict[str, Reader | None] = field(default_factory=dict)

    @classmethod
    def choose(cls, model: str, threads: int | None = None) -> Readers:
        """Choose the readers of all languages.

        Args:
            model: auto, which is the shipped reader of each language, or one reader for all: its name or its folder.
            threads: Of each reader; by default the CPUs that this process may use.

        Returns:
            The readers; none is loaded before the first question in its language.

        Raises:
            ModelError: By `of`: there is no such reader, or its files are damaged.
        """
        if model == "auto":
            shipped = installed(READER)
            return cls(lambda lang: load_reader(f"qa-{lang}", threads=threads) if f"qa-{lang}" in shipped else None)
        only = cache(lambda: load_reader(model, threads=threads))
        return cls(lambda lang: only())

    def of(self, question: str) -> Reader | None:
        """Find the reader of a question.

        Args:
            question: The question; one without letters is taken as English.

        Returns:
            The reader of the language of its script, or None where there is none.
        """
        lang = languages([question])[0] or "en"
        if lang not in self.loaded:
            self.loaded[lang] = self.load(lang)
        return self.loaded[lang]


def no_reader(question: str) -> str:
    """Say that no reader reads a question, and which readers there are.

    Args:
        question: The question.

    Returns:
        A message.
    """
    lang = languages([question])[0] or "en"
    return f"no reader for the language of this question ({lang}); there are: {', '.join(installed(READER)) or 'none'}"
