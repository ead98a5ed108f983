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
        str, typer.Option(help="auto (the shipped reader of each question's language), qa-en, or a reader's folder.")
    ] = "auto",
    min_score: Annotated[
        float, typer.Option(min=0, max=1, help="Answers with a lower probability are given as not answerable.")
    ] = 0.5,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads. Default: all CPUs.")] = None,
) -> None:
    """Answer questions from the passages that stand beside them.

    An answer is a span of its passage: answer, start and end (in characters of the context), score (the probability that it is
    right) and answerable. Each line of the input gives one line of the output, in the same order. A line that is no question has
    an error in place of an answer; then the exit code is 4.
    """
    from jobs.streams import note
    from pipeline.ask.batch import BatchCounts, Readers, answer_lines
    from pipeline.signals import handling_signals

    if str(answers) != "-" and questions.exists() and answers.exists() and questions.samefile(answers):
        raise ConfigError(f"{answers} is the file of questions; name another one for the answers")
    counts = BatchCounts()
    with _reading(questions) as lines, _writing(answers) as out, handling_signals() as stop:
        for line in answer_lines(lines, Readers.choose(model, threads), min_score, counts, stop.check):
            out.write(line + "\n")
    print(json.dumps(asdict(counts)), file=sys.stderr if str(answers) == "-" else sys.stdout)
    if counts.errors:
        note(f"{counts.errors:,} of {counts.questions:,} lines could not be answered; they have an error in {answers}")
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
