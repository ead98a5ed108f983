"""What killed runs have left behind is removed when it is old enough that nobody can still be at work on it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from pipeline.nightly.revisions import MANIFEST, published_folders
from pipeline.sink.layout import NIGHTLY_STAGING, NIGHTS, STAGING, WATCH
from pipeline.store.base import Store

# What lasts no longer than a run, if that is not killed; a claim that is held is renewed all the time.
PASSING = (STAGING, NIGHTLY_STAGING, *(f"{WATCH}/{kind}" for kind in ("_staging", "claims", "attempts", "lists", "results")))


def garbage_collect(store: Store, now_s: float, retire_h: float, check: Callable[[], object] = lambda: None) -> list[str]:
    """Remove staged files, claims, and reports that were never published, that nobody has touched for long.

    Args:
        store: The output.
        now_s: Time by the store's clock, seconds since 1970.
        retire_h: So many hours are long.
        check: Called before each step; what it raises ends the work.

    Returns:
        Paths of what was removed.
    """
    old_ns = (now_s - retire_h * 3600) * 1e9
    newest: dict[str, int] = defaultdict(int)
    for top in PASSING:
        for entry in store.list(top):
            folder = "/".join(entry.path.split("/")[: top.count("/") + 2])
            newest[folder] = max(newest[folder], entry.modified_ns)
    manifests: dict[str, int] = defaultdict(int)
    reports: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for entry in store.list(NIGHTS):
        parts = entry.path.split("/")
        if len(parts) == 3 and MANIFEST.match(parts[2]):
            manifests[parts[1]] += 1
        else:
            folder = "/".join(parts[:3])
            reports[parts[1]][folder] = max(reports[parts[1]][folder], entry.modified_ns)
    for day, folders in reports.items():
        if len(folders) > manifests[day]:  # else each has its manifest, which need not be read
            named = published_folders(store, day)
            newest.update({folder: modified_ns for folder, modified_ns in folders.items() if folder not in named})
    gone = sorted(folder for folder, modified_ns in newest.items() if modified_ns < old_ns)
    for folder in gone:
        check()
        store.delete(folder)
    return gone
