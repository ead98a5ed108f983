"""Outputs and inputs of any age, made without tagging, and what is asked of stores meanwhile."""

import json
import os
from collections import Counter
from contextlib import contextmanager
from functools import wraps

from pipeline.contract import Fragment, Split
from pipeline.nightly.config import load_night
from pipeline.sink.layout import PLANS
from pipeline.sink.plan_log import Plan, encode
from pipeline.sink.plans import PlanLog
from pipeline.store.local import LocalStore
from pipeline.trigger.batches import Landing
from tests.support.nights import conf_of
from tests.support.runs import run, write_lines

# What is renewed by the clock, and not by what is done.
CLOCKED = ("_claim", "_watch/claims")
CALLS = ("list", "survey", "stat", "open_read", "create_exclusive", "rename_no_overwrite", "delete", "swap_folders", "free_bytes")


def load_plans(store):
    """All plans of an output, whole and in order."""
    log = PlanLog(store)
    log.look()
    return [log.plan(head.number) for head in log.heads]


@contextmanager
def counted():
    """Calls of all local stores by name; those of claims, which a thread renews, are left out."""
    calls = Counter()
    usual = {name: getattr(LocalStore, name) for name in CALLS}

    def noted(name, call):
        @wraps(call)
        def counting(self, path="", *rest, **more):
            if not str(path).startswith(CLOCKED):
                calls[name] += 1
            return call(self, path, *rest, **more)

        return counting

    for name, call in usual.items():
        setattr(LocalStore, name, noted(name, call) if name != "free_bytes" else call)
    try:
        yield calls
    finally:
        for name, call in usual.items():
            setattr(LocalStore, name, call)


def grow(data, out, plans):
    """Let an output become as old as if it had tagged one file of `data` at a time, until it has so many plans."""
    if not (out / PLANS).exists():
        write_lines(data / "f000001.jsonl", "Ms Keller flew to Oslo.")
        run(data, out)
    first = load_plans(LocalStore(out))[0]
    name = f"plan-{first.number:06d}"
    record = json.loads((out / PLANS / f"{name}.done.json").read_text())
    part, runs = next((out / "tags").iterdir()), sorted((out / "_runs").iterdir())[:2]
    for number in range(len(list((out / PLANS).glob("*.parquet"))) + 1, plans + 1):
        path = data / f"f{number:06d}.jsonl"
        write_lines(path, "Ms Keller flew to Oslo.")
        stat = path.stat()
        piece = Fragment(path.name, "jsonl", 0, stat.st_size, stat.st_size, stat.st_mtime_ns, 10)
        plan = Plan(number, 1, first.root, first.settings, (Split(number, 0, (piece,)),))
        made = [{**record["made"][0], "name": plan.splits[0].name}]
        (out / PLANS / f"{plan.name}.parquet").write_bytes(encode(plan))
        (out / PLANS / f"{plan.name}.done.json").write_text(json.dumps({**record, "plan": number, "made": made}))
        os.link(part, out / "tags" / f"{plan.splits[0].name}.parquet")
        for one in runs:  # before the real ones
            os.link(one, out / "_runs" / f"0{number:07d}-{one.name}")


def finished_folders(top, count):
    """The settings of a watcher whose input has so many folders, all of which were run."""
    landing = top / "landing"
    for number in range(count):
        folder = landing / f"batch={number:05d}"
        folder.mkdir(parents=True)
        (folder / "a.jsonl").write_text("{}\n")
        (folder / "_SUCCESS").touch()
    config = load_night(conf_of(top, landing, top / "out"))
    records = top / "out" / "_watch" / "batches"
    records.mkdir(parents=True)
    for batch in Landing(config.tag, "_SUCCESS", "_manifest.json").look():
        (records / f"{batch.revision}.json").write_text("{}")
    return config
