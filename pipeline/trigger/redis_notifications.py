"""Hints from a Redis stream: `XADD textmill:hints * path /landing/dt=2026-11-22`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from typing_extensions import override

from models.extras import install
from pipeline.errors import ConfigError
from pipeline.trigger.notifications import NotificationSource

BLOCK_MS = 500
MOST = 1000
# Seconds until a server that is away is asked again; doubled up to the second number.
RETRY_S = (0.5, 30.0)
ANSWER_S = 5.0


class RedisNotifications(NotificationSource):
    """Reads a stream from its end; earlier messages are of no use, as a watcher that begins looks by itself.

    Args:
        url: Of the server.
        stream: Name of the stream.
        say: Hears when the server is away, and when it is back.

    Raises:
        ConfigError: The package is not installed, or the address cannot be one.
    """

    def __init__(self, url: str, stream: str, say: Callable[[str], object]) -> None:
        try:
            import redis
        except ModuleNotFoundError as error:
            raise ConfigError(f"watch.redis needs the package redis: {install('jobs')}") from error
        try:
            self._client: Any = redis.Redis.from_url(
                url, decode_responses=True, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S
            )
        except ValueError as error:
            raise ConfigError(f"watch.redis: {url!r}: {error}") from error
        self._errors = (redis.RedisError, OSError)
        self._stream, self._say = stream, say

    @override
    def listen(self, hint: Callable[[str], None], stopped: threading.Event) -> None:
        last, wait_s, away = "", RETRY_S[0], False
        while not stopped.is_set():
            try:
                # "$" would begin anew with every question, and lose what comes between two of them.
                last = last or self._end()
                answer = self._client.xread({self._stream: last}, count=MOST, block=BLOCK_MS)
                for _, messages in answer or ():
                    for id, fields in messages:
                        last = id
                        hint(str(fields.get("path", "")))
            except self._errors as error:
                if not away:
                    self._say(f"no hints from Redis for now: {type(error).__name__}; polling goes on")
                away, wait_s = True, min(wait_s * 2, RETRY_S[1])
                stopped.wait(wait_s)
                continue
            if away:
                self._say("Redis gives hints again")
                hint("")  # whatever was said while it was away
            away, wait_s = False, RETRY_S[0]
        self._client.close()

    def _end(self) -> str:
        newest = self._client.xrevrange(self._stream, count=1)
        return str(newest[0][0]) if newest else "0-0"
