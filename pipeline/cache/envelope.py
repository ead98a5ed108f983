"""What a shared value is filed under and sealed with: a key, a second digest of the text, and a checksum.

All three depend on the context: the model's digest, the schema and what computes. A value of another context is at another
key, and would not open under this one.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import struct
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from models.runtime.cpu import cpu_flags
from models.runtime.labels import LABELS, LabelSet
from models.runtime.package import label_map
from models.runtime.schema import schema_of

# One more whenever the bytes of a value change their meaning.
FORMAT = 1
PREFIX = b"textmill:1:"
# Magic and format; the second digest; the text's code points; what computing the row took, in microseconds.
_HEAD = struct.Struct("<3sB16sII")
_MAGIC = b"TMC"
_SEAL_BYTES = 8
_MOST = 2**32 - 1


def context_of(model_digest: str, langs: Iterable[str], engines: Iterable[str], labels: LabelSet = LABELS) -> bytes:
    """Digest everything but the text that tags depend on, down to the last bit of a score.

    That is the model, the schema of the tags, the label sets, the arithmetic of the engines, the versions of the libraries that
    compute, and the CPU's instruction sets.

    Args:
        model_digest: Digest of all models, see `Models.digest`.
        langs: Values that the column `lang` may hold, in the order in which `RowCodec` numbers them.
        engines: `Engine.arithmetic` of each engine.
        labels: What the models tell apart.

    Returns:
        SHA-256, 32 bytes; where it is the same, a text gets the same tags.
    """
    schema, named = schema_of(labels).to_string(), label_map(own=labels)
    about = [FORMAT, model_digest, list(langs), schema, named, list(engines), _versions(), _arithmetic()]
    return hashlib.sha256(json.dumps(about).encode()).digest()


def envelope_of(
    model_digest: str, langs: Iterable[str], engines: Iterable[str | None], labels: LabelSet = LABELS
) -> Envelope | None:
    """Return the envelope for what engines compute; None if the results of one of them must not be shared.

    Args:
        model_digest: Digest of all models, see `Models.digest`.
        langs: Values that the column `lang` may hold, in the order in which `RowCodec` numbers them.
        engines: `Engine.arithmetic` of each engine; None stands for results that do not depend on the text alone.
        labels: What the models tell apart.
    """
    named = list(engines)
    if None in named:
        return None
    return Envelope(context_of(model_digest, langs, [name for name in named if name is not None], labels))


def _versions() -> list[str]:
    found = []
    for name in ("openvino", "numpy", "tokenizers"):
        try:
            found.append(version(name))
        except PackageNotFoundError:
            found.append("")
    return found


def _arithmetic() -> list[str]:
    kinds = ("avx", "amx", "fma", "asimd", "sve", "bf16")
    # What holds the kernels back to older instructions is arithmetic too.
    limits = [os.environ.get(name, "") for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")]
    return [platform.machine(), *limits, *sorted(flag for flag in cpu_flags() if flag.startswith(kinds))]


class Envelope:
    """Keys, seals and opens the cache's values for one context; values of another context are neither found nor opened.

    Args:
        context: Digest from `context_of`.
    """

    def __init__(self, context: bytes) -> None:
        self._context = context

    def key(self, text: bytes) -> bytes:
        """Return the key of a text's value: a prefix and 128 bits of BLAKE2b, keyed with the context.

        Args:
            text: The text in UTF-8.
        """
        return PREFIX + hashlib.blake2b(text, digest_size=16, key=self._context).digest()

    def seal(self, text: bytes, length: int, row: bytes, cost_s: float) -> bytes:
        """Return the value to store for a text: its row, with a second digest of the text, and a checksum over all.

        Args:
            text: The text in UTF-8.
            length: Code points of the text.
            row: Tags of the text, from `RowCodec.encode`.
            cost_s: Seconds that computing the tags took; kept in whole microseconds.
        """
        cost = min(_MOST, max(0, round(cost_s * 1e6)))
        body = _HEAD.pack(_MAGIC, FORMAT, self._second(text), min(length, _MOST), cost) + row
        return body + self._checksum(body)

    def open(self, value: bytes, text: bytes, length: int) -> tuple[bytes, float] | None:
        """Open a value that was found under a text's key, if it is whole, unchanged and of this text.

        Args:
            value: Bytes as they were found, whatever they are.
            text: Text for which they were found, in UTF-8.
            length: Code points of the text.

        Returns:
            The row, and the seconds that computing it took; None if the value is not what `seal` gave for this text.
        """
        if len(value) < _HEAD.size + _SEAL_BYTES:
            return None
        magic, number, second, size, cost = _HEAD.unpack_from(value)
        if (magic, number, second, size) != (_MAGIC, FORMAT, self._second(text), length):
            return None
        body = value[:-_SEAL_BYTES]
        return (body[_HEAD.size :], cost / 1e6) if self._checksum(body) == value[-_SEAL_BYTES:] else None

    def _second(self, text: bytes) -> bytes:
        """128 bits of SHA-256: two texts would have to agree in this too, and in their lengths."""
        return hashlib.sha256(self._context + text).digest()[:16]

    def _checksum(self, body: bytes) -> bytes:
        return hashlib.blake2b(body, digest_size=_SEAL_BYTES, key=self._context).digest()
