"""The part of the cache that is shared: a Redis that may be away, slow, full, or hold anything."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.cache.breaker import Breaker
from pipeline.cache.settings import CacheConfig

if TYPE_CHECKING:
    from redis import Redis

log = logging.getLogger("textmill")
T = TypeVar("T")
# Keys of one command; Redis serves nobody else while it does one. All of a block are one round trip.
AT_ONCE = 500


class RedisTier:
    """Bytes by key in Redis, best effort: no error of Redis is raised, and no call takes longer than its time limit.

    Args:
        config: Settings of the cache, with a `redis_url`.

    Attributes:
        counts: `failed_calls`, these also by type of error (`failed_TYPE`); `spared_calls`, not made because a breaker was open;
            `refused_values`, which Redis did not store.
    """

    def __init__(self, config: CacheConfig) -> None:
        self._config = config
        self._client: Redis | None = None
        self._breaker, self._writes = Breaker(), Breaker()
        self.counts: Counter[str] = Counter()

    def get(self, keys: Sequence[bytes], within_s: float) -> list[bytes | None]:
        """Get the values of keys in one round trip.

        Args:
            keys: Keys from `Envelope.key`.
            within_s: Seconds to wait at most, if that is less than the settings allow.

        Returns:
            One entry for each key: its value, or None where there is none; all None if Redis fails or does not answer in time.
        """

        def ask(client: Redis) -> list[bytes | None]:
            pipe = client.pipeline(transaction=False)
            for first in range(0, len(keys), AT_ONCE):
                pipe.mget(keys[first : first + AT_ONCE])
            found: list[Any] = [value for some in pipe.execute() for value in some]
            if len(found) != len(keys):
                raise ValueError("not one answer a key")
            return [value if isinstance(value, bytes) else None for value in found]

        answer = self._call(ask, within_s)
        return [None] * len(keys) if answer is None else answer

    def put(self, items: Sequence[tuple[bytes, bytes]], within_s: float) -> None:
        """Store values in one round trip, to expire after the settings' `ttl_s`; what cannot be stored is counted and dropped.

        Args:
            items: Pairs of a key from `Envelope.key` and a value from `Envelope.seal`.
            within_s: Seconds to wait at most, if that is less than the settings allow.
        """

        def ask(client: Redis) -> int:
            pipe = client.pipeline(transaction=False)
            for key, value in items:
                pipe.set(key, value, ex=self._config.ttl_s)
            return sum(isinstance(one, Exception) for one in pipe.execute(raise_on_error=False))

        if not self._writes.allows():
            self.counts["spared_calls"] += 1
            return
        refused = self._call(ask, within_s)
        if refused is None:
            return
        if not refused:
            self._writes.succeeded()
            return
        self.counts["refused_values"] += refused
        if self._writes.failed():
            log.warning("the shared cache takes no values: is its memory full, or is it read-only?")

    def close(self) -> None:
        """Drop the connection, even if a thread is waiting on it, and return at once; the next call connects again."""
        client, self._client = self._client, None
        if client is not None:
            Thread(target=_disconnect, args=(client,), name="textmill-cache", daemon=True).start()

    def _call(self, ask: Callable[[Redis], T], within_s: float) -> T | None:
        """Give what a call gives, None if it fails or has not ended in time.

        It runs in a thread of its own: a server that drips byte after byte, or a name that does not resolve, is bounded by no
        timeout of a socket.
        """
        if not self._breaker.allows():
            self.counts["spared_calls"] += 1
            return None
        config = self._config
        fresh = self._client is None
        limit_s = (config.timeout_ms + (config.connect_timeout_ms if fresh else 0)) / 1e3
        client = self._client = self._client or connect(config)
        answers: SimpleQueue[tuple[T | None, Exception | None]] = SimpleQueue()

        def work() -> None:
            try:
                if fresh:
                    client.ping()  # a password that is missing is told so here, and as a broken protocol by long requests
                answers.put((ask(client), None))
            except Exception as error:  # noqa: BLE001 - whatever it is, the tags can be computed
                answers.put((None, error))

        Thread(target=work, name="textmill-cache", daemon=True).start()
        try:
            answer, failure = answers.get(timeout=min(limit_s, within_s))
        except Empty:
            answer, failure = None, TimeoutError()
        if failure is None:
            self._breaker.succeeded()
            return answer
        self.close()
        self.counts["failed_calls"] += 1
        self.counts[f"failed_{type(failure).__name__}"] += 1
        if self._breaker.failed():
            log.warning("the shared cache is left alone for a while: %s", type(failure).__name__)
        return None


def _disconnect(client: Redis) -> None:
    with suppress(Exception):
        client.connection_pool.disconnect(inuse_connections=True)


def connect(config: CacheConfig) -> Redis:
    """Return a client of the settings' Redis that connects on first use.

    It never retries: when a call fails, the tags are computed instead.

    Args:
        config: Settings of the cache, with a `redis_url`.
    """
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    assert config.redis_url is not None
    more: dict[str, Any] = {"ssl_ca_certs": str(config.ca_file)} if config.ca_file is not None else {}
    return Redis.from_url(
        config.redis_url, protocol=2, socket_timeout=config.timeout_ms / 1e3,
        socket_connect_timeout=config.connect_timeout_ms / 1e3, retry=Retry(NoBackoff(), 0), **config.secrets(), **more,
    )  # fmt: skip
