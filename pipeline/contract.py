"""The data that flows: fragments of files, splits, blocks of documents, and the Arrow schemas of the files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

from models.runtime.schema import TAGS

Outcome = Literal["dead_letter", "filtered"]
TIME = pa.timestamp("us", tz="UTC")
RAW_BYTES = 1000

# What was not tagged: `dead_letters/` holds what cannot be a document, `filtered/` what was not meant to be tagged.
LEFT_OUT = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False, metadata={"doc": "input file, as the plan names it"}),
        pa.field("position", pa.int64(), nullable=False, metadata={"doc": "from 0: the line's first byte, or the row"}),
        pa.field("id", pa.string(), metadata={"doc": "the document's own id, where it could be read"}),
        pa.field("reason", pa.string(), nullable=False, metadata={"doc": "a fixed word, see pipeline.contract.REASONS"}),
        pa.field("message", pa.string(), nullable=False, metadata={"doc": "never text of the document"}),
        pa.field("raw", pa.binary(), nullable=False, metadata={"doc": f"the first {RAW_BYTES} bytes of what was read"}),
    ]
)

REASONS = {
    "not_json": "the line or record is no JSON",
    "not_an_object": "the line is JSON, but no object",
    "bad_csv": "the record has more fields than the header, or a quote that is not closed",
    "bad_warc": "the record of a web archive is broken, or does not end where it says",
    "no_text": "there is no text column, or it holds no string",
    "line_too_long": "the line is longer than a document may be",
    "file_unreadable": "the file cannot be read from here on",
    "bomb": "the file unpacks to far more than it should",
    "tagger_failed": "the model fails on this document alone",
    "no_model_for_language": "filtered: no model can read the script of this text",
}


def tags_schema(keep: Sequence[str], keep_text: bool = False) -> pa.Schema:
    """Return the columns of a part: id, source, created_at, the carried columns (strings; other values as JSON), the Tagger's.

    Args:
        keep: Names of the carried columns.
        keep_text: Whether the text is among the columns.
    """
    carried = [pa.field(name, pa.string()) for name in keep]
    text = [pa.field("text", pa.string(), nullable=False)] if keep_text else []
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False, metadata={"doc": "the document's own, or path@position"}),
            pa.field("source", pa.string()),
            pa.field("created_at", TIME),
            *carried,
            *text,
            *TAGS,
        ]
    )


def partition_column(key: str) -> str:
    """Return the column of a folder like `key=value`; one that would bear the name of a fixed column gets another.

    Args:
        key: The folder's key.
    """
    return f"folder_{key}" if key in RESERVED else key


RESERVED = frozenset({"id", "source", "created_at", "text", *TAGS.names})


@dataclass(frozen=True, slots=True)
class TextOptions:
    """How files of text are read; the defaults are what plans of before 0.2 mean, which say nothing of it.

    Attributes:
        encoding: auto, the name of one, or marks: UTF-8, or what a byte order mark says.
        delimiter: auto is told by the header, "" is what the format's name says.
        escape: auto is told by the first records, "" is none.
        header: Names of the columns, where the files have no header.
        null: A field of these characters is no value.
        json_path: Where in each JSON document the records are.
        format: Of files whose names tell none.
    """

    encoding: str = "marks"
    delimiter: str = ""
    quote: str = '"'
    escape: str = ""
    header: tuple[str, ...] = ()
    null: str | None = None
    json_path: str = ""
    format: str = ""

    @classmethod
    def usual(cls) -> TextOptions:
        """Return what is meant where nothing is said."""
        return cls(encoding="auto", delimiter="auto", escape="auto", null="\\N")


@dataclass(frozen=True, slots=True)
class DocumentSpec:
    """Which columns of the input are what, and how texts are prepared: all that a part depends on beside model and input.

    Attributes:
        id: None: every id is made from path and position.
        usual: What is looked for by its usual names, "id" and "time" (see pipeline.source.fields), in the place of `id` and
            `time`.
        separator: Joins the strings of a list, and the columns that `text` names with commas between them; None: neither is a
            text. The default, and those of `usual`, `time_format` and `time_from`, are what plans of before 0.2 mean.
        time_format: A strptime format, the only one then.
        time_from: The column, the folder's date (dt=2026-11-20) or the file's name.
        root: Of the plan, where it is not that of the output's first plan, see `path_in_id`.
        first_root: Of the output's first plan, where it differs.
    """

    text: str = "text"
    id: str | None = None
    time: str = "created_at"
    source: str = "source"
    keep: tuple[str, ...] = ()
    keep_text: bool = False
    partitions: tuple[str, ...] = ()
    documents: Literal["line", "file"] = "line"
    clean: Literal["no", "html"] = "no"
    languages: Literal["known", "all"] = "known"
    usual: tuple[str, ...] = ()
    separator: str | None = None
    time_format: str | None = None
    time_from: Literal["column", "folder", "name"] = "column"
    reading: TextOptions = TextOptions()
    root: str = ""
    first_root: str = ""

    def path_in_id(self, path: str) -> str:
        """Return what the ids of a file's documents begin with.

        It is the path below the first root of the output, or the whole path of a file that lies elsewhere. So no two files of an
        output have it in common, whatever folders the runs were given.

        Args:
            path: Of the file, below the plan's root.
        """
        if not self.root:
            return path
        return f"{self.root.rstrip('/')}/{path}".removeprefix(f"{self.first_root.rstrip('/')}/")

    def schema(self) -> pa.Schema:
        """Return the schema of the parts."""
        return tags_schema((*self.keep, *map(partition_column, self.partitions)), self.keep_text)


def document_spec_from(settings: Mapping[str, Any]) -> DocumentSpec:
    """Return the columns of a plan's settings, or of any other JSON; what they do not name is as it was before.

    Args:
        settings: The JSON object.
    """
    given = _with_tuples(settings)
    return DocumentSpec(**{**given, "reading": TextOptions(**_with_tuples(given.get("reading", {})))})


def _with_tuples(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON gives as lists."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}


@dataclass(frozen=True, slots=True)
class Fragment:
    """A part of one input file, as it was when it was planned.

    Attributes:
        start: First byte, or first row group of Parquet; 0 of a file that cannot be cut.
        end: The byte or row group behind the last one; the size of a file that cannot be cut.
        tokens: Predicted tokens.
        rows: What the footer of a table says that the fragment holds, None where no footer tells.
        skip: If not None, the fragment is `rows` of those rows, behind the first `skip`.
        encoding: Of a text file that was cut, "" if its reader decides.
        unpacked: Of a packed file that was cut, how many bytes it unpacks to; `start` and `end` are of those.
        piece_packed: Byte of the file at which the gzip member, zstd frame or the like begins that holds `start`.
        piece_plain: Byte of what the file unpacks to at which that one begins.
    """

    path: str
    format: str
    start: int
    end: int
    size: int
    modified_ns: int
    tokens: int
    rows: int | None = None
    skip: int | None = None
    encoding: str = ""
    unpacked: int | None = None
    piece_packed: int = 0
    piece_plain: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether it is all of its file."""
        return self.unpacked is None and self.start == 0 and self.end == self.size


@dataclass(frozen=True, slots=True)
class Split:
    """The fragments whose documents become one part."""

    plan: int
    number: int
    fragments: tuple[Fragment, ...]

    @property
    def name(self) -> str:
        """The name of everything that comes of it."""
        return f"part-{self.plan:06d}-{self.number:05d}"

    @property
    def tokens(self) -> int:
        """Predicted tokens."""
        return sum(fragment.tokens for fragment in self.fragments)


@dataclass(frozen=True, slots=True)
class RejectedDocument:
    """A document, or what should have been one, that is not tagged."""

    path: str
    position: int
    id: str | None
    reason: str
    message: str
    raw: bytes
    outcome: Outcome = "dead_letter"


@dataclass(frozen=True, slots=True)
class Block:
    """Documents in order: of B texts the files, positions and columns (B rows: all but the Tagger's).

    Attributes:
        raws: Of each document the first RAW_BYTES of what was read, as they are in the file; empty where that was a row of a
            table.
    """

    paths: list[str]
    texts: list[str]
    positions: list[int]
    columns: pa.Table
    left_out: list[RejectedDocument]
    counts: Counter[str] = field(default_factory=Counter)
    raws: list[bytes] = field(default_factory=list)

    def raw(self, row: int) -> bytes:
        """Return what a dead letter shows of a document: what was read or, of a table, its text.

        Args:
            row: Which document.
        """
        return self.raws[row] or self.texts[row].encode("utf-8", "replace")[:RAW_BYTES]

    @property
    def rows(self) -> int:
        """What was read: documents and what was left out."""
        return len(self.texts) + len(self.left_out)


@dataclass(frozen=True, slots=True)
class PartResult:
    """A split whose part is in place, and what it took.

    Attributes:
        seconds: Time by stage.
        counts: What was noticed.
        cache: What the cache did, see TagCache.told.
        read: Documents that were met, counted where they were read.
        reasons: How many dead letters have which reason.
    """

    name: str
    attempt: str
    rows: int
    dead_letters: int
    filtered: int
    tokens: int
    sha256: str
    seconds: dict[str, float]
    counts: dict[str, int]
    ours: bool = True
    cache: dict[str, float] = field(default_factory=dict)
    read: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
