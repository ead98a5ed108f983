"""What more real posts would give: a recipe that begins with a shipped model, with a quarter, a half and all of `real_train`.

python docs/measure/learning_curve.py RECIPE DATA ZOO [SHARE]

ZOO holds the model that the recipe begins with, as it was before it had seen the posts. The posts are drawn equally often in
all runs, each of them more often where there are fewer, so that only their number differs. SHARE (default 0.1) shortens every
run. Printed are figures of the int8 model on the development split of the real posts; those of sentiment across five folds.
"""

import sys
from pathlib import Path

from models.factory.languages import language
from models.factory.recipe import Recipe, load_recipe
from models.factory.run_context import RunContext
from models.factory.runner import run

PARTS = (0.25, 0.5, 1.0)
POSTS = {"en": 1600, "zh": 1502}
CACHE = Path(".cache")


def part_of(recipe: Recipe, part: float, share: float) -> Recipe:
    """The recipe with a part of the real posts, for comparison alone."""
    posts = language(recipe.lang).posts
    (name, student), *_ = recipe.students.items()
    epochs = {**student.distil.epochs, posts: student.distil.epochs[posts] / part}
    distil = student.distil.model_copy(update={"epochs": epochs, "share": share})
    label = recipe.label.model_copy(update={"gold": {**recipe.label.gold, posts: round(part * POSTS[recipe.lang])}})
    students = {name: student.model_copy(update={"distil": distil, "ship": False, "gate": {}})}
    return recipe.model_copy(update={"label": label, "students": students})


def main(path: Path, data_dir: Path, zoo: Path, share: float) -> None:
    """Run the recipe once for each part."""
    rows = []
    for part in PARTS:
        recipe = part_of(load_recipe(path), part, share)
        work = CACHE / "factory" / f"curve-{path.stem}-{part}"
        shop = RunContext(recipe, data_dir, work, CACHE / "wheels", zoo)
        run(shop)
        name = next(iter(recipe.students))
        record = shop.done(f"{name}.quantize") or {}
        across, figures = record["calibration"]["across"], record["figures"]
        rows.append((part, across["macro_f1"], across["negative_precision"], across["sentiment_ece"], figures["real_f1"]))
    print("| real posts | macro F1 | negative, right | calibration error | entities F1 |\n|---|---|---|---|---|")
    for part, *values in rows:
        print(f"| {round(part * POSTS[load_recipe(path).lang]):,} | " + " | ".join(f"{value:.1f}" for value in values) + " |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4]) if len(sys.argv) > 4 else 0.1)
