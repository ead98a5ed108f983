"""The card of a model that was trained on a user's own labels."""

from __future__ import annotations

from typing import Any


def card_text(name: str, start: str, about: dict[str, Any]) -> str:
    """Write the card, in Markdown.

    Args:
        name: Name of the model.
        start: Model that it was taught on from.
        about: What `metrics.json` holds.

    Returns:
        The text of the file.
    """
    entities, classes, counts = about["labels"]["entities"], about["labels"]["classes"], about["documents"]
    lines = [
        f"# {name}",
        "",
        f'Use it: `textmill tag INPUT OUTPUT --model {name}` (the folder\'s path), or `models.load("{name}")` in Python.',
        "",
        f"Taught on from `{start}` with {counts['learned']:,} labelled documents; the figures are those of"
        f" {counts['held out']:,} others. {'Learned: ' + ', '.join(about['learned']) + '.'}",
        "",
        f"- Entities: {', '.join(entities) or 'none'}"
        + ("" if "entities" in about["learned"] else f" (as `{start}` finds them)"),
        f"- Classes: {', '.join(classes) or 'none'}" + ("" if "classes" in about["learned"] else f" (as `{start}` finds them)"),
        f"- Language: {about['lang']}; {about['bytes'] / 1e6:.1f} MB; 8-bit whole numbers",
        f"- Licence: that of `{start}`, whose card names its sources, and of your own documents",
        "",
        "## On the documents held out",
        "",
    ]
    lines += _table(about["figures"], about["float_figures"])
    if about["warnings"]:
        lines += ["", "## To know", "", *(f"- {line}" for line in about["warnings"])]
    wrong = about["wrong"]
    lines += [
        "",
        f"{wrong} of {counts['held out']} documents are not tagged as they are labelled; `errors.jsonl` has each of them.",
    ]
    return "\n".join(lines) + "\n"


def _table(figures: dict[str, Any], exact: dict[str, Any]) -> list[str]:
    lines = ["| what | precision | recall | F1 | labelled |", "|---|---|---|---|---|"]
    for part, title in (("entities", "all entities"), ("classes", "")):
        found = figures.get(part)
        if found is None:
            continue
        if title:
            lines.append(_row(f"**{title}**", found, sum(one["count"] for one in found["each"].values())))
        lines += [_row(name, one, one["count"]) for name, one in found["each"].items()]
    lines.append("")
    if (found := figures.get("classes")) is not None:
        lines.append(f"Classes: accuracy {found['accuracy']}, macro F1 {found['macro_f1']}, calibration error {found['ece']}.")
    if (found := figures.get("entities")) is not None:
        lines.append(f"Entities count from a score of {figures['min_score']} on; calibration error {found['ece']}.")
    before = [f"{part} {exact[part][key]}" for part, key in (("entities", "f1"), ("classes", "macro_f1")) if part in exact]
    return [*lines, f"Before rounding to 8 bits: {', '.join(before)}. All in per cent."]


def _row(name: str, one: dict[str, Any], count: int) -> str:
    cells = ["-" if one[key] is None else f"{one[key]}" for key in ("precision", "recall", "f1")]
    return f"| {name} | {' | '.join(cells)} | {count:,} |"
