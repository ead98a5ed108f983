"""What a reader is at each stage of its making: its float and its int8 package, and their figures."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from models.factory.examples import Examples
from models.factory.files import read_json, write_json
from models.factory.latency import median_s
from models.factory.probabilities import fit_calibration
from models.factory.quantize import calibrate, error_report
from models.factory.reader_corpora import Question
from models.factory.reader_evaluate import judged, reader_figures
from models.factory.reader_recipe import ReaderRecipe
from models.factory.reader_start import Vocabulary
from models.factory.run_context import key_of
from models.runtime.encoder import Encoder
from models.runtime.package import MANIFEST, READER, TOKENIZER, WEIGHTS, ModelPackage, open_package, write_package
from models.runtime.quantized import quantize_linears
from models.runtime.reader import load_reader
from models.runtime.weights import to_weights

PASSAGES = (1, 5, 10)


@dataclass(frozen=True)
class ReaderStage:
    """A reader as one stage of its making left it.

    Attributes:
        name: Of the stage.
        unrounded: Its float package.
        package: Its int8 package, with its calibration.
        figures: Of the int8 reader, in per cent.
        float_figures: Of the float reader, in per cent.
        calibration: What makes a probability of its margins.
        errors: Rows of `error_report`.
    """

    name: str
    unrounded: ModelPackage
    package: ModelPackage
    figures: dict[str, float]
    float_figures: dict[str, float]
    calibration: tuple[float, ...]
    errors: list[dict[str, float | str]]

    def reading_ms(self, questions: Sequence[Question], rounded: bool = True) -> dict[str, float]:
        """Measure how long a question takes with several passages.

        Args:
            questions: Of which passages are taken, cut to 250 characters, as an index holds them.
            rounded: Whether the int8 reader is measured.

        Returns:
            Number of passages -> median milliseconds, from strings to answers.
        """
        reader = load_reader((self.package if rounded else self.unrounded).folder)
        texts = [one.context[:250] for one in questions[: max(PASSAGES)]]

        def read(passages: int) -> object:
            return reader.read([questions[0].question] * passages, texts[:passages])

        return {str(passages): 1000 * median_s(partial(read, passages), 21) for passages in PASSAGES}

    def export(self, folder: Path) -> ModelPackage:
        """Copy the int8 package.

        Args:
            folder: Where it goes; made if it is absent.

        Returns:
            The copy.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for name in (WEIGHTS, TOKENIZER, MANIFEST):
            shutil.copyfile(self.package.folder / name, folder / name)
        return open_package(folder, READER)


@dataclass(frozen=True)
class ReaderStages:
    """Rounds and measures what each stage of a reader's making left.

    Attributes:
        recipe: The recipe.
        words: Vocabulary of the reader.
        examples: Windows that the ranges of activations are found on.
        dev: Name of the figure -> questions.
        work: Folder of packages and figures.
        say: Gets lines of progress.
    """

    recipe: ReaderRecipe
    words: Vocabulary
    examples: Examples
    dev: Mapping[str, Sequence[Question]]
    work: Path
    say: Callable[[str], None]

    def stage(self, name: str, encoder: Encoder) -> ReaderStage:
        """Round a reader to int8 and measure both; figures of the same weights are not measured again.

        Args:
            name: Of the stage.
            encoder: The float reader; it is not changed.

        Returns:
            The stage.
        """
        at = self.work / name.replace(" ", "-").replace(",", "")
        unrounded = self._write(at.with_name(f"{at.name}-float"), encoder)
        path = at.with_name(f"{at.name}-figures.json")
        known = read_json(path) or {}
        asked = {figure: [(one.question, one.context, one.texts) for one in questions] for figure, questions in self.dev.items()}
        measured = key_of(unrounded.digest, asked, self.recipe.calibration_windows)
        if known.get("measured") != measured:
            self.say(f"{name}: measuring the float reader")
            known = {"float_figures": reader_figures(judged(load_reader(unrounded.folder), self.dev))}
        docs = np.random.default_rng(self.recipe.seed).permutation(len(self.examples))[: self.recipe.calibration_windows]
        self.say(f"{name}: int8: ranges of activations on {len(docs)} windows")
        rounded = copy.deepcopy(encoder)
        quantize_linears(rounded, calibrate(rounded, self.examples, docs))
        folder = at.with_name(f"{at.name}-int8")
        if "figures" not in known:
            self._write(folder, rounded)
            self.say(f"{name}: measuring the int8 reader")
            judgements = judged(load_reader(folder), self.dev)
            known["calibration"] = fit_calibration(judgements.margins, judgements.right)
            known["figures"] = reader_figures(judgements)
            known["errors"] = error_report(rounded, self.examples, docs[:16].tolist())
            write_json(path, known | {"measured": measured})
        package = self._write(folder, rounded, known["calibration"])
        calibration = tuple(known["calibration"])
        return ReaderStage(name, unrounded, package, known["figures"], known["float_figures"], calibration, known["errors"])

    def _write(self, folder: Path, encoder: Encoder, calibration: Sequence[float] = ()) -> ModelPackage:
        return write_package(
            folder, self.recipe.name, self.recipe.lang, self.recipe.window, encoder.config, to_weights(encoder),
            self.words.tokenizer_json, READER, calibration, self.words.folds,
        )  # fmt: skip
