"""Makes a reader: taught on questions, rounded to int8, calibrated, measured, exported. A run that was stopped goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from models.factory.examples import Examples, concatenate, draw
from models.factory.files import write_json, write_whole
from models.factory.loop import fit
from models.factory.quantize import calibrate, error_report
from models.factory.reader_card import folder_bytes, reader_card, reading_ms
from models.factory.reader_corpora import Question, dev_questions, training_questions, unanswerable
from models.factory.reader_evaluate import fit_calibration, judged, reader_figures
from models.factory.reader_examples import encode_questions, reader_loss
from models.factory.reader_recipe import ReaderRecipe
from models.factory.reader_start import Vocabulary, beginning, vocabulary
from models.factory.run_context import key_of
from models.factory.runner import check_gate
from models.runtime.cpu import cpu_name
from models.runtime.encoder import Encoder
from models.runtime.package import READER, write_package
from models.runtime.quantized import quantize_linears
from models.runtime.reader import load_reader
from models.runtime.tokenizer import PieceTokenizer
from models.runtime.weights import to_weights


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
        words = vocabulary(self.recipe, self.data_dir, self.cache)
        key = key_of(self.recipe.model_dump(exclude={"gate", "summary", "name"}))
        examples = self._examples(words.tokenizer())
        encoder = self._trained(key, examples, words)
        dev = dev_questions(self.data_dir, self.recipe.lang)
        float_folder = self.work / f"{key}-float"
        write = partial(write_package, tokenizer_json=words.tokenizer_json, task=READER, folds=words.folds)
        name, lang, window = self.recipe.name, self.recipe.lang, self.recipe.window
        write(float_folder, name, lang, window, encoder.config, to_weights(encoder))
        self.say("measuring the float reader")
        unrounded = load_reader(float_folder)
        before = reader_figures(judged(unrounded, dev))
        docs = np.random.default_rng(self.recipe.seed).permutation(len(examples))[: self.recipe.calibration_windows]
        self.say(f"int8: ranges of activations on {len(docs)} windows")
        quantize_linears(encoder, calibrate(encoder, examples, docs))
        folder = self.work / f"{key}-int8"
        write(folder, name, lang, window, encoder.config, to_weights(encoder))
        self.say("measuring the int8 reader")
        reader = load_reader(folder)
        judgements = judged(reader, dev)
        calibration = fit_calibration(judgements.margins, judgements.right)
        write(folder, name, lang, window, encoder.config, to_weights(encoder), calibration=calibration)
        figures = reader_figures(judgements)
        asked = next(iter(dev.values()))
        metrics = {
            "name": name, "lang": lang, "task": READER, "summary": self.recipe.summary, "figures": figures,
            "float_figures": before, "calibration": list(calibration), "window": window, "start": self.recipe.start,
            "layers": [[shape.heads, shape.ffn] for shape in encoder.config.layers],
            "bytes": folder_bytes(folder), "cpu": cpu_name(), "ms": reading_ms(reader, asked),
            "float_ms": reading_ms(unrounded, asked), "steps": self._steps, "none_every": self.recipe.train.none_every,
            "quantization_errors": error_report(encoder, examples, docs[:16].tolist()),
        }  # fmt: skip
        write_json(folder / "metrics.json", metrics)
        for line in (f"{figure} {value:.2f}" for figure, value in figures.items()):
            self.say(line)
        check_gate(name, figures, self.recipe.gate)
        package = write(self.zoo / name, name, lang, window, encoder.config, to_weights(encoder), calibration=calibration)
        metrics["digest"] = package.digest
        write_json(package.folder / "metrics.json", metrics)
        (package.folder / "card.md").write_text(reader_card(metrics), encoding="utf-8")
        return metrics

    def _examples(self, tokenizer: PieceTokenizer) -> Examples:
        """All windows of the mixture, and in `_repeats` how often each is drawn."""
        parts, repeats = [], []
        for corpus, questions in training_questions(self.data_dir, self.recipe.lang):
            every = self.recipe.train.none_every
            asked: list[Question] = [*questions, *unanswerable(questions, every)]
            examples, of = encode_questions(asked, tokenizer, self.recipe.window)
            # Of a long passage most windows hold nothing: together they count as one.
            holds = examples.sentiment == 1
            counts = np.bincount(np.array(of)[~holds], minlength=len(asked))
            share = np.where(holds, 1.0, 1.0 / np.maximum(1, counts[of]))
            parts.append(examples)
            repeats.append(share * corpus.repeats * self.recipe.train.epochs)
            tokens = float((examples.lengths * repeats[-1]).sum())
            self.say(f"{corpus.name}: {len(asked):,} questions, {len(examples):,} windows, {tokens / 1e6:.2f} M tokens drawn")
        self._repeats = np.concatenate(repeats)
        return concatenate(parts)

    def _trained(self, key: str, examples: Examples, words: Vocabulary) -> Encoder:
        recipe = self.recipe
        encoder = beginning(recipe, words, self.cache)
        path = self.work / f"{key}.safetensors"
        runs = draw(examples, self._repeats, recipe.train.budget_tokens, recipe.seed)
        self._steps = len(runs)
        if not path.exists():
            encoder.dropout = recipe.train.dropout
            torch.manual_seed(recipe.seed)
            checkpoint = self.work / f"{key}.checkpoint"
            self.say(f"{len(runs):,} batches of {recipe.train.budget_tokens:,} tokens")
            fit(encoder, examples, runs, reader_loss, recipe.train.schedule(), checkpoint, recipe.seed, self.say)
            write_whole(path, lambda part: save_file(encoder.state_dict(), part))
            checkpoint.unlink(missing_ok=True)
        encoder.load_state_dict(load_file(path))
        encoder.dropout = 0.0
        return encoder.eval()
