"""The settings of a job one by one, as the config models list them; types and values in the words of TOML."""

from __future__ import annotations

import json
import re
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", Path: "path", SecretStr: "string"}


class Setting(NamedTuple):
    """One setting: the keys that lead to it in the file, and what the model says of it."""

    path: tuple[str, ...]
    field: FieldInfo

    @property
    def key(self) -> str:
        """Its keys as one, such as "cache.ttl_s"."""
        return ".".join(self.path)

    @property
    def default(self) -> Any:
        """Its value where it is not given; None if it has none, must be given, or is taken from the environment then."""
        return None if self.field.is_required() or self.field.default_factory is not None else self.field.default


def tables_of(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], type[BaseModel]]]:
    """Yield the tables of a file of settings, each before those within it.

    Args:
        model: The model of the whole file.
        path: Keys that lead to `model`; empty for the file itself.

    Yields:
        The keys that lead to a table, and its model.
    """
    yield path, model
    for name, field in model.model_fields.items():
        if (table := table_of(field)) is not None:
            yield from tables_of(table, (*path, name))


def settings_of(model: type[BaseModel], path: tuple[str, ...] = ()) -> list[Setting]:
    """Return the settings of one table, without those of the tables within it.

    Args:
        model: The model of the table.
        path: Keys that lead to the table.
    """
    return [Setting((*path, name), field) for name, field in model.model_fields.items() if table_of(field) is None]


def table_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model of a field that is a table of settings; None for a setting.

    Args:
        field: The field.
    """
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def toml(value: Any) -> str:
    """Write a value as TOML, in one line.

    Args:
        value: A string, path, number, boolean or date, or tuples, lists and mappings of them.

    Returns:
        The value as it stands behind "key = ".
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | Path):
        # JSON writes strings as TOML does, but for one control character.
        return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        pairs = [f"{key if _BARE.fullmatch(key) else toml(key)} = {toml(inner)}" for key, inner in value.items()]
        return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(toml, value))}]"
    return str(value)


def kind_of(annotation: Any) -> str:
    """Name a type in the words of TOML.

    Args:
        annotation: The type of a field.

    Returns:
        Such as "array of strings"; for a choice the values themselves, quoted.
    """
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return kind_of(args[0])
    if origin is Literal:
        return " or ".join(toml(one) for one in args)
    if origin in (Union, types.UnionType):
        return kind_of(next(one for one in args if one is not type(None)))
    if origin is tuple:
        return "array" if get_origin(args[0]) else f"array of {kind_of(args[0])}s"
    if origin is dict:
        return "table"
    return _NAMES.get(annotation, getattr(annotation, "__name__", str(annotation)))
