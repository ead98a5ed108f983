"""The Pareto front of accuracy against speed: shipped models, beside the students that are only measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.bench import REFERENCES
from models.factory.languages import language

if TYPE_CHECKING:
    from models.factory.run_context import RunContext


def comparisons(shop: RunContext) -> dict[str, dict[str, float]]:
    """Collect the figures of students that were made for comparison and not shipped.

    Args:
        shop: Context of the run; students whose last step is not done are left out.

    Returns:
        Student -> its figures in per cent, and as `engine_ratio` its engine's speed over that of the language's reference.
    """
    found = {}
    for name, student in shop.recipe.students.items():
        record = shop.done(f"{name}.distil" if student.start == "lstm" else f"{name}.quantize")
        if record is not None and not student.ship:
            found[name] = {**record["figures"], "engine_ratio": record["engine_ratio"]}
    return found


def comparison_table(everyone: dict[str, Any], others: dict[str, Any], lang: str) -> list[str]:
    """Write the section of a card that compares shipped models with students that were not shipped.

    Args:
        everyone: Shipped model of the language -> its `metrics.json`.
        others: Student that is not shipped -> its figures, as from `comparisons`.
        lang: Language, which says what figures are shown.

    Returns:
        Lines of Markdown; none if there are no students but the shipped ones.
    """
    if not others:
        return []
    rows = {
        **{k: {**v["figures"], "engine_ratio": v["speed"]["engine_ratio"]} for k, v in everyone.items()},
        **others,
    }
    keys = (*language(lang).shown, "engine_ratio")
    return [
        "## Beside other shapes",
        "",
        "Students of the same recipe that were not shipped, trained for a shorter time (`conf/compress`), and the shipped ones.",
        "",
        "| | " + " | ".join(keys[:-1]) + f" | engine speed, fp32 {REFERENCES[lang].name} = 1 |",
        "|---|" + "---|" * len(keys),
        *(f"| {name} | " + " | ".join(f"{row[key]:.2f}" for key in keys) + " |" for name, row in rows.items()),
        "",
    ]


def draw_pareto_front(everyone: dict[str, Any], others: dict[str, Any], path: Path, name: str, lang: str) -> None:
    """Plot entity F1 against measured speed and save the picture.

    A dot is a shipped model, a ring a student that is not shipped.

    Args:
        everyone: Shipped model of the language -> its `metrics.json`.
        others: Student that is not shipped -> its figures, as from `comparisons`.
        path: Where the picture is written; its suffix says the format.
        name: Shipped model whose card gets the picture; its dot is larger and red.
        lang: Language, which says what figure and what reference the axes show.
    """
    key = language(lang).shown[0]
    shipped = {other: (m["speed"]["engine_ratio"], m["figures"][key]) for other, m in everyone.items()}
    rings = {other: (figures["engine_ratio"], figures[key]) for other, figures in others.items()}
    draw_front(shipped, rings, name, f"speed, fp32 {REFERENCES[lang].name} in torch = 1", f"{key} (%)", path)


def draw_front(
    shipped: dict[str, tuple[float, float]], rings: dict[str, tuple[float, float]], name: str, x: str, y: str, path: Path
) -> None:
    """Plot models by two figures and save the picture.

    Args:
        shipped: Name -> where its dot is.
        rings: Name of a model that is not shipped -> where its ring is.
        name: The shipped model whose dot is larger and red.
        x: What the horizontal axis shows.
        y: What the vertical axis shows.
        path: Where the picture is written; its suffix says the format.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), dpi=110)
    for other, at in shipped.items():
        axes.scatter(*at, s=90 if other == name else 45, color="tab:red" if other == name else "tab:blue", zorder=3)
        axes.annotate(other, at, xytext=(7, 5), textcoords="offset points")
    # Names above and below their rings by turns, so that neighbours do not write over each other.
    for turn, (other, at) in enumerate(sorted(rings.items(), key=lambda one: one[1])):
        axes.scatter(*at, s=35, facecolors="none", edgecolors="tab:gray", zorder=2)
        place = (6, -12) if turn % 2 else (6, 5)
        axes.annotate(other, at, xytext=place, textcoords="offset points", fontsize=8, color="dimgray")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.margins(0.2)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
