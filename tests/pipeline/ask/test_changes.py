"""What has changed is seen in the listing; what the listing cannot tell is read."""

import os
from dataclasses import replace

import pytest

from pipeline.ask.changes import STEP_NS, changes
from pipeline.ask.generations import IndexedPart
from pipeline.errors import ConfigError
from pipeline.sink.attempt import read_footer
from pipeline.store.local import LocalStore
from tests.support.runs import run, write_lines

NOW_NS = 1_700_000_000 * 10**9


@pytest.fixture
def output(tmp_path):
    """Four parts whose times are ten seconds apart, as an index knows them."""
    for name in "abcd":
        write_lines(tmp_path / "in" / f"{name}.jsonl", f"A text of {name}.")
        run(tmp_path / "in", tmp_path / "out", keep_text=True)
    store = LocalStore(tmp_path / "out")
    for age, entry in enumerate(reversed(list(store.list("tags")))):
        at(store, entry.path, NOW_NS - age * 10**10)
    return store


def at(store, path, time_ns):
    os.utime(store.root / path, ns=(time_ns, time_ns))


def taken_in(store, found):
    """The parts as a build notes them."""
    new = {path: replace(part, attempt=read_footer(store, path)["attempt"]) for path, part in found.new.items()}
    return {**found.same, **new}


def test_what_is_new_is_not_asked_and_what_is_old_is_not_asked_again(output):
    first = changes(output, {})
    assert (len(first.new), first.same, first.gone, first.read) == (4, {}, [], 0)
    known = taken_in(output, first)
    again = changes(output, known)
    assert (again.new, again.gone) == ({}, [])
    assert again.read == 1, "only of the newest part the time may be that of two files"
    assert again.same == known


def test_a_part_that_was_replaced_is_seen_whatever_its_time(output):
    """By its time or size; with the same ones only if it was young when it was listed, and such a part is always read."""
    known = taken_in(output, changes(output, {}))
    old, *_, young = sorted(known)
    replaced = output.root / old
    replaced.write_bytes((output.root / young).read_bytes())
    at(output, old, NOW_NS - 5 * 10**10)
    found = changes(output, known)
    assert (list(found.new), found.gone) == ([old], [old])
    known = taken_in(output, found)
    data = (output.root / sorted(known)[1]).read_bytes()
    size = (output.root / young).stat().st_size
    (output.root / young).write_bytes(data)
    at(output, young, NOW_NS)
    known[young] = replace(known[young], size=len(data))  # as if both had one size, and one time
    found = changes(output, known)
    assert (size > 0, list(found.new), found.gone) == (True, [young], [young])


def test_a_part_with_another_time_and_the_same_content_stays(output):
    known = taken_in(output, changes(output, {}))
    path = min(known)
    at(output, path, NOW_NS - 6 * 10**10)
    found = changes(output, known)
    assert (found.new, found.gone, found.read) == ({}, [], 2)
    assert found.same[path] == replace(known[path], modified_ns=NOW_NS - 6 * 10**10)


def test_the_step_is_kept_to_the_nanosecond(output):
    paths = sorted(entry.path for entry in output.list("tags"))
    at(output, paths[0], NOW_NS - STEP_NS)
    at(output, paths[1], NOW_NS - STEP_NS + 1)
    new = changes(output, {}).new
    assert [new[path].modified_ns for path in paths[:2]] == [NOW_NS - STEP_NS, 0]


def test_what_is_gone_is_gone_and_an_output_may_be_empty(output, tmp_path):
    known = taken_in(output, changes(output, {}))
    gone = min(known)
    (output.root / gone).unlink()
    assert changes(output, {**known, "tags/part-9.parquet": IndexedPart("x")}).gone == [gone, "tags/part-9.parquet"]
    with pytest.raises(ConfigError, match="is it the output folder"):
        changes(LocalStore(tmp_path / "nothing"), {})
    for path in known:
        (output.root / path).unlink(missing_ok=True)
    assert changes(output, known).gone == sorted(known)
