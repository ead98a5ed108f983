"""Whether an output holds what its input holds: the input is counted again, in another way, and compared file by file.

Every part is compared with its footer, with the files of what was left out beside it, and with the digest in its run's manifest;
every input file that is still as it was planned with what the parts say was read of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pipeline.contract import DocumentSpec, Split
from pipeline.errors import FolderError, LostDocumentsError, OutputError, StoreError, UnavailableError
from pipeline.run.planning import columns_of
from pipeline.sink import ledger
from pipeline.sink.attempt import read_part
from pipeline.sink.layout import manifest_path
from pipeline.sink.plan_log import Plan
from pipeline.sink.plans import PlanLog
from pipeline.sink.reconciliation import LOST, READ, UNREAD, accounted_for, check_files, check_footer, superseded_in
from pipeline.source.count import count_documents
from pipeline.source.formats import FORMATS, format_of
from pipeline.store.base import Entry, Store
from pipeline.store.open import open_store
from pipeline.store.settings import StoreConfig


@dataclass(slots=True)
class Verification:
    """What was compared; nothing is lost if `differences` is empty.

    Attributes:
        plans: Plans of the generation in place.
        parts: Parts that are there.
        parts_missing: Parts that are planned and not there yet.
        documents: Documents that the parts account for.
        files: Input files that the plans name.
        files_gone: Files that are no longer there as they were planned, and cannot be counted again.
        files_uncounted: Files that were read by a version that did not keep how much was read.
        read: Documents that the parts say were read of the files that could be counted again.
        counted: Documents of the same files by the count made now.
        differences: What does not agree, in words.
    """

    plans: int = 0
    parts: int = 0
    parts_missing: int = 0
    documents: int = 0
    files: int = 0
    files_gone: int = 0
    files_uncounted: int = 0
    read: int = 0
    counted: int = 0
    differences: list[str] = field(default_factory=list)

    @property
    def status(self) -> str:
        """`differs`, `not finished` or `agrees`."""
        return "differs" if self.differences else "not finished" if self.parts_missing else "agrees"


@dataclass(slots=True)
class _File:
    """What the parts say was read of a file; `rows` what a table's footer must count, by them."""

    size: int
    modified_ns: int
    columns: DocumentSpec
    read: int = 0
    rows: int = 0
    broken: bool = False
    whole: bool = True  # whether the parts of all its fragments are there
    known: bool = True


def verify(
    output: str,
    reach: StoreConfig | None = None,
    seen: Callable[[int, int], object] = lambda done, all: None,
    check: Callable[[], object] = lambda: None,
) -> Verification:
    """Compare an output of `textmill tag` with its input, part by part and file by file; nothing is written.

    Args:
        output: Folder of the output, or its URL.
        reach: How remote stores are reached.
        seen: Called after each input file with how many of the files below its root are done, and of how many.
        check: Called between parts and between files; what it raises ends the comparison.

    Returns:
        What was compared, and each difference.

    Raises:
        ConfigError: Nothing serves the URL, or a package for it is missing.
        OutputError: The folder is no output.
        UnavailableError: A file cannot be read for now.
    """
    store = open_store(output, reach)
    log = PlanLog(store)
    log.look()
    if not log.heads:
        raise OutputError(f"{store.url}: no plans in it; is it the output folder of `textmill tag`?")
    found, there = Verification(), ledger.parts(store)
    digests = _Digests(store)
    files: dict[tuple[str, str], _File] = {}
    heads = [head for head in log.heads if head.generation == log.current]
    for head in heads:
        plan = log.plan(head.number)
        columns = columns_of(plan)
        for split in plan.splits:
            check()
            path = there.pop(split.name, None)
            footer = None
            if path is not None:
                footer = _part(store, split, path, found, digests)
            elif head.number in log.done:
                found.differences.append(f"{split.name} is not there, though its plan is finished")
            else:
                found.parts_missing += 1
            _spread(files, plan, split, columns, footer)
    found.plans, found.files = len(heads), len(files)
    newer = {f"part-{head.number:06d}" for head in log.heads if head.generation > log.current}
    for name, path in sorted(there.items()):
        if name.rpartition("-")[0] not in newer:
            found.differences.append(f"{path}: no plan has such a part")
    for root in sorted({root for root, _ in files}):
        _count(root, {path: one for (top, path), one in files.items() if top == root}, reach, found, seen, check)
    return found


def _part(store: Store, split: Split, path: str, found: Verification, digests: _Digests) -> dict[str, Any] | None:
    """Compare a part with itself; gives its footer, None if it cannot be read."""
    found.parts += 1
    try:
        footer, rows = read_part(store, path)
        found.documents += accounted_for(footer)
        check_footer(split, footer)
        check_files(store, path, footer, rows)
        digests.check(path, split.name, footer)
    except UnavailableError:
        raise
    except LostDocumentsError as error:
        found.differences.append(str(error))
    except (OutputError, StoreError) as error:
        found.differences.append(str(error))
        return None
    return footer


class _Digests:
    """What manifests say that the bytes of parts are; each is read once, and a run that was killed has none."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, dict[str, tuple[str, str]]] = {}

    def check(self, path: str, name: str, footer: dict[str, Any]) -> None:
        """Raises LostDocumentsError if a part is not, byte for byte, what its run had published."""
        attempt, sha256 = self._of(str(footer["run"])).get(name, ("", ""))
        if attempt != footer["attempt"] or not sha256:
            return
        with self._store.open_read(path) as stream:
            now = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
        if now != sha256:
            raise LostDocumentsError(f"{self._store.url}/{path} has changed since run {footer['run']} published it")

    def _of(self, run: str) -> dict[str, tuple[str, str]]:
        if run not in self._known:
            self._known[run] = {}
            with suppress(StoreError, ValueError, KeyError), self._store.open_read(manifest_path(run)) as stream:
                parts = json.load(stream)["parts"]
                self._known[run] = {part["name"]: (part["attempt"], part["sha256"]) for part in parts}
        return self._known[run]


def _spread(
    files: dict[tuple[str, str], _File], plan: Plan, split: Split, columns: DocumentSpec, footer: dict[str, Any] | None
) -> None:
    """Add what a part says to the files of its fragments."""
    known = footer is not None and len(footer.get(READ, ())) == len(split.fragments)
    gone = frozenset() if footer is None else superseded_in(footer)
    for i, piece in enumerate(split.fragments):
        if i in gone or (footer is not None and plan.again and footer.get(LOST, {}).get(str(i), ("broken",))[0] != "broken"):
            continue  # another plan has the file
        one = files.setdefault((plan.root, piece.path), _File(piece.size, piece.modified_ns, columns))
        if footer is None:
            one.whole = False
        elif not known:
            one.known = False
        else:
            broken = str(i) in footer[UNREAD]
            one.read += footer[READ][i]
            one.rows += footer[READ][i] - broken + footer[UNREAD].get(str(i), 0)
            one.broken |= broken


def _count(
    root: str,
    files: dict[str, _File],
    reach: StoreConfig | None,
    found: Verification,
    seen: Callable[[int, int], object],
    check: Callable[[], object],
) -> None:
    """Count the files of one root again, several at once, and compare."""
    store = open_store(root, reach)

    def counted(path: str) -> tuple[str, int, bool] | None:
        one, entry = files[path], _entry(store, path)
        if entry is None or (entry.size, entry.modified_ns) != (one.size, one.modified_ns):
            return None
        again = count_documents(store, entry, one.columns)
        return path, again.documents, again.broken

    todo = []
    for path, one in files.items():
        found.files_uncounted += one.whole and not one.known
        if one.whole and one.known:
            todo.append(path)
    with ThreadPoolExecutor(store.read_concurrency, "textmill-verify") as pool:
        for number, done in enumerate(_mapped(pool, counted, todo), 1):
            check()
            seen(number, len(todo))
            if done is None:
                found.files_gone += 1
                continue
            path, documents, broken = done
            one = files[path]
            said = one.rows if FORMATS[format_of(path) or "jsonl"].table and not broken else one.read
            found.counted += documents
            found.read += said
            if said != documents and not (broken and one.broken):
                found.differences.append(f"{root}/{path}: holds {documents:,} documents, {said:,} were read of it")


def _mapped(pool: ThreadPoolExecutor, call: Callable[[str], Any], todo: list[str]) -> Iterator[Any]:
    """The results in order; who stops early leaves nothing waiting."""
    futures = [pool.submit(call, one) for one in todo]
    try:
        for future in futures:
            yield future.result()
    finally:
        for future in futures:
            future.cancel()


def _entry(store: Store, path: str) -> Entry | None:
    try:
        return store.stat(path)
    except FolderError:
        return None
