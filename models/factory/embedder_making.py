"""Makes an embedder: a pretrained encoder without heads, rounded to int8, measured, exported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from models.factory import pretrained
from models.factory.corpus_readers import LabelledText
from models.factory.embedder_card import embedder_card
from models.factory.embedder_evaluate import embedded, embedder_figures, embedder_speed, mean_cosine
from models.factory.embedder_recipe import EmbedderRecipe
from models.factory.examples import encode
from models.factory.files import write_json
from models.factory.quantize import calibrate, error_report
from models.factory.reader_corpora import training_questions
from models.factory.retrieval_set import retrieval_set
from models.factory.runner import check_gate
from models.runtime.cpu import cpu_name
from models.runtime.embedder import load_embedder
from models.runtime.encoder import Encoder
from models.runtime.package import EMBEDDER, write_package
from models.runtime.quantized import quantize_linears
from models.runtime.tokenizer import PieceTokenizer
from models.runtime.weights import to_weights


@dataclass
class EmbedderRun:
    """One run of an embedder's recipe.

    Attributes:
        recipe: Every choice of the run.
        data_dir: Folder that holds the corpora.
        work: Folder of results; ignored by git.
        cache: Folder of fetched packages.
        zoo: Folder of the shipped models.
        say: Gets lines of progress.
    """

    recipe: EmbedderRecipe
    data_dir: Path
    work: Path
    cache: Path
    zoo: Path
    say: Callable[[str], None] = print

    def make(self) -> dict[str, Any]:
        """Round, measure and export.

        Returns:
            The metrics, as they stand in the model's metrics.json.

        Raises:
            DataMissingError: A corpus or the package is not there.
            ModelDamagedError: The package is not the pinned one.
            GateFailedError: A figure is below the recipe's gate; the model is not exported.
        """
        recipe, name, lang = self.recipe, self.recipe.name, self.recipe.lang
        tokenizer_json = pretrained.tokenizer_json(self.cache, negation=False)
        encoder = headless(pretrained.minilm(self.cache)).eval()
        found_in = retrieval_set(self.data_dir, lang)
        write = partial(write_package, name=name, lang=lang, window=recipe.window, tokenizer_json=tokenizer_json, task=EMBEDDER)
        write(self.work / "float", config=encoder.config, weights=to_weights(encoder))
        self.say(f"measuring the float embedder: {len(found_in.questions):,} questions, {len(found_in.documents):,} documents")
        unrounded = load_embedder(self.work / "float")
        vectors_before = embedded(unrounded, found_in)
        before = embedder_figures(vectors_before, found_in)
        passages = [one.context for _, _, questions in training_questions(self.data_dir, lang) for one in questions]
        texts = np.random.default_rng(recipe.seed).permutation(sorted(set(passages)))[: recipe.calibration_texts]
        records = [LabelledText(str(text)) for text in texts]
        examples = encode(records, PieceTokenizer(tokenizer_json), most=recipe.window - 2)
        self.say(f"int8: ranges of activations on {len(examples)} passages")
        quantize_linears(encoder, calibrate(encoder, examples, np.arange(len(examples))))
        folder = self.work / "int8"
        rounded = write(folder, config=encoder.config, weights=to_weights(encoder))
        self.say("measuring the int8 embedder")
        embedder = load_embedder(folder)
        vectors = embedded(embedder, found_in)
        figures = {**embedder_figures(vectors, found_in), "cosine": mean_cosine(vectors_before, vectors)}
        metrics = {
            "name": name, "lang": lang, "task": EMBEDDER, "summary": recipe.summary, "figures": figures, "float_figures": before,
            "window": recipe.window, "width": encoder.config.hidden, "layers": len(encoder.config.layers),
            "asked": dict(Counter(found_in.corpus)), "documents": len(found_in.documents), "bytes": rounded.size,
            "cpu": cpu_name(), "speed": embedder_speed(embedder, found_in), "float_speed": embedder_speed(unrounded, found_in),
            "quantization_errors": error_report(encoder, examples, list(range(min(16, len(examples))))),
        }  # fmt: skip
        write_json(folder / "metrics.json", metrics)
        for line in (f"{figure} {value:.2f} (float {before.get(figure, 100.0):.2f})" for figure, value in figures.items()):
            self.say(line)
        check_gate(name, figures, recipe.gate)
        package = write(self.zoo / name, config=encoder.config, weights=to_weights(encoder))
        metrics["digest"] = package.digest
        write_json(package.folder / "metrics.json", metrics)
        (package.folder / "card.md").write_text(embedder_card(metrics), encoding="utf-8")
        return metrics


def headless(encoder: Encoder) -> Encoder:
    """Take the heads off an encoder.

    Args:
        encoder: The encoder; it is not changed.

    Returns:
        One that gives its last states and their mean.
    """
    bare = Encoder(replace(encoder.config, token_outputs=0, text_outputs=0, transitions=False))
    bare.load_state_dict({name: value for name, value in encoder.state_dict().items() if name in bare.state_dict()})
    return bare
