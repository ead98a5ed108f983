"""Get the page out of an HTTP response, as a web archive keeps it: decompressed, and decoded as response or page declare."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

import zstandard

from models.extras import install
from pipeline.errors import ConfigError
from pipeline.source.encodings import AUTO, HEAD_BYTES, MARKS, check_encoding, detect_encoding
from pipeline.source.lines import MAX_LINE_BYTES

_HTML = ("text/html", "application/xhtml+xml")
_LOOKS_LIKE_HTML = re.compile(rb"\s*<(?:!doctype\s+html|html|head|body)\b", re.I)
_META = re.compile(rb"<meta\b[^>]{0,300}?\bcharset\s*=\s*[\"']?\s*([\w.:-]{2,40})", re.I)
_META_BYTES = 4096
BLANK_LINE = re.compile(rb"\n\r?\n")
_CHUNK = re.compile(rb"[ \t]*([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")


class PageError(ValueError):
    """A page cannot be read; the message says why."""


class TooLongError(ValueError):
    """A page is longer than a document may be."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of HTML: the body of a response, and what its header says of that.

    Attributes:
        body: As it was sent.
        content_type: The Content-Type, with its parameters.
        transfer: The Transfer-Encoding.
        packing: The Content-Encoding.
    """

    body: bytes
    content_type: str
    transfer: str = ""
    packing: str = ""

    def text(self, encoding: str) -> tuple[str, int]:
        """Decode the page, after undoing its transfer and content encodings.

        Args:
            encoding: The encoding that is configured; see `decoded`.

        Returns:
            The text, and how many of its characters could not be decoded.

        Raises:
            PageError: The chunks do not fit together, or the content encoding is unknown, broken or needs an extra.
            TooLongError: The page is longer than a document may be.
        """
        body = _joined(self.body) if "chunked" in self.transfer.lower() else self.body
        for packing in reversed(self.packing.lower().split(",")):
            body = _unpacked(body, packing.strip())
        if (meta := _META.search(body, 0, _META_BYTES)) is not None and not _charset(self.content_type):
            return decoded(body, f"text/html; charset={meta.group(1).decode('ascii', 'replace')}", encoding)
        return decoded(body, self.content_type, encoding)


def media_type(content_type: str) -> str:
    """Return the media type of a Content-Type, in small letters and without parameters.

    Args:
        content_type: Value of the field.
    """
    return content_type.partition(";")[0].strip().lower()


def page_of(kind: str, block: bytes) -> Page | None:
    """Return the page of HTML in a record of a web archive; None if it holds none.

    An HTTP response without a Content-Type holds one if its body looks like HTML.

    Args:
        kind: Content-Type of the record, which counts if the block is not an HTTP response with a header of its own.
        block: Content of the record.
    """
    if not block.startswith(b"HTTP/"):
        return Page(block, kind) if media_type(kind) in _HTML else None
    blank = BLANK_LINE.search(block)
    header, body = (block, b"") if blank is None else (block[: blank.end()], block[blank.end() :])
    said = fields_of(header)
    told = field_of(said, "content-type")
    if media_type(told) not in _HTML and (told or _LOOKS_LIKE_HTML.match(body) is None):
        return None
    return Page(body, told, field_of(said, "transfer-encoding"), field_of(said, "content-encoding"))


def fields_of(header: bytes) -> dict[str, str]:
    """Return the fields of a WARC or HTTP header by name; of two of one name the first counts.

    Args:
        header: The header with its first line, which is no field.
    """
    found: dict[str, str] = {}
    last = ""
    for line in header.decode("utf-8", "replace").split("\n")[1:]:
        if line[:1] in (" ", "\t") and last:
            found[last] += f" {line.strip()}"
            continue
        name, colon, value = line.partition(":")
        last = name.strip() if colon and name.strip() not in found else ""
        if last:
            found[last] = value.strip()
    return found


def field_of(fields: Mapping[str, str], name: str) -> str:
    """Return a field, whose name may be in capitals; empty if it is not there.

    Args:
        fields: Values by name.
        name: In small letters.
    """
    return next((value for key, value in fields.items() if key.lower() == name), "")


def decoded(raw: bytes, content_type: str, wanted: str) -> tuple[str, int]:
    """Decode bytes by the encoding that is configured or, where that is detected, by the Content-Type and the bytes.

    The encoding that the Content-Type declares is taken unless it fails on some characters and the detected one on fewer.

    Args:
        raw: The bytes.
        content_type: The Content-Type, whose charset counts if `wanted` is AUTO or MARKS.
        wanted: AUTO, MARKS, or the name of an encoding.

    Returns:
        The text, and how many characters could not be decoded.
    """
    head, charset = raw[:HEAD_BYTES], _charset(content_type)
    if wanted in (AUTO, MARKS) and charset:
        try:
            check_encoding(charset)
            found = detect_encoding(head, charset).decode(raw)
        except (ConfigError, UnicodeError, ValueError, LookupError):
            found = ("", len(raw) + 1)
        if found[1]:
            found = min(found, detect_encoding(head, AUTO).decode(raw), key=lambda one: one[1])
        return found
    return detect_encoding(head, AUTO if wanted == MARKS else wanted).decode(raw)


def _charset(content_type: str) -> str:
    found = re.search(r"charset\s*=\s*[\"']?\s*([\w.:-]{2,40})", content_type, re.I)
    return found.group(1) if found is not None else ""


def _joined(body: bytes) -> bytes:
    """A body that was sent in chunks; as it is if the crawler had joined them already. What a crawler cut off ends early."""
    parts, at = [], 0
    while (chunk := _CHUNK.match(body, at)) is not None:
        size = int(chunk.group(1), 16)
        parts.append(body[chunk.end() : chunk.end() + size])
        at = chunk.end() + size
        if not size:
            return b"".join(parts)
        at += len(body[at : at + 2]) - len(body[at : at + 2].lstrip(b"\r\n"))
    if parts and at < len(body):
        raise PageError("the chunks of the answer do not fit together")
    return b"".join(parts) or body


def _unpacked(body: bytes, packing: str) -> bytes:
    """A body that was packed; as it is if the crawler had unpacked it already."""
    try:
        if packing in ("gzip", "x-gzip"):
            return _limited(zlib.decompressobj(31).decompress(body, MAX_LINE_BYTES + 1)) if body[:2] == b"\x1f\x8b" else body
        if packing == "deflate":
            bits = 15 if body[:1] == b"\x78" else -15
            return _limited(zlib.decompressobj(bits).decompress(body, MAX_LINE_BYTES + 1))
        if packing == "zstd":
            return _limited(zstandard.ZstdDecompressor().stream_reader(io.BytesIO(body)).read(MAX_LINE_BYTES + 1))
        if packing == "br":
            return _limited(import_module("brotli").Decompressor().process(body, output_buffer_limit=MAX_LINE_BYTES + 1))
    except ImportError as error:
        raise PageError(f"the answer is packed by br: {install('formats')} unpacks it") from error
    except TooLongError:
        raise
    except Exception as error:  # whatever a library makes of broken bytes
        if _LOOKS_LIKE_HTML.match(body):
            return body
        raise PageError(f"the answer is packed by {packing}, and broken ({type(error).__name__})") from error
    if packing in ("", "identity", "none", "utf-8"):
        return body
    raise PageError(f"the answer is packed by {packing[:20]}, which is not known here")


def _limited(body: bytes) -> bytes:
    if len(body) > MAX_LINE_BYTES:
        raise TooLongError
    return body
