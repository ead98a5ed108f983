"""HTML tags and entities out of texts, with offsets that still lead into the original."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_MARKUP = re.compile(
    r"<!--|<(?P<skip>(?i:script|style))\b|</?(?P<tag>[a-zA-Z][a-zA-Z0-9]*)\b[^<>]{0,2000}>|&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|\w{2,31});"
)
# Tags inside a word or a sentence; any other ends a line.
_INLINE = frozenset(
    ("a abbr b bdi bdo big cite code em font i ins kbd mark q s samp small span strike strong sub sup tt u var wbr").split()
)


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A text without markup. `places[i]` is where character i comes from in the original; `ends[i]` is where that ends."""

    text: str
    places: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int32]


def clean(text: str) -> Cleaned | None:
    """Take tags and entities of HTML out of a text.

    Args:
        text: The text.

    Returns:
        What is left, and where each of its characters was; None if there is no markup in it.
    """
    pieces: list[tuple[str, int, int]] = []  # what stands there now, and the place that it stands for
    at = 0
    closed: dict[str, int] = {}  # no end of this kind behind that place
    for match in _MARKUP.finditer(text):
        start, end = match.span()
        if start < at:
            continue
        found = match.group()
        instead = ""
        if found.startswith("&"):
            instead = html.unescape(found)
            if instead == found:
                continue
        elif found == "<!--" or match["skip"]:
            stop = "-->" if found == "<!--" else f"</{match['skip'].lower()}"
            if stop in closed:
                continue
            place = re.compile(stop, re.IGNORECASE).search(text, end)
            if place is None:
                closed[stop] = end
                continue
            end = text.find(">", place.start()) + 1 or len(text)
            instead = "\n"
        elif match["tag"].lower() not in _INLINE:
            instead = "\n"
        pieces += [(text[at:start], at, -1), (instead, start, end)]
        at = end
    if not pieces:
        return None
    pieces.append((text[at:], at, -1))
    places = [np.arange(p, p + len(t)) if end < 0 else np.full(len(t), p) for t, p, end in pieces]
    ends = [np.arange(p + 1, p + len(t) + 1) if end < 0 else np.full(len(t), end) for t, p, end in pieces]
    return Cleaned(
        "".join(t for t, _, _ in pieces), np.concatenate(places).astype(np.int32), np.concatenate(ends).astype(np.int32)
    )


def restore(tags: pa.Table, cleaned: list[Cleaned | None]) -> pa.Table:
    """Move the extents of tags from cleaned texts to the texts as they were.

    Args:
        tags: Rows of the Tagger.
        cleaned: For each row what was cleaned, None for a text that was tagged as it was.

    Returns:
        The rows, with extents in the original texts.
    """
    if not any(cleaned):
        return tags
    found = tags.combine_chunks()
    for name in ("entities", "words"):
        column = found[name].chunk(0)
        flat = column.flatten()
        docs = pc.list_parent_indices(column).to_numpy(zero_copy_only=False)
        start = flat.field("start").to_numpy(zero_copy_only=False).copy()
        end = flat.field("end").to_numpy(zero_copy_only=False).copy()
        bounds = np.searchsorted(docs, np.arange(len(cleaned) + 1))
        for i, one in enumerate(cleaned):
            if one is not None and bounds[i] < bounds[i + 1]:
                mine = slice(bounds[i], bounds[i + 1])
                start[mine], end[mine] = one.places[start[mine]], one.ends[end[mine] - 1]
        fields = {field.name: flat.field(field.name) for field in column.type.value_type}
        fields["start"], fields["end"] = pa.array(start, pa.int32()), pa.array(end, pa.int32())
        kind = column.type
        struct = pa.StructArray.from_arrays(list(fields.values()), fields=list(kind.value_type))
        offsets = np.concatenate([[0], np.cumsum(column.value_lengths().to_numpy(zero_copy_only=False))]).astype(np.int32)
        rebuilt = pa.ListArray.from_arrays(pa.array(offsets), struct, type=kind)
        found = found.set_column(found.schema.get_field_index(name), found.schema.field(name), rebuilt)
    return found
