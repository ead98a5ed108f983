"""Lets the faults of a schedule come about, in their time, and what was paused or cut off come back."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from pipeline.errors import StoreError
from pipeline.sink.layout import CLAIM
from pipeline.store.claim import Claim
from tests.faults.chaos import processes
from tests.faults.chaos.corpus import Corpus
from tests.faults.chaos.observer import Observer
from tests.faults.chaos.processes import send
from tests.faults.chaos.schedule import PACE, Fault, Schedule
from tests.faults.chaos.world import STORE, World

# What a node consists of: there when the first part is, and made anew after it was hit.
_NODE = ("gcs", "raylet", "agent", "environment")
INSIDE = ("point", "cut", "clock")
SECOND_TRIES, SECOND_S = 12, 180.0


class Injector:
    """`begin`, `step` as long as the attempt lasts, `end`; then the next attempt. `another` starts a second driver.

    `followed`: a second driver has had the claim in this attempt. `problems` says what went wrong with second drivers.
    """

    def __init__(
        self,
        world: World,
        schedule: Schedule,
        corpus: Corpus,
        observer: Observer,
        data: Path,
        output: str,
        another: Callable[[str], subprocess.Popen[bytes]],
    ) -> None:
        self._world, self._schedule, self._corpus, self._observer = world, schedule, corpus, observer
        self._data, self._output, self._another = data, output, another
        self._times = {path: (data / path).stat().st_mtime_ns for path in corpus.files}
        self._due: list[tuple[float, Callable[[], object]]] = []
        self._resumed: set[str] = set()
        self.followed = False
        self.problems: list[str] = []

    def arm(self, wanted: Sequence[Fault]) -> dict[str, str]:
        """Write down the faults inside the processes; gives what a driver needs more in its environment."""
        points = [one.what for one in wanted if one.kind in ("point", "cut")]
        self._world.faults.write_text(",".join([PACE, *points]))
        clocks = [one.what for one in wanted if one.kind == "clock"]
        return {"TEXTMILL_CHAOS_CLOCK_S": clocks[0]} if clocks else {}

    def begin(self, wanted: Sequence[Fault], driver: subprocess.Popen[bytes]) -> None:
        """An attempt has begun."""
        self._driver, self.followed = driver, False
        self._wanted = list(wanted)
        self._pending = [one for one in wanted if one.kind not in INSIDE]
        self._hit = [one for one in wanted if one.kind == "clock"]
        self._marked = self._marks()

    def step(self) -> None:
        """What is to happen now."""
        self._watch_marks()
        self.bring_back()
        for fault in list(self._pending):
            if self._observer.parts >= fault.after and getattr(self, f"_{fault.kind}")(fault):
                self._pending.remove(fault)
                self._hit.append(fault)

    def end(self) -> list[Fault]:
        """The faults that came about in the attempt."""
        self._watch_marks()
        fresh = self._marks() - self._marked
        return [*self._hit, *(one for one in self._wanted if one.kind in ("point", "cut") and one.what in fresh)]

    def bring_back(self, all_: bool = False) -> None:
        """What was paused or cut off, if its time is over."""
        for one in list(self._due):
            if all_ or time.monotonic() > one[0]:
                self._due.remove(one)
                one[1]()

    def repair(self, hit: Sequence[Fault]) -> None:
        """What an operator does between two attempts, beside what `World.ready` does."""
        if self._world.has_disk:
            self._world.free_disk()
        for path in (one.what.partition(" ")[2] for one in hit if one.kind == "file"):
            (self._data / path).write_bytes(self._corpus.files[path])
            os.utime(self._data / path, ns=(self._times[path], self._times[path]))

    def _later(self, seconds: float, call: Callable[[], object]) -> None:
        self._due.append((time.monotonic() + seconds, call))

    def _marks(self) -> set[str]:
        return {one.name for one in self._world.marks.iterdir()}

    def _watch_marks(self) -> None:
        """Processes that have stopped themselves at a point go on in time."""
        for fault in self._schedule.faults:
            mark = self._world.marks / fault.what
            if fault.kind not in ("point", "cut") or fault.what in self._resumed or not mark.exists():
                continue
            if not fault.what.endswith("=stop") or not (text := mark.read_text()):
                continue
            self._resumed.add(fault.what)
            pid, _, staged = text.partition(" ")
            if fault.kind == "cut":
                self._cut(staged)
            self._later(fault.seconds, lambda pid=int(pid): send(pid, signal.SIGCONT))

    def _cut(self, staged: str) -> None:
        """Cut short what the process that has stopped has closed and not yet looked at again; what others have staged may have
        been looked at already.
        """
        for path in Path(self._output, staged).rglob("*.parquet"):
            os.truncate(path, path.stat().st_size * 2 // 3)

    # By the kind of fault; each gives whether it has come about.

    def _signal(self, fault: Fault) -> bool:
        name, _, kind = fault.what.partition(" ")
        if kind in _NODE and not self._observer.parts:
            return False
        if not (found := self._targets(kind)):
            return False
        chosen = found[self._schedule.seed % len(found)]
        if kind in _NODE:
            self._world.break_ray()
        if name == "STOP":
            self._later(fault.seconds, lambda: send(chosen, signal.SIGCONT))
        return send(chosen, signal.Signals[f"SIG{name}"])

    def _targets(self, kind: str) -> list[int]:
        """Process ids; of those that each node has not the head's, if there are others."""
        if kind == "driver":
            return [self._driver.pid]
        if kind == "redis":  # it writes its title over its environment
            assert self._world.redis is not None
            return [self._world.redis.process.pid]
        found = [one.pid for one in processes.living(self._world.mark) if one.kind == kind]
        return found[1:] or found if kind in _NODE else found

    def _partition(self, fault: Fault) -> bool:
        if not self._observer.parts:
            return False
        node = int(fault.what)
        self._world.break_ray()
        self._world.cut_off(node, True)
        self._later(fault.seconds, lambda: self._world.cut_off(node, False))
        return True

    def _disk(self, fault: Fault) -> bool:
        self._world.fill_disk()
        return True

    def _file(self, fault: Fault) -> bool:
        what, _, path = fault.what.partition(" ")
        (self._data / path).unlink()
        if what == "replace":
            (self._data / path).write_bytes(self._corpus.files[path][:-20])
        return True

    def _second(self, fault: Fault) -> bool:
        """Pause the driver; another one comes, again and again until it may. Resume the first while the other works (early), or
        when that has ended (late).
        """
        stops = {one.what for one in self._wanted if one.what.endswith("=stop")}
        if not self._observer.parts or stops - self._marks() or not self._has_claim():
            return False  # it has no claim yet, or is to be paused at a point
        self._driver.send_signal(signal.SIGSTOP)
        if not self._has_claim():  # it was about to end
            self._driver.send_signal(signal.SIGCONT)
            return False
        before = self._observer.parts
        for number in range(SECOND_TRIES):
            second = self._another(f"second-{number}")
            until = time.monotonic() + SECOND_S
            while second.poll() is None and (fault.what == "late" or self._observer.parts < before + 2):
                assert time.monotonic() < until, "a second driver hangs"
                time.sleep(0.02)
            if second.returncode != 3:
                break
            time.sleep(STORE["lease_s"] / 4)
        self._driver.send_signal(signal.SIGCONT)
        self.followed = second.wait(SECOND_S) != 3
        lost = second.returncode == 4 and any(one.kind == "file" for one in self._schedule.faults)
        if second.returncode not in (0, 3) and not lost:
            self.problems.append(f"I7: a second driver ends with {second.returncode}")
        return True

    def _has_claim(self) -> bool:
        """Whether the attempt's driver holds the output's claim; parts alone do not say so, they may be an earlier attempt's."""
        with suppress(StoreError, OSError):
            holder = Claim(self._world.open(self._output), CLAIM, 1.0).holder() or ""
            return holder.startswith(f"process {self._driver.pid} on ")
        return False
