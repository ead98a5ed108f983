"""Whether `jobs`, `models` and `pipeline` are Textmill's own: these names are short, and a folder of yours may bear one of them.

This module bears a name that nobody else has, so that it can be imported when those cannot.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path

# Of each package a file that no other package of that name is likely to have.
_OWN = {"jobs": "try_text.py", "models": "spacy_component.py", "pipeline": "exits.py"}


class NameTakenError(ImportError):
    """Python finds another package under the name of one of Textmill's."""


def check_names(first: Path | None = None) -> None:
    """Raise NameTakenError, with the place and the remedy in one line, if Python finds another package first. Imports none.

    `first`: a folder that will stand before all others on the path, as Ray's workers have that in which a run was started.
    """
    for name, file in _OWN.items():
        places = _places(name)
        if first is not None and (spec := PathFinder.find_spec(name, [str(first)])) is not None and spec.origin is not None:
            places = [Path(spec.origin).parent]
        if not any((place / file).is_file() for place in places):
            raise NameTakenError(_told(name, places))


def _places(name: str) -> list[Path]:
    try:
        spec = find_spec(name)
    except ValueError:  # a module without a spec: somebody has put it into sys.modules
        return []
    if spec is None:
        return []
    folders = spec.submodule_search_locations
    return [Path(spec.origin or "")] if folders is None else [Path(folder) for folder in folders]


def _told(name: str, places: list[Path]) -> str:
    if not places:
        return f"Textmill's package `{name}` is not installed here; install textmill again"
    place = places[0]
    return (
        f"Textmill needs its own package `{name}`, but Python finds {place} first. Rename {place.name}, or run the command in "
        f"another folder, or take {place.parent} out of PYTHONPATH (on Ray: out of submit.working_dir)"
    )


def command() -> None:
    """The command `textmill`, also as `python -m jobs`."""
    try:
        check_names()
    except NameTakenError as error:
        print(f"textmill: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    from jobs.cli import command as run

    run()
