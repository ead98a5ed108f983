"""Makes a reader: taught, made smaller, rounded to int8, calibrated, measured, exported. What was stopped goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.factory.card import macs_a_token
from models.factory.files import write_json
from models.factory.pretrained import minilm
from models.factory.prune import sparsity_report
from models.factory.reader_card import draw_reader_front, reader_card
from models.factory.reader_corpora import Question, dev_questions
from models.factory.reader_examples import reader_loss
from models.factory.reader_learning import QuestionMixture, learned, read_mixture
from models.factory.reader_recipe import ReaderRecipe
from models.factory.reader_stage import ReaderStage, ReaderStages
from models.factory.reader_start import Start, Vocabulary, fresh_reader
from models.factory.reader_student import ReaderStudents
from models.factory.run_context import key_of
from models.factory.runner import check_gate
from models.runtime.cpu import cpu_name
from models.runtime.encoder import Encoder
from models.runtime.package import READER


@dataclass
class ReaderRun:
    """One run of a reader's recipe.

    Attributes:
        recipe: Every choice of the run.
        data_dir: Folder that holds the corpora.
        work: Folder of checkpoints and results; ignored by git.
        cache: Folder of fetched packages.
        zoo: Folder of the shipped models.
        say: Gets lines of progress.
    """

    recipe: ReaderRecipe
    data_dir: Path
    work: Path
    cache: Path
    zoo: Path
    say: Callable[[str], None] = print

    def make(self) -> dict[str, Any]:
        """Do every step that is not done.

        Returns:
            The metrics, as they stand in the model's metrics.json.

        Raises:
            DataMissingError: A corpus or package is not there.
            ModelDamagedError: A package is not the pinned one.
            GateFailedError: A figure is below the recipe's gate; the model is not exported.
        """
        self.work.mkdir(parents=True, exist_ok=True)
        recipe = self.recipe
        start = Start(recipe, self.data_dir, self.cache, self.work, self.zoo)
        words = start.vocabulary()
        mixture = read_mixture(recipe, self.data_dir, words.tokenizer(), self.say)
        dev = dev_questions(self.data_dir, recipe.lang)
        measuring = ReaderStages(recipe, words, mixture.examples, dev, self.work, self.say)
        encoders = dict(self._encoders(start, words, mixture))
        stages = [measuring.stage(name, encoder) for name, encoder in encoders.items()]
        metrics = self._metrics(stages, encoders, mixture, next(iter(dev.values())))
        for line in (f"{figure} {value:.2f}" for figure, value in stages[-1].figures.items()):
            self.say(line)
        write_json(stages[-1].package.folder / "metrics.json", metrics)
        check_gate(recipe.name, stages[-1].figures, recipe.gate)
        package = stages[-1].export(self.zoo / recipe.name)
        metrics["digest"] = package.digest
        write_json(package.folder / "metrics.json", metrics)
        (package.folder / "card.md").write_text(reader_card(metrics), encoding="utf-8")
        if len(stages) > 1:
            draw_reader_front(metrics, package.folder / "front.png")
        return metrics

    def _encoders(self, start: Start, words: Vocabulary, mixture: QuestionMixture) -> Iterator[tuple[str, Encoder]]:
        """The readers that the recipe makes, each with its name; the last is shipped."""
        recipe, shipped = self.recipe, start.shipped()
        key = key_of(recipe.model_dump(exclude={"gate", "summary", "name", "further", "distil", "prune"}))
        if shipped is not None:
            key = key_of(key, shipped.digest)
        encoder = start.encoder(words)
        if recipe.train is not None:
            runs, path = mixture.runs(recipe.train), self.work / f"{key}.safetensors"
            encoder = learned(encoder, encoder, mixture, runs, reader_loss, recipe.train, path, self.say)
        if recipe.further is not None:
            key = key_of(key, recipe.further.model_dump(exclude={"minutes", "checkpoint_s"}))
            runs, path = mixture.drawn(recipe.further.repeats).runs(recipe.further), self.work / f"{key}-further.safetensors"
            encoder = learned(encoder, encoder, mixture, runs, reader_loss, recipe.further, path, self.say)
        yield "taught" if shipped is None else shipped.name, encoder
        students = ReaderStudents(encoder, key, mixture, self.work, self.say)
        if recipe.distil is not None:
            student = encoder if recipe.distil.start == "taught" else fresh_reader(minilm(self.cache))
            encoder = students.distilled(recipe.distil, student)
            yield "distilled", encoder
        if recipe.prune is not None:
            for number, pruned in enumerate(students.pruned(recipe.prune, encoder), 1):
                yield f"pruned, round {number}", pruned

    def _metrics(
        self, stages: list[ReaderStage], encoders: dict[str, Encoder], mixture: QuestionMixture, asked: list[Question]
    ) -> dict[str, Any]:
        recipe, last = self.recipe, stages[-1]
        taught, shipped = encoders[stages[0].name], encoders[last.name]
        kept = recipe.distil.layers if recipe.distil is not None and recipe.distil.layers else range(len(shipped.layers))
        steps = {} if recipe.train is None else {"taught": len(mixture.runs(recipe.train))}
        if recipe.further is not None:
            within = recipe.further.minutes
            name = "further" if within is None else f"further (less what {within:g} minutes left out)"
            steps[name] = len(mixture.drawn(recipe.further.repeats).runs(recipe.further))
        if recipe.distil is not None:
            steps["distilled"] = len(mixture.runs(recipe.distil))
        if recipe.prune is not None:
            steps["pruned"] = sum(
                len(mixture.runs(recipe.prune, recipe.prune.round_share(n + 1))) for n in range(recipe.prune.rounds)
            )
        whole = recipe.distil is None or recipe.distil.start == "taught"
        rows = [
            {
                "name": stage.name, "figures": stage.figures, "float_figures": stage.float_figures, "bytes": stage.package.size,
                "parameters": sum(p.numel() for p in encoder.parameters()), "macs_a_token": macs_a_token(encoder.config),
                "ms": stage.reading_ms(asked),
            }
            for stage, encoder in zip(stages, encoders.values(), strict=True)
        ]  # fmt: skip
        return {
            "name": recipe.name, "lang": recipe.lang, "task": READER, "summary": recipe.summary, "figures": last.figures,
            "float_figures": stages[0].float_figures, "calibration": list(last.calibration), "window": recipe.window,
            "start": recipe.start, "layers": [[shape.heads, shape.ffn] for shape in shipped.config.layers],
            "bytes": last.package.size, "cpu": cpu_name(), "ms": rows[-1]["ms"], "float_ms": stages[0].reading_ms(asked, False),
            "steps": steps, "none_every": recipe.none_every,
            "also": recipe.also, "quantization_errors": last.errors, "stages": rows,
            "sparsity": sparsity_report(taught, shipped, list(kept)) if len(stages) > 1 and whole else [],
        }  # fmt: skip
