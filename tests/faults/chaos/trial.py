"""One seed: runs under the faults of its schedule until one ends well, then all invariants."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.faults.chaos import invariants, processes
from tests.faults.chaos.corpus import SPLIT_TOKENS, Corpus
from tests.faults.chaos.injection import Injector
from tests.faults.chaos.observer import Observer
from tests.faults.chaos.processes import send
from tests.faults.chaos.schedule import PACE, Fault, Schedule
from tests.faults.chaos.world import RAY_KINDS, World
from tests.support import ROOT

ATTEMPTS = 6
# An attempt that takes so long hangs; a process that should be gone has so long.
HANGS_S, GONE_S = 180.0, 90.0
NO_WORKERS_S = 60
# A run waits so long for a head that is gone (Ray's own minute, after which it ends a run without asking, stays); one that hangs
# can be asked where.
DRIVER_ENV = {"RAY_gcs_rpc_server_reconnect_timeout_s": "20", "PYTHONFAULTHANDLER": "1"}


@dataclass(slots=True)
class Outcome:
    """`hits`: the faults that came about; `codes`: how the attempts ended; `peaks`: memory in bytes by kind of process."""

    schedule: Schedule
    problems: list[str] = field(default_factory=list)
    hits: list[Fault] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    peaks: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    doubled: int = 0
    seconds: float = 0.0
    log: str = ""


class Trial:
    """`run` gives the outcome. `off`: what is switched off in the product, see site/sitecustomize.py."""

    def __init__(self, world: World, schedule: Schedule, corpus: Corpus, golden: dict[str, Any], off: str = "") -> None:
        self.world, self.schedule, self.corpus, self.golden, self.off = world, schedule, corpus, golden, off
        self.outcome = Outcome(schedule)
        self._number = 0
        self._retagged: set[str] = set()  # files that are not what they were when they were tagged

    def run(self) -> Outcome:
        began = time.monotonic()
        world, schedule = self.world, self.schedule
        self.data, self.out, self.logs = (world.folder / name for name in ("in", "out", "logs"))
        for folder in (self.data, self.out, self.logs):
            shutil.rmtree(folder, ignore_errors=True)
        self.logs.mkdir()
        for mark in world.marks.iterdir():
            mark.unlink()
        world.ready(schedule.crew, schedule.place)
        self._services = {one.pid for one in processes.living(world.mark)}
        if schedule.seed % 4:
            world.forget()
        self._put_input()
        self.store = world.open(self.output)
        self.observer = Observer(self.store, world.mark)
        self.observer.start()
        self.injector = Injector(world, schedule, self.corpus, self.observer, self.data, self.output, self._start_second)
        try:
            self._attempts()
        finally:
            self.injector.bring_back(all_=True)
            self.observer.close()
            self.outcome.seconds = time.monotonic() - began
        self._check_end()
        self._remove()
        return self.outcome

    # Places

    def _put_input(self) -> None:
        for path, data in self.corpus.files.items():
            (self.data / path).parent.mkdir(parents=True, exist_ok=True)
            (self.data / path).write_bytes(data)
        self.input, self.output = str(self.data), str(self.out)
        if self.schedule.place.startswith("hdfs"):
            assert self.world.hdfs is not None
            self.output = f"{self.world.hdfs.url}/{self.world.mark}/out{self.schedule.seed}"
            self.world.open(self.output).delete("")
        if self.schedule.place == "hdfs":
            self.input = f"{self.world.hdfs.url}/{self.world.mark}/in{self.schedule.seed}"
            store = self.world.open(self.input)
            store.delete("")
            for path, data in self.corpus.files.items():
                with store.create_exclusive(path) as stream:
                    stream.write(data)
        if self.schedule.place == "disk":
            self.output = str(self.world.disk / "out")
            shutil.rmtree(self.output, ignore_errors=True)

    def _remove(self) -> None:
        for url in (self.input, self.output):
            if "://" in url:
                self.world.open(url, retry_s=6.0).delete("")
        if self.schedule.place == "disk":
            shutil.rmtree(self.output, ignore_errors=True)

    # Attempts

    def _command(self, crew: str) -> list[str]:
        schedule, world = self.schedule, self.world
        command = [sys.executable, "-m", "jobs", "tag", self.input, self.output, "--model", "en-fast", "--id-column", "id"]
        command += ["--threads", "1", "--split-tokens", str(SPLIT_TOKENS), "--look-s", "0"]
        command += ["--set", f"cache.redis_url={world.redis_url}"]
        command += ["--set", f"no_workers_s={NO_WORKERS_S}", *self._store_sets()]
        if crew == "workers":
            command += ["--workers", "2"]
        elif crew == "cluster":
            command += ["--address", str(world.address)]
        command += [more for path in sorted(self._retagged) for more in ("--retag-files", path)]
        return command + (["--servers", "1"] if schedule.servers and crew != "process" else [])

    def _store_sets(self) -> list[str]:
        given = self.world.store_config(self.schedule.place).model_dump(mode="json", exclude_defaults=True)
        return [more for key, value in given.items() for more in ("--set", f"store.{key}={json.dumps(value)}")]

    def _start(self, crew: str, name: str, **env: str) -> subprocess.Popen[bytes]:
        with (self.logs / f"{name}.out").open("wb") as out, (self.logs / f"{name}.err").open("wb") as err:
            environment = {**os.environ, **DRIVER_ENV, "TEXTMILL_CHAOS_OFF": self.off, **env}
            return subprocess.Popen(self._command(crew), stdout=out, stderr=err, env=environment, cwd=ROOT)

    def _start_second(self, name: str) -> subprocess.Popen[bytes]:
        return self._start("process", f"{self._number}-{name}", TEXTMILL_FAULT=PACE)

    def _read(self, name: str) -> str:
        return (self.logs / name).read_text(errors="replace")

    def _attempts(self) -> None:
        for self._number in range(ATTEMPTS):
            self.world.ready(self.schedule.crew, self.schedule.place)
            code, hit = self._attempt(self._wanted())
            self._check_code(f"attempt {self._number}", code, hit)
            self.injector.repair(hit)
            replaced = {one.what.partition(" ")[2] for one in hit if one.kind == "file"}
            self._retagged |= replaced
            if code == 0 and not replaced:
                return
        # The last word: no fault any more.
        self._number = ATTEMPTS
        self.world.ready(self.schedule.crew, self.schedule.place)
        code, hit = self._attempt([])
        if code != 0:
            self.outcome.problems.append(f"I7: a run without faults ends with {code}: {self._read(f'{self._number}.err')[-600:]}")

    def _wanted(self) -> list[Fault]:
        """The faults of this attempt, and those of earlier ones that have not come about."""
        return [one for one in self.schedule.faults if one.attempt <= self._number and one not in self.outcome.hits]

    def _attempt(self, wanted: list[Fault]) -> tuple[int, list[Fault]]:
        env = self.injector.arm(wanted)
        driver = self._start(self.schedule.crew, str(self._number), **env)
        self.injector.begin(wanted, driver)
        until = time.monotonic() + HANGS_S
        while driver.poll() is None:
            self.injector.step()
            if time.monotonic() > until:
                self._hangs(driver)
                break
            time.sleep(0.02)
        code, hit = driver.wait(), self.injector.end()
        self.outcome.hits += hit
        self.outcome.codes.append(code)
        return code, hit

    def _hangs(self, driver: subprocess.Popen[bytes]) -> None:
        driver.send_signal(signal.SIGCONT)
        driver.send_signal(signal.SIGABRT)  # its threads' stacks go to its stderr
        driver.wait()
        said = self._read(f"{self._number}.err")
        self.outcome.problems.append(f"attempt {self._number} hangs for {HANGS_S:.0f} s:\n{said[-6000:]}")

    # Checks

    def _check_code(self, name: str, code: int, hit: list[Fault]) -> None:
        """I7: the exit code is one that the faults explain, and 0 only when all is there."""
        said = self._read(f"{self._number}.err")
        whats = " ".join(one.what for one in hit)
        disturbed = bool(hit or self.outcome.hits)
        explained = {
            0: not self.injector.followed,
            3: disturbed,
            4: ("=drop" in whats and "documents were read" in said)
            or any(one.kind == "file" and one.what.partition(" ")[2] in said for one in hit),
            130: "TERM driver" in whats or "=term" in whats,
        }
        ended = code < 0 and any(word in whats for word in ("driver", "=kill", "=term", "gcs"))
        if not ended and not explained.get(code, False):
            self.outcome.problems.append(f"I7: {name} ends with {code}: {said[-1500:]}")
        if code == 0:
            self._check_done(name)

    def _check_done(self, name: str) -> None:
        result = json.loads(self._read(f"{self._number}.out"))
        if result["status"] not in ("finished", "nothing to do") or result["failures"]:
            self.outcome.problems.append(f"I7: {name} ends with 0 and says {result['status']}, {result['failures']}")
        if result["status"] == "finished":
            with self.store.open_read(result["manifest"].removeprefix(f"{self.store.url}/")) as stream:
                manifest = json.load(stream)
            for key in ("status", "rows_out", "dead_letters", "filtered"):
                if manifest[key] != result[key]:
                    self.outcome.problems.append(f"I7: {name}: the manifest says {key} {manifest[key]}, the run {result[key]}")

    def _check_end(self) -> None:
        problems, world = self.outcome.problems, self.world
        world.ready("process", self.schedule.place)
        self._check_gone()
        self.store = world.open(self.output, retry_s=6.0)
        before = invariants.files(self.store)
        self.outcome.lost, self.outcome.doubled = invariants.lost_and_doubled(before, self.corpus)
        problems += invariants.check(before, self.corpus, self.golden, self.schedule.servers)
        self._check_again(before)
        self.observer._store = self.store
        self.observer.look(again=True)
        problems += [*self.injector.problems, *self.observer.problems]
        self.outcome.peaks = self.observer.peaks
        problems += invariants.check_peaks(self.observer.peaks)
        for log in sorted(self.logs.glob("*.err")):
            text = log.read_text(errors="replace")
            problems += invariants.check_log(log.name, text)
            self.outcome.log += f"--- {log.name}\n{text[-1500:]}\n"
        for log in [*world.folder.glob("r*/session*/logs/*.err"), *world.folder.glob("r*/session*/logs/*.out")]:
            if not log.is_symlink():
                problems += invariants.check_log(log.name, log.read_text(errors="replace"))

    def _check_again(self, before: dict[str, bytes]) -> None:
        """I4: a further run changes nothing and says so. The product's own check finds nothing either."""
        self.world.faults.write_text("")
        self._retagged.clear()
        again = self._start("process", "again")
        again.wait(HANGS_S)
        said = self._read("again.out")
        if again.returncode or json.loads(said)["status"] != "nothing to do":
            text = f"I4: a further run ends with {again.returncode}: {said} {self._read('again.err')[-600:]}"
            self.outcome.problems.append(text)
        command = [sys.executable, "-m", "jobs", "verify", self.output, *self._store_sets()]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANGS_S, check=False)
        if done.returncode:
            self.outcome.problems.append(f"I6: textmill verify ends with {done.returncode}: {done.stderr[-600:]}")
        after = invariants.files(self.store)
        kept = {path for path in {*before, *after} if not path.startswith(("_runs/", "_claim"))}
        if changed := sorted(path for path in kept if before.get(path) != after.get(path)):
            self.outcome.problems.append(f"I4: a further run has changed {changed}")

    def _check_gone(self) -> None:
        """I8: of all runs no process is left."""
        kinds = {"driver", "worker", "server", "reader", "isolated", "other"}
        if self.schedule.crew != "cluster":
            kinds |= RAY_KINDS
        until = time.monotonic() + GONE_S
        while left := [one for one in processes.living(self.world.mark) if one.kind in kinds and one.pid not in self._services]:
            if time.monotonic() > until:
                names = Counter(one.kind for one in left)
                self.outcome.problems.append(f"I8: processes are left: {dict(names)} {[one.command[:150] for one in left][:3]}")
                for one in left:
                    send(one.pid, signal.SIGKILL)
                return
            time.sleep(0.1)
