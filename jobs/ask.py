"""textmill ask ANSWERS "question"."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.ask.counting import CountedAnswer
    from pipeline.ask.reading import AskResult
    from pipeline.store.base import Store


def ask(
    answers: Annotated[str, typer.Argument(metavar="ANSWERS", help="Folder of an index, or its URL, see textmill index.")],
    question: Annotated[
        str | None, typer.Argument(help="The question, in English or Chinese. Left out where --audio asks it.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="Only documents from this day on, as 2026-11-22 (UTC).")] = None,
    until: Annotated[str | None, typer.Option(help="Only documents up to this day, that day included.")] = None,
    source: Annotated[str, typer.Option(help="Only documents of this source.")] = "",
    entity: Annotated[
        str, typer.Option(help="Only passages that name this entity: NAME or TYPE:NAME, say ORG:Volta Energy.")
    ] = "",
    sentiment: Annotated[
        str, typer.Option(help="Only documents of this sentiment: negative, neutral, positive, or a class of your own model.")
    ] = "",
    lang: Annotated[str, typer.Option(help="Only documents in this language: en or zh.")] = "",
    model: Annotated[
        str, typer.Option(help="auto (the shipped one of the question's language), qa-en, qa-en-fast, qa-zh, or a folder.")
    ] = "auto",
    min_score: Annotated[
        float | None, typer.Option(min=0, max=1, help="Answers with a lower probability are none. Default: 0.4.")
    ] = None,
    passages: Annotated[int, typer.Option(min=1, max=100, help="Number of passages that are read at most.")] = 6,
    audio: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A recording of the question: wav, ogg, webm, mp3 or m4a. - is standard input."),
    ] = None,
    voice_cache: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder of the speech model's weights, see textmill voice install.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    config: Annotated[Path | None, typer.Option(help="TOML file. Its table store says how HDFS is reached.")] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="store.KEY=VALUE", help="Set one key of that table. May be repeated.")
    ] = None,
) -> None:
    """Answer a question from what was indexed: a span of a document, with its place, or the word that nothing here answers it.

    The score is the probability that the answer is right. Filters choose the documents that may answer. Some questions are
    counted instead, and show the SQL that counted: how negative was X this week, which companies are named with X, the most
    mentioned people in source Y, how many documents mention X. Days are of UTC. An index on HDFS or S3 is fetched once, into
    ~/.cache/textmill (XDG_CACHE_HOME).

    A spoken question (--audio) is shown as it was understood, on standard error; the names that most documents name help to
    understand it.
    """
    from pipeline.ask.asker import Asker
    from pipeline.ask.counting import count_answer
    from pipeline.ask.found import MIN_SCORE
    from pipeline.ask.intents import intents_of
    from pipeline.ask.readers import Readers
    from pipeline.ask.replies import read_reply
    from pipeline.ask.search import Filters, PassageIndex, day
    from pipeline.config import load_store
    from pipeline.errors import ConfigError
    from pipeline.signals import handling_signals
    from pipeline.store.open import open_store

    chosen = Filters(source, day(since) if since else None, day(until) if until else None, entity, sentiment, lang)
    if (question is None) == (audio is None):
        raise ConfigError("give a question, or a recording of one with --audio FILE")
    reach = load_store(config, sets or ())
    index = PassageIndex(open_store(answers, reach), reach=reach)
    question = _heard(audio, index.tags, voice_cache) if audio is not None else question or ""
    intents = intents_of(question, datetime.now(UTC).date())
    if intents and (counted := count_answer(intents, index.tags, chosen)) is not None:
        _show_counted(question, counted, index.generation, as_json)
        return
    with handling_signals() as stop:
        reply = Asker(index, Readers.choose(model), MIN_SCORE if min_score is None else min_score).ask(
            question, chosen, passages, stop.check, spoken=audio is not None
        )
    if as_json:
        print(json.dumps(read_reply(question, reply), ensure_ascii=False))
    else:
        _show(reply)


def _heard(audio: Path, output: Store, cache: Path | None) -> str:
    """A spoken question in words."""
    from jobs.streams import note
    from jobs.voice import hear
    from pipeline.ask.names import expected_names
    from pipeline.errors import AudioError
    from pipeline.signals import handling_signals

    with handling_signals() as stop:
        text = hear(audio, names=expected_names(output, note), cache=cache, check=stop.check).text
    if not text:
        raise AudioError(
            "nobody speaks in the recording, or nothing is understood; record the question again, nearer to the microphone"
        )
    note(f"heard: {text}")
    return text


def _show(reply: AskResult) -> None:
    from rich.console import Console

    from jobs.colours import plain

    console = Console()
    if reply.best is None:
        console.print("nothing here answers this" + ("; the nearest passages:" if reply.others else ""))
    else:
        console.print(plain(reply.best.answer.text, "bold"), f"({reply.best.score:.0%})")
    for number, one in enumerate(([reply.best] if reply.best is not None else []) + reply.others[:3]):
        passage, start, end = one.passage, one.answer.start, one.answer.end
        if number == 1 and reply.best is not None:
            console.print("other passages:")
        text = plain(passage.text)
        if number == 0 and reply.best is not None:
            text.stylize("bold reverse", start, end)
        where = [passage.id, passage.source, f"{passage.time:%Y-%m-%d %H:%M}" if passage.time is not None else ""]
        console.print(text, plain("  " + ", ".join(part for part in where if part), "dim"), sep="\n")


def _show_counted(question: str, counted: CountedAnswer, generation: int, as_json: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from jobs.colours import plain
    from pipeline.ask.replies import counted_reply

    if as_json:
        print(json.dumps(counted_reply(question, counted, generation), ensure_ascii=False, default=str))
        return
    table = Table(*counted.table.column_names, title=plain(counted.title))
    for row in counted.table.to_pylist():
        table.add_row(*(plain(_cell(value)) for value in row.values()))
    Console().print(table, plain(counted.sql, "dim"), sep="\n", soft_wrap=True)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else str(value)
