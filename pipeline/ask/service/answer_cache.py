"""Answers that are remembered: in memory, and in a Redis that all replicas share. Either may forget; neither may err.

An answer is filed under everything that it depends on to the last bit: the question as it is read, the filters, the index's
generation, the reader and its arithmetic.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time

from models.runtime.reader import Reader
from pipeline.ask.found import WEIGHTS
from pipeline.ask.reading import FIRST, SURE
from pipeline.ask.search import Filters
from pipeline.cache.envelope import Envelope, context_of
from pipeline.cache.lru_tier import LruTier
from pipeline.cache.redis_tier import RedisTier
from pipeline.cache.settings import CacheConfig
from pipeline.timezones import microseconds

# One more whenever what is said to a question changes and JUDGED does not say it.
FORMAT = 2
# What decides which answer is given, beside the index and the reader.
JUDGED = [*WEIGHTS.values(), FIRST, SURE]
WITHIN_S = 0.2


def answer_key(question: str, filters: Filters, read: int, spoken: bool, min_score: float, index: str, reader: Reader) -> str:
    """Return what an answer is filed under.

    Args:
        question: The question as it is read.
        filters: Which documents may answer.
        read: Passages that are read at most.
        spoken: Whether it was spoken.
        min_score: Answers with a lower probability are none.
        index: Digest of the index's generation.
        reader: What reads it.
    """
    days = [None if one is None else microseconds(one) for one in (filters.since, filters.until)]
    kept = [filters.source, *days, filters.entity, filters.sentiment, filters.lang]
    reads = [reader.digest, reader.engine.arithmetic]
    return json.dumps([FORMAT, JUDGED, question, kept, read, spoken, min_score, index, reads], ensure_ascii=False)


class AnswerCache:
    """Answers by key; safe to share between threads.

    Args:
        config: Where answers are remembered, and for how long.

    Attributes:
        shared: The part in Redis, None without one.
    """

    def __init__(self, config: CacheConfig) -> None:
        self._lock = threading.Lock()
        self._memory = LruTier(config.local_mb * 1e6)
        self.shared = RedisTier(config) if config.redis_url is not None else None
        self._envelope = Envelope(hashlib.sha256(context_of("ask", [str(FORMAT)], [])).digest())

    def remembered(self, key: str) -> bytes | None:
        """Look an answer up in memory.

        Args:
            key: Of `answer_key`.

        Returns:
            The answer; None if it is not there.
        """
        with self._lock:
            found = self._memory.get(key)
        return found[0] if found is not None else None

    def fetch(self, key: str) -> bytes | None:
        """Look an answer up in Redis, which may take WITHIN_S, and remember it.

        Args:
            key: Of `answer_key`.

        Returns:
            The answer; None if it is not there, damaged, or Redis does not answer in time.
        """
        if self.shared is None:
            return None
        raw = key.encode("utf-8", "surrogatepass")
        (value,) = self.shared.get([self._envelope.key(raw)], WITHIN_S)
        opened = self._envelope.open(value, raw, len(key)) if value is not None else None
        if opened is None:
            return None
        self.remember(key, opened[0])
        return opened[0]

    def store(self, key: str, answer: bytes, cost_s: float) -> None:
        """Remember an answer, also in Redis, which may take WITHIN_S.

        Args:
            key: Of `answer_key`.
            answer: What is said.
            cost_s: Seconds that finding it took.
        """
        self.remember(key, answer)
        if self.shared is not None:
            raw = key.encode("utf-8", "surrogatepass")
            self.shared.put([(self._envelope.key(raw), self._envelope.seal(raw, len(key), answer, cost_s))], WITHIN_S)

    def remember(self, key: str, answer: bytes) -> None:
        """Remember an answer in memory.

        Args:
            key: Of `answer_key`.
            answer: What is said.
        """
        with self._lock:
            self._memory.put(key, answer, time.monotonic())
