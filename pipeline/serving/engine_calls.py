"""Calls of engine servers through Ray: what comes back is an answer or one of two faults."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

from models.runtime.batches import RaggedBatch
from pipeline.errors import PipelineError


class LostServerError(Exception):
    """The server is at fault: it has died, cannot be reached, or says itself that its engine is broken."""


class CallRefusedError(Exception):
    """The engine has raised an error over this batch, its `__cause__`. Whether the batch is at fault is not known."""


class EngineCalls(Protocol):
    """How servers are called. A call is any hashable object."""

    def now(self) -> float:
        """Seconds of a clock that never goes back."""
        ...

    def send(self, handle: Any, lang: str, batch: RaggedBatch) -> Any:
        """Begin to compute a batch; its answer is a Reply. Raises LostServerError."""
        ...

    def ask(self, handle: Any) -> Any:
        """Ask whether a server is there; it answers when its models are loaded. Raises LostServerError."""
        ...

    def wait(self, calls: Sequence[Any], seconds: float) -> list[Any]:
        """Wait for the first answer, or so many seconds; all calls that are answered."""
        ...

    def get(self, call: Any) -> Any:
        """The answer of a call that is answered. Raises LostServerError or CallRefusedError."""
        ...


class RayCalls:
    """Calls of actors of EngineServer."""

    def now(self) -> float:
        return time.monotonic()

    def send(self, handle: Any, lang: str, batch: RaggedBatch) -> Any:
        return self._begin(handle.infer, lang, batch.ids, batch.cases, batch.offsets)

    def ask(self, handle: Any) -> Any:
        return self._begin(handle.node)

    def wait(self, calls: Sequence[Any], seconds: float) -> list[Any]:
        import ray

        if not calls:
            time.sleep(seconds)
            return []
        first: list[Any] = ray.wait(list(calls), num_returns=1, timeout=seconds)[0]
        return first and list(ray.wait(list(calls), num_returns=len(calls), timeout=0)[0])

    def get(self, call: Any) -> Any:
        import ray

        try:
            return ray.get(call)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, PipelineError):
                raise LostServerError(str(error.cause)) from error
            raise CallRefusedError(str(error.cause)) from error
        except ray.exceptions.RayError as error:
            raise LostServerError(type(error).__name__) from error

    @staticmethod
    def _begin(method: Any, *arguments: Any) -> Any:
        import ray

        try:
            return method.remote(*arguments)
        except ray.exceptions.RayError as error:
            raise LostServerError(type(error).__name__) from error
