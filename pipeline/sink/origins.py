"""Which file each row of a part is of: kept in the part, so that the rows of one file can be taken out of it."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from pipeline.contract import Split
from pipeline.source.archives import outer

# Beside a part's footer, where its split has several files: each row's place in `paths_of`, as base64 of zlib of uint32, little
# endian.
ORIGINS = b"textmill.origins"
# A column that rows have until they are written.
ORIGIN = "\0origin"
_TYPE = np.dtype("<u4")


def paths_of(split: Split) -> list[str]:
    """Return the paths of a split's files, each once, in the order of its fragments.

    Args:
        split: Names the files.
    """
    return list(dict.fromkeys(piece.path for piece in split.fragments))


def origins_of(paths: Sequence[str], places: Mapping[str, int], rows: int) -> pa.Array:
    """Tell of each row which file of the split it is from.

    Args:
        paths: File of each row, or the member of an archive, n of them; may be empty if the split has only one file.
        places: Index of each file in `paths_of` the split, by its path.
        rows: Number of rows, n.

    Returns:
        Index of the file of each row in `paths_of` the split, uint32, length n.
    """
    if len(places) == 1 or not rows:
        return pa.array(np.zeros(rows, _TYPE))
    return pa.array(np.fromiter((places[path] if path in places else places[outer(path)] for path in paths), _TYPE, rows))


def encode(origins: Sequence[np.ndarray]) -> bytes:
    """Encode for the metadata of a part which file each row is from; `decode` is the inverse.

    Args:
        origins: Indices in `paths_of` the split, in the order of the part's rows: arrays to be joined, each of shape (n,).

    Returns:
        Base64 of zlib of uint32, little endian.
    """
    joined = np.concatenate([np.empty(0, _TYPE), *origins]).astype(_TYPE)
    return base64.b64encode(zlib.compress(joined.tobytes(), 6))


def decode(metadata: Mapping[bytes, bytes], split: Split, rows: int) -> np.ndarray | None:
    """Tell of each row of a part which file it is from.

    Args:
        metadata: Key-value metadata of the part's Parquet file.
        split: The split that the part was made of.
        rows: Number of rows in the part.

    Returns:
        Index of the file of each row in `paths_of` the split, uint32, shape (rows,). None if the split has several files and the
        part does not tell, as those of versions before 0.2, or tells of another number of rows.
    """
    if len(paths_of(split)) == 1:
        return np.zeros(rows, _TYPE)
    if (kept := metadata.get(ORIGINS)) is None:
        return None
    found = np.frombuffer(zlib.decompress(base64.b64decode(kept)), _TYPE)
    return found if len(found) == rows else None
