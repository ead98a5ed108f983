"""The process that keeps an index up to date: how often it tries again what has failed."""

import time
from types import SimpleNamespace

from pipeline.ask import index_process
from pipeline.ask.index_process import IndexOrder, Patience, looks
from tests.support.runs import run, write_lines

SEEN = (("tags/a.parquet", 10, 1),)


def test_a_look_that_failed_waits_ten_times_its_length_and_ten_minutes_at_most():
    short, long = Patience.after(SEEN, 100.0, 103.0), Patience.after(SEEN, 100.0, 400.0)
    assert (short.until, long.until) == (133.0, 1000.0)
    assert short.is_vain(SEEN, 132.9)
    assert not short.is_vain(SEEN, 133.0)
    assert not short.is_vain((*SEEN, ("tags/b.parquet", 10, 2)), 104.0)
    assert not short.is_vain((("tags/a.parquet", 10, 2),), 104.0)
    assert not Patience().is_vain((), 0.0)
    assert not Patience.after((), 100.0, 103.0).is_vain((), 104.0)  # it was not even listed


def test_what_failed_is_built_again_when_there_is_more_and_not_before(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    write_lines(tmp_path / "in" / "a.jsonl", "Tom Reed went to Cork.")
    run(tmp_path / "in", tmp_path / "out")
    (tmp_path / "in" / "a.jsonl").unlink()  # its text is not kept, and not to be read again
    built = []
    build = index_process.build_index

    def counted(*args, **kwargs):
        built.append(time.monotonic())
        return build(*args, **kwargs)

    monkeypatch.setattr(index_process, "build_index", counted)
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 20:
            write_lines(tmp_path / "in" / "b.jsonl", "Anna Berg went to Oslo.")
            run(tmp_path / "in" / "b.jsonl", tmp_path / "out")

    monkeypatch.setattr(index_process, "_TIMES", 1e6)
    monkeypatch.setattr(index_process, "time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))
    found = looks(IndexOrder(str(tmp_path / "out"), str(tmp_path / "answers"), {}, every_s=15.0))
    first, second = next(found), next(found)
    assert "a.jsonl" in first.error
    assert "a.jsonl" in second.error
    assert first.exit_code == second.exit_code == 4
    assert len(built) == 2
    assert len(slept) >= 20
