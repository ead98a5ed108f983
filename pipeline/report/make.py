"""One report: read the parts, make the tables and the page, compare their numbers, publish them in one step."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ConfigError, ReportError
from pipeline.report import tables
from pipeline.report.aggregate import EMPTY, aggregate
from pipeline.report.database import database
from pipeline.report.facts import Facts, facts_of
from pipeline.report.health import health_of
from pipeline.report.page import numbers_of, render
from pipeline.report.parts import Part, blocks, parts_of
from pipeline.report.publish import ABOUT, about, publish, tidy
from pipeline.report.schema import TABLES
from pipeline.report.stop_words import stop_words
from pipeline.report.sums import PAIR_SUMS, SUMS, Sums
from pipeline.report.texts import LANGUAGES
from pipeline.report.together import NO_EXAMPLES, NO_PAIRS, latest, together
from pipeline.report.window import Window
from pipeline.report.words import Terms
from pipeline.report.write import Written, write_bytes, write_table
from pipeline.sink.files import drop
from pipeline.store.base import Store
from pipeline.store.opening import open_store

PAGE = "index.html"


@dataclass(frozen=True, slots=True)
class Report:
    """A report that is in place. `tables`: path of each Parquet file by the table's name; `rows`: how many rows it has.

    `changed` False: nothing is new, the revision that was there has stayed, no byte was written. `disagreements`: counts of the
    output that do not agree with each other, in words; the page shows them.
    """

    folder: str
    page: str
    tables: dict[str, str]
    rows: dict[str, int]
    documents: int
    dead_letters: int
    filtered: int
    revision: int
    changed: bool
    disagreements: tuple[str, ...]


def make_report(
    output: str, first: date | None, last: date | None, into: str | None = None, lang: str = "en", memory_mb: int = 1500
) -> Report:
    """Make the report of the days `first` to `last` (UTC, both included; both None: everything) of an output of `textmill tag`.

    It goes to OUTPUT/reports/DATE, FROM_TO or all, or becomes the folder `into`; a report that is there already is replaced in
    one step and kept as FOLDER.rN, or stays if nothing would change. `lang`: en or zh, of the page. `memory_mb`: what the process
    should stay below. Raises ConfigError, OutputError for what is no output or no report, ClaimedError if another process makes
    the same report, UnavailableError (try again) if the tags change meanwhile, ReportError if memory does not do.
    """
    if lang not in LANGUAGES:
        raise ConfigError(f"--lang {lang}: there is {', '.join(LANGUAGES)}")
    window = Window(first, last)
    store = open_store(output)
    target, folder = _place(store, window, into)
    with database(memory_mb) as con:
        parts = parts_of(store)
        with target.claim(f"{folder}.claim"):
            tidy(target, folder)
            before = about(target, folder)
            revision = (before["revision"] if before else 0) + 1
            staged = f"{folder}.new"
            try:
                files, facts = _write(store, con, parts, window, target, staged, lang)
                digests = {name: written.sha256 for name, written in sorted(files.items())}
                changed = before is None or before["files"] != digests
                body = _about(window, lang, revision, digests, facts, parts)
                write_bytes(target, staged, ABOUT, json.dumps(body, indent=1).encode() + b"\n")
            except BaseException:
                drop(target, staged)
                raise
            if changed:
                publish(target, folder, revision)
            else:
                drop(target, staged)
    return _report(target, folder, facts, revision if changed else revision - 1, changed)


def _place(store: Store, window: Window, into: str | None) -> tuple[Store, str]:
    if into is None:
        return store, f"reports/{window.name}"
    parent, _, name = into.rstrip("/").rpartition("/")
    if name in ("", ".", ".."):
        raise ConfigError(f"--into {into}: name a folder")
    return open_store(parent or ("/" if into.startswith("/") else ".")), name


def _write(
    store: Store, con: Any, parts: Sequence[Part], window: Window, target: Store, folder: str, lang: str
) -> tuple[dict[str, Written], Facts]:
    """Write all files but the last; gives their digests, and what the page says."""
    read = first_round(store, con, parts, window)
    tables.prepare(con)
    risen = tables.rising_entities(con)
    chosen = tables.choose(con, risen)
    examples = second_round(store, con, [part for part in parts if read[part.name][1]], window, chosen)
    health = health_of(store, parts, read, window)
    outcomes = pa.Table.from_arrays(
        [pa.array([row[n] for row in health.outcomes], field.type) for n, field in enumerate(TABLES["outcomes"])],
        schema=TABLES["outcomes"],
    )
    made = {
        "rising_entities": risen,
        "rising_terms": tables.rising_terms(con),
        "pairs": tables.pairs(con),
        "examples": tables.examples(con, examples),
        "outcomes": outcomes,
    }
    files: dict[str, Written] = {}
    for name, pieces in _all(con, made):
        files |= write_table(target, folder, name, TABLES[name], pieces)
    facts = facts_of(con, window, store.url.rstrip("/").rsplit("/", 1)[-1], made, health, _absent(parts, window))
    facts.rows = {name: files[f"{name}.parquet"].rows for name in TABLES}
    page = render(facts, lang)
    _agree(target, folder, facts, page, read)
    return files | write_bytes(target, folder, PAGE, page.encode()), facts


def _all(con: Any, made: dict[str, pa.Table]) -> Iterator[tuple[str, Any]]:
    yield from tables.plain(con)
    for name, table in made.items():
        yield name, [table]


def first_round(store: Store, con: Any, parts: Sequence[Part], window: Window) -> dict[str, tuple[int, int, int]]:
    """Make the sums in DuckDB; gives rows, rows of the report's days and rows without a time by part.

    Parts whose statistics say that no row is of these days are not opened again.
    """
    sums, terms = Sums(con, SUMS), Terms() if terms_are_there(parts) else None
    sums.add(EMPTY)
    for block in blocks([part for part in parts if window.touches(part.dated, part.undated)]):
        sums.add(aggregate(store, con, block, window, terms))
    sums.close()
    seen = {row[0]: row[1:] for row in con.execute('select part, "rows", current, undated from read').fetchall()}
    return {part.name: seen.get(part.name, (part.rows, 0, part.undated)) for part in parts}


def second_round(store: Store, con: Any, parts: Sequence[Part], window: Window, chosen: pa.Table) -> pa.Table:
    """Make the sums of pairs in DuckDB, and the table `chosen`; gives the examples."""
    sums, examples = Sums(con, PAIR_SUMS), NO_EXAMPLES.empty_table()
    sums.add({"pairs": NO_PAIRS.empty_table()})
    for block in blocks(parts):
        partial = together(store, con, block, window, chosen)
        sums.add(partial)
        examples = latest(con, [examples, partial["examples"]])
    sums.close()
    con.register("chosen_now", chosen)
    con.execute("create or replace temp table chosen as from chosen_now")
    con.unregister("chosen_now")
    return examples


def terms_are_there(parts: Sequence[Part]) -> bool:
    """Whether terms can be counted: every part holds its texts, and there are stop words."""
    return all(part.has_text for part in parts) and stop_words("en") is not None


def _absent(parts: Sequence[Part], window: Window) -> str | None:
    if not all(part.has_text for part in parts):
        return "no_text"
    return "no_spacy" if stop_words("en") is None else None


def _agree(store: Store, folder: str, facts: Facts, page: str, read: dict[str, tuple[int, int, int]]) -> None:
    """Compare the page with the files that were written, and both with what was read. Raises ReportError."""
    written = {}
    for name, column, only in (
        ("sentiment", "documents", None),
        ("entities", "mentions", None),
        ("outcomes", "documents", "dead_letter"),
        ("outcomes", "documents", "filtered"),
    ):
        with store.open_read(f"{folder}/{name}.parquet") as stream:
            table = pq.read_table(stream, columns=[column, *(["outcome"] if only else [])])
        if only:
            table = table.filter(pa.compute.equal(table["outcome"], only))
        written[only or name] = int(pa.compute.sum(table[column]).as_py() or 0)
    counted = sum(current for _, current, _ in read.values())
    said = numbers_of(page)
    pairs = {
        "documents read and in the table sentiment": (counted, written["sentiment"]),
        "documents in the table sentiment and on the page": (written["sentiment"], said["documents"]),
        "mentions in the table entities and on the page": (written["entities"], said["mentions"]),
        "dead letters in the table outcomes and on the page": (written["dead_letter"], said["dead_letters"]),
        "filtered in the table outcomes and on the page": (written["filtered"], said["filtered"]),
    }
    if wrong := [f"{name}: {a} and {b}" for name, (a, b) in pairs.items() if a != b]:
        raise ReportError("the report does not agree with itself, and is not published: " + "; ".join(wrong))


def _about(
    window: Window, lang: str, revision: int, files: dict[str, str], facts: Facts, parts: Sequence[Part]
) -> dict[str, Any]:
    total = sum(part.rows for part in parts)
    return {
        "first": None if window.first is None else window.first.isoformat(),
        "last": None if window.last is None else window.last.isoformat(),
        "lang": lang,
        "revision": revision,
        "counts": {"documents": facts.total.documents, "output": total, "elsewhere": total - facts.total.documents},
        "rows": facts.rows,
        "checked": facts.health.checked,
        "disagreements": facts.health.disagreements,
        "parts": {part.name: part.footer["attempt"] for part in parts},
        "files": files,
    }


def _report(store: Store, folder: str, facts: Facts, revision: int, changed: bool) -> Report:
    place = f"{store.url.rstrip('/')}/{folder}"
    left = {outcome: sum(rows for _, rows in reasons) for outcome, reasons in facts.reasons.items()}
    return Report(
        folder=place,
        page=f"{place}/{PAGE}",
        tables={name: f"{place}/{name}.parquet" for name in TABLES},
        rows=facts.rows,
        documents=facts.total.documents,
        dead_letters=left.get("dead_letter", 0),
        filtered=left.get("filtered", 0),
        revision=revision,
        changed=changed,
        disagreements=tuple(facts.health.disagreements),
    )
