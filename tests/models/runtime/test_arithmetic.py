"""Engines name their arithmetic: what differs in the last bit is never shared, and what is shared hangs on nothing else."""

import math
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import models
import pipeline.cache.tag_cache
from models.runtime.batches import FEW_ROWS, FEW_WIDTHS, few_shapes, in_few_shapes
from models.runtime.cpu import cpu_flags, sums_int8_exactly
from models.runtime.engines import OpenVinoEngine
from models.runtime.openvino_graph import KEYS
from models.runtime.package import open_package
from pipeline.cache.envelope import envelope_of
from pipeline.cache.settings import CacheConfig
from pipeline.cache.tag_cache import TagCache
from pipeline.contract import DocumentSpec
from pipeline.serving.remote_engine import RemoteEngine
from pipeline.worker.tagging import BlockTagger
from tests.support.redis_server import RedisServer, needs_redis
from tests.support.tags import TEXTS

LANGS = ("en", "und")
# What a CPU that sums 8-bit products exactly computes in, and what the others do.
USUAL = "openvino-f32" if sums_int8_exactly() else "openvino-f32-products"
SOME = list(dict.fromkeys(TEXTS[:60]))


def openvino(precision="f32", threads=1, few_shapes=False):
    """A tagger whose engine computes in that precision, whatever the CPU would take."""
    tagger = models.load("en-fast", engine="openvino", threads=threads)
    package = open_package("en-fast")
    tagger.engine = OpenVinoEngine(package.config, package.weights(), threads, precision, few_shapes)
    return tagger


def windows(tagger, budget):
    """The scores of every window, as bytes, with batches of so many tokens."""
    tagger.budget_tokens = budget
    found = {}
    for scores in tagger.engine.infer(tagger.encode(SOME)[2]):
        for i, window in enumerate(scores.batch.windows):
            rows = scores.tokens[scores.batch.offsets[i] : scores.batch.offsets[i + 1]]
            found[int(window)] = rows.tobytes() + scores.sentiment[i].tobytes()
    return found


def test_what_is_shared_hangs_neither_on_neighbours_nor_on_threads():
    one, two = openvino(threads=1), openvino(threads=2)
    assert one.engine.arithmetic == two.engine.arithmetic == USUAL
    first = windows(one, 2048)
    assert len(first) >= len(SOME)
    assert all(windows(*other) == first for other in ((one, 256), (one, 40), (two, 2048), (two, 256)))


def test_padding_to_few_shapes_changes_no_bit():
    """Such an engine does not pad keys in its graph, as every width that it is given is whole; both must stay so."""
    assert not (FEW_WIDTHS % KEYS).any()
    first = windows(openvino(), 2048)
    assert all(windows(openvino(few_shapes=True), budget) == first for budget in (2048, 300))


@given(st.integers(1, 150), st.integers(1, 700))
def test_few_shapes_are_all_that_batches_are_padded_to(rows, width):
    padded = in_few_shapes(np.zeros((rows, width), np.int64), np.ones((rows, width), bool))[1].shape
    assert (padded[0] >= rows) & (padded[1] >= width) & (padded[1] % KEYS == 0)
    assert padded[1] < width + 128
    if rows <= FEW_ROWS[-1] and width <= FEW_WIDTHS[-1]:
        places = padded[0] * padded[1]
        assert padded in few_shapes(places, 0, width)
        assert padded not in few_shapes(places - 1, padded[0] - 1, width)
        assert padded in few_shapes(1, padded[0], width)
        if padded[1] > 32:
            assert padded not in few_shapes(places, 0, padded[1] - 32)


def test_the_usual_engine_is_that_of_every_cpu():
    """Faster arithmetic of a newer CPU would tag the same text otherwise than the node beside it."""
    assert models.load("en-fast", engine="openvino", threads=1).engine.arithmetic == USUAL
    reference = models.load("en-fast", engine="torch", threads=1).tag(SOME).to_pylist()
    mine = openvino().tag(SOME).to_pylist()
    different = sum(labels(one) != labels(two) for one, two in zip(mine, reference, strict=True))
    assert different <= 1  # with bf16 it is one text in twenty


def test_the_usual_engine_multiplies_as_the_reference_does():
    """A CPU without VNNI cuts sums of 8-bit products at 16 bits: half of all logits are off by a tenth then."""
    scores = []
    for engine in ("openvino", "torch"):
        tagger = models.load("en-fast", engine=engine, threads=1)
        found = {}
        for logits in tagger.engine.infer(tagger.encode(SOME)[2]):
            offsets = logits.batch.offsets
            found |= {int(one): logits.tokens[offsets[i] : offsets[i + 1]] for i, one in enumerate(logits.batch.windows)}
        scores.append(np.concatenate([found[one] for one in sorted(found)]))
    assert np.median(np.abs(scores[0] - scores[1]).max(1)) < 1e-3


def labels(row):
    return row["sentiment"], row["words"], [(e["start"], e["end"], e["label"]) for e in row["entities"]]


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setattr(TagCache, "_seconds_for", lambda self, texts: math.inf)
    monkeypatch.setattr(pipeline.cache.tag_cache, "SHORTEST_S", 5.0)
    with closing(RedisServer(tmp_path)) as one:
        yield one


def cache_of(server, tagger):
    config = CacheConfig(redis_url=server.url, local_mb=0, timeout_ms=5000)
    with closing(TagCache(config, LANGS, envelope_of("digest", LANGS, [one.engine.arithmetic for one in tagger.each]))) as cache:
        table = cache.tag(SOME, tagger.tag)
        return table, cache.told()


@needs_redis
def test_engines_of_other_arithmetic_never_see_each_others_values(server):
    if not cpu_flags() & {"avx512_bf16", "amx_bf16"}:
        pytest.skip("this CPU has no bf16")
    f32, bf16 = openvino("f32"), openvino("bf16")
    assert not np.array_equal(
        *(np.array([s["positive"] for s in one.tag(SOME)["sentiment_scores"].to_pylist()]) for one in (f32, bf16))
    )
    for again in (False, True):
        for tagger in (f32, bf16):
            table, counts = cache_of(server, tagger)
            assert table.equals(tagger.tag(SOME))
            assert counts.get("shared", 0) == (len(SOME) if again else 0)


@needs_redis
@pytest.mark.parametrize("kind", ["torch", "staged", "remote"])
def test_what_hangs_on_more_than_the_text_is_not_shared(server, kind, caplog):
    f32 = openvino()
    cache_of(server, f32)
    with server.client() as client:
        before = client.dbsize()
    assert before == len(SOME)
    if kind == "staged":
        tagger = models.load("en-fast", devices=(("cpu",),))
    elif kind == "torch":
        tagger = models.load("en-fast", engine="torch", threads=1)
    else:
        tagger = openvino()
        tagger.engine = RemoteEngine([], "en", tagger.engine)
    assert tagger.engine.arithmetic is None
    config = CacheConfig(redis_url=server.url, timeout_ms=5000)
    cache = BlockTagger(tagger, DocumentSpec("text"), config, "digest").cache
    assert "nothing is shared by Redis" in caplog.text
    with closing(cache):
        cache.tag(SOME, tagger.tag)
        cache.tag(SOME, tagger.tag)
        assert {key: cache.counts[key] for key in ("computed", "local", "shared")} == {
            "computed": len(SOME), "local": len(SOME), "shared": 0,
        }  # fmt: skip
    with server.client() as client:
        assert client.dbsize() == before
