"""Each text is tagged once: what is known of it, here or in the shared part, takes the place of computing."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa

from models.runtime.labels import LABELS, LabelSet
from pipeline.cache.envelope import Envelope
from pipeline.cache.lru_tier import LruTier
from pipeline.cache.redis_tier import RedisTier
from pipeline.cache.rows import RowCodec
from pipeline.cache.settings import CacheConfig

log = logging.getLogger("textmill")
# What asking Redis has cost may be what it has saved, this share of the computing beside, and a second.
COST_SHARE = 0.05
GRACE_S = 1.0
# A block that is computed sooner than this is not worth a question; and nobody answers in less.
SHORTEST_S = 0.02


class TagCache:
    """Remembers the tags of texts in memory and in Redis; results are those of the Tagger to the last bit, whatever Redis does.

    Redis is asked only as long as this pays: the time spent on it may exceed the time that it has saved by a second and a small
    share of the computing.

    Args:
        config: Settings of the cache.
        langs: Values that the column `lang` may hold.
        envelope: Keys and seals the values in Redis; without one nothing is shared, whatever the settings say.
        labels: What the models tell apart.

    Attributes:
        counts: Since `told` was called last: `texts` in all, and of them `local` (repeated or in memory), `shared` (in Redis) and
            `computed`; `bad_values` from Redis that failed a check; `odd_rows` that cannot be encoded; `unpaid_calls` not made
            because Redis does not pay.
        reused: Texts taken from memory or repeated within a call, since the beginning; those from Redis do not count.
    """

    def __init__(
        self, config: CacheConfig, langs: Sequence[str], envelope: Envelope | None = None, labels: LabelSet = LABELS
    ) -> None:
        self._codec, self._local = RowCodec(langs, labels), LruTier(config.local_mb * 1e6)
        self._keeps, self._timeout_s = config.local_mb > 0, config.timeout_ms / 1e3
        self._envelope = envelope if config.redis_url is not None else None
        self._shared = RedisTier(config) if self._envelope is not None else None
        if config.redis_url is not None and envelope is None:
            log.warning("nothing is shared by Redis: the last bits of what this engine gives depend on more than the text")
        self.counts: Counter[str] = Counter()
        self._times = dict.fromkeys(("saved_s", "spent_s"), 0.0)
        self._earned_s = self._paid_s = self._computed_s = 0.0  # since the beginning; earned and paid by Redis
        self._computed_characters = 0
        self.reused = 0

    def tag(self, texts: Sequence[str], compute: Callable[[list[str]], pa.Table]) -> pa.Table:
        """Tag texts, and compute only those whose tags are not remembered, each of them once.

        Args:
            texts: The texts, of which some may be equal.
            compute: Gives the tags of texts, one row for each; what it raises is raised here.

        Returns:
            One row for each text, in their order, with the columns of `models.TAGS`, or of the model's own classes.
        """
        known: dict[str, bytes] = {}
        new: dict[str, None] = {}
        saved_s = 0.0
        for text in texts:
            if text in known or text in new:
                continue
            if (found := self._local.get(text)) is None:
                new[text] = None
            else:
                known[text] = found[0]
                saved_s += found[1]
        here, seen_here = len(known), len(texts) - len(new)
        for text, row, cost_s in self._ask(list(new)):
            del new[text]
            known[text] = row
            saved_s += cost_s
            self._earned_s += cost_s
            self._remember(text, row, cost_s)
        asked = list(new)
        fresh = self._compute(asked, compute) if asked else None
        self.reused += seen_here
        self.counts.update(texts=len(texts), local=seen_here, shared=len(known) - here, computed=len(asked))
        self._times["saved_s"] += saved_s
        if fresh is not None and len(asked) == len(texts):
            return fresh
        place = {text: i for i, text in enumerate((*known, *asked))}
        tables = [self._codec.decode(list(known.values()), list(known))] if known else []
        tables += [fresh] if fresh is not None else []
        if not tables:
            return compute([])
        return pa.concat_tables(tables).take(pa.array([place[text] for text in texts], pa.int64()))

    def told(self) -> dict[str, float]:
        """Return what has happened since the last call: `counts`, those of `RedisTier`, and times that are not zero.

        The times are `saved_s`, the seconds that computing the remembered texts once took, and `spent_s`, the seconds spent on
        asking and filling Redis.
        """
        counts = self.counts + (self._shared.counts if self._shared is not None else Counter())
        found: dict[str, float] = {**counts, **{key: value for key, value in self._times.items() if value}}
        self.counts.clear()
        self._times = dict.fromkeys(self._times, 0.0)
        if self._shared is not None:
            self._shared.counts.clear()
        return found

    def close(self) -> None:
        """Drop the connection to Redis, if there is one."""
        if self._shared is not None:
            self._shared.close()

    def _remember(self, text: str, row: bytes, cost_s: float) -> None:
        if self._keeps:
            self._local.put(text, row, cost_s)

    def _compute(self, texts: list[str], compute: Callable[[list[str]], pa.Table]) -> pa.Table:
        began = time.perf_counter()
        table = compute(texts)
        took_s = time.perf_counter() - began
        characters = sum(map(len, texts))
        self._computed_s += took_s
        self._computed_characters += characters
        if not self._keeps and self._shared is None:
            return table
        told = []
        for text, row in zip(texts, self._codec.encode(table), strict=True):
            if row is None:
                self.counts["odd_rows"] += 1
                continue
            cost_s = took_s * len(text) / max(1, characters)
            self._remember(text, row, cost_s)
            told.append((text, row, cost_s))
        self._tell(told)
        return table

    def _ask(self, texts: list[str]) -> list[tuple[str, bytes, float]]:
        """What Redis knows of texts: their rows, and the seconds that computing them took."""
        if self._shared is None or self._envelope is None or not texts or not self._worth():
            return []
        within_s = self._seconds_for(texts)
        if within_s < SHORTEST_S:
            return []
        began = time.perf_counter()
        raw = [text.encode("utf-8", "surrogatepass") for text in texts]
        values = self._shared.get([self._envelope.key(one) for one in raw], within_s)
        found = []
        for text, one, value in zip(texts, raw, values, strict=True):
            if value is None:
                continue
            opened = self._envelope.open(value, one, len(text))
            if opened is None or not self._codec.fits(opened[0], len(text)):
                self.counts["bad_values"] += 1
            else:
                found.append((text, *opened))
        self._pay(began)
        return found

    def _tell(self, rows: list[tuple[str, bytes, float]]) -> None:
        if self._shared is None or self._envelope is None or not self._worth():
            return
        began = time.perf_counter()
        items = []
        for text, row, cost_s in rows:
            raw = text.encode("utf-8", "surrogatepass")
            items.append((self._envelope.key(raw), self._envelope.seal(raw, len(text), row, cost_s)))
        if items:
            self._shared.put(items, max(SHORTEST_S, sum(cost_s for _, _, cost_s in rows)))
        self._pay(began)

    def _seconds_for(self, texts: list[str]) -> float:
        """What computing texts would take; what is not known yet takes forever."""
        if not self._computed_characters:
            return float("inf")
        return self._computed_s / self._computed_characters * sum(map(len, texts))

    def _worth(self) -> bool:
        """Whether Redis has not cost more than it may."""
        if self._paid_s <= self._earned_s + COST_SHARE * self._computed_s + GRACE_S:
            return True
        self.counts["unpaid_calls"] += 1
        return False

    def _pay(self, began: float) -> None:
        took_s = time.perf_counter() - began
        self._paid_s += took_s
        self._times["spent_s"] += took_s


def summary(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the sums over several results of `TagCache.told`, and `hit_rate`, the share of texts that were not computed.

    Args:
        parts: What `told` gave for each part of the output.
    """
    sums: Counter[str] = Counter()
    for part in parts:
        sums.update(part)
    found = {key: round(float(value), 3) if key.endswith("_s") else value for key, value in sorted(sums.items())}
    texts = found.get("texts", 0)
    return {"hit_rate": round(1 - found.get("computed", 0) / texts, 4) if texts else 0.0, **found}
