"""Hints that something may have come: a hint makes the watcher look now, and nothing more.

Whatever tells of new files can be a source of hints: it needs a `listen` that calls `hint` with a path (or "") for each
message until `stopped` is set. It need not acknowledge, order or remember anything: what it loses, the next poll finds; what it
says twice, the watcher sees is done. With boto3 a source for S3's messages in SQS is eight lines:

    @dataclass
    class SqsHints:
        queue: str
        def listen(self, hint, stopped):
            sqs = boto3.client("sqs")
            while not stopped.is_set():
                for message in sqs.receive_message(QueueUrl=self.queue, WaitTimeSeconds=1).get("Messages", ()):
                    hint(message["Body"])
                    sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])

and one for Kafka a consumer's loop: `hint(record.value.decode())`.
"""

from __future__ import annotations

import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol

from typing_extensions import override

MOST = 1000
BODY_BYTES = 65_536
SOCKET_S = 10.0
_POLL_S = 0.1


class NotificationSource(Protocol):
    """A source of hints; `listen` runs in a thread of its own, and what it raises is told and ends only that source."""

    def listen(self, hint: Callable[[str], None], stopped: threading.Event) -> None:
        """Listen until told to stop.

        Args:
            hint: Called with a path for each message, "" where it names none.
            stopped: Set when it is to end.
        """
        ...


class Notifications:
    """Takes hints from any thread; beyond `MOST` that wait, only that there are some is kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._came = threading.Event()
        self._waiting: dict[str, None] = {}

    def hint(self, path: str) -> None:
        """Take in that something may have come.

        Args:
            path: Where, "" if that is not known.
        """
        with self._lock:
            if path and len(self._waiting) < MOST:
                self._waiting[path[:1000]] = None
        self._came.set()

    def wait(self, seconds: float, check: Callable[[], object]) -> list[str]:
        """Wait for a hint.

        Args:
            seconds: At most so long.
            check: Called several times a second; what it raises ends the waiting.

        Returns:
            The paths; none if the time is up.
        """
        until = time.monotonic() + seconds
        while not self._came.wait(min(_POLL_S, max(0.0, until - time.monotonic()))):
            check()
            if time.monotonic() >= until:
                return []
        check()
        with self._lock:
            self._came.clear()
            paths, self._waiting = list(self._waiting), {}
        return paths


@contextmanager
def listening(sources: list[NotificationSource], hints: Notifications, say: Callable[[str], object]) -> Iterator[None]:
    """Let sources give hints while the body runs; their threads end with it.

    Args:
        sources: The sources.
        hints: Takes what they give.
        say: Hears of a source that has ended with an error.

    Yields:
        Nothing.
    """
    stopped = threading.Event()

    def listen(source: NotificationSource) -> None:
        try:
            source.listen(hints.hint, stopped)
        except Exception as error:  # noqa: BLE001 - hints are a convenience; polling goes on
            say(f"no more hints from {type(source).__name__}: {type(error).__name__}: {error}")

    with ExitStack() as stack:
        for source in sources:
            thread = threading.Thread(target=listen, args=(source,), name=type(source).__name__, daemon=True)
            thread.start()
            stack.callback(thread.join)
        stack.callback(stopped.set)
        yield


class HttpNotifications(NotificationSource):
    """POST to /hint: the body is a path, or JSON {"paths": [...]}, or empty. GET /health answers 200.

    Args:
        address: HOST:PORT; port 0 takes a free one.
        token: If given, a request must bear it: `Authorization: Bearer TOKEN`.

    Attributes:
        port: The port.

    Raises:
        OSError: The address cannot be listened at.
        ValueError: It is no address.
    """

    def __init__(self, address: str, token: str | None = None) -> None:
        host, _, port = address.rpartition(":")
        self._token = token
        self._hint: Callable[[str], None] = lambda path: None
        self._server = ThreadingHTTPServer((host.strip("[]") or "127.0.0.1", int(port)), self._handler())
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])

    @override
    def listen(self, hint: Callable[[str], None], stopped: threading.Event) -> None:
        self._hint = hint
        serving = threading.Thread(target=self._server.serve_forever, args=(_POLL_S,), daemon=True)
        serving.start()
        stopped.wait()
        self._server.shutdown()
        serving.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hook = self

        class Handler(BaseHTTPRequestHandler):
            timeout = SOCKET_S

            def do_GET(self) -> None:
                self._answer(200 if self.path == "/health" else 404)

            def do_POST(self) -> None:
                given = self.headers.get("Authorization", "").encode()
                size = self.headers.get("Content-Length", "0")
                if self.path != "/hint":
                    self._answer(404)
                elif hook._token is not None and not hmac.compare_digest(given, f"Bearer {hook._token}".encode()):
                    self._answer(401)
                elif not size.isdigit() or int(size) > BODY_BYTES:
                    self._answer(413)
                else:
                    for path in paths_in(self.rfile.read(int(size))):
                        hook._hint(path)
                    self._answer(202)

            def _answer(self, status: int) -> None:
                self.close_connection = True
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """A hint is told of by the decision that it leads to."""

        return Handler


def paths_in(body: bytes) -> list[str]:
    """Find the paths that a message names: any message is a hint.

    Args:
        body: The message.

    Returns:
        The paths, [""] if it names none.
    """
    text = body.decode("utf-8", "replace").strip()
    try:
        paths = [path for path in json.loads(text)["paths"] if isinstance(path, str)]
    except (ValueError, KeyError, TypeError, RecursionError):
        paths = [] if text[:1] in ("{", "[") else [line.strip() for line in text.splitlines()[:MOST]]
    return paths or [""]
