"""One report: read the parts, make the tables and the page, compare their numbers, publish them in one step."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa

from pipeline.errors import ConfigError, LostClaimError
from pipeline.report import tables
from pipeline.report.classes import agreed_classes
from pipeline.report.consistency import check_consistency
from pipeline.report.database import database
from pipeline.report.i18n import LANGUAGES
from pipeline.report.page import render
from pipeline.report.parts import Part, parts_of
from pipeline.report.passes import first_pass, missing_reason, second_pass
from pipeline.report.publish import ABOUT, about, claim_of, publish, tidy
from pipeline.report.reconciliation import health_of
from pipeline.report.schema import TABLES, tables_of
from pipeline.report.view_model import ReportFacts, facts_of
from pipeline.report.window import ReportWindow
from pipeline.report.workers import LocalRunner, PassRunner, RayRunner
from pipeline.report.write import Written, write_bytes, write_table
from pipeline.sink.files import hold_claim, try_delete
from pipeline.store.base import Store
from pipeline.store.open import open_store
from pipeline.store.settings import StoreConfig

PAGE = "index.html"


@dataclass(frozen=True, slots=True)
class Report:
    """A report that has been made, and where it lies.

    Attributes:
        folder: URL or path of the report's folder.
        page: URL or path of its page.
        tables: URL or path of each Parquet file, by the table's name.
        rows: Rows of each table, by the table's name.
        documents: Documents that were counted.
        dead_letters: Documents that could not be tagged, of the parts that belong to the report.
        filtered: Documents that were not meant to be tagged, of the same parts.
        revision: Number of the revision that is in place, from 1.
        changed: False if nothing is new: then the revision that was there has stayed, untouched.
        disagreements: Counts of the output that contradict each other, in words; the page shows them.
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
    output: str,
    first: date | None,
    last: date | None,
    into: str | None = None,
    lang: str = "en",
    memory_mb: int = 1500,
    zone: str = "UTC",
    reach: StoreConfig | None = None,
    workers: int = 0,
    address: str | None = None,
    min_score: float = 0.0,
) -> Report:
    """Make a report and publish it in one step; an earlier report of the same folder is kept as FOLDER.rN.

    If all files come out as they are in the earlier report, that one stays and nothing is published.

    Args:
        output: Folder of the tagged output, or its URL.
        first: First day; None, as for `last`, reports on everything.
        last: Last day, that day included.
        into: Folder of the report, or its URL; None puts it into the output, below `reports/`, named after the days.
        lang: Language of the page, en or zh.
        memory_mb: Memory limit of each process that counts, MB.
        zone: IANA time zone of days and hours.
        reach: How the stores are reached.
        workers: Ray actors that count; 0 counts in this process or, with an `address`, in one actor per CPU of the cluster.
        address: Ray cluster to count on; None starts a local Ray if `workers` is not 0.
        min_score: The least score of an entity that counts; tags hold those that `textmill tag --min-score` has let through.

    Returns:
        What was made.

    Raises:
        ConfigError: The settings are wrong.
        OutputError: `output` is no output of `textmill tag` or has broken files, models with different classes of documents have
            tagged these days, or the report's folder is something else.
        ReportError: The tags cannot be counted, or what was written does not agree with them.
        ClaimedError: Another process makes this report.
        LostClaimError: The claim on the report was lost meanwhile; nothing more was published.
        WorkerLostError: Ray or its actors died too often, or no actor has been alive for too long.
    """
    if lang not in LANGUAGES:
        raise ConfigError(f"--lang {lang}: there is {', '.join(LANGUAGES)}")
    window = ReportWindow(first, last, zone, min_score)
    store = open_store(output, reach)
    target, folder = _place(store, window, into, reach)
    with database(memory_mb) as con:
        parts = parts_of(store)
        with hold_claim(target, claim_of(folder)) as held:
            target.recover_swap(f"{folder}.new", folder)
            tidy(target, folder)
            before = about(target, folder)
            revision = (before["revision"] if before else 0) + 1
            staged = f"{folder}.new"
            try:
                with ExitStack() as stack:
                    runner: PassRunner = LocalRunner(store, con)
                    if workers or address:
                        runner = stack.enter_context(RayRunner(store.url, reach or StoreConfig(), memory_mb, workers, address))
                    files, facts = _write(store, con, runner, parts, window, target, staged, lang, held)
                digests = {name: written.sha256 for name, written in sorted(files.items())}
                changed = before is None or before["files"] != digests
                body = _about(window, lang, revision, digests, facts, parts)
                held()
                write_bytes(target, staged, ABOUT, json.dumps(body, indent=1).encode() + b"\n")
            except BaseException:
                with suppress(LostClaimError):
                    held()  # else what is staged is that of whoever has the claim
                    try_delete(target, staged)
                raise
            if changed:
                publish(target, folder, revision, held)
            else:
                held()
                try_delete(target, staged)
    return _report(target, folder, facts, revision if changed else revision - 1, changed)


def _place(store: Store, window: ReportWindow, into: str | None, reach: StoreConfig | None) -> tuple[Store, str]:
    if into is None:
        return store, f"reports/{window.name}"
    parent, _, name = into.rstrip("/").rpartition("/")
    if name in ("", ".", ".."):
        raise ConfigError(f"--into {into}: name a folder")
    return open_store(parent or ("/" if into.startswith("/") else "."), reach), name


def _write(
    store: Store,
    con: Any,
    runner: PassRunner,
    parts: Sequence[Part],
    window: ReportWindow,
    target: Store,
    folder: str,
    lang: str,
    held: Callable[[], object],
) -> tuple[dict[str, Written], ReportFacts]:
    """Write all files but the last, each while the report is `held`; gives their digests, and what the page says."""
    touched = [part for part in parts if window.touches(part.dated, part.undated)]
    classes = agreed_classes(store.url, touched or parts[-1:])
    read = first_pass(runner, con, parts, window)
    tables.prepare(con)
    risen = tables.rising_entities(con)
    chosen = tables.choose(con, risen)
    examples = second_pass(runner, con, [part for part in parts if read[part.name][1]], window, chosen)
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
    schemas = tables_of(window.zone)
    for name, pieces in _all(con, made):
        held()
        files |= write_table(target, folder, name, schemas[name], pieces)
    facts = facts_of(con, window, store.url.rstrip("/").rsplit("/", 1)[-1], made, health, missing_reason(parts), classes)
    facts.rows = {name: files[f"{name}.parquet"].rows for name in TABLES}
    page = render(facts, lang)
    check_consistency(target, folder, page, read, classes)
    held()
    return files | write_bytes(target, folder, PAGE, page.encode()), facts


def _all(con: Any, made: dict[str, pa.Table]) -> Iterator[tuple[str, Any]]:
    yield from tables.plain(con)
    for name, table in made.items():
        yield name, [table]


def _about(
    window: ReportWindow, lang: str, revision: int, files: dict[str, str], facts: ReportFacts, parts: Sequence[Part]
) -> dict[str, Any]:
    total = sum(part.rows for part in parts)
    return {
        "first": None if window.first is None else window.first.isoformat(),
        "last": None if window.last is None else window.last.isoformat(),
        "lang": lang,
        **({} if window.zone == "UTC" else {"zone": window.zone}),
        **({"min_score": window.min_score} if window.min_score else {}),
        "revision": revision,
        "counts": {"documents": facts.total.documents, "output": total, "elsewhere": total - facts.total.documents},
        "rows": facts.rows,
        "checked": facts.health.checked,
        "disagreements": facts.health.disagreements,
        "parts": {part.name: part.footer["attempt"] for part in parts},
        "files": files,
    }


def _report(store: Store, folder: str, facts: ReportFacts, revision: int, changed: bool) -> Report:
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
