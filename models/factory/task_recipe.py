"""Recipes that are no tagger's: TOML files whose key `task` says what they make."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import ValidationError

from models.errors import RecipeError
from models.factory.embedder_recipe import EmbedderRecipe
from models.factory.reader_recipe import ReaderRecipe

KINDS: dict[str, type[EmbedderRecipe] | type[ReaderRecipe]] = {"embedder": EmbedderRecipe, "reader": ReaderRecipe}


def load_task_recipe(path: Path) -> EmbedderRecipe | ReaderRecipe | None:
    """Read a recipe, if it is one of a task in KINDS.

    Args:
        path: TOML file.

    Returns:
        The recipe; None for a tagger's, and for what is no TOML file, of which `load_recipe` says what is wrong.

    Raises:
        RecipeError: A key of it is wrong; names the key.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        kind = KINDS.get(str(values.get("task")))
        return kind.model_validate(values) if kind is not None else None
    except ValidationError as error:
        lines = [f"{path}: {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise RecipeError("\n".join(lines)) from error
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        return None
