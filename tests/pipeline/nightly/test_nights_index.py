"""Nights with an index: each ends with every part in it; what fails there costs neither tags nor reports."""

import json

import pytest

from pipeline.ask.search import PassageIndex
from pipeline.store.local import LocalStore
from tests.support.nights import DAYS, check, conf_of, manifests, nightly, runs, write_day
from tests.support.runs import rows


@pytest.fixture
def world(tmp_path):
    return tmp_path


def conf(world, keep_text=True):
    index = world / "answers"
    return conf_of(world, world / "in", world / "out", f'index = "{index}"', f"keep_text = {json.dumps(keep_text)}")


def found(world):
    return sorted(passage.id for passage in PassageIndex(world / "answers").search("Keller trip loved awful happened", 10_000))


@pytest.mark.parametrize("keep_text", [True, False])
def test_each_night_ends_with_every_document_in_the_index_once(world, keep_text):
    for number, day in enumerate(DAYS[:3], 1):
        write_day(world / "in", day)
        night = nightly(conf(world, keep_text), day)
        assert (night["index"]["generation"], night["index"]["added"]) == (number, 1)
        assert found(world) == sorted(row["id"] for row in rows(world / "out"))
    assert nightly(conf(world, keep_text), DAYS[2])["index"]["added"] == 0
    check(world / "out")


def test_an_index_that_fails_costs_neither_tags_nor_reports(world):
    write_day(world / "in", DAYS[0])
    (world / "answers").write_text("a file in the way")
    said = nightly(conf(world), DAYS[0], code=2)
    assert "the index is not up to date" in said
    assert len(rows(world / "out")) == 6
    assert len(manifests(world / "out", DAYS[0])) == 1
    (run,) = runs(world / "out", DAYS[0])
    assert (run["status"], run["exit_code"], run["index"]) == ("failed", 2, {})
    (world / "answers").unlink()
    assert nightly(conf(world), DAYS[0])["index"]["parts"] == 1
    assert len(found(world)) == 6


def test_what_was_tagged_is_indexed_though_something_else_has_failed(world):
    write_day(world / "in", DAYS[0])
    write_day(world / "in", DAYS[1])
    nightly(conf(world, keep_text=False), DAYS[0])
    changed = world / "in" / f"{DAYS[1]}-posts.jsonl"
    changed.write_text(changed.read_text().replace("Keller", "Miller"))  # planned, and now another file
    write_day(world / "in", DAYS[2])
    said = nightly(conf(world, keep_text=False), DAYS[2], code=4)
    assert changed.name in said
    assert {row["id"] for row in rows(world / "out")} == set(found(world))


def test_a_night_waits_for_who_makes_the_same_index(world):
    import threading

    write_day(world / "in", DAYS[0])
    begun, end = threading.Event(), threading.Event()

    def hold():
        with LocalStore(world / "answers").claim("_claim"):
            begun.set()
            end.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    assert begun.wait(30)
    threading.Timer(8, end.set).start()
    night = nightly(conf(world), DAYS[0])
    holder.join()
    assert end.is_set()
    assert night["index"]["parts"] == 1
