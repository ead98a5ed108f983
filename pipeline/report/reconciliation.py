"""Whether the runs did their work: what each made and left out, and whether all counts agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pipeline.observe.warnings import in_words
from pipeline.report.parts import Part, left_out, records
from pipeline.report.window import ReportWindow
from pipeline.sink.reconciliation import accounted_for, read_of, superseded_rows
from pipeline.store.base import Store

_OUTCOMES = {"dead_letter": "dead_letters", "filtered": "filtered"}
# Of disagreements of one kind, so many are named.
NAMED = 5


@dataclass(slots=True)
class Health:
    """The runs behind a report, and whether their counts agree.

    Attributes:
        outcomes: Rows of the table `outcomes`: part, run, outcome, reason, documents.
        runs: What the page says of each run that made a part of the report or failed on its days.
        models: Models that tagged the report's parts, sorted.
        checked: Number of comparisons made.
        disagreements: Comparisons that failed, in words.
    """

    outcomes: list[tuple[str, str, str, str | None, int]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    checked: int = 0
    disagreements: list[str] = field(default_factory=list)

    def check(self, agrees: bool, text: str) -> None:
        """Record one comparison of two counts.

        Args:
            agrees: Whether they agree.
            text: What the page says if they do not.
        """
        self.checked += 1
        if not agrees:
            self.disagreements.append(text)


def belongs(part: Part, current: int) -> bool:
    """Whether a part belongs to a report: it holds a document of the report's days, or no document with a time.

    The latter belong to every report, so that none of them goes unseen.

    Args:
        part: The part.
        current: Number of its rows that are of the report's days.
    """
    return current > 0 or part.dated is None


def health_of(store: Store, parts: Sequence[Part], read: Mapping[str, tuple[int, int, int]], window: ReportWindow) -> Health:
    """Compare what was read with footers, files of left-out documents, manifests and records of plans.

    All parts of the output are compared; outcomes, models and runs are only those of parts that belong to the report.

    Args:
        store: Store of the tagged output.
        parts: All parts of the output.
        read: By part: all its rows, its rows of the report's days, and its rows without a time, as the first pass counted them.
        window: Days of the report.

    Returns:
        What was found; counts that do not agree are noted in it, and raise nothing.

    Raises:
        OutputError: A file of left-out documents or a record cannot be read.
    """
    found = Health()
    mine = {part.name: part for part in parts if belongs(part, read[part.name][1])}
    sides = Counter[tuple[str, str]]()
    reasons = left_out(store, {part.name for part in parts})
    for name, outcome, reason, rows in reasons:
        sides[name, outcome] += rows
        if name in mine:
            found.outcomes.append((name, mine[name].footer["run"], outcome, reason, rows))
    found.outcomes += [(name, part.footer["run"], "tagged", None, read[name][1]) for name, part in mine.items()]
    found.outcomes.sort(key=lambda row: (row[0], row[2], row[3] or ""))
    found.models = sorted({str(part.footer["model"]) for part in mine.values()})
    for part in parts:
        rows, _, undated = read[part.name]
        found.check(rows == part.rows == part.footer["rows"], f"{part.name}: {rows} rows, footer {part.footer['rows']}")
        found.check(undated == part.undated, f"{part.name}: {undated} rows without a time, statistics {part.undated}")
        met = read_of(part.footer)
        if met is not None:
            there = accounted_for(part.footer)
            found.check(met == there, f"{part.name}: {met} documents were read, {there} are accounted for")
        for outcome, key in _OUTCOMES.items():
            there, said = sides[part.name, outcome], part.footer[key]
            found.check(there == said, f"{part.name}: {there} rows in {key}/, footer {said}")
    manifests, metrics, plans = records(store)
    manifests = [one for one in manifests if {"run", "status", "parts", "rows_out", "started"} <= one.keys()]  # those of tag
    _check_manifests(found, manifests, {part.name: part for part in parts})
    _check_plans(found, plans, {part.name: part for part in parts})
    found.runs = [_run(one, metrics.get(one["run"], {}), mine, window) for one in manifests if _is_behind(one, mine, window)]
    return found


def _check_manifests(found: Health, manifests: Sequence[dict[str, Any]], parts: Mapping[str, Part]) -> None:
    for manifest in manifests:
        listed = manifest["parts"]
        for one in listed:
            part = parts.get(one["name"])
            if part is None or part.footer["attempt"] != one["attempt"]:
                continue  # of an older generation
            agrees = all(part.footer[key] == one[key] for key in ("rows", "dead_letters", "filtered"))
            found.check(agrees, f"{one['name']}: the manifest of {manifest['run']} says {one['rows']} rows, footer {part.rows}")
        for key, out in (("read", manifest.get("rows_in")), ("dead_letters", manifest["dead_letters"])):
            if listed and all(key in one for one in listed):
                there = sum(one[key] for one in listed)
                found.check(out == there, f"manifest of {manifest['run']}: {out} {key}, its parts {there}")
        summed = sum(one["rows"] for one in listed)
        found.check(
            summed == manifest["rows_out"], f"manifest of {manifest['run']}: rows_out {manifest['rows_out']}, its parts {summed}"
        )


def _check_plans(found: Health, plans: Sequence[dict[str, Any]], parts: Mapping[str, Part]) -> None:
    for plan in plans:
        names = [one["name"] for one in plan["made"]]
        there = [name for name in names if name in parts]
        if not there and names:
            continue  # of an older generation
        missing = sorted(set(names) - set(there))
        found.check(not missing, f"plan {plan['plan']} is finished, but {', '.join(missing[:NAMED])} are not there")
        if not missing:
            summed = sum(parts[name].rows + superseded_rows(parts[name].footer) for name in names)
            found.check(
                summed == plan["rows"], f"plan {plan['plan']}: its record says {plan['rows']} rows, its parts hold {summed}"
            )


def _is_behind(manifest: Mapping[str, Any], mine: Mapping[str, Part], window: ReportWindow) -> bool:
    """Whether a run made a part of the report, or failed on one of its days or the day after."""
    if window.first is None or any(part.footer["run"] == manifest["run"] for part in mine.values()):
        return True
    last = (window.last or window.first) + timedelta(1)
    return manifest["status"] != "finished" and f"{window.first}" <= window.local(str(manifest["started"]))[:10] <= f"{last}"


def _run(
    manifest: Mapping[str, Any], metrics: Mapping[str, Any], mine: Mapping[str, Part], window: ReportWindow
) -> dict[str, Any]:
    """What the page says of a run; counts of parts that are of the report are in `rows_here`."""
    keys = ("run", "status", "started", "ended", "model", "rows_in", "rows_out", "dead_letters", "filtered", "seconds")
    verdict = metrics.get("verdict") or {}
    return {
        **{key: manifest.get(key) for key in keys},
        "started": window.local(str(manifest["started"] or "")),
        "failures": dict(manifest.get("failures") or {}),
        "warnings": [in_words(one) for one in manifest.get("warnings") or ()],
        "rows_here": sum(part.rows for part in mine.values() if part.footer["run"] == manifest["run"]),
        "limits": verdict.get("limits"),
        "verdict": verdict.get("text"),
        "documents_s": metrics.get("documents_s"),
    }
