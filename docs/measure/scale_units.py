"""Unit costs of docs/scale.md that no other measurement gives: what a document, a split, a part and a block of a report take.

Run: python docs/measure/scale_units.py DATA [DOCUMENTS]   (one thread; some minutes)
DATA holds `corpora`. Of each corpus DOCUMENTS (1,000) documents are tagged, of broadcast news and Reuters a quarter as many.
"""

from __future__ import annotations

import gc
import gzip
import json
import pickle
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from models.runtime.cpu import cpu_name
from pipeline.config import load_config
from pipeline.contract import Fragment, PartResult, Split
from pipeline.report.aggregate import aggregate
from pipeline.report.database import database
from pipeline.report.parts import parts_of
from pipeline.report.window import ReportWindow
from pipeline.run.run import tag_documents
from pipeline.scheduler.events import Arrived
from pipeline.scheduler.policy import Policy
from pipeline.sink import ledger
from pipeline.sink.plan_log import Plan, decode, encode
from pipeline.source.discover import discover
from pipeline.store.open import open_store

SPLITS = 100_000


def rss_mb() -> float:
    """What this process holds in memory now, MB."""
    gc.collect()
    return (
        int(next(one.split()[1] for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmRSS"))) / 1e3
    )


def documents(data: Path, corpus: str, count: int) -> Iterator[str]:
    """Lines of JSON of a corpus: id, text, source and time, as an input would hold them."""
    files = sorted((data / "corpora" / corpus).rglob("*.jsonl.gz"))
    if files:
        with gzip.open(files[len(files) // 2], "rt", encoding="utf-8") as stream:
            rows: Iterator[dict[str, Any]] = map(json.loads, islice(stream, count))
            yield from (_line(row) for row in rows)
    else:
        table = pq.read_table(min((data / "corpora" / corpus).glob("*.parquet"))).slice(0, count)
        yield from (_line(row) for row in table.to_pylist())


def _line(row: dict[str, Any]) -> str:
    kept = {
        key: row[key] if isinstance(row[key], str) else str(row[key])
        for key in ("id", "text", "source", "created_at")
        if row.get(key)
    }
    return json.dumps(kept, ensure_ascii=False) + "\n"


def corpora(data: Path, work: Path, count: int) -> None:
    """Bytes and tokens of a document, bytes of its row, and what a block of a report comes to."""
    for corpus, model, share in (
        ("reddit", "en-fast", 4),
        ("reuters", "en-fast", 1),
        ("weibo_hot", "zh", 4),
        ("xinwen", "zh", 1),
    ):
        lines = list(documents(data, corpus, count * share // 4))
        source = work / f"{corpus}.jsonl"
        source.write_text("".join(lines), encoding="utf-8")
        given = {"sources": [str(source)], "output": str(work / f"out-{corpus}"), "model": model, "threads": 1, "clean": "html"}
        began = time.process_time()
        result = tag_documents(load_config(None, ("cache.local_mb=0", "split_tokens=20000"), given))
        seconds = time.process_time() - began
        store = open_store(str(work / f"out-{corpus}"))
        parts = parts_of(store)
        written = sum(entry.size for entry in store.list("tags"))
        rows = max(1, result.rows_out)
        print(
            f"{corpus} ({model}): {len(lines):,} documents, {source.stat().st_size / len(lines):.0f} bytes and "
            f"{result.tokens / rows:.1f} tokens each; a row {written / rows:.0f} bytes; "
            f"{result.tokens / seconds:,.0f} tokens/s of CPU"
        )
        with database(600) as con:
            for chosen in (parts[: len(parts) // 4], parts):
                began = time.process_time()
                partial = aggregate(store, con, chosen, ReportWindow(None, None), None)
                spent = time.process_time() - began
                sizes = ", ".join(f"{name} {table.num_rows:,} rows {table.nbytes:,} bytes" for name, table in partial.items())
                print(f"  partial of {sum(part.rows for part in chosen):,} documents, {spent:.2f} s: {sizes}")


def splits() -> list[Split]:
    """As many splits as SPLITS, each a fragment of a file of 64."""
    size, day = 36_000_000, 1_790_000_000_000_000_000
    made = []
    for n in range(SPLITS):
        file, piece = divmod(n, 64)
        path, changed = f"dt=2026-11-27/source=posts/part-{file:06d}.jsonl", day + file * 1_234_567_891
        of_file = (path, "jsonl", piece * size, (piece + 1) * size, 64 * size, changed)
        made.append(Split(1, n, (Fragment(*of_file, 8_000_000, None, None, "utf-8"),)))
    return made


def plan() -> None:
    """A plan's bytes, and the driver's memory for its splits."""
    made = Plan(1, 1, "hdfs://HOST:8020/posts", {"model": "en-fast+zh"}, tuple(splits()))
    began = time.process_time()
    data = encode(made)
    encoded = time.process_time() - began
    del made
    before, began = rss_mb(), time.process_time()
    read = decode(data, "plan")
    print(
        f"plan of {SPLITS:,} splits: {len(data):,} bytes, encoded in {encoded:.2f} s, "
        f"decoded in {time.process_time() - began:.2f} s; "
        f"its splits hold {rss_mb() - before:.0f} MB"
    )
    before, began = rss_mb(), time.process_time()
    policy = Policy(range(1))
    policy.on(Arrived(0.0, tuple((split.number, split.tokens) for split in read.splits)))
    print(f"the policy with them: {rss_mb() - before:.0f} MB, {time.process_time() - began:.2f} s")


def results() -> None:
    """What the driver keeps of each part that is there, and writes into the manifest."""
    stages = {"read": 1.234567, "prepare": 0.345678, "model": 221.456789, "write": 1.234567}
    one = PartResult(
        "part-000001-00000", "20261127T010203Z-0a1b2c3d-0123456789ab", 85_000, 3, 12, 7_950_000, "0" * 64, stages,
        {"cleaned_texts": 1, "reused_texts": 900, "times_unknown": 2}, True, read=85_015,
    )  # fmt: skip
    told = pickle.dumps(one)
    before = rss_mb()
    parts = [pickle.loads(told) for _ in range(SPLITS)]
    waited = {f"part-000001-{n:05d}": {"priority": 0.0, "waited_s": n / 7} for n in range(SPLITS)}
    print(f"{SPLITS:,} results of parts: {rss_mb() - before:.0f} MB; one as it is sent {len(told)} bytes")
    with tempfile.TemporaryDirectory() as folder:
        from pipeline.sink.manifest import write_manifest

        store, began = open_store(folder), time.process_time()
        peak = _peak_mb()
        path = write_manifest(store, "run", {}, parts, {}, {one.name: waited["part-000001-00000"]})
        size = (Path(folder) / path).stat().st_size
        print(f"their manifest: {size:,} bytes, {time.process_time() - began:.1f} s, {_peak_mb() - peak:.0f} MB more at its peak")


def _peak_mb() -> float:
    """The most this process has held since the last call, MB; the next call begins anew from what is held now."""
    gc.collect()
    found = next(one.split()[1] for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmHWM"))
    Path("/proc/self/clear_refs").write_text("5")
    return int(found) / 1e3


def listing(work: Path) -> None:
    """A listing of files of this machine, as it finds an input."""
    folder = work / "many"
    for n in range(10):
        (folder / f"{n}").mkdir(parents=True)
        for file in range(1_000):
            (folder / f"{n}" / f"{file:04d}.jsonl").write_bytes(b'{"text": "a"}\n')
    began = time.process_time()
    list(open_store(str(folder)).list())
    listed = time.process_time() - began
    began, before = time.process_time(), rss_mb()
    found = discover([str(folder)])
    print(
        f"listing of 1,000 files: {listed / 10 * 1e3:.1f} ms of CPU; "
        f"found as input {(time.process_time() - began) / 10 * 1e3:.1f} ms, "
        f"{(rss_mb() - before) / len(found.files) * 1e6:.0f} bytes a file"
    )


def footers(work: Path) -> None:
    """Checking the parts at a plan's end: a footer each."""
    source = work / "small"
    source.mkdir()
    for n in range(200):
        (source / f"{n:03d}.jsonl").write_text('{"id": "1", "text": "Ms Keller flew from Oslo to Lyon"}\n')
    given = {"sources": [str(source)], "output": str(work / "parts"), "model": "en-fast", "threads": 1, "split_tokens": 10}
    tag_documents(load_config(None, (), given))
    store = open_store(str(work / "parts"))
    from pipeline.sink.plans import PlanLog

    log = PlanLog(store)
    log.look()
    made, there = log.plan(1), ledger.parts(store)
    began = time.process_time()
    counts = ledger.counts_of(store, made, there)
    seconds = time.process_time() - began
    record = len(json.dumps(counts, indent=1))
    print(
        f"footers of {len(made.splits)} parts: {seconds / len(made.splits) * 1e3:.2f} ms each; "
        f"the record has {record / len(made.splits):.0f} bytes a part"
    )


def main() -> None:
    """Measure all, and print a line each."""
    data, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1_000
    print(f"{cpu_name()}, one thread")
    plan()
    results()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        listing(work)
        footers(work)
        corpora(data, work, count)


if __name__ == "__main__":
    main()
