"""What a test leaves behind: processes, threads that the interpreter would wait for, files in the folder for temporary ones.

A process is ours if it descends from this one, or if it has our mark in its environment, as what was left by a parent that is
dead has. What a fixture of a module or of the session starts may stay until that fixture ends, with all that descends from it.
"""

import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

MARK = "TEXTMILL_TEST_SESSION"
SOON_S = 30.0  # what is told to end may take so long
# Started by the standard library or by Ray once for the whole process, and ended with it.
HELPERS = (b"multiprocessing.resource_tracker", b"multiprocessing.forkserver")
# Ray's agents look every half a minute whether their raylet lives; those of one that was killed are ended here.
AGENTS = (b"ray::DashboardAgent", b"ray::RuntimeEnvAgent")
# Made once for the whole process by torch (compiled code) and by ONNX Runtime.
CACHES = ("torchinductor_", ".ses")

Process = tuple[int, int]  # the id, and when it began: ids come again


def processes(mark: bytes) -> dict[Process, Process]:
    """Those of ours that live, each with its parent."""
    found, parents = {}, {}
    for folder in os.scandir("/proc") if os.path.isdir("/proc") else ():
        if not folder.name.isdigit():
            continue
        try:
            # The name, in brackets, may hold anything.
            state, parent, *rest = Path(folder.path, "stat").read_bytes().rpartition(b")")[2].split()
            if state in b"ZX":
                continue
            pid = int(folder.name)
            found[pid], parents[pid] = (pid, int(rest[17])), int(parent)
        except (OSError, ValueError):
            continue  # it has just ended
    ours = {}
    for pid, process in found.items():
        line = [pid]
        while (above := parents.get(line[-1], 0)) in found:
            line.append(above)
        if pid != os.getpid() and (os.getpid() in line or _marked(pid, mark)):
            ours[process] = found.get(parents[pid], (0, 0))
    return ours


def _marked(pid: int, mark: bytes) -> bool:
    try:
        return mark in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False


def _command(process: Process) -> bytes:
    try:
        return Path(f"/proc/{process[0]}/cmdline").read_bytes().replace(b"\0", b" ").strip()
    except OSError:
        return b""


class Leaks:
    """Knows what may be there, and until when; says what else there is."""

    def __init__(self, mark: str, folder: Path) -> None:
        self._mark, self._folder = f"{MARK}={mark}".encode(), folder
        self._known: set[object] = self._all()
        self._kept: dict[str, set[object]] = defaultdict(set)

    @contextmanager
    def kept(self, scope: str) -> Iterator[None]:
        """What comes in this block may stay until that scope is over."""
        before = self._all()
        try:
            yield
        finally:
            self._kept[scope] |= self._all() - before

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef):
        """A hook of a plugin, as pytest calls none of a conftest for fixtures of the session."""
        if fixturedef.scope == "function":
            return (yield)
        with self.kept("session" if fixturedef.scope == "session" else "module"):
            return (yield)

    def over(self, scope: str) -> None:
        """What was kept for it may not be there any more."""
        self._kept[scope].clear()

    def found(self, soon_s: float = SOON_S) -> list[str]:
        """What is there that should not be, after it had so long to end; each is told once."""
        until = time.monotonic() + soon_s
        while (new := {*self._processes(), *(self._threads() - self._may())}) and time.monotonic() < until:
            time.sleep(0.02)
        files = self._files() - self._may()
        self._known |= new | files
        return sorted([*map(_told, new), *(f"file {self._folder / name}" for name in files)])

    def _may(self) -> set[object]:
        return self._known.union(*self._kept.values())

    def _all(self) -> set[object]:
        return {*processes(self._mark), *self._threads(), *self._files()}

    def _threads(self) -> set[threading.Thread]:
        return {one for one in threading.enumerate() if not one.daemon}

    def _files(self) -> set[str]:
        return {name for name in os.listdir(self._folder) if not name.startswith(CACHES)}

    def _processes(self) -> set[Process]:
        there, may = processes(self._mark), self._may()
        allowed = {one for one in there if one in may}
        new = there.keys() - allowed
        for one in list(new):
            if _command(one).startswith(AGENTS) and there[one][0] == 1:
                with suppress(ProcessLookupError):
                    os.kill(one[0], signal.SIGKILL)
                new.discard(one)
        while below := {one for one in new if there[one] in allowed}:
            allowed, new = allowed | below, new - below
        return {one for one in new if not any(helper in _command(one) for helper in HELPERS)}


# Those of the session that runs.
present: list[Leaks] = []


@contextmanager
def kept(scope: str) -> Iterator[None]:
    """What comes in this block belongs to a fixture of that scope, though a test started it: a server that it restarts."""
    with ExitStack() as stack:
        for leaks in present:
            stack.enter_context(leaks.kept(scope))
        yield


def _told(one: object) -> str:
    if isinstance(one, threading.Thread):
        return f"thread {one.name}"
    pid, _ = one
    return f"process {pid}: {_command(one).decode(errors='replace')[:300]}"
