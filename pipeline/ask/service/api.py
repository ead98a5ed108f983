"""The service over HTTP: routes, limits, errors and logs around an `Answerer`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import wraps
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from pipeline.ask.replies import passage_reply
from pipeline.ask.service.answerer import Answerer, RefusedError
from pipeline.ask.service.clients import Client, Clients, RateLimit
from pipeline.ask.service.schema import openapi, parsed, parsed_filters, readable
from pipeline.ask.service.settings import ServeConfig
from pipeline.errors import ConfigError, PipelineError

log = logging.getLogger("textmill.ask")
# Bytes of the longest body of a question; its characters are limited besides.
MOST_BYTES = 64 * 1024
PASSAGES = 20
JSON, EVENTS = "application/json", "text/event-stream"
SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; media-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
}
Handler = Callable[[Request, Client], Awaitable[Response]]


class _FailedError(Exception):
    """A request that gets an error.

    Args:
        status: HTTP status.
        code: In one word.
        message: What to do about it.
        headers: Further headers.
    """

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.headers = status, code, headers or {}

    def response(self) -> JSONResponse:
        """Return what is said."""
        return JSONResponse({"error": self.code, "message": str(self)}, self.status, self.headers)


class AskApi:
    """The routes of the service.

    Args:
        answerer: Answers.
        config: Settings of the service.
        ready: Whether it may be asked; while it may not, `/readyz` says 503.
    """

    def __init__(self, answerer: Answerer, config: ServeConfig, ready: Callable[[], bool] = lambda: True) -> None:
        self._answerer, self._config, self._ready = answerer, config, ready
        self._clients, self._rates = Clients(config.tokens), RateLimit(config.requests_per_s)
        self._metrics = answerer.metrics

    def app(self, lifespan: Callable[[Starlette], contextlib.AbstractAsyncContextManager[None]] | None = None) -> Starlette:
        """Return the service as an ASGI application.

        Args:
            lifespan: What is done around its life.
        """
        routes = [
            Route("/v1/ask", self._guarded("ask", self._ask), methods=["POST"]),
            Route("/v1/passages", self._guarded("passages", self._passages)),
            Route("/v1/filters", self._guarded("filters", self._filters)),
            Route("/", _page), Route("/docs", _docs), Route("/openapi.json", _openapi),
            Route("/healthz", _health), Route("/readyz", self._readiness), Route("/metrics", self._told),
        ]  # fmt: skip
        cors = Middleware(
            CORSMiddleware, allow_origins=self._config.cors_origins, allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
        )  # fmt: skip
        return Starlette(routes=routes, middleware=[cors] if self._config.cors_origins else [], lifespan=lifespan)

    def _guarded(self, route: str, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """A handler behind token and rate limit, with its errors as JSON, and a line in the log."""

        @wraps(handler)
        async def guarded(request: Request) -> Response:
            began = time.monotonic()
            id = uuid.uuid4().hex[:16]
            name = "?"
            try:
                client = self._let_in(request)
                name = client.name
                response = await handler(request, client)
            except _FailedError as failed:
                response = failed.response()
            except ClientDisconnect:
                response = Response(status_code=499)
            except Exception as error:  # noqa: BLE001 - whatever it is, the asker is told and the service goes on
                response = _failed(error).response()
            self._metrics.requests.labels(route, str(response.status_code)).inc()
            response.headers["X-Request-ID"] = id
            told = {"id": id, "route": route, "client": name, "status": response.status_code}
            log.info(json.dumps({**told, "ms": round(1000 * (time.monotonic() - began), 1)}))
            return response

        return guarded

    def _let_in(self, request: Request) -> Client:
        address = request.client.host if request.client is not None else "?"
        client = self._clients.who(request.headers.get("authorization"), address)
        if client is None:
            raise _FailedError(401, "unauthorized", "show a token: Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})
        if wait := self._rates.wait(client.name, time.monotonic()):
            raise _busy(wait, "too many requests")
        return client

    async def _ask(self, request: Request, client: Client) -> Response:
        kind = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
        if kind != JSON:
            raise _FailedError(415, "unsupported_media_type", f"send {JSON}")
        question = parsed(await self._body(request)).asked(client.highest, self._config.most_characters)
        if EVENTS in request.headers.get("accept", ""):
            found: asyncio.Queue[list[dict[str, Any]]] = asyncio.Queue()
            answer = asyncio.create_task(self._answerer.ask(question, found.put_nowait))
            return StreamingResponse(_events(found, answer), media_type=EVENTS, headers={"Cache-Control": "no-store"})
        began = time.monotonic()
        reply = await self._answerer.ask(question)
        timing = f"total;dur={1000 * (time.monotonic() - began):.1f}"
        return Response(reply.body, media_type=JSON, headers={"X-Answer-From": reply.origin, "Server-Timing": timing})

    async def _body(self, request: Request) -> bytes:
        """The body, if it is short enough and comes in time."""
        too_long = _FailedError(413, "too_large", f"a question may have {MOST_BYTES:,} bytes")
        if int(request.headers.get("content-length", 0)) > MOST_BYTES:
            raise too_long
        parts, size = [], 0
        try:
            async with asyncio.timeout(self._config.body_timeout_s):
                async for part in request.stream():
                    size += len(part)
                    if size > MOST_BYTES:
                        raise too_long
                    parts.append(part)
        except TimeoutError as error:
            raise _FailedError(408, "timeout", "the request did not arrive in time", {"Connection": "close"}) from error
        return b"".join(parts)

    async def _passages(self, request: Request, client: Client) -> Response:
        query = dict(request.query_params)
        asked, most = readable(query.pop("q", "")), query.pop("most", str(PASSAGES))
        if not asked:
            raise ConfigError("q: what is looked for is missing")
        if len(asked) > self._config.most_characters:
            raise ConfigError(f"q: more than {self._config.most_characters:,} characters")
        if not most.isascii() or not most.isdigit() or not 1 <= int(most) <= 100:
            raise ConfigError("most: a number from 1 to 100")
        filters = parsed_filters(query).filters()
        index = self._answerer.asker.index
        found = await self._answerer.beside(index.search, asked, int(most), filters)
        return JSONResponse({"passages": [passage_reply(one) for one in found], "generation": index.generation})

    async def _filters(self, request: Request, client: Client) -> Response:
        index = self._answerer.asker.index
        return JSONResponse(await self._answerer.beside(index.facets))

    async def _readiness(self, request: Request) -> Response:
        return Response("ready\n" if self._ready() else "not ready\n", 200 if self._ready() else 503, media_type="text/plain")

    async def _told(self, request: Request) -> Response:
        return Response(self._metrics.text(), media_type="text/plain; version=0.0.4")


async def _events(found: asyncio.Queue[list[dict[str, Any]]], answer: asyncio.Task[Any]) -> AsyncIterator[bytes]:
    """The passages as soon as they are found, then the answer or what went wrong."""
    first = asyncio.create_task(found.get())
    try:
        await asyncio.wait([first, answer], return_when=asyncio.FIRST_COMPLETED)
        if first.done():
            yield _event("passages", json.dumps({"passages": first.result()}, ensure_ascii=False).encode("utf-8", "replace"))
        try:
            yield _event("answer", (await answer).body)
        except Exception as error:  # noqa: BLE001 - the stream has begun: what went wrong is an event
            failed = _failed(error)
            yield _event("error", json.dumps({"error": failed.code, "message": str(failed)}).encode())
    finally:
        first.cancel()
        answer.cancel()


def _event(name: str, body: bytes) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + body + b"\n\n"


def _busy(seconds: float, message: str) -> _FailedError:
    return _FailedError(429, "busy", message, {"Retry-After": str(max(1, math.ceil(seconds)))})


def _failed(error: Exception) -> _FailedError:
    if isinstance(error, RefusedError):
        return _busy(error.refused.retry_after_s, str(error))
    if isinstance(error, ConfigError):
        return _FailedError(400, "bad_request", str(error))
    if isinstance(error, PipelineError):
        log.error("%s: %s", type(error).__name__, error)
        return _FailedError(503, "unavailable", str(error))
    log.exception("a request failed")
    return _FailedError(500, "internal", "this request failed; the service's log says why")


async def _page(request: Request) -> Response:
    return HTMLResponse((files("pipeline.ask.service") / "page.html").read_text(encoding="utf-8"), headers=SECURITY)


async def _docs(request: Request) -> Response:
    return HTMLResponse((files("pipeline.ask.service") / "docs.html").read_text(encoding="utf-8"), headers=SECURITY)


async def _openapi(request: Request) -> Response:
    return JSONResponse(openapi())


async def _health(request: Request) -> Response:
    return Response("ok\n", media_type="text/plain")
