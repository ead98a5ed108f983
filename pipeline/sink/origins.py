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
    """The files of a split, each once."""
    return list(dict.fromkeys(piece.path for piece in split.fragments))


def origins_of(paths: Sequence[str], places: Mapping[str, int], rows: int) -> pa.Array:
    """Each row's place among the files of its split, uint32[rows]. `paths` may be empty where there is but one file."""
    if len(places) == 1 or not rows:
        return pa.array(np.zeros(rows, _TYPE))
    return pa.array(np.fromiter((places[path] if path in places else places[outer(path)] for path in paths), _TYPE, rows))


def encode(origins: Sequence[np.ndarray]) -> bytes:
    """What a part keeps of its rows' places, in the order of its rows."""
    joined = np.concatenate([np.empty(0, _TYPE), *origins]).astype(_TYPE)
    return base64.b64encode(zlib.compress(joined.tobytes(), 6))


def decode(metadata: Mapping[bytes, bytes], split: Split, rows: int) -> np.ndarray | None:
    """Each row's place in `paths_of` the split, uint32[rows]; None for parts of several files that do not tell, as those of
    versions before 0.2, or that tell of another number of rows.
    """
    if len(paths_of(split)) == 1:
        return np.zeros(rows, _TYPE)
    if (kept := metadata.get(ORIGINS)) is None:
        return None
    found = np.frombuffer(zlib.decompress(base64.b64decode(kept)), _TYPE)
    return found if len(found) == rows else None
