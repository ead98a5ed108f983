"""A file of settings to begin with: all that the config models know, each commented out with its default."""

from __future__ import annotations

import inspect
from textwrap import wrap
from typing import Literal, get_origin

from pydantic import BaseModel

from jobs.settings import Setting, kind_of, settings_of, tables_of, toml

WIDTH = 110
# Comments have a space behind the #, settings have none: so people, editors and tests know what can be uncommented.
_HOW = (
    'A line "#key = value" is a setting with its default, or with an example where it has none.',
    "Take the # away to set it. Paths are relative to the folder in which the command runs.",
)


def job_file(model: type[BaseModel], *about: str) -> str:
    """Write the file of settings of a model as text.

    What must be given stands first in its table, with an example that works on examples/documents. As it is, the file gives every
    other setting its default; so it does with any line of a default uncommented.

    Args:
        model: The model of the whole file.
        about: What the file is for: sentences for its head, each on a line of its own.

    Returns:
        The file.
    """
    parts = ["\n".join(_comment(line) for line in (*about, *_HOW))]
    for path, table in tables_of(model):
        if path:
            parts.append(f"{_comment((inspect.getdoc(table) or '').partition(chr(10))[0])}\n[{'.'.join(path)}]")
        parts += [_entry(one) for one in sorted(settings_of(table, path), key=lambda one: not one.field.is_required())]
    return "\n\n".join(parts) + "\n"


def _entry(setting: Setting) -> str:
    """A setting with its comment."""
    name, field = setting.path[-1], setting.field
    told, kind = field.description or name, kind_of(field.annotation)
    if get_origin(field.annotation) is Literal:
        told += f" ({kind})"
    if field.is_required():
        return f"{_comment(told)}\n{name} = {toml(_example(setting))}"
    if setting.default is not None:
        return f"{_comment(told)}\n#{name} = {toml(setting.default)}"
    if field.examples:
        return f"{_comment(f'{told} (no default; an example)')}\n#{name} = {toml(_example(setting))}"
    return _comment(f"{name}, of type {kind}, without a default: {told}")


def _example(setting: Setting) -> object:
    if not setting.field.examples:
        raise ValueError(f"{setting.key}: must be given, and its field has no examples")
    return setting.field.examples[0]


def _comment(text: str) -> str:
    lines = wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"# {line}" for line in lines)
