"""The page: one HTML file that needs nothing beside it, in English or Chinese. All that comes of documents is escaped."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.errors import ReportError
from pipeline.report import charts, formatting
from pipeline.report.i18n import TEXTS, WITHOUT_MOODS, WORDS, day_short, days_text
from pipeline.report.schema import TABLES
from pipeline.report.view_model import EntityRow, ReportFacts

# A row of the search table that is in the page without JavaScript.
FIRST_ROWS = 50
OFTEN = 10
CLASSES = 24
_DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)
_HERE = Path(__file__).parent


def render(facts: ReportFacts, lang: str) -> str:
    """Return the page as HTML.

    Args:
        facts: All that the page says.
        lang: Language of the page, en or zh.
    """
    return str(_template().render(_context(facts, lang)))


def numbers_of(page: str) -> dict[str, Any]:
    """Read the headline figures back from a page.

    Args:
        page: The page's HTML.

    Returns:
        The figures by name; `documents`, `mentions`, `dead_letters` and `filtered` are among them.

    Raises:
        ReportError: One of these figures or the search table's data is missing.
    """
    found = _DATA.search(page)
    shown = dict(re.findall(r'data-figure="(\w+)">([\d,]+)<', page))
    if found is None or not {"documents", "mentions", "dead_letters", "filtered"} <= shown.keys():
        raise ReportError("the page lacks its figures")
    json.loads(found[1])
    return {name: int(text.replace(",", "")) for name, text in shown.items()}


@cache
def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(_HERE / "page"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= formatting.FILTERS
    return made.get_template("page.html.j2")


def _context(facts: ReportFacts, lang: str) -> dict[str, Any]:
    texts, words = TEXTS[lang] if facts.moods else TEXTS[lang] | WITHOUT_MOODS[lang], WORDS[lang]
    days, count_before = len(facts.window.days), len(facts.window.before)
    buckets = list(facts.buckets.values())
    # A mean day: only days that hold documents count, so that a missing one does not look like a fall.
    filled = count_before - len(facts.empty_days)
    usual = facts.before.documents / filled * days if filled > 0 and facts.before.documents else 0.0
    left = {outcome: sum(rows for _, rows in reasons) for outcome, reasons in facts.reasons.items()}
    well = not facts.health.disagreements and all(
        run["status"] == "finished" and not run["failures"] and not run["warnings"] for run in facts.health.runs
    )
    heading = texts["all_days"]
    if facts.window.first is not None and facts.window.last is not None:
        heading = days_text(facts.window.first, facts.window.last, lang)
    span = days_text(*facts.span, lang) if facts.span and facts.window.first is None else None
    return {
        "buckets": buckets, "zone": "UTC" if facts.window.zone == "UTC" else texts["of_zone"].format(zone=facts.window.zone),
        "t": texts, "w": words, "lang": lang, "facts": facts, "heading": heading, "span": span,
        "css": _file("page.css"), "js": _file("page.js"), "charts": charts, "form": formatting,
        "usual": usual, "trailing_days": count_before, "days": days, "dead_letters": left.get("dead_letter", 0),
        "filtered": left.get("filtered", 0), "well": well, "stands_out": _stands_out(facts, texts, usual, count_before, well),
        "ticks": formatting.ticks(buckets, facts.bucket, lang), "data": _data(facts, lang), "first_rows": FIRST_ROWS,
        "most_classes": CLASSES,
        "missing": ", ".join(day_short(day, lang) for day in facts.empty_days), "table_names": list(TABLES),
        "most": max((one.mood.documents for one in facts.entities), default=1),
    }  # fmt: skip


def _stands_out(facts: ReportFacts, t: dict[str, Any], usual: float, before: int, well: bool) -> list[tuple[str, dict[str, str]]]:
    """Sentences of the summary: their text, and the names to be put into it, which are escaped later."""
    if not facts.total.documents:
        return [(t["no_documents"], {})]
    out: list[tuple[str, dict[str, str]]] = []
    if usual:
        relative = facts.total.documents / usual - 1
        key = "volume_same" if abs(relative) < 0.05 else "volume_more" if relative > 0 else "volume_less"
        out.append((t[key], {"percent": f"{abs(relative) * 100:,.0f} %", "n": str(before)}))
    elif facts.entities:
        top = facts.entities[0]
        out.append((t["top_name"], {
            "name": formatting.seen(top.shown),
            "documents": formatting.count(top.mood.documents),
            "all": formatting.count(facts.total.documents),
        }))  # fmt: skip
    if facts.rising:
        first = facts.rising[0]
        counts = {"documents": formatting.count(first.mood.documents), "expected": formatting.about(first.expected or 0.0)}
        out.append((t["rises"], {"name": formatting.seen(first.shown), **counts}))
    often = [one for one in facts.entities[:50] if facts.moods and one.mood.documents >= OFTEN and one.mood.mean < 0]
    if often:
        worst = max(often, key=lambda one: (one.mood.negative_share, one.mood.documents))
        more = {"share": formatting.share(worst.mood.negative_share), "documents": formatting.count(worst.mood.documents)}
        out.append((t["most_negative"], {"name": formatting.seen(worst.shown), **more}))
    out.append((t["all_well"] if well else t["not_well"], {"n": formatting.count(facts.health.checked)}))
    return out


def _data(facts: ReportFacts, lang: str) -> dict[str, Any]:
    """What the search table works on. Only numbers and strings; the script puts strings in as text, never as HTML."""
    known, there = WORDS[lang]["label"], {one.label for one in facts.entities}
    labels = [*(label for label in known if label in there), *sorted(there - known.keys())]
    return {
        "rows": [_row(one, facts.moods) for one in facts.entities],
        # All labels that there are: what a script looks up here is never one of an object's own names.
        "labels": {label: known.get(label, formatting.seen(label)) for label in labels},
        "moods": facts.moods,
        "texts": {key: TEXTS[lang][key] for key in ("shown_of", "new")},
    }


def _row(one: EntityRow, moods: bool) -> list[Any]:
    negative, mean = (one.mood.negative, round(one.mood.mean, 3)) if moods else (None, None)
    return [
        formatting.seen(one.shown), one.label, one.mood.documents, one.mentions, negative, mean,
        None if one.ratio is None else round(one.ratio, 1),
        [formatting.identity(example[0]) for example in one.examples], formatting.seen(one.name), one.before,
    ]  # fmt: skip


def _file(name: str) -> str:
    return (_HERE / "page" / name).read_text(encoding="utf-8")
