"""What a run came to: sums over its parts, and how fast its workers were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.contract import PartResult
from pipeline.worker.stage_clock import STAGES


@dataclass(slots=True)
class Result:
    """What a run did, as sums over the parts that it has published.

    `rows_in` is counted where documents are read; `rows_out`, `dead_letters` and `filtered` where they are written. No part is
    published for which the first is not the sum of the other three.

    Attributes:
        run: Name of the run.
        manifest: Where its manifest is; "" if there is none.
        status: `finished`, `failed`, `stopped` or `nothing to do`.
        parts: Number of parts.
        rows_in: Documents read.
        rows_out: Documents tagged.
        dead_letters: Documents that could not be tagged.
        filtered: Documents that were not meant to be tagged.
        tokens: Tokens that the model computed.
        skipped: How many files of the input were left alone, by reason.
        seconds: Duration of the run.
        documents_s: Tagged documents per second, reading and writing included.
        tokens_s: Tokens per second, reading and writing included.
        failures: Message of the error by the split that was given up, or by the file or folder at fault.
        warnings: What may not be as it was meant, see `pipeline.observe.warnings`.
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
    """Choose, of all parts that were heard of, those that a run has made, each once.

    If a worker dies between publishing a part and saying so, the part is heard of from the attempt that came after.

    Args:
        run: Name of the run, with which the names of its attempts begin.
        parts: Parts as workers have told of them; a part may be among them several times.

    Returns:
        One entry for each part; one told by the attempt that made it goes before others.
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
    """Sum up the parts that a run has published.

    Args:
        run: Name of the run.
        status: `finished`, `failed` or `stopped`.
        parts: As `published_by` gives them.
        skipped: How many files of the input were left alone, by reason.
        failures: Error by the split that was given up, or by the file or folder at fault.
        seconds: Duration of the run, above 0.

    Returns:
        The result, without manifest and warnings.
    """
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
    """Sum up the time that the workers spent on each stage.

    Args:
        parts: As `published_by` gives them.

    Returns:
        Seconds by stage, all workers together.
    """
    return {stage: round(sum(part.seconds.get(stage, 0.0) for part in parts), 3) for stage in STAGES}
