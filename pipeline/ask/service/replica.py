"""One replica of the service: an index that is followed as it grows, readers, and the application that answers from them."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette

from pipeline.ask.asker import Asker
from pipeline.ask.batch import Readers
from pipeline.ask.search import PassageIndex
from pipeline.ask.service.answer_cache import AnswerCache
from pipeline.ask.service.answerer import Answerer
from pipeline.ask.service.api import AskApi
from pipeline.ask.service.policy import QueueLimits
from pipeline.ask.service.settings import ServeConfig
from pipeline.cache.settings import CacheConfig
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from pipeline.ask.service.voice import Listener

log = logging.getLogger("textmill")
WARM_UP = {"en": "Who opened the office?", "zh": "谁开了办公室?"}


class Replica:
    """Opens an index and the readers, and answers from the newest generation.

    Args:
        folder: Of the index.
        config: Settings of the service.
        told: Gives the metrics of all replicas; by default those of this one.

    Raises:
        ConfigError: There is no index, or a file of the settings is wrong.
        OutputError: The index is not as it should be.
        ModelError: There is no such reader, or its files are damaged.
    """

    def __init__(self, folder: Path, config: ServeConfig, told: Callable[[], Awaitable[bytes]] | None = None) -> None:
        self._folder, self._config = folder, config
        self._readers = Readers.choose(config.model, config.threads)
        asker = self._asker()
        # The first question must not wait for a model; the engine computes once, so that its memory is there too.
        for question in WARM_UP.values():
            reader = self._readers.of(question)
            if reader is not None:
                reader.read([question] * 4, [question * 4] * 4)
        cache = AnswerCache(CacheConfig(local_mb=config.cache_mb, redis_url=config.redis_url))
        limits = QueueLimits(waiting_tokens=config.waiting_tokens)
        self.answerer = Answerer(asker, cache, limits=limits)
        self._listener = self._hearing() if config.voice else None
        self._api = AskApi(self.answerer, config, told, self._listener)
        self._stopped = threading.Event()
        self._following = threading.Thread(target=self._follow, name="textmill-ask-follow", daemon=True)
        self._following.start()

    def app(self) -> Starlette:
        """Return the service as an ASGI application; when it ends, so does this replica."""

        @contextlib.asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            yield
            self.close()

        return self._api.app(lifespan)

    def _asker(self) -> Asker:
        return Asker(PassageIndex(self._folder), self._readers, self._config.min_score)

    def _hearing(self) -> Listener:
        from pipeline.ask.service.voice import Listener  # the packages of the extra voice

        return Listener(self.answerer, self._config.voice_cache, self._config.threads)

    def _follow(self) -> None:
        """Look for newer generations; one that cannot be opened leaves the old one in use."""
        while not self._stopped.wait(self._config.refresh_s):
            try:
                if self.answerer.asker.index.outdated():
                    self.answerer.use(self._asker())
            except (PipelineError, OSError, ValueError) as error:
                log.error("%s: the newest generation cannot be opened (%s); the one before is used", self._folder, error)

    def close(self) -> None:
        """Answer nothing more."""
        self._stopped.set()
        self._following.join()
        if self._listener is not None:
            self._listener.close()
        self.answerer.close()
