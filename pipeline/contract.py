"""The data that flows: fragments of files, splits, blocks of documents, and the Arrow schemas of the files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

from models.runtime.labels import LABELS, LabelSet
from models.runtime.schema import TAGS, schema_of

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
    "no_model_for_language": "filtered: no model reads the language of this text",
}


def tags_schema(keep: Sequence[str], keep_text: bool = False, labels: LabelSet = LABELS) -> pa.Schema:
    """Return the schema of a part: id, source, created_at, the carried columns, perhaps the text, then the Tagger's columns.

    Args:
        keep: Names of the columns carried over from the input, as strings; values of other types are written as JSON.
        keep_text: Whether the text is among the columns.
        labels: What the models tell apart.
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
            *schema_of(labels),
        ]
    )


def partition_column(key: str) -> str:
    """Return the output column for folders named `key=value`: the key, with `folder_` before it if it is a reserved name.

    Args:
        key: What stands before the equals sign.
    """
    return f"folder_{key}" if key in RESERVED else key


RESERVED = frozenset({"id", "source", "created_at", "text", *TAGS.names})


@dataclass(frozen=True, slots=True)
class TextOptions:
    """How text files (JSON, CSV, TSV, plain text) are read.

    The defaults are how files were read before version 0.2, whose plans do not record these options; `usual` gives the defaults
    of new runs.

    Attributes:
        encoding: Name of an encoding; "auto" to detect it; "marks" for UTF-8 unless a byte order mark says otherwise.
        delimiter: One character; "auto" to detect it from the header; "" for the one that belongs to the format (CSV or TSV).
        quote: Quote character of CSV; "" for none.
        escape: Escape character of CSV; "auto" to detect it from the first records; "" for none.
        header: Column names of CSV and TSV files without a header line; empty if they have one.
        null: Content of a CSV or TSV field that stands for no value; None if there is no such content.
        json_path: Dotted path to the records within each JSON document; "" if the document is the record.
        format: Format of files whose suffix does not tell it.
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
        """Return the options of a new run whose settings say nothing: encoding, delimiter and escape are detected."""
        return cls(encoding="auto", delimiter="auto", escape="auto", null="\\N")


@dataclass(frozen=True, slots=True)
class DocumentSpec:
    """Which columns of the input are what, and how texts are prepared: all that a part depends on beside model and input.

    The defaults of `usual`, `separator`, `time_format`, `time_from` and `min_score` are what plans from before version 0.2 mean,
    which do not record them.

    Attributes:
        text: Column of the text, or several with commas between them, see `separator`.
        id: Column of the id; None makes every id from path and position, unless `usual` has "id".
        time: Column of the time; "" for none.
        source: Column of the source.
        keep: Columns that are carried to the output.
        keep_text: Whether the output holds the text too.
        partitions: Keys of the folders named `key=value` that become columns.
        documents: What one document of a plain text file is.
        clean: What is removed from a text before it is tagged; "html" is tags and entities.
        languages: Whether texts in a language that no model reads are filtered out ("known") or tagged too ("all").
        usual: Which of "id" and "time" are looked up by their usual names (see `pipeline.source.fields.USUAL`); `id` or `time`
            does not count then.
        separator: Joins the strings of a list, and the columns that `text` names; None means that a list is no text and that
            `text` is the name of one column.
        time_format: strptime format, or unit since 1970, that all times have; None takes every form with only one reading.
        time_from: Where the time is: in the column, in the folder's name (dt=2026-11-20) or in the file's name.
        reading: How text files are read.
        min_score: The least score of an entity that is written, from 0 to 1.
        root: Root of the plan's input, if it differs from that of the output's first plan, see `path_in_id`; else "".
        first_root: Root of the output's first plan, if `root` is given.
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
    min_score: float = 0.0
    root: str = ""
    first_root: str = ""

    def path_in_id(self, path: str) -> str:
        """Return the path with which the made ids of a file's documents begin, unique among all files of an output.

        It is the path below the root of the output's first plan, or for a file that lies elsewhere the whole path. So ids do not
        collide or change when later runs are given other input folders.

        Args:
            path: Path of the file below the plan's root.
        """
        if not self.root:
            return path
        return f"{self.root.rstrip('/')}/{path}".removeprefix(f"{self.first_root.rstrip('/')}/")

    def schema(self, labels: LabelSet = LABELS) -> pa.Schema:
        """Return the schema of the parts that these settings give, see `tags_schema`.

        Args:
            labels: What the models tell apart.
        """
        return tags_schema((*self.keep, *map(partition_column, self.partitions)), self.keep_text, labels)


def document_spec_from(settings: Mapping[str, Any]) -> DocumentSpec:
    """Return the spec that a plan or a message holds as JSON; a field that is absent has its default.

    Args:
        settings: The fields of `DocumentSpec` as a parsed JSON object, lists for tuples.
    """
    given = _with_tuples(settings)
    return DocumentSpec(**{**given, "reading": TextOptions(**_with_tuples(given.get("reading", {})))})


def _with_tuples(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON gives as lists."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}


@dataclass(frozen=True, slots=True)
class Fragment:
    """A contiguous piece of one input file, or all of it, as the file was when it was planned.

    Attributes:
        path: Path of the file below the plan's root.
        format: Name of the file's format.
        start: First byte, or first row group of Parquet; 0 if the file cannot be cut.
        end: One past the last byte or row group; the file's size in bytes if it cannot be cut.
        size: Size of the file in bytes.
        modified_ns: Time of the file's last modification, nanoseconds since 1970.
        tokens: Predicted number of tokens.
        rows: Number of rows that the fragment holds according to a table's footer; None where no footer tells.
        skip: If not None, the fragment is only `rows` rows of its row groups, after the first `skip`.
        encoding: Encoding of a text file that was cut; "" leaves it to the reader.
        unpacked: Size in bytes after decompression, of a compressed file that was cut; `start` and `end` then count decompressed
            bytes.
        piece_packed: Byte of the compressed file at which the unit with `start` (a gzip member, zstd frame or the like) begins.
        piece_plain: Byte of the decompressed content at which that unit begins.
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
        """Whether the fragment is the whole file, which was not cut."""
        return self.unpacked is None and self.start == 0 and self.end == self.size


@dataclass(frozen=True, slots=True)
class Split:
    """The unit of work: the fragments whose documents become one part.

    Attributes:
        plan: Number of the plan.
        number: Number of the split within its plan.
        fragments: Pieces of files, in the order of their documents in the part.
    """

    plan: int
    number: int
    fragments: tuple[Fragment, ...]

    @property
    def name(self) -> str:
        """Name of the part and of the files of left-out documents that go with it; unique in the output."""
        return f"part-{self.plan:06d}-{self.number:05d}"

    @property
    def tokens(self) -> int:
        """Predicted number of tokens."""
        return sum(fragment.tokens for fragment in self.fragments)


@dataclass(frozen=True, slots=True)
class RejectedDocument:
    """A document that is not tagged, or input that should have been one but could not be read.

    Attributes:
        path: Path of the file below the plan's root.
        position: Where in the file it is, from 0: the first byte of its line, or the row.
        id: The document's own id, where it could be read.
        reason: A key of REASONS.
        message: What is wrong in detail, without any of the document's text.
        raw: The first RAW_BYTES bytes of what was read.
        outcome: Whether it is a dead letter (cannot be tagged) or filtered (is not meant to be).
    """

    path: str
    position: int
    id: str | None
    reason: str
    message: str
    raw: bytes
    outcome: Outcome = "dead_letter"


@dataclass(frozen=True, slots=True)
class Block:
    """A run of B documents in input order, as a reader hands it on to be tagged.

    Attributes:
        paths: File of each document, below the plan's root.
        texts: Text of each document.
        positions: Where in its file each document is, from 0: the first byte of its line, or the row.
        columns: The output's columns but for the Tagger's, B rows.
        left_out: What was read beside the B documents and is not tagged.
        counts: What was noticed on reading, such as replaced characters, by name.
        raws: The first RAW_BYTES bytes of each document as they are in the file; empty bytes for a row of a table.
    """

    paths: list[str]
    texts: list[str]
    positions: list[int]
    columns: pa.Table
    left_out: list[RejectedDocument]
    counts: Counter[str] = field(default_factory=Counter)
    raws: list[bytes] = field(default_factory=list)

    def raw(self, row: int) -> bytes:
        """Return the first RAW_BYTES bytes of a document for a dead letter: as read, or of a table's row the text in UTF-8.

        Args:
            row: Index of the document in the block.
        """
        return self.raws[row] or self.texts[row].encode("utf-8", "replace")[:RAW_BYTES]

    @property
    def rows(self) -> int:
        """Number of documents read, those that were left out included."""
        return len(self.texts) + len(self.left_out)


@dataclass(frozen=True, slots=True)
class PartResult:
    """The result of a split whose part has been published.

    Attributes:
        name: Name of the part.
        attempt: Name of the attempt that made the part; it begins with the name of the run.
        rows: Documents tagged.
        dead_letters: Documents that could not be tagged.
        filtered: Documents that were not meant to be tagged.
        tokens: Tokens tagged.
        sha256: Digest of the part's file, in hex.
        seconds: Seconds spent, by stage.
        counts: What was noticed on the way, such as replaced characters, by name.
        ours: Whether the attempt that reports this made the part itself, and did not find it published by another one.
        cache: What the cache of tags did, see `TagCache.told`.
        read: Documents met in the input, counted by the readers, as a check on the other numbers.
        reasons: Number of dead letters by reason.
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
