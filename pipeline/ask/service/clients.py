"""Who may ask, how urgently, and how often."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from pipeline.ask.service.policy import Priority
from pipeline.errors import ConfigError

# Clients whose rates are remembered, and seconds of their rate that they may use at once.
REMEMBERED, BURST_S = 10_000, 2.0
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
SHORTEST_TOKEN = 16


@dataclass(frozen=True, slots=True)
class Client:
    """One who asks.

    Attributes:
        name: As the file of tokens has it, or the address.
        highest: Highest class of its questions.
    """

    name: str
    highest: Priority = Priority.HIGH


class Clients:
    """Finds out who asks.

    Args:
        path: File of tokens; None lets everybody in.

    Raises:
        ConfigError: The file is absent, or a line of it is none.
    """

    def __init__(self, path: Path | None) -> None:
        self._known: dict[bytes, Client] | None = None if path is None else _read(path)

    def who(self, authorization: str | None, address: str) -> Client | None:
        """Find out who asks.

        Args:
            authorization: The header of the request, such as `Bearer TOKEN`.
            address: Where the request comes from.

        Returns:
            The client; None if it shows no token that is known.
        """
        if self._known is None:
            return Client(address)
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        shown = _digest(token.strip())
        # Digests are compared: how long it takes says nothing of a token.
        return next((client for known, client in self._known.items() if hmac.compare_digest(known, shown)), None)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def _read(path: Path) -> dict[bytes, Client]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the file of tokens cannot be read ({error})") from error
    found: dict[bytes, Client] = {}
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        kind = words[2].upper() if len(words) == 3 else "NORMAL"
        if len(words) not in (2, 3) or not _NAME.fullmatch(words[0]) or kind not in Priority.__members__:
            raise ConfigError(f"{path}:{number}: write NAME TOKEN, and mostly high, normal or low behind them")
        if len(words[1]) < SHORTEST_TOKEN:
            raise ConfigError(f"{path}:{number}: the token of {words[0]} is shorter than {SHORTEST_TOKEN} characters")
        found[_digest(words[1])] = Client(words[0], Priority[kind])
    if not found:
        raise ConfigError(f"{path}: no token in it; nobody could ask")
    return found


class RateLimit:
    """A token bucket for each client.

    Args:
        per_s: Requests a second; 0 is no limit.
    """

    def __init__(self, per_s: float) -> None:
        self._per_s, self._most = per_s, max(1.0, per_s * BURST_S)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, name: str, now: float) -> float:
        """Count a request.

        Args:
            name: Who makes it.
            now: The time, in seconds.

        Returns:
            Seconds until it may be made again; 0 if it may be made now, and then it is counted.
        """
        if not self._per_s:
            return 0.0
        left, at = self._buckets.pop(name, (self._most, now))
        left = min(self._most, left + (now - at) * self._per_s)
        allowed = left >= 1.0
        self._buckets[name] = (left - 1.0 if allowed else left, now)
        if len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1.0 - left) / self._per_s
