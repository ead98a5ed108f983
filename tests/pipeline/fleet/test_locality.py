"""On which machine a split's data lies."""

import logging

import pytest

from pipeline.contract import Fragment, Split
from pipeline.errors import UnavailableError
from pipeline.fleet import locality
from pipeline.fleet.locality import DataLocality
from pipeline.store.base import BlockLocation

A, B, C = ("a", "10.0.0.1"), ("b", "10.0.0.2"), ("c", "10.0.0.3")
MB = 1 << 20


def piece(path, start, end, size, kind="jsonl"):
    return Fragment(path, kind, start, end, size, 0, max(1, end - start))


def split(number, *pieces):
    return Split(1, number, pieces)


class Told:
    """A store that knows no more than where blocks lie."""

    def __init__(self, **files):
        self.files, self.asked = files, []

    def block_locations(self, path, size):
        self.asked.append(path)
        if isinstance(self.files[path], Exception):
            raise self.files[path]
        return self.files[path]


def test_a_split_lies_where_most_of_it_lies():
    store = Told(x=[BlockLocation(0, 10 * MB, (A,)), BlockLocation(10 * MB, 20 * MB, (B, C))])
    one, two, three = (split(i, piece("x", i * 6 * MB, (i + 1) * 6 * MB, 20 * MB)) for i in range(3))
    found = DataLocality(store)([one, two, three])
    assert found[one.name] == A
    assert found[two.name] == A  # 4 of 6 MB
    assert found[three.name] in (B, C)
    assert store.asked == ["x"]


def test_replicas_share_the_work():
    store = Told(x=[BlockLocation(0, 90 * MB, (A, B, C))])
    found = DataLocality(store)([split(i, piece("x", i * MB, (i + 1) * MB, 90 * MB)) for i in range(90)])
    assert sorted(found.values()) == [A] * 30 + [B] * 30 + [C] * 30


def test_packed_files_and_stores_that_tell_nothing_have_no_place():
    store = Told(x=[BlockLocation(0, MB, (A,))], y=[], z=[BlockLocation(0, MB, (B,))])
    packed = split(0, *(piece(name, 0, MB, MB) for name in "xyz"))
    unknown = split(1, piece("y", 0, MB, MB))
    assert DataLocality(store)([packed, unknown]) == {}
    assert store.asked == ["y"]


def test_row_groups_lie_where_their_file_lies():
    store = Told(x=[BlockLocation(0, 10 * MB, (A,)), BlockLocation(10 * MB, 15 * MB, (B,))])
    assert list(DataLocality(store)([split(0, piece("x", 3, 4, 15 * MB, "parquet"))]).values()) == [A]


def test_a_store_that_does_not_answer_costs_a_warning(caplog):
    store = Told(x=UnavailableError("x", "no answer"), y=[BlockLocation(0, MB, (A,))])
    near = DataLocality(store)
    with caplog.at_level(logging.WARNING, "textmill"):
        assert near([split(0, piece("x", 0, MB, MB))]) == {}
        assert near([split(1, piece("y", 0, MB, MB))]) == {}
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "where the blocks lie is not known, so that workers read from any machine"
    ]
    assert store.asked == ["x"]


@pytest.mark.parametrize("limit", [0.0, 10.0])
def test_no_more_is_asked_when_the_time_is_up(monkeypatch, limit):
    monkeypatch.setattr(locality, "LIMIT_S", limit)
    store = Told(x=[BlockLocation(0, MB, (A,))])
    assert DataLocality(store)([split(0, piece("x", 0, MB, MB))]) == ({"part-000001-00000": A} if limit else {})
