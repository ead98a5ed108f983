"""textmill init [FILE]."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

TAG = (
    "Settings for textmill tag --config FILE. Most are options too, with - for _, which go before this file.",
    "textmill config --config FILE shows what a run would have.",
)
NIGHTLY = (
    "A job for textmill nightly FILE, textmill watch FILE and textmill submit FILE.",
    "textmill config --nightly --config FILE shows what a night would have.",
)


def init(
    file: Annotated[Path, typer.Argument(metavar="[FILE]", help="File to write.")] = Path("textmill.toml"),
    nightly: Annotated[bool, typer.Option("--nightly", help="Write a job for textmill nightly, watch and submit.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Write a file of settings to begin with: every key with what it means and its default.

    The file works as it is, on examples/documents. What must be given stands first; everything else is commented out, and a line
    that is uncommented changes nothing until its value does.
    """
    from jobs.job_file import job_file
    from pipeline.config import TagConfig
    from pipeline.errors import ConfigError
    from pipeline.nightly.config import NightConfig

    text = job_file(NightConfig, *NIGHTLY) if nightly else job_file(TagConfig, *TAG)
    try:
        with file.open("w" if force else "x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError as error:
        raise ConfigError(f"{file}: exists already; name another file, or replace it with --force") from error
    except IsADirectoryError as error:
        raise ConfigError(f"{file}: is a folder; name a file") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(f"{file}: there is no folder {file.parent}") from error
    named = shlex.quote(str(file))
    print(f"{file}: edit it, then run textmill {'nightly' if nightly else 'tag --config'} {named}")
