"""Spoken questions in the service: one recording at a time, few waiting, the names of the index told to the speech model."""

from __future__ import annotations

import asyncio
import logging
import math
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

from models.cache_folder import cache_folder
from pipeline.ask.names import expected_names
from pipeline.ask.service.answerer import Answerer, RefusedError, started_pool
from pipeline.ask.service.policy import Refused
from pipeline.voice.install import installed
from pipeline.voice.transcriber import Transcriber

log = logging.getLogger("textmill")
# Recordings that may wait; more are refused with 429. Seconds that one waits for the names of a new generation.
WAITING, NAMES_S = 8, 2.0


class Listener:
    """Turns recordings into text.

    Args:
        answerer: Whose index says which names may be said.
        cache: Folder of the speech model's weights; None is the user's cache folder.
        threads: Threads of the speech model.

    Attributes:
        limits: What a recording may be.

    Raises:
        ModelMissingError: The weights are not installed.
        ModelDamagedError: A file of them is not what it should be.
    """

    def __init__(self, answerer: Answerer, cache: Path | None, threads: int | None) -> None:
        self._answerer = answerer
        self._transcriber = Transcriber(installed(cache or cache_folder()), threads)
        self.limits = self._transcriber.limits
        self._pool, self._naming = started_pool(1, "textmill-ask-voice"), started_pool(1, "textmill-ask-names")
        self._waiting = 0
        self._names_of, self._found, self._names = "", Future[list[str]](), list[str]()

    async def hear(self, audio: bytes, lang: str = "") -> dict[str, Any]:
        """Turn a recording into text.

        Args:
            audio: The bytes of a file: wav, ogg, webm, mp3 or m4a.
            lang: en or zh; "" to have it detected.

        Returns:
            `text`, `lang`, `seconds` and `confidence`, see `Transcript`.

        Raises:
            RefusedError: Too many recordings wait.
            ConfigError: There is no such language.
            AudioError: It is no recording, damaged, too big or too long.
        """
        if self._waiting >= WAITING:
            raise RefusedError("too many recordings wait", Refused("full", math.ceil(WAITING / 2)))
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._heard, audio, lang)
        finally:
            self._waiting -= 1

    def _heard(self, audio: bytes, lang: str) -> dict[str, Any]:
        index = self._answerer.asker.index
        if self._names_of != index.digest:
            self._names_of, self._found = index.digest, self._naming.submit(expected_names, index.tags, log.warning)
        with suppress(TimeoutError):  # those of the generation before will do
            self._names = self._found.result(NAMES_S)
        heard = self._transcriber.transcribe(audio, lang, self._names)
        return {"text": heard.text, "lang": heard.lang, "seconds": heard.seconds, "confidence": heard.confidence}

    def close(self) -> None:
        """Hear nothing more."""
        for pool in (self._pool, self._naming):
            pool.shutdown(cancel_futures=True)
