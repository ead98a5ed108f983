"""Tell the time of a document by the place of its file: a folder like dt=2026-11-20, or a date in the file's name."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Literal

from pipeline.source.discover import partitions_of
from pipeline.source.times import instant

# Keys of folders that hold a whole date, and those of its pieces.
DATE_KEYS = ("dt", "date", "day", "ds", "p_date", "event_date", "created_at")
_PIECES = ("year", "month", "day", "hour")
_DATE = re.compile(
    r"(?<!\d)((?:19|20)\d{2})([-_.]?)(\d{2})\2(\d{2})(?:[-_.T ]?(\d{2})[-_.:]?(\d{2})(?:[-_.:]?(\d{2}))?(?!\d)|(?!\d))", re.ASCII
)


def time_of_path(path: str, told_by: Literal["column", "folder", "name"]) -> datetime | None:
    """Tell the time by a file's path.

    Args:
        path: Path of the file, or `archive!/member`.
        told_by: Whether folders or the name tell it; `column`: the path does not.

    Returns:
        The beginning, in UTC, of the year, month, day or shorter time that the path names; None if it names none or, in the
        file's name, several.
    """
    if told_by == "folder":
        return _of_folders(path)
    return _of_name(path.rpartition("/")[2]) if told_by == "name" else None


def _of_folders(path: str) -> datetime | None:
    folders = partitions_of(path)
    try:
        for key in DATE_KEYS:
            if (value := folders.get(key)) and not (key == "day" and len(value) < 3):
                return instant(value)
        if folders.get("year"):
            year, month, day, hour = (int(folders.get(key) or first) for key, first in zip(_PIECES, (0, 1, 1, 0), strict=True))
            return datetime(year, month, day, hour, tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return None


def _of_name(name: str) -> datetime | None:
    found = set()
    for year, _, month, day, hour, minute, second in _DATE.findall(name):
        try:
            found.add(datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), tzinfo=UTC))
        except ValueError:
            continue
    return found.pop() if len(found) == 1 else None
