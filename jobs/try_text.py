"""textmill try "text"."""

from __future__ import annotations

from typing import Annotated

import typer

from models.runtime.labels import MIN_SCORE


def try_text(
    text: Annotated[str, typer.Argument(help="The text to tag.")],
    model: Annotated[
        str, typer.Option(help="auto (the model of the text's language), en, en-fast, zh, or a model folder.")
    ] = "auto",
    min_score: Annotated[
        float, typer.Option(min=0, max=1, help="Least score, the probability of being right, of an entity that is shown.")
    ] = MIN_SCORE,
    words: Annotated[bool, typer.Option("--words", help="Show words and parts of speech too.")] = False,
) -> None:
    """Tag one text and show it in colour."""
    from rich.console import Console

    from jobs.colours import classed, colours, legend, paint, plain
    from models.runtime.confidence import surer
    from models.runtime.load import load

    tagger = load(model)
    row = surer(tagger.tag([text]), min_score).to_pylist()[0]
    console, styles = Console(), colours(tagger.labels.entities)
    console.print(paint(text, row["entities"], styles))
    for entity in row["entities"]:
        line = f"  {entity['label']:4} {entity['text']}  [{entity['start']}:{entity['end']}]  {entity['score']:.2f}"
        console.print(plain(line))
    about = [legend(styles)]
    if row["sentiment"] is not None:
        scores = ", ".join(f"{name} {value:.2f}" for name, value in row["sentiment_scores"].items())
        about = [classed(row["sentiment"]), plain(f"({scores})"), *about]
    console.print(*about)
    if words:
        console.print(plain(" ".join(f"{text[w['start'] : w['end']]}/{w['pos']}" for w in row["words"])))
