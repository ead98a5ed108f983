"""Makes "textmill" known to spaCy: `import textmill_spacy`, then `nlp.add_pipe("textmill")`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spacy.language import Language

from textmill_names import check_names

if TYPE_CHECKING:
    from models.spacy_component import TextmillComponent


@Language.factory("textmill")
def make(nlp: Any, name: str, model: str = "en", threads: int = 1) -> TextmillComponent:
    """The factory behind `nlp.add_pipe("textmill", config={"model": "en"})`; "auto" tags each text by its language.

    Raises NameTakenError if `models` is a package of yours.
    """
    check_names()
    from models.spacy_component import TextmillComponent

    return TextmillComponent(model, threads)
