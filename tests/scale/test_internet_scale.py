"""The night of docs/scale.md: its tables are what its unit costs come to, and what it says of driver and NameNode holds.

TEXTMILL_NIGHT_WORKERS says how many simulated workers the slow test has (1,000, full 10,000), each with the splits of the page.
"""

import tracemalloc
from collections import Counter

import pyarrow as pa
import pytest

from docs.measure import scale
from pipeline.contract import DocumentSpec, Fragment, Split
from pipeline.sink import ledger
from pipeline.sink.attempt import Attempt
from pipeline.sink.plan_log import Plan, decode, encode
from pipeline.source.read import read_fragment
from pipeline.source.read_counts import ReadCounts
from pipeline.store.hdfs.store import HdfsStore
from pipeline.store.retrying_client import Status
from pipeline.store.settings import StoreConfig
from tests.scale.sizes import size
from tests.support import ROOT
from tests.support.simulation import Faults, Simulation

WORKERS = size("TEXTMILL_NIGHT_WORKERS", 1_000, 10_000)
# The end of the night, of the lower bound: 18 large splits a worker end unevenly (1.111 with 40 workers).
WITHIN = 1.15


def test_the_page_says_what_the_unit_costs_come_to():
    text = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    for name, table in scale.tables().items():
        assert table in text, f"{name}: python docs/measure/scale.py prints it"


def test_the_default_split_breaks_a_folder_of_hdfs_and_the_advised_one_does_not():
    assert scale.parts("default") > scale.FOLDER_FILES > 5 * scale.parts("advised")


def fragment(number):
    return Fragment(f"dt=2026-11-27/part-{number // 64:06d}.jsonl", "jsonl", number % 64, number % 64 + 1, 64, 1, 8_000_000)


def test_what_the_driver_holds_of_a_split():
    splits = tuple(Split(1, number, (fragment(number),)) for number in range(2_000))
    data = encode(Plan(1, 1, "hdfs://host/in", {}, splits))
    tracemalloc.start()
    try:
        read = decode(data, "plan")
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert read.splits == splits
    assert held / len(splits) < scale.SPLIT_BYTES


class CountedNames:
    """An HDFS in memory that counts what its NameNode is asked; a structural Client."""

    name, given_up = "counted", False

    def __init__(self):
        self.files, self.calls = {}, Counter()

    def status(self, path):
        self.calls["status"] += 1
        if path in self.files:
            return Status(path, False, len(self.files[path]), 1, 1 << 27)
        return Status(path, True, 0, 0) if any(one.startswith(f"{path}/") for one in self.files) else None

    def children(self, path):
        self.calls["list"] += 1
        return [self.status(one) for one in sorted(self.files) if one.rpartition("/")[0] == path]

    def reader(self, path):
        self.calls["locations"] += 1
        return lambda start, length: self.files[path][start : start + length]

    def create(self, path, data, overwrite):
        content = data.read()
        # An empty file has no block.
        self.calls.update(["create", "complete", *["block"] * (len(content) > 0)])
        self.files[path] = content

    def rename(self, source, target):
        self.calls["rename"] += 1
        self.files[target] = self.files.pop(source)

    def make_folder(self, path):
        self.calls["folder"] += 1

    def delete(self, path, recursive=True):
        self.calls["delete"] += 1
        for one in [one for one in self.files if one == path or one.startswith(f"{path}/")]:
            del self.files[one]


def test_calls_that_a_part_costs_the_name_node():
    names = CountedNames()
    line = b'{"id": "a", "text": "One."}\n'
    names.files["/night/in/a.jsonl"] = 4 * line
    store = HdfsStore("hdfs://host/night", "/night", [lambda: names], StoreConfig(), web_last=False)
    piece = Fragment("in/a.jsonl", "jsonl", len(line), 2 * len(line), 4 * len(line), 1, 8)
    split, met = Split(1, 0, (piece,)), ReadCounts()
    rows = [row for block in read_fragment(store, piece, DocumentSpec(id="id"), met) for row in block.texts]
    schema = pa.schema([("id", pa.string()), ("source", pa.string()), ("created_at", pa.timestamp("us", tz="UTC"))])
    attempt = Attempt(store, split, "run-1", "", schema, {"run": "run"})
    table = pa.table([pa.array(rows), pa.nulls(len(rows), pa.string()), pa.nulls(len(rows), schema.types[2])], schema=schema)
    attempt.add(table, (), Counter())
    attempt.commit(8, {}, [met])
    while_tagging = names.calls.copy()
    ledger.counts_of(store, Plan(1, 1, "hdfs://host/night", {}, (split,)), {split.name: f"tags/{split.name}.parquet"})
    changes = sum(while_tagging[one] for one in ("create", "complete", "block", "rename", "folder", "delete"))
    print(dict(while_tagging), dict(names.calls - while_tagging))
    assert changes == scale.NAMENODE_CHANGES
    assert names.calls.total() == scale.NAMENODE_CALLS


def simulated(workers):
    """A night with the page's splits for each of its 10,000 workers, on fewer of them, slow and fast, with faults."""
    slow, fast = scale.KINDS["English news"].card, scale.KINDS["English news"].speed
    speeds = [slow * (fast / slow) ** (n / workers) for n in range(workers)]
    splits = round(scale.parts("advised") * workers / scale.WORKERS)
    sizes = [scale.SPLIT_TOKENS["advised"]] * splits
    faults = Faults(deaths=0.01 / 3600, taken=0.01 / 3600, slow=0.0005, fail=1e-5, start_s=5.0)
    simulation = Simulation(speeds, faults, 1, known=True, tick_s=2.0)
    simulation.at(0.0, "arrive", (list(enumerate(sizes)), 0.0))
    report = simulation.run()
    bound = sum(sizes) / sum(speeds)
    lease_s = simulation.policy_s() / report.leases
    decided = report.leases / report.makespan
    print(
        f"{workers:,} workers, {splits:,} splits: {report.makespan:,.0f} s, {report.makespan / bound:.3f} of the bound; "
        f"{decided:.2f} leases/s wanted, {1 / lease_s:,.0f} leases/s possible"
    )
    assert sorted(report.order) == list(range(splits))
    assert report.makespan <= WITHIN * bound
    # A driver is busy with a hundredth of its time at most.
    assert decided * lease_s < 0.01
    assert report.copies < 0.1 * splits


def test_a_small_night_in_simulated_time():
    simulated(40)


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(600)
def test_a_night_in_simulated_time():
    simulated(WORKERS)
