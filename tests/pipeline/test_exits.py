"""One table from errors to exit codes and remedies: every error that can be raised is in it, and means the same everywhere."""

import errno
import inspect
import pickle

import pytest

import models.errors
import pipeline.run.run
from jobs import cli
from pipeline import errors, exits
from pipeline.errors import Cancelled, InputError, PipelineError, StoreError
from pipeline.exits import BUG, SETTINGS, TRY_AGAIN, exit_of
from pipeline.store.os_errors import error_type
from tests.support.runs import run, write_lines


def tree(root):
    return [root, *(one for kind in root.__subclasses__() for one in tree(kind))]


OURS = [kind for kind in tree(PipelineError) if kind.__module__.startswith(("pipeline", "jobs"))]


def made(kind):
    return kind("path", "message") if issubclass(kind, (StoreError, InputError)) else kind("message")


@pytest.mark.parametrize("kind", OURS, ids=lambda kind: kind.__name__)
def test_every_error_of_ours_is_in_the_table_by_itself(kind):
    if kind.__module__ == "pipeline.errors":
        assert kind in exits.REMEDIES
    found = exit_of(made(kind))
    assert found.code == kind.exit_code
    assert found.code in (2, 3, 4)
    assert len(found.remedy) > 10


def test_the_tree_in_the_docstring_is_the_tree():
    lines = [line for line in errors.__doc__.splitlines() if "exit" in line or "|" in line or "`--" in line]
    named = {word: line for line in lines for word in line.split() if word.endswith("Error")}
    assert set(named) == {kind.__name__ for kind in OURS if kind.__module__ == "pipeline.errors"}
    for name, line in named.items():
        if "exit " in line:
            assert f"exit {getattr(errors, name).exit_code}" in line


def test_errors_of_models():
    for kind in tree(models.errors.ModelError):
        assert exit_of(kind("x")).code == (BUG if kind.__name__ == "GateFailedError" else SETTINGS)


def test_every_error_number_means_the_same_bare_and_translated():
    """What may pass is tried again; what nobody knows is not, for ever."""
    for number in errno.errorcode:
        bare, ours = exit_of(OSError(number, "x")), exit_of(error_type(number)("path", "x"))
        assert bare.code == ours.code, errno.errorcode[number]
    again = {errno.errorcode[number] for number in errno.errorcode if exit_of(OSError(number, "x")).code == TRY_AGAIN}
    assert {"EIO", "ESTALE", "ENOSPC", "EDQUOT", "ETIMEDOUT", "ECONNRESET"} <= again
    assert not again & {"EACCES", "EPERM", "EINVAL", "ENOENT", "ENAMETOOLONG", "EBADF", "ENOSYS", "ELOOP"}
    assert exit_of(OSError("no number")).code == 4


def test_errors_of_ray_are_never_a_bug_of_ours():
    exceptions = pytest.importorskip("ray.exceptions")
    kinds = [kind for kind in vars(exceptions).values() if inspect.isclass(kind) and issubclass(kind, exceptions.RayError)]
    assert len(kinds) > 30
    for kind in kinds:
        assert exit_of(kind.__new__(kind)).code in (SETTINGS, TRY_AGAIN), kind


def test_an_error_that_crosses_ray_is_what_it_was_there():
    exceptions = pytest.importorskip("ray.exceptions")
    for cause, code in ((OSError(errno.ENOSPC, "full"), 3), (OSError(errno.EACCES, "no"), 4), (errors.ConfigError("x"), 2)):
        crossed = pickle.loads(pickle.dumps(cause))
        told = exceptions.RayTaskError("run", "a traceback", crossed)
        assert exit_of(told).code == exit_of(told.as_instanceof_cause()).code == code
    for kind in OURS:
        assert exit_of(pickle.loads(pickle.dumps(made(kind)))) == exit_of(made(kind))


def test_others():
    assert exit_of(MemoryError()).code == TRY_AGAIN
    assert exit_of(ModuleNotFoundError("x")).code == SETTINGS
    assert exit_of(KeyboardInterrupt()).code == 130
    assert exit_of(ZeroDivisionError()).code == BUG
    lost = Cancelled()
    lost.__cause__ = errors.LostClaimError("x")
    assert exit_of(lost).code == TRY_AGAIN


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 3, "free space, then run the command again"),
        (MemoryError(), 3, "MemoryError: MemoryError; free memory"),
        (errors.ConfigError("--x: wrong"), 2, "textmill: --x: wrong\n"),
        (ModuleNotFoundError("No module named 'ray'", name="ray"), 2, "[ray]'"),
    ],
)
def test_the_command_says_what_to_do(error, code, said, monkeypatch, capsys):
    def fails(argv):
        error.add_note("and one thing more")
        raise error

    monkeypatch.setattr(cli, "app", fails)
    with pytest.raises(SystemExit) as ended:
        cli.main([])
    assert ended.value.code == code
    shown = capsys.readouterr().err
    assert said.rstrip() in shown
    assert shown.endswith("and one thing more\n")


def test_a_bug_is_told_with_its_traceback(monkeypatch):
    def fails(argv):
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "app", fails)
    with pytest.raises(ZeroDivisionError):
        cli.main([])


def test_a_manifest_that_cannot_be_written_does_not_hide_what_was_wrong_before(tmp_path, monkeypatch):
    write_lines(tmp_path / "in" / "a.jsonl", "Ms Keller flew to Oslo.")

    def full(*given, **more):
        raise errors.NoSpaceError("_runs/x.json", "the disk is full")

    monkeypatch.setattr(pipeline.run.run, "write_manifest", full)
    with pytest.raises(errors.NoSpaceError):
        run(tmp_path / "in", tmp_path / "out")

    def wrong(self, *given):
        self.plans.append(1)
        raise errors.ConfigError("what was wrong")

    monkeypatch.setattr(pipeline.run.run._Run, "_tag", wrong)
    with pytest.raises(errors.ConfigError, match="what was wrong") as raised:
        run(tmp_path / "in", tmp_path / "other")
    assert raised.value.__notes__ == ["and the run's manifest could not be written: _runs/x.json: the disk is full"]


def test_of_several_failures_the_number_is_told(tmp_path):
    for name in "abc":
        write_lines(tmp_path / "in" / f"{name}.jsonl", f"Ms Keller flew to Oslo, {name}.")
    run(tmp_path / "in", tmp_path / "out")
    for name in "ab":
        write_lines(tmp_path / "in" / f"{name}.jsonl", f"Mr Keller flew to Cork instead, {name}.")
    with pytest.raises(errors.InputChangedError) as raised:
        run(tmp_path / "in", tmp_path / "out")
    assert "and 1 more of that kind or another" in raised.value.__notes__[0]
