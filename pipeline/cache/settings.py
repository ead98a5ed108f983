"""The settings of the cache: `[cache]` of a tag run."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from models.extras import install
from pipeline.errors import ConfigError

# Secrets come by the environment of every process that tags: they stand in no file, plan, manifest or log.
USERNAME, PASSWORD = "TEXTMILL_REDIS_USERNAME", "TEXTMILL_REDIS_PASSWORD"
SCHEMES = ("redis", "rediss", "unix")


class CacheConfig(BaseModel):
    """Settings of the cache of tags: where the tags of texts are remembered, and for how long."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    local_mb: Annotated[
        float, Field(ge=0, description="megabytes of each worker's memory for texts and tags; 0 remembers nothing")
    ] = 32.0
    redis_url: Annotated[
        str | None,
        Field(
            description="redis://HOST:PORT/DB, rediss:// for TLS, or unix://PATH; without it nothing is shared",
            examples=["redis://localhost:6379/0"],
        ),
    ] = None
    ca_file: Annotated[Path | None, Field(description="certificates that a rediss:// server is checked against")] = None
    ttl_s: Annotated[int, Field(ge=1, description="seconds after which Redis forgets a text")] = 7 * 24 * 3600
    timeout_ms: Annotated[int, Field(ge=1, description="milliseconds that one request for a block of texts may take")] = 200
    connect_timeout_ms: Annotated[
        int, Field(ge=1, description="milliseconds that are added for a request that must connect first")
    ] = 500

    @field_validator("redis_url")
    @classmethod
    def _without_secrets(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES or not (parts.hostname or parts.path):
            raise ValueError("write redis://HOST:PORT/DB, rediss://HOST:PORT/DB or unix://PATH")
        if parts.password is not None or parts.username is not None:
            raise ValueError(f"give name and password by {USERNAME} and {PASSWORD}, not in the address")
        if set(parse_qs(parts.query)) - {"db"}:
            raise ValueError("nothing but ?db=NUMBER may stand behind the address")
        return url

    def secrets(self) -> dict[str, Any]:
        """Return `username` and `password` for Redis from the environment; a variable that is unset or empty is left out."""
        found = {"username": os.environ.get(USERNAME), "password": os.environ.get(PASSWORD)}
        return {key: value for key, value in found.items() if value}


def check_cache(config: CacheConfig) -> None:
    """Check that this machine has what the settings of the cache need; Redis itself is not asked.

    Args:
        config: Settings of the cache.

    Raises:
        ConfigError: The client of Redis is not installed, or `ca_file` is no file.
    """
    if config.redis_url is not None and find_spec("redis") is None:
        raise ConfigError(f"cache.redis_url needs the client of Redis: {install('cache')}")
    if config.ca_file is not None and not config.ca_file.is_file():
        raise ConfigError(f"cache.ca_file: {config.ca_file}: no such file")
