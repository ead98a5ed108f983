"""Calls of engine servers through Ray: what comes back is an answer or one of two faults."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

from models.runtime.batches import RaggedBatch
from pipeline.errors import PipelineError


class LostServerError(Exception):
    """The server is at fault: it has died, cannot be reached, or reports that its engine is broken."""


class CallRefusedError(Exception):
    """The engine has raised an error over this batch, its `__cause__`; whether the batch is at fault is not known."""


class EngineCalls(Protocol):
    """How engine servers are called without waiting for them.

    A call that is on its way is any hashable object; a server is named by its handle.
    """

    def now(self) -> float:
        """Read a clock that never goes back.

        Returns:
            Seconds since any fixed moment.
        """
        ...

    def send(self, handle: Any, lang: str, batch: RaggedBatch) -> Any:
        """Begin to compute a batch on a server.

        Args:
            handle: The server.
            lang: Language whose model computes it.
            batch: The batch.

        Returns:
            The call, whose answer is a Reply.

        Raises:
            LostServerError: The server cannot be called.
        """
        ...

    def ask(self, handle: Any) -> Any:
        """Ask whether a server is there; it answers when its models are loaded.

        Args:
            handle: The server.

        Returns:
            The call; its answer says no more than that the server is there.

        Raises:
            LostServerError: The server cannot be called.
        """
        ...

    def wait(self, calls: Sequence[Any], seconds: float) -> list[Any]:
        """Wait until one of the calls is answered, or the time is up.

        Args:
            calls: The calls; without any the whole time is waited.
            seconds: Seconds to wait at most.

        Returns:
            All calls that are answered; empty if none is.
        """
        ...

    def get(self, call: Any) -> Any:
        """Get the answer of a call that is answered.

        Args:
            call: One that `wait` has returned.

        Returns:
            The answer.

        Raises:
            LostServerError: The server is at fault.
            CallRefusedError: The engine has raised an error over the batch.
        """
        ...


class RayCalls:
    """Calls engine servers as Ray actors; a structural EngineCalls. A handle is an actor's, a call an object reference."""

    def now(self) -> float:
        """Read the monotonic clock.

        Returns:
            Seconds since any fixed moment.
        """
        return time.monotonic()

    def send(self, handle: Any, lang: str, batch: RaggedBatch) -> Any:
        """Begin to compute a batch on a server.

        Args:
            handle: Actor handle of an EngineServer.
            lang: Language whose model computes it.
            batch: The batch; its `windows` are not sent.

        Returns:
            Reference of a Reply.

        Raises:
            LostServerError: The actor cannot be called.
        """
        return self._begin(handle.infer, lang, batch.ids, batch.cases, batch.offsets)

    def ask(self, handle: Any) -> Any:
        """Ask whether a server is there; it answers when its models are loaded.

        Args:
            handle: Actor handle of an EngineServer.

        Returns:
            Reference of the node that it is on.

        Raises:
            LostServerError: The actor cannot be called.
        """
        return self._begin(handle.node)

    def wait(self, calls: Sequence[Any], seconds: float) -> list[Any]:
        """Wait until one of the calls is answered, or the time is up.

        Args:
            calls: References; without any the whole time is waited.
            seconds: Seconds to wait at most.

        Returns:
            All references that are answered; empty if none is.
        """
        import ray

        if not calls:
            time.sleep(seconds)
            return []
        first: list[Any] = ray.wait(list(calls), num_returns=1, timeout=seconds)[0]
        return first and list(ray.wait(list(calls), num_returns=len(calls), timeout=0)[0])

    def get(self, call: Any) -> Any:
        """Get the answer of a call that is answered.

        Args:
            call: A reference that `wait` has returned.

        Returns:
            The answer.

        Raises:
            LostServerError: The actor is dead or cannot be reached, or has raised a PipelineError, as a broken engine does.
            CallRefusedError: The actor has raised another error, over this batch; Ray's error, which wraps it, is the
                `__cause__`.
        """
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
