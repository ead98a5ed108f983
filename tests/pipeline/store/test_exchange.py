"""Folders and files change names on a file system that cannot do it in one step, and wherever a process is killed between two."""

import ctypes
import errno
import os

import pytest

from pipeline.errors import FolderError, MissingError, StoreError, TakenError
from pipeline.store import local
from pipeline.store.local import LocalStore
from tests.support.stores import read, write


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture(params=[errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP], ids=["EINVAL", "ENOSYS", "EOPNOTSUPP"])
def store(request, tmp_path, monkeypatch):
    """A store whose file system refuses the flags of renameat2."""

    class Refusing:
        def renameat2(self, *_):
            ctypes.set_errno(request.param)
            return -1

    monkeypatch.setattr(local.ctypes, "CDLL", lambda *_, **__: Refusing())
    return LocalStore(tmp_path)


def paths(store):
    return [entry.path for entry in store.list()]


def killed_after(monkeypatch, steps):
    rename, done = os.rename, []

    def renamed(*given):
        if len(done) == steps:
            raise Killed
        done.append(given)
        rename(*given)

    monkeypatch.setattr(os, "rename", renamed)


def test_two_folders_change_names(store):
    write(store, "_next/tags/new")
    write(store, "tags/old")
    store.recover_swap("_next/tags", "tags")
    store.swap_folders("_next/tags", "tags")
    assert paths(store) == ["_next/tags/old", "tags/new"]
    assert sorted(os.listdir(store.root)) == ["_next", "tags"]


@pytest.mark.parametrize(("steps", "left"), [(0, "before"), (1, "before"), (2, "after"), (3, "after")])
def test_an_exchange_that_was_killed_is_taken_back_or_finished(store, monkeypatch, steps, left):
    write(store, "_next/tags/new")
    write(store, "tags/old")
    with monkeypatch.context() as killing:
        killed_after(killing, steps)
        if steps < 3:
            with pytest.raises(Killed):
                store.swap_folders("_next/tags", "tags")
        else:
            killing.setattr(LocalStore, "_end_of_steps", lambda _: (_ for _ in ()).throw(Killed))
            with pytest.raises(Killed):
                store.swap_folders("_next/tags", "tags")
    for times in range(2):
        if times == 0 and steps in (1, 2):
            with monkeypatch.context() as killing:  # the one that settles is killed, too
                killed_after(killing, 0)
                with pytest.raises(Killed):
                    store.recover_swap("_next/tags", "tags")
        store.recover_swap("_next/tags", "tags")
        wanted = {"before": ["_next/tags/new", "tags/old"], "after": ["_next/tags/old", "tags/new"]}[left]
        assert paths(store) == wanted
        assert sorted(os.listdir(store.root)) == ["_next", "tags"]


def test_a_folder_that_is_not_there_is_said_before_anything_is_done(store):
    write(store, "tags/old")
    with pytest.raises(MissingError):
        store.swap_folders("_next/tags", "tags")
    assert paths(store) == ["tags/old"]


def test_a_folder_is_renamed_and_overwrites_nothing(store):
    write(store, "day.new/a", b"new")
    write(store, "file")
    write(store, "day/b")
    with pytest.raises(FolderError):
        store.rename_no_overwrite("day.new", "day")
    with pytest.raises(TakenError):
        store.rename_no_overwrite("day.new", "file")
    with pytest.raises(MissingError):
        store.rename_no_overwrite("absent", "other")
    store.rename_no_overwrite("day.new", "reports/day")
    assert read(store, "reports/day/a") == b"new"
    with pytest.raises(TakenError):
        store.rename_no_overwrite("file", "reports/day/a")
    store.rename_no_overwrite("file", "other")
    assert paths(store) == ["day/b", "other", "reports/day/a"]


def test_other_errors_of_the_call_are_told(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(local, "_renameat2", refused)
    store = LocalStore(tmp_path)
    write(store, "a/x")
    write(store, "b/x")
    with pytest.raises(StoreError, match=r"\(EXDEV\)") as caught:
        store.swap_folders("a", "b")
    assert (type(caught.value), caught.value.exit_code) == (StoreError, 4)
