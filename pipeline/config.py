"""What a tag run is told: a TOML file, `--set key=value`, flags; one frozen model, unknown keys refused with their path.

The command line makes its options of the model, so this module is imported for every verb: Arrow comes only with the functions.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from models.runtime.labels import MIN_SCORE
from pipeline.cache.settings import CacheConfig, check_cache
from pipeline.errors import ConfigError
from pipeline.store.settings import StoreConfig

if TYPE_CHECKING:
    from pipeline.contract import DocumentSpec

SPLIT_TOKENS = 1_000_000
TEXT_SEPARATOR = "\n"


def _as_string(path: Any) -> Any:
    return str(path) if isinstance(path, Path) else path


def _as_tab(delimiter: Any) -> Any:
    return "\t" if delimiter == "\\t" else delimiter


class TagConfig(BaseModel):
    """Every setting of `textmill tag`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sources: Annotated[
        tuple[str, ...],
        Field(
            min_length=1,
            description="input files, folders or globs, or their URLs; - is standard input",
            examples=[["examples/documents"]],
        ),
    ]
    output: Annotated[
        str,
        BeforeValidator(_as_string),
        Field(min_length=1, description="output folder, or its URL", examples=["out/documents"]),
    ]
    text_column: Annotated[
        str,
        Field(description="column of the text; a.b is b within a; title,body joins two columns; lists of strings are joined"),
    ] = "text"
    text_separator: Annotated[str, Field(description="text between joined columns, or between the strings of a list")] = (
        TEXT_SEPARATOR
    )
    id_column: Annotated[
        str | None,
        Field(
            description='column of the id; if not given, id; documents without an id get path@position; with "" all of them do',
            examples=["id"],
        ),
    ] = None
    time_column: Annotated[
        str | None,
        Field(
            description='column of the time; "" is none; if not given, the first of created_at, timestamp, date, time, '
            "created_utc",
            examples=["created_at"],
        ),
    ] = None
    time_format: Annotated[
        str | None,
        Field(
            description="a strptime format, or s, ms, us, ns since 1970; if not given, every form that has only one reading",
            examples=["%d.%m.%Y %H:%M"],
        ),
    ] = None
    time_from: Annotated[
        Literal["column", "folder", "name"],
        Field(description="where the time is: in the column, in folders (dt=2026-11-20) or in the file's name"),
    ] = "column"
    source_column: Annotated[str, Field(description="column of the source")] = "source"
    keep: Annotated[tuple[str, ...], Field(description="column that is copied to the output, as strings")] = ()
    keep_text: Annotated[bool, Field(description="write the text beside its tags")] = False
    documents: Annotated[Literal["line", "file"], Field(description="what one document of a .txt file is")] = "line"
    encoding: Annotated[
        str,
        Field(
            description="encoding of text files, such as gb18030; auto detects it for each file; a byte order mark always counts"
        ),
    ] = "auto"
    delimiter: Annotated[
        str,
        BeforeValidator(_as_tab),
        Field(description="delimiter of CSV and TSV, one character; auto detects it from the header"),
    ] = "auto"
    quote: Annotated[str, Field(description='quote character of CSV; "" is none')] = '"'
    escape: Annotated[
        str, Field(description='escape character before quotes in CSV; "" is none; auto detects it from the first records')
    ] = "auto"
    column_names: Annotated[tuple[str, ...], Field(description="column names of CSV and TSV files without a header")] = ()
    null: Annotated[str | None, Field(description="field of CSV or TSV that stands for no value")] = "\\N"
    json_path: Annotated[str, Field(description="where the records are within each JSON document: data, or response.items")] = ""
    format: Annotated[
        str, Field(description="format of files and pipes without a known suffix, such as jsonl, csv, tsv or text")
    ] = ""
    clean: Annotated[
        Literal["no", "html"], Field(description="what is removed before the model reads the text; html is tags and entities")
    ] = "no"
    languages: Annotated[
        Literal["known", "all"], Field(description="texts that are tagged; known filters those in a language that no model reads")
    ] = "known"
    model: Annotated[
        str,
        Field(description="the model: en, en-fast, zh, auto or en-fast+zh (each text by the model of its language), or a folder"),
    ] = "en"
    min_score: Annotated[
        float,
        Field(ge=0, le=1, description="least score, the probability of being right, of an entity that is written; 0 writes all"),
    ] = MIN_SCORE
    engine: Annotated[Literal["auto", "openvino", "torch"], Field(description="engine that runs the model")] = "auto"
    workers: Annotated[
        int, Field(ge=0, description="number of Ray workers; 0 is this process, or with an address all CPUs of the cluster")
    ] = 0
    address: Annotated[
        str | None,
        Field(description="Ray cluster to run on: auto (the one that runs on this machine) or HOST:PORT", examples=["auto"]),
    ] = None
    servers: Annotated[
        int | None,
        Field(
            ge=0,
            description="number of engine servers, which run the model for all workers; if not given, one for each GPU",
            examples=[0],
        ),
    ] = None
    no_workers_s: Annotated[
        float, Field(ge=0, description="a run on Ray ends with exit code 3 when no worker has been alive for so many seconds")
    ] = 600.0
    threads: Annotated[
        int | None,
        Field(
            ge=1,
            description="threads of each worker; if not given, all CPUs, shared by the workers; 1 on a cluster",
            examples=[4],
        ),
    ] = None
    priority: Annotated[
        float, Field(description="a split of priority 1 overtakes those that have waited up to half an hour longer")
    ] = 0.0
    priorities: Annotated[
        dict[str, float], Field(description="glob of paths below the input -> priority that is added for these files")
    ] = {}
    look_s: Annotated[float, Field(ge=0, description="seconds between looks for new files during a run; 0 never looks")] = 60.0
    split_tokens: Annotated[int, Field(ge=1, description="predicted tokens of one part of the output")] = SPLIT_TOKENS
    dead_letter_share: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="a run stops with exit code 4 when the share of dead letters is above this, "
            "and their number above dead_letter_count",
        ),
    ] = 0.1
    dead_letter_count: Annotated[
        int,
        Field(
            ge=0, description="dead letters up to this number never stop a run; documents that are lost with a dead letter count"
        ),
    ] = 100
    absent_columns: Annotated[
        Literal["refuse", "allow"],
        Field(description="refuse ends the first run, before anything is tagged, if a named column is in no file"),
    ] = "refuse"
    only: Annotated[
        tuple[tuple[str, int, int], ...] | None,
        Field(description="files that this run may take on: path below the input, size, time in ns; if not given all"),
    ] = None
    failed_files_share: Annotated[
        float,
        Field(
            ge=0, le=1, description="a run fails with exit code 4 when more than this share of the files could not be read whole"
        ),
    ] = 0.0
    retag_files: Annotated[tuple[str, ...], Field(description="glob of paths below the input: these files are tagged again")] = ()
    retry_dead_letters: Annotated[bool, Field(description="tag the files again that have dead letters")] = False
    retag: Annotated[bool, Field(description="tag everything again; the old tags stay until all new ones are there")] = False
    cache: Annotated[CacheConfig, Field(description="the cache of tags")] = CacheConfig()
    store: StoreConfig = Field(default_factory=StoreConfig, description="how HDFS and other remote file systems are reached")

    def priority_of(self, path: str) -> float:
        """Return the priority of a file: the run's, plus the highest of the globs in `priorities` that match.

        Args:
            path: Path of the file below the input.
        """
        return self.priority + max((more for glob, more in self.priorities.items() if fnmatch(path, glob)), default=0.0)

    @property
    def asked_columns(self) -> dict[str, str]:
        """Setting -> column, of the columns that some input file must have: that of the text, and those named explicitly."""
        found = {"text_column": self.text_column}
        named = self.model_fields_set.intersection(("id_column", "time_column", "source_column"))
        found |= {name: getattr(self, name) for name in sorted(named) if getattr(self, name)}
        return found | {f"keep {name}": name for name in self.keep}

    @property
    def columns(self) -> DocumentSpec:
        """The settings on which the content of parts depends; partitions are left empty, since only the input tells them."""
        from pipeline.contract import DocumentSpec, TextOptions

        usual = tuple(role for role, column in (("id", self.id_column), ("time", self.time_column)) if column is None)
        time = "created_at" if self.time_column is None else self.time_column
        return DocumentSpec(
            self.text_column, self.id_column or None, time, self.source_column, self.keep, self.keep_text,
            documents=self.documents, clean=self.clean, languages=self.languages, usual=usual, separator=self.text_separator,
            time_format=self.time_format, time_from=self.time_from, min_score=self.min_score,
            reading=TextOptions(
                self.encoding, self.delimiter, self.quote, self.escape, self.column_names, self.null, self.json_path, self.format
            ),
        )  # fmt: skip


def load_config(path: Path | None, sets: Sequence[str] = (), flags: Mapping[str, Any] | None = None) -> TagConfig:
    """Load and check the settings of a tag run: a file's, overridden by `sets`, overridden by `flags`.

    Args:
        path: TOML file; None reads none.
        sets: Settings as "key=value" or "section.key=value"; a value is TOML, or a plain string if it is not valid as such.
        flags: Key -> value, from the command line's own options.

    Returns:
        The settings, with the defaults where nothing is said.

    Raises:
        ConfigError: A key is unknown, or a value or a combination of them is wrong; the message says where, which key, and why.
    """
    from pipeline.contract import RESERVED
    from pipeline.source.times import check_form

    values = given_settings(path, sets)
    values |= flags or {}
    where = str(path) if path is not None else "settings"
    try:
        config = TagConfig.model_validate(values)
    except ValidationError as error:
        lines = [f"{where}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise ConfigError("\n".join(lines) + "\ntextmill tag --help lists the settings") from error
    if config.servers and not (config.workers or config.address):
        raise ConfigError("servers compute for Ray workers: give --workers or --address too")
    check_cache(config.cache)
    if config.time_format is not None:
        try:
            check_form(config.time_format)
        except ValueError as error:
            raise ConfigError(f"time_format {config.time_format!r}: {error}") from error
    _check_reading(config)
    if taken := sorted(RESERVED.intersection(config.keep)):
        raise ConfigError(f"keep {taken[0]}: the output has a column of that name already")
    if len(set(config.keep)) < len(config.keep):
        raise ConfigError("keep names a column twice")
    return config


def _check_reading(config: TagConfig) -> None:
    from pipeline.source.encodings import check_encoding
    from pipeline.source.formats import FORMATS

    check_encoding(config.encoding)
    if config.format and config.format not in FORMATS:
        raise ConfigError(f"format {config.format}: give one of {', '.join(FORMATS)}")
    if len(set(config.column_names)) < len(config.column_names):
        raise ConfigError("columns names a column twice")
    for key, least in (("delimiter", 1), ("quote", 0), ("escape", 0)):
        value = getattr(config, key)
        if not (least <= len(value) <= 1 or (value == "auto" and key != "quote")) or value in ("\r", "\n"):
            raise ConfigError(f"{key} {value!r}: give one character")
    if config.delimiter in (config.quote, config.escape) and config.delimiter != "auto":
        raise ConfigError(f"delimiter {config.delimiter!r}: quote or escape is the same")


def given_settings(path: Path | None, sets: Sequence[str] = ()) -> dict[str, Any]:
    """Read what a file and `sets` give, as it stands there: keys and values are not checked.

    Args:
        path: TOML file; None reads none.
        sets: Settings as "key=value" or "section.key=value", which override the file's.

    Returns:
        Key -> value; that of a section is a table.

    Raises:
        ConfigError: The file cannot be read or is not TOML, or one of `sets` is not of this form.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, IsADirectoryError) as error:
            raise ConfigError(f"{path}: no such file") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: not TOML: {error}") from error
    for one in sets:
        key, equals, value = one.partition("=")
        if not equals:
            raise ConfigError(f"--set {one}: write --set key=value")
        section, dot, name = key.strip().partition(".")
        if not dot:
            values[section] = _value(value.strip())
            continue
        inner = values.get(section, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {one}: {section} is no table")
        values[section] = inner | {name: _value(value.strip())}
    return values


def load_store(path: Path | None, sets: Sequence[str] = ()) -> StoreConfig:
    """Load only the table `[store]` of a settings file; other tables are not checked.

    Args:
        path: TOML file; None reads none.
        sets: Settings as "store.key=value", which override the file's.

    Returns:
        How remote file systems are reached.

    Raises:
        ConfigError: A key is unknown or a value is wrong; the message says where, which key, and why.
    """
    given = given_settings(path, sets)
    try:
        return StoreConfig.model_validate(given.get("store", {}))
    except ValidationError as error:
        where = str(path) if path is not None else "settings"
        lines = [f"{where}: store.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise ConfigError("\n".join(lines)) from error


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
