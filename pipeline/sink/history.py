"""What earlier plans of an output came to: how many tokens a byte of each kind of file holds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from pipeline.contract import Fragment
from pipeline.errors import StoreError
from pipeline.sink.plan_log import PLANS, Plan
from pipeline.source.pack import kind_of
from pipeline.store.base import Store

# So many finished plans are asked, the newest first; less than so many tokens tell nothing.
RECENT, LEAST_TOKENS = 5, 1000


def tokens_a_byte(store: Store, plans: Sequence[Plan]) -> dict[str, float]:
    """Tokens found over bytes read, by `kind_of` the files, of the parts whose files are all of one kind."""
    tokens: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    there = {entry.path for entry in store.list(PLANS)}
    done = [plan for plan in plans if f"{PLANS}/{plan.name}.done.json" in there]
    for plan in done[-RECENT:]:
        try:
            with store.open_read(f"{PLANS}/{plan.name}.done.json") as stream:
                found = {part["name"]: part["tokens"] for part in json.load(stream)["made"]}
        except (StoreError, OSError, ValueError, KeyError):
            continue  # a prediction is no reason to stop
        for split in plan.splits:
            kinds, size = {kind_of(piece.path) for piece in split.fragments}, sum(map(_bytes, split.fragments))
            if len(kinds) == 1 and size and split.name in found:
                (kind,) = kinds
                tokens[kind] += found[split.name]
                sizes[kind] += size
    return {kind: tokens[kind] / sizes[kind] for kind in tokens if tokens[kind] >= LEAST_TOKENS}


def _bytes(piece: Fragment) -> int:
    """Bytes of a fragment; 0 for row groups, which are counted and not measured."""
    return 0 if piece.format == "parquet" and piece.end != piece.size else piece.end - piece.start
