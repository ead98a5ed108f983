"""What a run came to: sums over its parts, and how fast its workers were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.contract import PartResult
from pipeline.worker.stage_clock import STAGES


@dataclass(slots=True)
class Result:
    """What a run did; speeds include reading and writing. `rows_in` is counted where documents are read, `rows_out`,
    `dead_letters` and `filtered` where they are written; no part is published for which the one is not the sum of the others.

    `failures` names the splits that were given up; `warnings` are what may not be as it was meant, see
    `pipeline.observe.warnings`.
    """

    run: str
    manifest: str = ""
    status: str = "finished"
    parts: int = 0
    rows_in: int = 0
    rows_out: int = 0
    dead_letters: int = 0
    filtered: int = 0
    tokens: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    documents_s: float = 0.0
    tokens_s: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)
    warnings: list[dict[str, Any]] = field(default_factory=list)


def published_by(run: str, parts: Sequence[PartResult]) -> list[PartResult]:
    """Of what was heard of parts, those that a run has made, each once.

    What an attempt published whose worker died before it could say so is heard of from the one that came after.
    """
    mine = [part for part in parts if part.ours or part.attempt.startswith(f"{run}-")]
    return list({part.name: part for part in sorted(mine, key=lambda part: part.ours)}.values())


def summarize(
    run: str,
    status: str,
    parts: Sequence[PartResult],
    skipped: Mapping[str, int],
    failures: Mapping[str, Exception],
    seconds: float,
) -> Result:
    """The sums over the parts that a run has published."""
    rows_out, tokens = sum(part.rows for part in parts), sum(part.tokens for part in parts)
    return Result(
        run,
        status=status,
        parts=len(parts),
        rows_in=sum(part.read for part in parts),
        rows_out=rows_out,
        dead_letters=sum(part.dead_letters for part in parts),
        filtered=sum(part.filtered for part in parts),
        tokens=tokens,
        skipped=dict(skipped),
        seconds=round(seconds, 2),
        documents_s=round(rows_out / seconds, 1),
        tokens_s=round(tokens / seconds, 1),
        failures={name: str(error) for name, error in failures.items()},
    )


def stage_shares(parts: Sequence[PartResult]) -> dict[str, float]:
    """Seconds that the workers spent on each stage, all together."""
    return {stage: round(sum(part.seconds.get(stage, 0.0) for part in parts), 3) for stage in STAGES}
