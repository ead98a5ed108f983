"""Many seeds, one after the other; a failing one is shrunk, and shown with the command that replays it."""

from __future__ import annotations

import shutil
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from tests.faults.chaos import invariants
from tests.faults.chaos.corpus import Corpus, make
from tests.faults.chaos.schedule import Schedule, draw
from tests.faults.chaos.trial import Outcome, Trial
from tests.faults.chaos.world import World
from tests.support import hadoop


class Campaign:
    """A context: a world, and the outcomes of the seeds that were run in it. `say` shows a line."""

    def __init__(self, say: Callable[[str], object] = lambda line: None) -> None:
        self.world, self._say = World(), say
        self.outcomes: list[Outcome] = []
        self._golden: dict[int, tuple[Corpus, dict[str, Any]]] = {}

    def __enter__(self) -> Campaign:
        self.world.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        self.world.__exit__(*raised)

    def draw(self, seed: int, cheap: bool = False) -> Schedule:
        """The schedule of a seed, of what this machine has."""
        has_hdfs = hadoop.why_not() is None and not cheap
        return draw(seed, has_hdfs, self.world.has_disk, self.world.has_nets, cheap)

    def golden(self, number: int) -> tuple[Corpus, dict[str, Any]]:
        """A corpus, and what a run without faults makes of it."""
        if number not in self._golden:
            corpus = make(number)
            trial = Trial(self.world, Schedule(-1, number, "process", "local", False, ()), corpus, {})
            outcome = trial.run()
            assert not outcome.problems, outcome.problems
            self._golden[number] = corpus, invariants.content(invariants.files(self.world.open(trial.output)))
        return self._golden[number]

    def run(self, schedule: Schedule, off: str = "") -> Outcome:
        """One trial."""
        trial = Trial(self.world, schedule, *self.golden(schedule.corpus), off)
        try:
            trial.run()
        except Exception:  # noqa: BLE001 - the seeds after it are run all the same
            trial.outcome.problems.append(f"the harness: {traceback.format_exc()[-2000:]}")
            self.world.stop_ray()
        outcome = trial.outcome
        self.outcomes.append(outcome)
        return outcome

    def seeds(self, seeds: Iterable[int], cheap: bool = False) -> list[Outcome]:
        """Run seeds; gives those that failed, shrunk."""
        failed = []
        for seed in seeds:
            outcome = self.run(self.draw(seed, cheap))
            mark = "ok" if not outcome.problems else "FAILED"
            hits = ", ".join(f"{one.name} {one.what}".strip() for one in outcome.hits) or "none"
            self._say(f"seed {seed}: {mark}, {outcome.seconds:.0f} s, exit codes {outcome.codes}, hit: {hits}")
            if outcome.problems:
                failed.append(self.shrink(outcome))
                self._say(show(failed[-1]))
        return failed

    def shrink(self, outcome: Outcome) -> Outcome:
        """The same failure with fewer faults, as long as it fails."""
        number = 0
        while number < len(outcome.schedule.faults) and len(outcome.schedule.faults) > 1:
            smaller = self.run(outcome.schedule.without(number))
            if smaller.problems:
                outcome = smaller
            else:
                number += 1
        return outcome

    def table(self) -> str:
        """Seeds, faults by kind (drawn, and hit), documents lost and doubled."""
        drawn = Counter(one.name for outcome in self.outcomes for one in outcome.schedule.faults)
        hit = Counter(one.name for outcome in self.outcomes for one in outcome.hits)
        lines = [f"{'fault':<16}{'drawn':>7}{'hit':>7}"]
        lines += [f"{name:<16}{drawn[name]:>7}{hit[name]:>7}" for name in sorted(drawn)]
        lines.append(f"{'all':<16}{drawn.total():>7}{hit.total():>7}")
        crews = Counter(f"{one.schedule.crew} {one.schedule.place}" for one in self.outcomes)
        lines.append(", ".join(f"{count} {name}" for name, count in sorted(crews.items())))
        peaks = {kind: max(one.peaks[kind] for one in self.outcomes) >> 20 for kind in invariants.PEAK_BYTES}
        lines.append("peaks of memory, MB: " + ", ".join(f"{kind} {most}" for kind, most in peaks.items()))
        failed = sum(bool(one.problems) for one in self.outcomes)
        lost, doubled = (sum(getattr(one, name) for one in self.outcomes) for name in ("lost", "doubled"))
        lines.append(f"{len(self.outcomes)} runs of seeds, {failed} failed; documents lost {lost}, doubled {doubled}")
        return "\n".join(lines)


def show(outcome: Outcome) -> str:
    """A failure, and how to see it again."""
    again = f"again: make chaos SEED={outcome.schedule.seed} N=1"
    codes = f"exit codes {outcome.codes}"
    return "\n".join([f"{outcome.schedule}", *outcome.problems, codes, outcome.log[-4000:], again])


def main(seed: int, count: int) -> int:
    """`make chaos SEED=n N=k`."""
    shutil.which("redis-server") or sys.exit("no redis-server")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))  # the world is taken down all the same
    with Campaign(lambda line: print(line, flush=True)) as campaign:
        failed = campaign.seeds(range(seed, seed + count))
        print(campaign.table())
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]), int(sys.argv[2])))
