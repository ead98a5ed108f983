"""What earlier plans of an output came to: how many tokens a byte of each kind of file holds."""

from __future__ import annotations

from collections import Counter

from pipeline.contract import Fragment
from pipeline.errors import StoreError
from pipeline.sink.plans import PlanLog
from pipeline.source.splitting import file_kind

# So many finished plans are asked, the newest first; less than so many tokens tell nothing.
RECENT, LEAST_TOKENS = 5, 1000


def tokens_per_byte(log: PlanLog) -> dict[str, float]:
    """Measure how many tokens a byte of input held in the RECENT newest finished plans, by kind of file.

    Only parts whose files are all of one kind count. A record that cannot be read is passed over: a prediction is no reason to
    stop.

    Args:
        log: The plans of the output.

    Returns:
        Tokens per byte as stored (packed where the file is packed), by `file_kind`; no kind of which fewer than LEAST_TOKENS
        were found.
    """
    tokens: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for number in sorted(log.done)[-RECENT:]:
        try:
            found = {part["name"]: part["tokens"] for part in log.record(number)["made"]}
        except (StoreError, OSError, ValueError, KeyError):
            continue  # a prediction is no reason to stop
        plan = log.plan(number)
        for split in plan.splits:
            kinds, size = {file_kind(piece.path) for piece in split.fragments}, sum(map(_bytes, split.fragments))
            if len(kinds) == 1 and size and split.name in found:
                (kind,) = kinds
                tokens[kind] += found[split.name]
                sizes[kind] += size
    return {kind: tokens[kind] / sizes[kind] for kind in tokens if tokens[kind] >= LEAST_TOKENS}


def _bytes(piece: Fragment) -> int:
    """Bytes of a file that a fragment takes; 0 for row groups, which are counted and not measured."""
    if piece.unpacked is not None:
        return (piece.end - piece.start) * piece.size // max(1, piece.unpacked)
    return 0 if piece.format == "parquet" and piece.end != piece.size else piece.end - piece.start
