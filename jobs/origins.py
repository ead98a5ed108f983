"""The settings as a run would have them, and where each came from: the file and its line, --set, the environment, the default."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel

from jobs.settings import Setting, settings_of, tables_of
from pipeline.store.hdfs.configuration import folder_of
from pipeline.store.settings import TOKEN_ENV, StoreConfig

# Setting of [store] -> the variables that stand in for it; the first that is set counts.
VARIABLES = {"user": ("HADOOP_USER_NAME",), "hadoop_conf": ("HADOOP_CONF_DIR", "HADOOP_HOME"), "token": (TOKEN_ENV,)}
# A line without one of these ends no value of several lines.
_ENDS = ("]", "}", '"""', "'''")


class Traced(NamedTuple):
    """A setting with its value and origin.

    Attributes:
        setting: The setting.
        value: Its value, secrets included; None if it has none.
        origin: "default", "file", "--set", "environment", or "not given" for one that must be given and is not.
        line: Line of the file, from 1, that gives the value or, if the origin is --set, a part of it; None if none does.
        variable: The variable of the environment that gives the value; None if none does.
    """

    setting: Setting
    value: Any
    origin: str
    line: int | None = None
    variable: str | None = None

    @property
    def changed(self) -> bool:
        """Whether the value differs from the default."""
        return self.origin != "not given" and self.value != self.setting.default


def trace(config: BaseModel, text: str = "", sets: Sequence[str] = (), absent: Collection[str] = ()) -> list[Traced]:
    """Tell of each setting where it came from.

    Args:
        config: The settings, as the loader made them of `text` and `sets`.
        text: The TOML file; empty if there is none.
        sets: Settings as "key=value", which override the file's.
        absent: Keys that must be given and are not; what `config` holds for them does not count.

    Returns:
        All settings, in the order of the models.
    """
    lines = lines_of(text)
    found = []
    for path, model in tables_of(type(config)):
        table = config
        for key in path:
            table = getattr(table, key)
        for setting in settings_of(model, path):
            given = setting.path[-1] in table.model_fields_set and setting.key not in absent
            missing = Traced(setting, None, "not given") if setting.key in absent else None
            found.append(_given(setting, table, lines, sets) if given else missing or _otherwise(setting, table))
    return found


def _given(setting: Setting, table: BaseModel, lines: Mapping[tuple[str, ...], int], sets: Sequence[str]) -> Traced:
    value, line = getattr(table, setting.path[-1]), lines.get(setting.path)
    keys = [one.partition("=")[0].strip() for one in sets]
    if setting.path[0] in keys or setting.key in keys:
        return Traced(setting, value, "--set")
    if any(key.startswith(f"{setting.key}.") for key in keys):
        return Traced(setting, value, "--set", line)
    return Traced(setting, value, "file", line)


def _otherwise(setting: Setting, table: BaseModel) -> Traced:
    """A setting that is given neither by the file nor by --set."""
    name = setting.path[-1]
    value = getattr(table, name)
    if isinstance(table, StoreConfig):
        variable = next((one for one in VARIABLES.get(name, ()) if os.environ.get(one)), None)
        if variable is not None:
            there = {"user": os.environ[variable], "hadoop_conf": folder_of(table), "token": value}
            return Traced(setting, there[name], "environment", variable=variable)
    return Traced(setting, value, "default")


def lines_of(text: str) -> dict[tuple[str, ...], int]:
    """Find the line of each key of a TOML file.

    A statement ends with the first line with which it is TOML by itself, so the parser of the loader tells where that is.

    Args:
        text: The file; it must be valid.

    Returns:
        The keys that lead to a value or a table -> the line, from 1, on which its statement begins.
    """
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    lines, begin = text.replace("\r\n", "\n").split("\n"), 0
    for end, line in enumerate(lines, 1):
        if end - begin > 1 and not any(sign in line for sign in _ENDS):
            continue
        try:
            values = tomllib.loads("\n".join(lines[begin:end]))
        except tomllib.TOMLDecodeError:
            continue
        paths = [*_paths(values)]
        if lines[begin].lstrip().startswith("["):
            table = ()
        for path in paths:
            found.setdefault((*table, *path), begin + 1)
        if lines[begin].lstrip().startswith("["):
            table = paths[-1]
        begin = end
    return found


def _paths(values: Mapping[str, Any], before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in values.items():
        yield (*before, key)
        if isinstance(value, dict):
            yield from _paths(value, (*before, key))
