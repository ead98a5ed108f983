"""The cache's parts: any row comes back, nothing strange is taken for a row, and equal hashes are not equal texts."""

import struct
import time
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.runtime.labels import ENTITY_TYPES, SENTIMENTS, UPOS
from models.runtime.schema import TAGS
from pipeline.cache import envelope as module
from pipeline.cache.breaker import FIRST_S, LONGEST_S, Breaker
from pipeline.cache.envelope import Envelope, context_of
from pipeline.cache.lru_tier import LruTier
from pipeline.cache.rows import RowCodec
from pipeline.cache.settings import CacheConfig, check_cache
from pipeline.cache.tag_cache import TagCache, summary
from pipeline.config import load_config
from pipeline.errors import ConfigError

LANGS = ("en", "zh", "und")
SCORES = st.floats(0, 1, width=32)


@st.composite
def tagged(draw):
    """A text and a row that it could have."""
    text = draw(st.text(max_size=40)) * draw(st.sampled_from([1, 1, 1, 30]))

    def extents():
        cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
        return list(zip(cuts[::2], cuts[1::2], strict=False))

    shown = lambda a, b: text[a:b].encode("utf-8", "replace").decode()  # noqa: E731
    scores = dict(zip(SENTIMENTS, draw(st.tuples(SCORES, SCORES, SCORES)), strict=True))
    row = {
        "lang": draw(st.sampled_from(LANGS)),
        "entities": [
            {"text": shown(a, b), "label": draw(st.sampled_from(ENTITY_TYPES)), "start": a, "end": b, "score": draw(SCORES)}
            for a, b in extents()
        ],
        "sentiment": draw(st.sampled_from(SENTIMENTS)),
        "sentiment_scores": scores,
        "words": [{"start": a, "end": b, "pos": draw(st.sampled_from(UPOS))} for a, b in extents()],
    }
    return text, row


@settings(max_examples=60, deadline=None)
@given(st.lists(tagged(), max_size=5))
def test_any_rows_come_back_to_the_last_bit(some):
    texts = [text for text, _ in some]
    table = pa.Table.from_pylist([row for _, row in some], schema=TAGS)
    codec = RowCodec(LANGS)
    rows = codec.encode(table)
    assert all(codec.fits(row, len(text)) for row, text in zip(rows, texts, strict=True))
    assert codec.decode(rows, texts).equals(table)
    seal = Envelope(b"c" * 32)
    for row, text in zip(rows, texts, strict=True):
        raw = text.encode("utf-8", "surrogatepass")
        assert seal.open(seal.seal(raw, len(text), row, 0.25), raw, len(text)) == (row, 0.25)


@settings(max_examples=60, deadline=None)
@given(tagged(), st.data())
def test_no_changed_value_opens(one, data):
    """Truncated, longer, or with one bit flipped: a miss, never another row."""
    text, row = one
    raw, seal = text.encode("utf-8", "surrogatepass"), Envelope(b"c" * 32)
    (encoded,) = RowCodec(LANGS).encode(pa.Table.from_pylist([row], schema=TAGS))
    value = seal.seal(raw, len(text), encoded, 0.1)
    bit = data.draw(st.integers(0, 8 * len(value) - 1))
    flipped = bytearray(value)
    flipped[bit // 8] ^= 1 << bit % 8
    cut = value[: data.draw(st.integers(0, len(value) - 1))]
    for wrong in (bytes(flipped), cut, value + b"x", b""):
        assert seal.open(wrong, raw, len(text)) is None
    assert seal.open(value, raw + b".", len(text)) is None
    assert Envelope(b"d" * 32).open(value, raw, len(text)) is None


@settings(max_examples=100, deadline=None)
@given(tagged(), st.binary(max_size=60), st.data())
def test_bytes_that_fit_decode_and_no_others_are_let_in(one, noise, data):
    """Whatever passes `fits` gives a valid row whose offsets lie in the text; nothing raises."""
    text, row = one
    codec = RowCodec(LANGS)
    (encoded,) = codec.encode(pa.Table.from_pylist([row], schema=TAGS))
    at = data.draw(st.integers(0, len(encoded) - 1))
    for some in (noise, encoded[:at] + noise[:1] + encoded[at + 1 :]):
        if codec.fits(some, len(text)):
            table = codec.decode([some], [text])
            table.validate(full=True)
            (found,) = table.to_pylist()
            assert all(0 <= x["start"] <= x["end"] <= len(text) for x in found["entities"] + found["words"])


def test_rows_that_bytes_cannot_tell_are_not_kept():
    words = [{"start": 3, "end": 5, "pos": "NOUN"}, {"start": 1, "end": 2, "pos": "NOUN"}]
    base = {
        "lang": "en",
        "entities": [],
        "sentiment": "neutral",
        "sentiment_scores": dict.fromkeys(SENTIMENTS, 0.25),
        "words": [],
    }
    rows = [base, base | {"words": words}, base | {"lang": "fr"}, base | {"words": [words[0] | {"pos": "?"}]}]
    encoded = RowCodec(LANGS).encode(pa.Table.from_pylist(rows, schema=TAGS))
    assert [row is None for row in encoded] == [False, True, True, True]


def table_of(texts):
    """Tags that tell which text they are of."""
    rows = [
        {
            "lang": "en",
            "entities": [{"text": t, "label": "ORG", "start": 0, "end": len(t), "score": 0.5}],
            "sentiment": SENTIMENTS[len(t) % 3],
            "sentiment_scores": dict(zip(SENTIMENTS, np.frombuffer(t.encode().ljust(3)[:3], "u1") / 256, strict=True)),
            "words": [{"start": 0, "end": len(t), "pos": "NOUN"}],
        }
        for t in texts
    ]
    return pa.Table.from_pylist(rows, schema=TAGS)


@pytest.mark.parametrize("local_mb", [0, 0.002, 8])
@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=12), max_size=14))
def test_each_text_is_computed_once_and_gives_what_tagging_gives(local_mb, blocks):
    asked = []

    def tag(texts):
        assert len(set(texts)) == len(texts)
        assert local_mb < 8 or not set(texts) & set(asked)
        asked.extend(texts)
        return table_of(texts)

    cache = TagCache(CacheConfig(local_mb=local_mb), LANGS)
    for texts in blocks:
        assert cache.tag(texts, tag).equals(table_of(texts))
    assert cache.reused == sum(map(len, blocks)) - len(asked)
    told = cache.told()
    assert (told.get("computed", 0), told.get("local", 0)) == (len(asked), cache.reused)
    assert cache.told() == {}


def test_memory_is_bounded_and_the_latest_used_stay():
    local = LruTier(100_000)
    for i in range(1000):
        local.put(f"text {i}", b"x" * 500, 0.1)
        local.get("text 0")
    assert local.size_bytes <= 100_000
    assert local.get("text 0") is not None
    assert local.get("text 999") is not None
    assert local.get("text 1") is None
    local.put("huge", b"x" * 200_000, 0.1)
    assert local.get("huge") is None
    assert local.size_bytes == 0


class Dictionary:
    """What is shared, without a server: for what the server does not matter to."""

    def __init__(self):
        self.values = {}
        self.counts = Counter()

    def get(self, keys, within_s):
        return [self.values.get(key) for key in keys]

    def put(self, items, within_s):
        self.values.update(items)


def sharing(store, context=b"c" * 32):
    cache = TagCache(CacheConfig(local_mb=0, redis_url="redis://nowhere"), LANGS, Envelope(context))
    cache._shared = store
    return cache


def test_texts_whose_keys_are_equal_keep_their_own_tags(monkeypatch):
    """Row 40: the key finds a value, and the second digest and the length say whose it is."""
    monkeypatch.setattr(Envelope, "key", lambda self, text: b"the same for all")
    store = Dictionary()
    for _ in range(2):
        for texts in (["one", "two"], ["two", "three", "one"]):
            assert sharing(store).tag(texts, table_of).equals(table_of(texts))
    assert len(store.values) == 1
    cache = sharing(store)
    cache.tag(["one", "two", "three", "four"], table_of)
    assert cache.told()["bad_values"] == 3


def test_texts_whose_digests_are_all_equal_must_differ_in_length_to_be_told_apart(monkeypatch):
    monkeypatch.setattr(Envelope, "key", lambda self, text: b"the same for all")
    monkeypatch.setattr(Envelope, "_second", lambda self, text: b"s" * 16)
    store = Dictionary()
    sharing(store).tag(["three"], table_of)
    assert sharing(store).tag(["one"], table_of).equals(table_of(["one"]))


def test_a_row_that_does_not_fit_its_text_is_a_miss():
    """Sealed as it should be, and yet no row of this text: places behind its end."""
    store, seal = Dictionary(), Envelope(b"c" * 32)
    (row,) = RowCodec(LANGS).encode(table_of(["a much longer text"]))
    store.values[seal.key(b"short")] = seal.seal(b"short", 5, row, 0.1)
    cache = sharing(store)
    assert cache.tag(["short"], table_of).equals(table_of(["short"]))
    assert cache.told()["bad_values"] == 1


def test_another_context_is_another_cache(monkeypatch):
    """Model, schema, languages, engine: a value of other ones is never found."""
    base = ("digest", LANGS, ["openvino"])
    contexts = {context_of(*base), context_of("other", *base[1:]), context_of("digest", ("en",), ["openvino"])}
    contexts.add(context_of("digest", LANGS, ["torch"]))
    monkeypatch.setattr(module, "FORMAT", 2)
    contexts.add(context_of(*base))
    assert len(contexts) == 5
    store = Dictionary()
    for context in contexts:
        cache = sharing(store, context)
        cache.tag(["one"], table_of)
        assert cache.told()["computed"] == 1
    assert len(store.values) == 5


def test_what_the_model_fails_on_is_not_remembered():
    store = Dictionary()
    cache = sharing(store)

    def fails(texts):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        cache.tag(["one"], fails)
    assert cache.tag(["one"], table_of).equals(table_of(["one"]))
    assert cache.told()["computed"] == 1


def test_redis_is_asked_no_more_when_it_costs_more_than_it_saves():
    """A server that answers, slowly and with nothing: it may cost a second, and a twentieth of the computing."""

    class Slow(Dictionary):
        asked = 0

        def get(self, keys, within_s):
            self.asked += 1
            time.sleep(0.15)
            return [None] * len(keys)

        def put(self, items, within_s):
            """Takes nothing."""

    store = Slow()
    cache = sharing(store)
    for i in range(40):
        cache._computed_s, cache._computed_characters = 1.0, 1  # a character takes a second
        cache.tag([f"text {i}"], table_of)
    told = cache.told()
    assert told["spent_s"] < 1.0 + 0.05 + 0.3
    assert store.asked < 12
    assert told["unpaid_calls"] >= 28


def test_blocks_that_are_sooner_computed_are_not_asked_for():
    store = Dictionary()
    cache = sharing(store)
    cache._computed_s, cache._computed_characters = 1e-6, 1_000_000
    store.get = None
    assert cache.tag(["one"], table_of).equals(table_of(["one"]))


def test_the_breaker_opens_asks_once_and_waits_longer_each_time():
    now = [0.0]
    breaker = Breaker(lambda: now[0])
    assert [breaker.failed() for _ in range(3)] == [False, False, True]
    wait = FIRST_S
    for _ in range(6):
        assert not breaker.allows()
        now[0] += wait - 0.5
        assert not breaker.allows()
        now[0] += 0.5
        assert breaker.allows()
        assert breaker.failed()
        wait = min(LONGEST_S, 2 * wait)
    assert wait == LONGEST_S
    now[0] += wait
    breaker.succeeded()
    assert breaker.allows()
    assert not breaker.failed()


def test_successes_between_failures_keep_the_breaker_closed():
    breaker = Breaker()
    for _ in range(5):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()
    assert breaker.allows()


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("redis://:secret@host:1/0", "TEXTMILL_REDIS_PASSWORD"),
        ("redis://me@host:1/0", "TEXTMILL_REDIS_USERNAME"),
        ("redis://host/0?password=secret", "db=NUMBER"),
        ("http://host", "rediss://"),
        ("host:6379", "rediss://"),
    ],
)
def test_addresses_with_secrets_or_of_something_else_are_refused(tmp_path, url, word):
    with pytest.raises(ConfigError, match=word) as caught:
        load_config(None, [f"cache.redis_url={url}"], {"sources": ["x"], "output": tmp_path})
    assert "cache.redis_url" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_settings_of_the_cache(tmp_path, monkeypatch):
    (tmp_path / "job.toml").write_text('sources = ["x"]\noutput = "out"\n[cache]\nredis_url = "unix:///run/r.sock"\nttl_s = 60\n')
    config = load_config(tmp_path / "job.toml", ["cache.ttl_s=90", "cache.local_mb=0.5"]).cache
    assert (config.redis_url, config.ttl_s, config.local_mb) == ("unix:///run/r.sock", 90, 0.5)
    for one, word in (("cache.ttl=9", r"cache\.ttl: "), ("cache.ttl_s=0", r"cache\.ttl_s"), ("sources.x=1", "no table")):
        with pytest.raises(ConfigError, match=word):
            load_config(tmp_path / "job.toml", [one])
    with pytest.raises(ConfigError, match="ca_file"):
        load_config(tmp_path / "job.toml", [f"cache.ca_file={tmp_path}/absent.pem"])
    monkeypatch.setattr("pipeline.cache.settings.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"\[cache\]"):
        check_cache(config)


def test_sums_of_what_was_told():
    found = summary([{"texts": 10, "computed": 4, "saved_s": 1.5}, {"texts": 10, "shared": 2, "computed": 1, "saved_s": 0.25}])
    assert (found["hit_rate"], found["saved_s"], found["shared"]) == (0.75, 1.75, 2)
    assert summary([]) == {"hit_rate": 0.0}
    assert struct.calcsize("<3sB16sII") == 28  # the head of a value: changing it wants another FORMAT
