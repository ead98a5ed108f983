"""The settings of the service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pipeline.ask.found import MIN_SCORE
from pipeline.cache.settings import CacheConfig
from pipeline.errors import ConfigError


class ServeConfig(BaseModel):
    """Settings of `textmill serve`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: Annotated[str, Field(description="address that is listened on; 0.0.0.0 is every one of this machine")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="port that is listened on; 0 takes a free one")] = 8080
    model: Annotated[
        str, Field(description="auto (the shipped reader of a question's language), or a reader's name or folder")
    ] = "auto"
    min_score: Annotated[float, Field(ge=0, le=1, description="answers with a lower probability are none")] = MIN_SCORE
    threads: Annotated[
        int | None, Field(ge=1, description="threads of a replica's readers; by default the CPUs of this process, on a cluster 1")
    ] = None
    tokens: Annotated[
        Path | None,
        Field(
            description="file of those who may ask, a line each: NAME TOKEN, and mostly the highest class of their questions "
            "(high, normal or low); without it everybody may"
        ),
    ] = None
    requests_per_s: Annotated[float, Field(ge=0, description="requests a second that one client may make; 0 is no limit")] = 0.0
    most_characters: Annotated[int, Field(ge=1, le=100_000, description="characters of the longest question")] = 1000
    waiting_tokens: Annotated[
        int,
        Field(ge=1000, description="tokens of one class's questions that may wait in a replica; more are refused with 429"),
    ] = 40_000
    body_timeout_s: Annotated[float, Field(gt=0, description="seconds in which a request must have arrived")] = 5.0
    cors_origins: Annotated[
        tuple[str, ...], Field(description="origin whose pages may ask from a browser, such as https://example.org")
    ] = ()
    tls_cert: Annotated[Path | None, Field(description="certificate file (PEM), for https")] = None
    tls_key: Annotated[Path | None, Field(description="key file of the certificate (PEM)")] = None
    redis_url: Annotated[
        str | None,
        Field(description="Redis that replicas share answers by, as redis://HOST:PORT/DB; without it each has its own"),
    ] = None
    cache_mb: Annotated[float, Field(ge=0, description="megabytes of answers that a replica remembers")] = 64.0
    voice: Annotated[bool, Field(description="hear spoken questions; textmill voice install fetches what that needs")] = False
    voice_cache: Annotated[
        Path | None, Field(description="folder of the speech model's weights; by default textmill in the user's cache folder")
    ] = None
    refresh_s: Annotated[float, Field(gt=0, description="seconds between looks for a new generation of the index")] = 2.0

    @field_validator("redis_url")
    @classmethod
    def _address(cls, url: str | None) -> str | None:
        return CacheConfig(redis_url=url).redis_url

    @classmethod
    def given(cls, values: dict[str, Any]) -> ServeConfig:
        """Return the settings that options give.

        Args:
            values: By name; what is left out, or None, is as by default.

        Raises:
            ConfigError: A value is wrong; names its option.
        """
        try:
            return cls(**{key: value for key, value in values.items() if value is not None})
        except ValidationError as error:
            lines = [f"--{str(one['loc'][0]).replace('_', '-')}: {one['msg']}" for one in error.errors()]
            raise ConfigError("\n".join(lines)) from error

    def check(self) -> None:
        """Check what the settings name on this machine.

        Raises:
            ConfigError: A file is absent, or a certificate has no key.
        """
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ConfigError("https needs both --tls-cert and --tls-key")
        for option, path in (("tokens", self.tokens), ("tls-cert", self.tls_cert), ("tls-key", self.tls_key)):
            if path is not None and not path.is_file():
                raise ConfigError(f"--{option}: {path}: no such file")
