"""Divide files into splits of about equal predicted tokens: big files are cut, small ones packed together."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from types import MappingProxyType

import pyarrow.parquet as pq
from pyarrow import orc

from pipeline.contract import DocumentSpec, Fragment, Split
from pipeline.errors import StoreError, UnavailableError
from pipeline.source import arrow_footer, avro_blocks
from pipeline.source.cut_points import Cuts, row_group_cuts, text_cuts
from pipeline.source.decompress import BombError
from pipeline.source.formats import FORMATS, PACKED, format_of
from pipeline.source.items import FileRefusedError
from pipeline.store.base import Entry, Store

# Predicted tokens, until earlier plans tell (sink/token_ratios.py): a byte of text is a quarter of one, packed text unpacks to
# about four times; opening a file costs too.
BYTES_A_TOKEN = 4.5
UNPACKED = 4.0
FILE_TOKENS = 50
_PACKED_FORMATS = {"parquet": 2.5, "orc": 2.5}
# A range of rows is read from the beginning of its row group: so many cost at most four times the reading, which is far less than
# the tagging.
MAX_ROW_RANGES = 8


def file_kind(path: str) -> str:
    """Return the format that a file's name promises, with its compression, such as `jsonl.gz`; jsonl if it promises none.

    Args:
        path: Path or name of the file.
    """
    packed = next((packing for packing in PACKED if path.lower().endswith(packing)), "")
    return f"{format_of(path) or 'jsonl'}{packed}"


def predicted_tokens(entry: Entry, known: Mapping[str, float]) -> int:
    """Predict how many tokens a file holds, by its size.

    Args:
        entry: The file.
        known: Tokens per byte of the file that were measured before, by `file_kind`.

    Returns:
        Tokens, with FILE_TOKENS for opening the file.
    """
    kind = file_kind(entry.path)
    ratio = UNPACKED if "." in kind else _PACKED_FORMATS.get(kind, 1.0)
    return FILE_TOKENS + int(entry.size * known.get(kind, ratio / BYTES_A_TOKEN))


NOTHING_KNOWN: Mapping[str, float] = MappingProxyType({})
AS_NAMED = DocumentSpec()


def format_name(path: str, columns: DocumentSpec) -> str:
    """Return the name of the format as which a file is read: by its name, as configured for other names, or else jsonl.

    Args:
        path: Path or name of the file.
        columns: How the input is read.
    """
    return format_of(path) or columns.reading.format or "jsonl"


def fragments(
    store: Store,
    entry: Entry,
    target: int,
    columns: DocumentSpec = AS_NAMED,
    known: Mapping[str, float] = NOTHING_KNOWN,
    say: Callable[[str], object] = lambda line: None,
) -> Iterator[Fragment]:
    """Cut a file into pieces of about a target of predicted tokens; one that is small or cannot be cut stays whole.

    Pieces of tables say by the file's footer how many rows they hold; a row group that is too big is cut into ranges of its rows.
    What is wrong with a file is not reported here, but where it is read.

    Args:
        store: Holds the file.
        entry: The file.
        target: Predicted tokens per piece; only a file of more than 1.5 times as many is cut.
        columns: How the input is read.
        known: Tokens per byte of the file that were measured before, by `file_kind`.
        say: Hears of what takes long.

    Yields:
        The pieces, in order.

    Raises:
        UnavailableError: The file cannot be read for now.
        ModuleNotFoundError: It is an Avro file, and fastavro is not installed.
        KeyboardInterrupt: The process was asked to stop.
    """
    kind = format_name(entry.path, columns)
    tokens = predicted_tokens(entry, known)
    cuts = Cuts([0, entry.size])
    # Row groups are read by number; a whole Parquet file is all of them, however many there are.
    if tokens > 1.5 * target:
        step = max(1, int(entry.size * target / tokens))
        steps = step, max(1, int(target * BYTES_A_TOKEN))
        try:
            if kind == "parquet":
                cuts = row_group_cuts(store, entry, step)
            else:
                cuts = text_cuts(store, entry, kind, steps, columns, say)
        except UnavailableError:
            raise
        except (StoreError, OSError, ValueError, FileRefusedError, BombError):
            pass  # what is wrong with it will be said where it is read
    if cuts.unpacked is not None and file_kind(entry.path) not in known:
        tokens = FILE_TOKENS + int(cuts.unpacked / BYTES_A_TOKEN)
    rows = _counted(store, entry, kind)
    for start, end in pairwise(cuts.places):
        expected = max(1, int(tokens * (end - start) / max(1, cuts.places[-1])))
        begin = (0, 0) if cuts.begins is None else cuts.begins.before(start - 1)
        of_file = (entry.path, kind, start, end, entry.size, entry.modified_ns)
        piece = Fragment(*of_file, expected, rows(start, end), None, cuts.encoding, cuts.unpacked, *begin)
        yield from _row_ranges(piece, target)


def _row_ranges(piece: Fragment, target: int) -> Iterator[Fragment]:
    """A table's piece that holds far more than a split should, as one row group may, in ranges of its rows."""
    if not piece.rows or piece.tokens <= 1.5 * target:
        yield piece
        return
    ranges = min(MAX_ROW_RANGES, piece.rows, math.ceil(piece.tokens / target))
    for i in range(ranges):
        first, last = piece.rows * i // ranges, piece.rows * (i + 1) // ranges
        yield replace(piece, skip=first, rows=last - first, tokens=max(1, piece.tokens // ranges))


def all_fragments(
    store: Store,
    entries: Iterable[Entry],
    target: int,
    columns: DocumentSpec = AS_NAMED,
    known: Mapping[str, float] = NOTHING_KNOWN,
    say: Callable[[str], object] = lambda line: None,
) -> Iterator[Fragment]:
    """Cut several files into pieces, looking into several at once, as footers come with a store's latency.

    Args:
        store: Holds the files.
        entries: The files.
        target: Predicted tokens per piece; see `fragments`.
        columns: How the input is read.
        known: Tokens per byte of the file that were measured before, by `file_kind`.
        say: Hears, from several threads, of what takes long.

    Yields:
        The pieces of all files, in the order of the files.

    Raises:
        UnavailableError: A file cannot be read for now.
        ModuleNotFoundError: There is an Avro file, and fastavro is not installed.
        KeyboardInterrupt: The process was asked to stop.
    """

    def look(entry: Entry) -> list[Fragment]:
        return list(fragments(store, entry, target, columns, known, say))

    waiting: deque[Future[list[Fragment]]] = deque()
    with ThreadPoolExecutor(store.read_concurrency, "textmill-plan") as pool:
        try:
            for entry in entries:
                waiting.append(pool.submit(look, entry))
                if len(waiting) >= 4 * store.read_concurrency:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for one in waiting:
                one.cancel()


def _counted(store: Store, entry: Entry, kind: str) -> Callable[[int, int], int | None]:
    """Tells the rows of a piece of a table by the file's footer; None where there is none, or none that can be read."""
    if not FORMATS[kind].table:
        return lambda start, end: None
    try:
        groups, whole = footer_rows(store, entry, kind)
    except UnavailableError:
        raise
    except (StoreError, OSError, ValueError):
        return lambda start, end: None  # what is wrong with it will be said where it is read
    return lambda start, end: whole if (start, end) == (0, entry.size) else sum(groups[start:end])


def footer_rows(store: Store, entry: Entry, kind: str) -> tuple[list[int], int | None]:
    """Count the rows of a table by its footer or, of Avro, by the headers of its blocks.

    Args:
        store: Holds the file.
        entry: The file.
        kind: Name of the format, one of tables.

    Returns:
        Rows of each row group of Parquet, empty for other formats; and the rows of the file, None for an Arrow stream, which has
        no footer.

    Raises:
        StoreError: The file cannot be opened or read.
        OSError: The file is damaged.
        ValueError: The file is damaged.
        ModuleNotFoundError: It is an Avro file, and fastavro is not installed.
    """
    with store.open_read(entry.path) as stream:
        if kind == "parquet":
            footer = pq.read_metadata(stream)
            groups = [footer.row_group(i).num_rows for i in range(footer.num_row_groups)]
            return groups, sum(groups)
        if kind == "orc":
            return [], int(orc.ORCFile(stream).nrows)
        if kind == "avro":
            return [], avro_blocks.count_rows(stream)
        magic = stream.read(6)
        stream.seek(0)
        if magic != b"ARROW1":
            return [], None
        return [], arrow_footer.count_rows(stream)


def pack(pieces: Iterable[Fragment], plan: int, target: int) -> Iterator[Split]:
    """Pack consecutive fragments into splits; a split is closed before it would pass the target.

    Args:
        pieces: Fragments, in order.
        plan: Number of the plan.
        target: Predicted tokens per split; a single fragment may have more.

    Yields:
        Splits, numbered from the first to the last.
    """
    waiting: list[Fragment] = []
    number, tokens = 0, 0
    for piece in pieces:
        if waiting and tokens + piece.tokens > target:
            yield Split(plan, number, tuple(waiting))
            number, waiting, tokens = number + 1, [], 0
        waiting.append(piece)
        tokens += piece.tokens
    if waiting:
        yield Split(plan, number, tuple(waiting))
