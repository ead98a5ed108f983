"""What the manifests in an output say of a night; nothing but the standard library, so that any Airflow can import it."""

from __future__ import annotations

import json
from pathlib import Path

TRY_AGAIN = 3


def state_of(output: str, date: str) -> str:
    """The state of a logical date: "finished", "failed" (not to be tried again), or "open".

    It is finished as soon as one of its runs is, and a revision of its report is published.
    """
    nights = [json.loads(path.read_text()) for path in Path(output, "_nightly", "runs", date).glob("*.json")]
    # Their names tell whole seconds, and two may begin within one.
    nights.sort(key=lambda night: night["started"])
    published = next(Path(output, "nights", date).glob("r*.json"), None) is not None
    if published and any(night["exit_code"] == 0 for night in nights):
        return "finished"
    if nights and nights[-1]["exit_code"] not in (0, TRY_AGAIN):
        return "failed"
    return "open"


def current_report(output: str, date: str) -> str:
    """The folder of the current revision of a date's report. Raises FileNotFoundError if there is none."""
    found = sorted(Path(output, "nights", date).glob("r*.json"), key=lambda path: int(path.stem[1:]))
    if not found:
        raise FileNotFoundError(f"{output}: no report of {date} has been published")
    return str(Path(output, json.loads(found[-1].read_text())["folder"]))
