"""What `textmill nightly`, `watch` and `submit` are told: one TOML file; unknown keys are refused with their path."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pipeline.config import TagConfig, load_config
from pipeline.errors import ConfigError
from pipeline.timezones import zone_of


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WatchConfig(_Settings):
    """Settings of `textmill watch`: the table [watch]."""

    poll_s: Annotated[float, Field(gt=0, description="seconds between looks; a hint makes it look at once")] = 30.0
    settle_s: Annotated[
        float, Field(gt=0, description="seconds without a change after which a batch without a marker is complete")
    ] = 120.0
    marker: Annotated[str, Field(min_length=1, description="name of the empty file that says that a batch is complete")] = (
        "_SUCCESS"
    )
    manifest: Annotated[str, Field(min_length=1, description="name of the JSON file that lists a batch's files")] = (
        "_manifest.json"
    )
    attempts: Annotated[
        int, Field(ge=1, description="number of attempts before a run that ends with `try again` counts as failed")
    ] = 5
    retry_s: Annotated[float, Field(ge=0, description="seconds before the second attempt; doubled for each further one")] = 60.0
    http: Annotated[
        str | None,
        Field(description="HOST:PORT at which hints come by HTTP; if not given none do", examples=["127.0.0.1:8700"]),
    ] = None
    redis: Annotated[
        str | None,
        Field(
            description="redis://HOST:PORT/DB of the stream of hints; if not given there is none",
            examples=["redis://localhost:6379/0"],
        ),
    ] = None
    stream: Annotated[str, Field(min_length=1, description="name of the Redis stream")] = "textmill:hints"


class SubmitConfig(_Settings):
    """Settings of `textmill submit`: the table [submit]."""

    job: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", description="first part of the submission ids")] = "textmill"
    working_dir: Annotated[
        Path | None, Field(description="folder that is sent to the cluster; the job runs in it", examples=["."])
    ] = None
    requirements: Annotated[
        Path | None, Field(description="file of pinned requirements, installed for the job", examples=["requirements.txt"])
    ] = None
    env: Annotated[dict[str, str], Field(description="environment variables of the job")] = {}
    command: Annotated[str, Field(min_length=1, description="how the cluster calls textmill")] = "textmill"
    attempts: Annotated[int, Field(ge=1, description="number of submissions before the night counts as failed")] = 3
    poll_s: Annotated[float, Field(gt=0, description="seconds between questions for the job's state")] = 2.0
    lost_s: Annotated[float, Field(gt=0, description="seconds without an answer after which the cluster has lost the job")] = (
        300.0
    )


class NightConfig(_Settings):
    """Settings of `textmill nightly`; the table [tag] holds those of `textmill tag`."""

    tag: TagConfig
    zone: Annotated[str, Field(description="time zone of the dates: UTC, or a name like Europe/Berlin")] = "UTC"
    since: Annotated[
        date | None,
        Field(description="first date to report; if not given the first that ever was", examples=[date(2026, 11, 1)]),
    ] = None
    trailing_days: Annotated[
        int | None,
        Field(ge=0, description="days before a date on which its report depends; if not given the report says", examples=[7]),
    ] = None
    lang: Annotated[Literal["en", "zh"], Field(description="language of the reports")] = "en"
    memory_mb: Annotated[int, Field(ge=600, description="memory limit of a report, in megabytes")] = 1500
    report_s: Annotated[float, Field(gt=0, description="seconds after which a report is given up")] = 3600.0
    retire_h: Annotated[float, Field(ge=0, description="hours after which leftovers of killed runs are removed")] = 24.0
    claim_s: Annotated[float, Field(ge=3, description="seconds after which a claim that is not renewed has expired")] = 120.0
    index: Annotated[
        str | None,
        Field(
            min_length=1,
            description="folder or URL of the index of passages that nights and watchers keep up to date",
            examples=["out/answers"],
        ),
    ] = None
    index_s: Annotated[
        float, Field(gt=0, description="seconds between a watcher's looks for parts that are not in the index")
    ] = 15.0
    metrics_url: Annotated[
        str | None,
        Field(
            description="Prometheus Pushgateway that gets figures of each night; it may be down",
            examples=["http://localhost:9091"],
        ),
    ] = None
    watch: WatchConfig = WatchConfig()
    submit: SubmitConfig = SubmitConfig()

    @field_validator("zone")
    @classmethod
    def _known(cls, zone: str) -> str:
        zone_of(zone)
        return zone


def load_night(path: Path, index: str | None = None) -> NightConfig:
    """Load the settings of a job.

    Args:
        path: TOML file.
        index: An index that takes the place of the file's.

    Returns:
        The settings.

    Raises:
        ConfigError: The file cannot be read, or a key is wrong; names file, key and what is wrong with it.
    """
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError) as error:
        raise ConfigError(f"{path}: no such file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    table = values.get("tag")
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: tag: write a table [tag] with the settings of textmill tag, at least sources and output")
    try:
        tag = load_config(None, (), table)
    except ConfigError as error:
        raise ConfigError(f"{path}: [tag] {error}") from error
    if tag.retag:
        raise ConfigError(
            f"{path}: tag.retag: a job that runs every night cannot tag everything anew; run textmill tag --retag once"
        )
    if tag.retag_files or tag.retry_dead_letters:
        key, flag = ("retag_files", "--retag-files") if tag.retag_files else ("retry_dead_letters", "--retry-dead-letters")
        raise ConfigError(f"{path}: tag.{key}: every night would tag these files anew; run textmill tag {flag} once")
    try:
        given = {} if index is None else {"index": index}
        return NightConfig.model_validate({**values, **given, "tag": tag})
    except ValidationError as error:
        lines = [f"{path}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise ConfigError("\n".join(lines) + "\nconf/nightly.toml describes every key") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
