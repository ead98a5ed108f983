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
from functools import cache, wraps
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from pipeline.ask.replies import passage_reply
from pipeline.ask.service.answerer import Answerer, RefusedError
from pipeline.ask.service.clients import Clients, KnownClient, RateLimit
from pipeline.ask.service.schema import AskRequest, openapi, parsed, parsed_filters, readable
from pipeline.ask.service.settings import ServeConfig
from pipeline.errors import AudioError, AudioLimitError, ConfigError, PipelineError

if TYPE_CHECKING:
    from pipeline.ask.service.voice import Listener

log = logging.getLogger("textmill.ask")
# Bytes of the longest body of a question; its characters are limited besides.
MOST_BYTES = 64 * 1024
PASSAGES = 20
# Seconds in which a recording must have come to its end.
RECORDING_S = 90.0
JSON, EVENTS = "application/json", "text/event-stream"
SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; media-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
}
Handler = Callable[[Request, KnownClient], Awaitable[Response]]


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
        clients: Who may ask.
        told: Gives the metrics of all replicas; by default those of this one.
        listener: Hears spoken questions; None where none are taken.
    """

    def __init__(
        self,
        answerer: Answerer,
        config: ServeConfig,
        clients: Clients,
        told: Callable[[], Awaitable[bytes]] | None = None,
        listener: Listener | None = None,
    ) -> None:
        self._answerer, self._config, self._all_told, self._listener = answerer, config, told, listener
        self._clients, self._rates = clients, RateLimit(config.requests_per_s)
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
            Route("/v1/transcribe", self._guarded("transcribe", self._transcribe), methods=["POST"]),
            WebSocketRoute("/v1/voice", self._voice),
            Route("/", _page), Route("/docs", _docs), Route("/openapi.json", _openapi),
            Route("/healthz", _health), Route("/readyz", _health), Route("/metrics", self._told),
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

    def _let_in(self, request: HTTPConnection) -> KnownClient:
        address = request.client.host if request.client is not None else "?"
        client = self._clients.who(request.headers.get("authorization"), address)
        if client is None:
            raise _FailedError(401, "unauthorized", "show a token: Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})
        if wait := self._rates.wait(client.name, time.monotonic()):
            raise _busy(wait, "too many requests")
        return client

    async def _ask(self, request: Request, client: KnownClient) -> Response:
        kind = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
        if kind != JSON:
            raise _FailedError(415, "unsupported_media_type", f"send {JSON}")
        raw = await self._body(request, MOST_BYTES, self._config.body_timeout_s)
        question = parsed(raw).asked(client.highest, self._config.most_characters)
        if EVENTS in request.headers.get("accept", ""):
            found: asyncio.Queue[list[dict[str, Any]]] = asyncio.Queue()
            answer = asyncio.create_task(self._answerer.ask(question, found.put_nowait))
            return StreamingResponse(_events(found, answer), media_type=EVENTS, headers={"Cache-Control": "no-store"})
        began = time.monotonic()
        reply = await self._answerer.ask(question)
        timing = f"total;dur={1000 * (time.monotonic() - began):.1f}"
        return Response(reply.body, media_type=JSON, headers={"X-Answer-From": reply.origin, "Server-Timing": timing})

    async def _body(self, request: Request, most: int, within_s: float) -> bytes:
        """The body, if it is short enough and comes in time."""
        too_long = _FailedError(413, "too_large", f"a body may have {most:,} bytes here")
        if int(request.headers.get("content-length", 0)) > most:
            raise too_long
        parts, size = [], 0
        try:
            async with asyncio.timeout(within_s):
                async for part in request.stream():
                    size += len(part)
                    if size > most:
                        raise too_long
                    parts.append(part)
        except TimeoutError as error:
            raise _FailedError(408, "timeout", "the request did not arrive in time", {"Connection": "close"}) from error
        return b"".join(parts)

    async def _passages(self, request: Request, client: KnownClient) -> Response:
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

    async def _filters(self, request: Request, client: KnownClient) -> Response:
        index = self._answerer.asker.index
        return JSONResponse({**await self._answerer.beside(lambda: index.facets), "voice": self._listener is not None})

    async def _transcribe(self, request: Request, client: KnownClient) -> Response:
        listener = self._hears()
        audio = await self._body(request, listener.limits.size_bytes, RECORDING_S)
        return JSONResponse(await listener.hear(audio, request.query_params.get("lang", "")))

    def _hears(self) -> Listener:
        if self._listener is None:
            raise _FailedError(404, "no_voice", "this service hears nothing; start it with --voice")
        return self._listener

    async def _voice(self, socket: WebSocket) -> None:
        """A spoken question: its recording comes in binary messages, then `end`; what is heard, found and answered goes back."""
        await socket.accept()
        try:
            client = self._let_in(socket)
            listener = self._hears()
            heard = await listener.hear(await self._recording(socket, listener.limits.size_bytes))
            await socket.send_json({"event": "heard", **heard})
            if heard["text"]:
                question = AskRequest(question=heard["text"], spoken=True).asked(client.highest, self._config.most_characters)
                found: asyncio.Queue[list[dict[str, Any]]] = asyncio.Queue()
                answer = asyncio.create_task(self._answerer.ask(question, found.put_nowait))
                async for name, body in _parts(found, answer):
                    await socket.send_text(json.dumps({"event": name, **json.loads(body)}, ensure_ascii=False))
            await socket.close()
        except WebSocketDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the asker is told and the service goes on
            failed = error if isinstance(error, _FailedError) else _failed(error)
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await socket.send_json({"event": "error", "error": failed.code, "message": str(failed)})
                await socket.close(1008)

    async def _recording(self, socket: WebSocket, most: int) -> bytes:
        audio = b""
        try:
            async with asyncio.timeout(RECORDING_S):
                while True:
                    message = await socket.receive()
                    if message["type"] == "websocket.disconnect":
                        raise WebSocketDisconnect(message.get("code", 1005))
                    if message.get("text") == "end":
                        return audio
                    audio += message.get("bytes") or b""
                    if len(audio) > most:
                        raise _FailedError(413, "too_large", f"a recording may have {most:,} bytes")
        except TimeoutError as error:
            raise _FailedError(408, "timeout", "the recording did not end in time") from error

    async def _told(self, request: Request) -> Response:
        text = self._metrics.text() if self._all_told is None else await self._all_told()
        return Response(text, media_type="text/plain; version=0.0.4")


async def _events(found: asyncio.Queue[list[dict[str, Any]]], answer: asyncio.Task[Any]) -> AsyncIterator[bytes]:
    async for name, body in _parts(found, answer):
        yield b"event: " + name.encode() + b"\ndata: " + body + b"\n\n"


async def _parts(found: asyncio.Queue[list[dict[str, Any]]], answer: asyncio.Task[Any]) -> AsyncIterator[tuple[str, bytes]]:
    """The passages as soon as they are found, then the answer or what went wrong: the name of each, and its JSON."""
    first = asyncio.create_task(found.get())
    try:
        await asyncio.wait([first, answer], return_when=asyncio.FIRST_COMPLETED)
        if first.done():
            yield "passages", json.dumps({"passages": first.result()}, ensure_ascii=False).encode("utf-8", "replace")
        try:
            yield "answer", (await answer).body
        except Exception as error:  # noqa: BLE001 - the stream has begun: what went wrong is an event
            failed = _failed(error)
            yield "error", json.dumps({"error": failed.code, "message": str(failed)}).encode()
    finally:
        first.cancel()
        answer.cancel()


def _busy(seconds: float, message: str) -> _FailedError:
    return _FailedError(429, "busy", message, {"Retry-After": str(max(1, math.ceil(seconds)))})


def _failed(error: Exception) -> _FailedError:
    if isinstance(error, RefusedError):
        return _busy(error.refused.retry_after_s, str(error))
    if isinstance(error, AudioError):
        return _FailedError(413 if isinstance(error, AudioLimitError) else 400, "no_recording", str(error))
    if isinstance(error, ConfigError):
        return _FailedError(400, "bad_request", str(error))
    if isinstance(error, PipelineError):
        log.error("%s: %s", type(error).__name__, error)
        return _FailedError(503, "unavailable", str(error))
    log.exception("a request failed")
    return _FailedError(500, "internal", "this request failed; the service's log says why")


@cache
def _html(name: str) -> str:
    return (files("pipeline.ask.service") / name).read_text(encoding="utf-8")


async def _page(request: Request) -> Response:
    return HTMLResponse(_html("page.html"), headers=SECURITY)


async def _docs(request: Request) -> Response:
    return HTMLResponse(_html("docs.html"), headers=SECURITY)


async def _openapi(request: Request) -> Response:
    return JSONResponse(openapi())


async def _health(request: Request) -> Response:
    """Who listens has its index and its readers: before that the port is closed, or the proxy does not send anything here."""
    return Response("ok\n", media_type="text/plain")
