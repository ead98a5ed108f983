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
from pipeline.ask.readers import Readers
from pipeline.ask.reading import FIRST
from pipeline.ask.search import PassageIndex
from pipeline.ask.service.answer_cache import AnswerCache
from pipeline.ask.service.answerer import Answerer
from pipeline.ask.service.api import AskApi
from pipeline.ask.service.clients import Clients
from pipeline.ask.service.policy import QueueLimits
from pipeline.ask.service.settings import ServeConfig
from pipeline.cache.settings import CacheConfig
from pipeline.errors import PipelineError
from pipeline.store.base import Store
from pipeline.store.settings import StoreConfig

if TYPE_CHECKING:
    from pipeline.ask.service.voice import Listener

log = logging.getLogger("textmill")
WARM_UP = ("Who opened the office?", "谁开了办公室?")


class Replica:
    """Opens an index and the readers, and answers from the newest generation.

    Args:
        answers: The index: a store, or a folder of this machine.
        config: Settings of the service.
        told: Gives the metrics of all replicas; by default those of this one.
        reach: How an output elsewhere is reached, whose tags are counted; by default as the index is.

    Raises:
        ConfigError: There is no index, or a file of the settings is wrong.
        OutputError: The index is not as it should be.
        ModelError: There is no such reader, or its files are damaged.
    """

    def __init__(
        self,
        answers: Store | Path,
        config: ServeConfig,
        told: Callable[[], Awaitable[bytes]] | None = None,
        reach: StoreConfig | None = None,
    ) -> None:
        self._answers, self._config, self._reach = answers, config, reach
        clients = Clients(config.tokens)
        self._readers = Readers.choose(config.model, config.threads)
        asker, limits = self._asker(), QueueLimits(waiting_tokens=config.waiting_tokens)
        # No question must wait for a model, or for a shape of batch that the engine has not seen.
        readers = {question: reader for question in WARM_UP if (reader := self._readers.of(question)) is not None}
        for reader in dict.fromkeys(readers.values()):
            reader.prepare(limits.batch_tokens, FIRST)
        for question in readers:
            asker.ask(question)
        cache = AnswerCache(CacheConfig(local_mb=config.cache_mb, redis_url=config.redis_url))
        self.answerer = Answerer(asker, cache, limits=limits)
        try:
            self._listener = self._hearing() if config.voice else None
        except BaseException:
            self.answerer.close()
            raise
        self._api = AskApi(self.answerer, config, clients, told, self._listener)
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
        return Asker(PassageIndex(self._answers, reach=self._reach), self._readers, self._config.min_score)

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
                log.error("the newest generation of the index cannot be opened (%s); the one before is used", error)

    def close(self) -> None:
        """Answer nothing more."""
        self._stopped.set()
        self._following.join()
        if self._listener is not None:
            self._listener.close()
        self.answerer.close()
