"""The formats of input files, in one table: by what names each is recognised, and how it is read, cut and counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from pipeline.source.compression import COMPRESSIONS
from pipeline.source.delimited import delimited_count, delimited_records, record_places
from pipeline.source.items import Item
from pipeline.source.json_lines import in_lines, json_count, json_records
from pipeline.source.plain import Text
from pipeline.source.text_lines import text_count, text_records
from pipeline.source.warc import warc_count, warc_records


@dataclass(frozen=True, slots=True)
class Format:
    """A format of input files.

    A table is read by a process of its own (tables.py); the members of an archive are read as what they are. For both `read` is
    None.

    Attributes:
        name: As in the plan and in options.
        suffixes: Suffixes of file names, with their dots.
        about: What the format is, in a sentence.
        cut: Where its files can be cut, in words.
        read: Gives the records of a text that begin between two plain bytes; from 0 to None those of the whole file.
        count: Gives numbers whose sum is how many items `read` gives for the whole file.
        lines: Tells whether every line of a text begins a record, so that the file can be cut anywhere.
        places: Gives the bytes at which records begin, for a text that `lines` does not hold for; None: it is never cut.
        table: Whether it is a table.
    """

    name: str
    suffixes: tuple[str, ...]
    about: str
    cut: str
    read: Callable[[Text, int, int | None], Iterator[Item]] | None = None
    count: Callable[[Text], Iterator[int]] | None = None
    lines: Callable[[Text], bool] = lambda text: False
    places: Callable[[Text], Iterator[int]] | None = None
    table: bool = False


_ALL = (
    Format(
        "jsonl", (".jsonl", ".ndjson", ".json", ".jl", ".jsonlines"),
        "JSON: one object a line, arrays of objects, objects over several lines, arrays inside documents (`--json-path`); the "
        "content tells which",
        "lines: anywhere",
        json_records, json_count, in_lines,
    ),
    Format(
        "csv", (".csv",),
        "records of RFC 4180, with a header or `--columns`; delimiter and escape are detected",
        "between records",
        partial(delimited_records, kind="csv"), partial(delimited_count, kind="csv"), lambda text: not text.columns.reading.quote,
        partial(record_places, kind="csv"),
    ),
    Format(
        "tsv", (".tsv", ".tab"), "one record a line, without quotes, as Hive writes them", "anywhere",
        partial(delimited_records, kind="tsv"), partial(delimited_count, kind="tsv"), lambda text: True,
    ),
    Format(
        "text", (".txt", ".text"), "one document a line; with `--documents file` one a file", "lines: anywhere",
        text_records, text_count, lambda text: text.columns.documents == "line",
    ),
    Format(
        "warc", (".warc", ".wet"),
        "WARC and WET, as of Common Crawl: texts of `conversion` records, HTML pages of `response` records", "no",
        warc_records, warc_count,
    ),
    Format("parquet", (".parquet", ".pq", ".parq"), "Parquet", "between row groups", table=True),
    Format("arrow", (".arrow", ".arrows", ".ipc", ".feather"), "Arrow IPC, files and streams", "no", table=True),
    Format("orc", (".orc",), "ORC", "no", table=True),
    Format("avro", (".avro",), "Avro object container files; needs `textmill[avro]`", "no", table=True),
    Format(
        "archive", (".zip", ".tar", ".tgz", ".tbz2", ".txz"),
        "zip and tar: each text member is read as a file with the path `a.zip!/member`", "no",
    ),
)  # fmt: skip
FORMATS = {one.name: one for one in _ALL}
_BY_SUFFIX = {suffix: one for one in _ALL for suffix in one.suffixes}
SUFFIXES = tuple(_BY_SUFFIX)
PACKED = tuple(suffix for packing in COMPRESSIONS for suffix in packing.suffixes)


def format_of(path: str) -> str | None:
    """Tell the format of a file by its name; suffixes of compression do not count.

    Args:
        path: Path or name of the file.

    Returns:
        Name of the format; None if the name tells none.
    """
    name = PurePosixPath(path.lower())
    while name.suffix in PACKED:
        name = name.with_suffix("")
    found = _BY_SUFFIX.get(name.suffix)
    return None if found is None else found.name


def formats_table() -> str:
    """Return the formats as a table in Markdown, for the README."""
    rows = ["| format | names | what is read | big files are cut |", "|---|---|---|---|"]
    for one in _ALL:
        rows.append(f"| {one.name} | {' '.join(f'`{suffix}`' for suffix in one.suffixes)} | {one.about} | {one.cut} |")
    packings = ", ".join(f"{one.name} ({' '.join(f'`{suffix}`' for suffix in one.suffixes)})" for one in COMPRESSIONS)
    told = (
        "The first bytes tell. A big compressed file is cut where a plain one would be. Tables compress inside; one that is "
        "compressed as a whole is refused."
    )
    return "\n".join(rows) + f"\n\nAll but tables may also be compressed: {packings}. {told}\n"


def with_formats(readme: str) -> str:
    """Return a README with the table between its marks made anew.

    Args:
        readme: Text of the README.
    """
    begin, end = (f"<!-- {mark}" for mark in ("formats: made by", "end of formats -->"))
    before, _, rest = readme.partition(begin)
    mark, _, rest = rest.partition("\n")
    return f"{before}{begin}{mark}\n\n{formats_table()}\n{end}{rest.partition(end)[2]}"


if __name__ == "__main__":
    readme = Path("README.md")
    readme.write_text(with_formats(readme.read_text(encoding="utf-8")), encoding="utf-8")
