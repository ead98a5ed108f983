"""Recipes that are no tagger's: TOML files whose key `task` says what they make."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from models.errors import RecipeError

Kind = TypeVar("Kind", bound=BaseModel)


def load_of_task(path: Path, task: str, kind: type[Kind]) -> Kind | None:
    """Read a recipe, if it is one of a task.

    Args:
        path: TOML file.
        task: The task.
        kind: What its recipes are.

    Returns:
        The recipe; None for one of another task, and for what is no TOML file, of which `load_recipe` says what is wrong.

    Raises:
        RecipeError: A key of it is wrong; names the key.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        return kind.model_validate(values) if values.get("task") == task else None
    except ValidationError as error:
        lines = [f"{path}: {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise RecipeError("\n".join(lines)) from error
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        return None
