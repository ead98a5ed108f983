"""Options of a command that are made of the fields of a config model, so that each setting is described once."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

F = TypeVar("F", bound=Callable[..., Any])


def with_settings(
    model: type[BaseModel],
    skip: Collection[str] = (),
    named: Mapping[str, tuple[str, str]] | None = None,
    joined: Collection[str] = (),
) -> Callable[[F], F]:
    """Give a command an option for each field of a model; it gets those that were given as keyword arguments, others as None.

    The option of `split_tokens` is `--split-tokens`. Its help is the field's description with the default behind it. An option of
    several values is repeated.

    Args:
        model: The model. Its fields are strings, numbers, booleans, choices of strings, and tuples of strings.
        skip: Fields that get no option.
        named: Field -> option and metavar, where they are not the field's name and type.
        joined: Fields of several values that are given as one string.

    Returns:
        The decorator; the command must take `**settings`.
    """
    named = named or {}

    def decorate(command: F) -> F:
        own = inspect.signature(command, eval_str=True)
        kept = [one for one in own.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
        more = [
            _option(name, field, named.get(name), name in joined)
            for name, field in model.model_fields.items()
            if name not in skip
        ]
        command.__signature__ = own.replace(parameters=[*kept, *more])  # type: ignore[attr-defined]
        return command

    return decorate


def _option(name: str, field: FieldInfo, given: tuple[str, str] | None, joined: bool) -> inspect.Parameter:
    option, metavar = given or (f"--{name.replace('_', '-')}", None)
    kind = _plain(field.annotation)
    text = f"{(field.description or name)[:1].upper()}{(field.description or name)[1:]}."
    taken: Any = kind
    if get_origin(kind) is tuple:
        taken, text = (str, text) if joined else (list[str], f"{text} May be repeated.")
    elif get_origin(kind) is Literal:
        taken, metavar = str, "|".join(get_args(kind))
    if field.default is not False and field.default not in (None, "", ()):
        text += f" Default: {_shown(field.default)}."
    annotation = Annotated[taken | None, typer.Option(option, metavar=metavar, help=text)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _plain(annotation: Any) -> Any:
    """A type without what may be None, and without what is noted beside it."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return _plain(next(one for one in get_args(annotation) if one is not type(None)))
    return annotation


def _shown(default: Any) -> str:
    if isinstance(default, str) and not default.isprintable():
        return repr(default)
    return f"{default:g}" if isinstance(default, float) else str(default)
