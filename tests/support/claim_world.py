"""Machines that take, renew and release one claim, stopped and let go on at every call of the store, in a time that is simulated.

Each operation runs in a thread of its own, and only while it is told to: from one call of the store to the next. So any order of
the calls of several machines can be had, with any time between two of them.
"""

import threading
from contextlib import contextmanager
from dataclasses import replace

from pipeline.errors import ClaimedError, LostClaimError, StoreError, UnavailableError
from pipeline.store.claim import Claim
from pipeline.store.owner import Owner

CLAIM_S, GRACE_S = 60.0, 2.0


class Killed(BaseException):
    """The test is over."""


class SimulatedStore:
    """A machine's view of a store: it may be stopped before every call and behind a creation, and times are whole seconds, as on
    S3, of the simulated clock."""

    def __init__(self, machine):
        self.machine, self.inner, self.world = machine, machine.world.store, machine.world
        self.url = self.inner.url

    def _when(self, entry):
        return entry and replace(entry, modified_ns=int(self.world.made.get(entry.path, self.world.now_s)) * 10**9)

    def list(self, folder=""):
        self.machine.stop()
        return iter([self._when(entry) for entry in self.inner.list(folder)])

    def stat(self, path):
        self.machine.stop()
        return self._when(self.inner.stat(path))

    def open_read(self, path):
        self.machine.stop()
        return self.inner.open_read(path)

    def delete(self, path):
        self.machine.stop()
        self.inner.delete(path)

    @contextmanager
    def create_exclusive(self, path):
        self.machine.stop()
        with self.inner.create_exclusive(path) as stream:
            made_s = self.world.now_s
            if self.inner.stat(path) is not None:  # on local disks it is there before it is written
                self.world.made[path] = made_s
            yield stream
            self.machine.stop()
            made_s = self.world.now_s
        self.world.made[path] = made_s
        self.machine.stop()
        if self.machine.loses_answers:
            self.machine.loses_answers -= 1
            raise UnavailableError(path, "no answer came")


class Machine:
    """One owner, elsewhere for all others."""

    def __init__(self, world, name):
        self.world, self.name = world, name
        self.claim = Claim(
            SimulatedStore(self), "claim", CLAIM_S, Owner(name, "elsewhere", 1, f"boot of {name}", 1), lambda: world.now_s
        )
        self.thread, self.error, self.loses_answers = None, None, 0
        self._go, self._stopped, self._killed = threading.Semaphore(0), threading.Semaphore(0), False

    @property
    def busy(self):
        return self.thread is not None

    @property
    def believes(self):
        """Whether its check passes; asking changes nothing, as a machine need not ask at that moment."""
        lost = self.claim._lost
        try:
            self.claim.check()
        except LostClaimError:
            return False
        finally:
            self.claim._lost = lost
        return True

    def begin(self, operation):
        """Begin to take, renew or release; it stands before its first call."""
        self.error = None
        self.thread = threading.Thread(target=self._run, args=(getattr(self.claim, operation),), daemon=True)
        self.thread.start()
        self._stopped.acquire()
        self._ended()

    def step(self, calls=1):
        """Go on for so many calls, or to the end."""
        for _ in range(calls):
            if not self.busy:
                return
            self._go.release()
            self._stopped.acquire()
            self._ended()
            self.world.look()

    def finish(self):
        while self.busy:
            self.step()

    def do(self, operation):
        """All of it at once; gives the error, or None."""
        self.begin(operation)
        self.finish()
        return self.error

    def kill(self):
        self._killed = True
        while self.busy:
            self._go.release()
            self._stopped.acquire()
            self._ended()

    def stop(self):
        """Called in the operation's thread."""
        if self._killed:
            raise Killed
        self._stopped.release()
        self._go.acquire()
        if self._killed:
            raise Killed

    def _run(self, operation):
        try:
            operation()
        except (ClaimedError, StoreError) as error:
            self.error = error
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 - shown by the machine that tells it to go on
            self.error = error
        self.over = True
        self._stopped.release()

    def _ended(self):
        if getattr(self, "over", False):
            self.over = False
            self.thread.join()
            self.thread = None
            if self.error is not None and not isinstance(self.error, ClaimedError | StoreError):
                raise self.error


class World:
    """A store, a clock, machines."""

    def __init__(self, store, machines=3):
        self.store, self.now_s, self.made = store, 1e6, {}
        self.names = iter(range(1_000_000))
        self.machines = [self.fresh() for _ in range(machines)]
        self.gone = []
        self.owners = {}  # by number

    def fresh(self):
        return Machine(self, f"m{next(self.names)}")

    def replace(self, number):
        """The machine dies: what it was doing is never gone on with."""
        self.gone.append(self.machines[number])
        self.machines[number] = self.fresh()

    def wait(self, seconds):
        self.now_s += seconds
        self.look()

    def look(self):
        """At most one believes that it holds the claim, and its number is a new one, the highest ever."""
        working = [machine for machine in self.machines if machine.believes]
        assert len(working) <= 1, [(machine.name, machine.claim.number) for machine in working]
        for machine in working:
            assert machine.claim.number >= max(self.owners, default=0)
            assert self.owners.setdefault(machine.claim.number, machine.name) == machine.name

    def close(self):
        for machine in (*self.machines, *self.gone):
            machine.kill()


def play(world, random, moves=8):
    """A schedule of `random`: one machine holds the claim, or did; then again and again one is stopped where it hurts, while time
    passes and others work."""

    def work(machine):
        if machine.claim._lost:
            machine.claim.release()
        machine.do("take" if not machine.claim.number else random.choice(["renew", "release"]))

    world.now_s += random.random()
    first = world.machines[0]
    first.do("take")
    world.wait(random.choice([1.0, 50.0, 63.0]))
    if random.random() < 0.3:
        first.do("release")
    for _ in range(moves):
        stopped = random.choice(world.machines)
        if stopped.claim._lost:
            stopped.claim.release()
        stopped.begin("renew" if stopped.claim.number else "take")
        stopped.step(random.randrange(10))
        world.wait(random.choice([0.4, 13.0, 50.0, 63.0]))
        for _ in range(random.randrange(4)):
            other = random.choice([machine for machine in world.machines if machine is not stopped])
            work(other)
            world.wait(random.choice([0.4, 0.4, 13.0, 50.0]))
        stopped.finish()
        world.wait(random.choice([0.4, 13.0]))
