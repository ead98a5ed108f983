"""What a command came to: a few words on a terminal, JSON for programs."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pipeline.ask.index import IndexCounts
    from pipeline.report.build import Report
    from pipeline.run.result import Result
    from pipeline.run.verify import Verification

# The option of every command that ends with a result.
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, as where it is piped.")]


def show(result: Mapping[str, Any], words: str, as_json: bool) -> None:
    """Print what a command came to: in words on a terminal, else as JSON.

    Args:
        result: What programs read.
        words: What people read.
        as_json: Whether JSON is printed on a terminal too.
    """
    print(json.dumps(result, indent=1, ensure_ascii=False) if as_json or not sys.stdout.isatty() else words)


def tagged(result: Result, output: str) -> str:
    """Tell what a run of `textmill tag` did, in a line or a few, and what to do next.

    Args:
        result: The run.
        output: The output as the user named it.
    """
    from pipeline.observe.progress import duration

    named = shlex.quote(output)
    if result.status == "nothing to do":
        return f"nothing to do: every document is tagged already -> textmill show {named}"
    took = duration(result.seconds) if result.seconds >= 10 else f"{result.seconds:.1f} s"
    lines = [f"{_count(result.rows_out, 'document')} in {took} ({result.documents_s:,.0f}/s) -> textmill show {named}"]
    if result.filtered:
        lines.append(f"{_count(result.filtered, 'document')} in other languages left out -> {output.rstrip('/')}/filtered")
    if result.dead_letters:
        lines.append(f"{_count(result.dead_letters, 'dead letter')} -> {output.rstrip('/')}/dead_letters")
    return "\n".join(lines)


def reported(made: Report) -> str:
    """Tell what `textmill report` made.

    Args:
        made: The report.
    """
    new = f"revision {made.revision}" if made.changed else f"nothing is new since revision {made.revision}"
    return f"{_count(made.documents, 'document')}, {new} -> {made.page}"


def verified(found: Verification) -> str:
    """Tell what `textmill verify` found; differences are told elsewhere.

    Args:
        found: The comparison.
    """
    again = f"; {_count(found.counted, 'document')} counted again in {_count(found.files - found.files_gone, 'file')}"
    gone = f"; {_count(found.files_gone, 'file')} gone or changed since, not counted again" if found.files_gone else ""
    return f"{found.status}: {_count(found.documents, 'document')} in {_count(found.parts, 'part')}{again}{gone}"


def indexed(counts: IndexCounts, answers: str) -> str:
    """Tell what `textmill index` made, and what to do next.

    Args:
        counts: What the build came to.
        answers: The index as the user named it.
    """
    there = f"{_count(counts.passages, 'passage')} of {_count(counts.parts, 'part')}"
    new = f"{counts.added:,} new, {counts.removed:,} removed" if counts.added or counts.removed else "nothing to do"
    return f"{there}; {new} -> textmill ask {shlex.quote(answers)} QUESTION"


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"
