"""What goes first: urgent files, also such that come while the run lasts; and what a run remembers for the next."""

import json
from pathlib import Path

import pytest

from pipeline.config import load_config
from pipeline.errors import ConfigError
from pipeline.sink.manifest import known_speed
from pipeline.sink.plans import PlanLog
from pipeline.sink.token_ratios import tokens_per_byte
from pipeline.store.local import LocalStore
from pipeline.worker.worker import TagWorker
from tests.support.runs import rows, run, write_lines


@pytest.fixture
def order(monkeypatch):
    """The files in the order in which a worker took them up; `order.then` is called when it has done one."""

    class Order(list):
        then = None

    found, work = Order(), TagWorker.run

    def noted(self, split, *rest, **more):
        found.append([piece.path for piece in split.fragments])
        done = work(self, split, *rest, **more)
        if found.then is not None:
            found.then()
        return done

    monkeypatch.setattr(TagWorker, "run", noted)
    return found


def test_urgent_files_go_first_and_share_no_split_with_others(tmp_path, order):
    for name in ("a", "b", "c/urgent", "d"):
        write_lines(tmp_path / "in" / f"{name}.jsonl", "Ms Keller lives in Cork.")
    result = run(tmp_path / "in", tmp_path / "out", priorities={"*urgent*": 2.0})
    assert order == [["c/urgent.jsonl"], ["a.jsonl", "b.jsonl", "d.jsonl"]]
    parts = sorted(json.loads(Path(result.manifest).read_text())["parts"], key=lambda part: -part["priority"])
    assert [(part["priority"], part["rows"]) for part in parts] == [(2.0, 1), (0.0, 3)]
    assert 0 < parts[0]["waited_s"] <= parts[1]["waited_s"]


def test_what_comes_during_the_run_is_taken_on_and_may_overtake(tmp_path, order):
    for name in "abcd":
        write_lines(tmp_path / "in" / f"{name}.jsonl", *[f"Ms Keller of {name} lives in Cork."] * 40)

    def late():
        order.then = None
        write_lines(tmp_path / "in" / "late.jsonl", "Paris.")
        write_lines(tmp_path / "in" / "urgent.jsonl", "Oslo.")

    order.then = late
    result = run(tmp_path / "in", tmp_path / "out", priorities={"urgent*": 1.0}, look_s=1e-6, split_tokens=600)
    taken = [path.removesuffix(".jsonl") for paths in order for path in paths]
    assert sorted(taken) == ["a", "b", "c", "d", "late", "urgent"]
    assert taken.index("urgent") == 1
    assert (result.rows_out, result.status) == (162, "finished")
    assert len(rows(tmp_path / "out")) == 162
    assert len(list((tmp_path / "out" / "_plans").glob("*.done.json"))) == 2
    assert json.loads(Path(result.manifest).read_text())["plans"] == [1, 2]


def test_without_looks_new_files_wait_for_the_end(tmp_path, order):
    write_lines(tmp_path / "in" / "a.jsonl", "Cork.")
    order.then = lambda: write_lines(tmp_path / "in" / "b.jsonl", "Paris.") if len(order) == 1 else None
    run(tmp_path / "in", tmp_path / "out", look_s=0.0)
    assert order == [["a.jsonl"], ["b.jsonl"]]


def test_of_several_globs_the_highest_counts():
    config = load_config(None, (), {"sources": ["x"], "output": "y", "priority": 0.5, "priorities": {"*.csv": 1, "a/*": 2}})
    assert [config.priority_of(path) for path in ("b.txt", "b.csv", "a/b.csv")] == [0.5, 1.5, 2.5]
    with pytest.raises(ConfigError, match="priorities"):
        load_config(None, (), {"sources": ["x"], "output": "y", "priorities": {"*": "high"}})


def test_a_run_remembers_how_fast_its_workers_were(tmp_path):
    write_lines(tmp_path / "in" / "a.jsonl", *[f"Ms Keller lives in Cork, house {i}." for i in range(50)])
    result = run(tmp_path / "in", tmp_path / "out")
    store = LocalStore(tmp_path / "out")
    digest = json.loads(Path(result.manifest).read_text())["model_digest"]
    assert known_speed(store, digest, 1) > 0
    assert known_speed(store, digest, 2) is None
    assert known_speed(store, "another", 1) is None
    for number, damaged in enumerate((b"{", b"\xff", b"[]", b'{"threads": 1}', b"")):  # damaged metrics are no reason to stop
        (tmp_path / "out" / "_runs" / f"9999{number}.metrics.json").write_bytes(damaged)
    assert known_speed(store, digest, 1) > 0
    write_lines(tmp_path / "in" / "b.jsonl", "Cork.")
    assert run(tmp_path / "in", tmp_path / "out").status == "finished"


def test_servers_want_workers():
    with pytest.raises(ConfigError, match="give --workers or --address"):
        load_config(None, (), {"sources": ["x"], "output": "y", "servers": 1})


def log_of(store):
    log = PlanLog(store)
    log.look()
    return log


def test_a_plan_remembers_how_many_tokens_a_byte_holds(tmp_path):
    folder, out, store = tmp_path / "in", tmp_path / "out", LocalStore(tmp_path / "out")
    write_lines(folder / "a.jsonl", *[f"Ms Keller, of whom everybody speaks, lives in Cork, house {i}." for i in range(200)])
    run(folder, out)
    assert set(tokens_per_byte(log_of(store))) == {"jsonl"}
    write_lines(folder / "c.jsonl", *[f"Mr Keller, of whom nobody speaks, lives in Oslo, house {i}." for i in range(200)])
    result = run(folder, out)
    plans = [log_of(store).plan(number) for number in (1, 2)]
    assert sum(split.tokens for split in plans[0].splits) != pytest.approx(result.tokens, rel=0.1)
    assert sum(split.tokens for split in plans[1].splits) == pytest.approx(result.tokens, rel=0.02)


def test_parts_with_files_of_two_kinds_tell_nothing_of_either(tmp_path):
    write_lines(tmp_path / "in" / "a.jsonl", *[f"Ms Keller lives in house {i}." for i in range(200)])
    (tmp_path / "in" / "b.txt").write_text("".join(f"She lives in house {i}.\n" for i in range(200)))
    run(tmp_path / "in", tmp_path / "out")
    store = LocalStore(tmp_path / "out")
    assert tokens_per_byte(log_of(store)) == {}
