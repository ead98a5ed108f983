"""textmill answer QUESTIONS ANSWERS."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, BinaryIO, TextIO

import typer

from pipeline.errors import ConfigError


def answer(
    questions: Annotated[
        Path, typer.Argument(metavar="QUESTIONS", help="JSON lines: id, question, context. - is standard input.")
    ],
    answers: Annotated[
        Path, typer.Argument(metavar="ANSWERS", help="File of JSON lines that is written. - is standard output.")
    ] = Path("-"),
    model: Annotated[
        str, typer.Option(help="auto (the shipped one of each question's language), qa-en, qa-en-fast, qa-zh, or a folder.")
    ] = "auto",
    index: Annotated[
        str | None,
        typer.Option(metavar="ANSWERS", help="Index that answers questions without a context: its folder or its URL."),
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Answers with a lower probability are given as not answerable. Default: 0.5, and 0.4 from an index.",
        ),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads. Default: all CPUs.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file. Its table store says how HDFS is reached.")] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="store.KEY=VALUE", help="Set one key of that table. May be repeated.")
    ] = None,
) -> None:
    """Answer questions from the passages that stand beside them, or from an index.

    An answer is a span of its passage: answer, start and end (in characters of the context), score (the probability that it is
    right) and answerable. Each line of the input gives one line of the output, in the same order. A line that is no question has
    an error in place of an answer; then the exit code is 4.

    With --index, a question without a context is asked of that index: start and end are then of the document, and document says
    which it is, with the passage.
    """
    from jobs.streams import note
    from pipeline.ask.asker import Asker
    from pipeline.ask.batch import MIN_SCORE as GIVEN
    from pipeline.ask.batch import BatchCounts, answer_lines
    from pipeline.ask.found import MIN_SCORE as FOUND
    from pipeline.ask.readers import Readers
    from pipeline.ask.search import PassageIndex
    from pipeline.config import load_store
    from pipeline.signals import handling_signals
    from pipeline.store.open import open_store

    if str(answers) != "-" and questions.exists() and answers.exists() and questions.samefile(answers):
        raise ConfigError(f"{answers} is the file of questions; name another one for the answers")
    counts, readers, asker = BatchCounts(), Readers.choose(model, threads), None
    if index is not None:
        found = PassageIndex(open_store(index, load_store(config, sets or ())))
        asker = Asker(found, readers, FOUND if min_score is None else min_score)
    least = GIVEN if min_score is None else min_score
    with _reading(questions) as lines, _writing(answers) as out, handling_signals() as stop:
        for line in answer_lines(lines, readers, least, counts, stop.check, asker):
            out.write(line + "\n")
    print(json.dumps(asdict(counts)), file=sys.stderr if str(answers) == "-" else sys.stdout)
    if counts.errors:
        where = "standard output" if str(answers) == "-" else answers
        note(f"{counts.errors:,} of {counts.questions:,} lines could not be answered; they have an error in {where}")
        raise typer.Exit(4)


@contextmanager
def _reading(path: Path) -> Iterator[BinaryIO]:
    if str(path) == "-":
        yield sys.stdin.buffer
        return
    try:
        stream = path.open("rb")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; name a file of JSON lines with id, question and context") from error
    with stream:
        yield stream


@contextmanager
def _writing(path: Path) -> Iterator[TextIO]:
    """The file appears when it is whole."""
    if str(path) == "-":
        yield sys.stdout
        return
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        stream = part.open("w", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; name a file in a folder that is there") from error
    try:
        with stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
