"""What a run sees and shows of itself while it lasts.

Progress, state, metrics, the stage that limits it, and its budget of dead letters.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from pipeline.config import TagConfig
from pipeline.contract import REASONS, PartResult, Split
from pipeline.errors import TooManyDeadLettersError
from pipeline.observe.bottleneck import describe_bottleneck
from pipeline.observe.heartbeat import Heartbeat
from pipeline.observe.progress import Progress
from pipeline.observe.ray_gauges import RayGauges
from pipeline.signals import StopToken
from pipeline.worker.stage_clock import STAGES
from pipeline.worker.worker import BlockStats


class RunMonitor:
    """Hears what happens in a run, shows it, and ends the run when it is to stop or spends its budget of dead letters.

    Args:
        options: Settings of the run.
        progress: Shows figures to the user.
        stop: Tells whether a signal has asked the run to stop.
        state: Writes the state of the run into the output.
        model: Name of the model.

    Attributes:
        parts: Parts that were heard of, copies included.
        waited: What the manifest says of a part beside its figures, by the part's name: `priority`, and in `waited_s` the
            seconds from when its split was known to when the part was there.
        workers: Number of workers on Ray; 0 for this process.
        near: Leases that went to a machine where their data lies.
        held: Called by `check`; set it to a function that raises once the output is another run's.
    """

    def __init__(self, options: TagConfig, progress: Progress, stop: StopToken, state: Heartbeat, model: str) -> None:
        self.parts: list[PartResult] = []
        self.waited: dict[str, dict[str, float]] = {}
        self.workers, self.near = options.workers, 0
        self.held: Callable[[], None] = lambda: None  # raises ClaimedError once the output is another run's
        self._options, self._progress, self._stop, self._state, self._model = options, progress, stop, state, model
        self._gauges: RayGauges | None = None
        self._stages = dict.fromkeys(STAGES, 0.0)
        self._began = time.monotonic()
        self._reasons: Counter[str] = Counter()
        self._lost = 0  # documents for which dead letters stand beside themselves
        self._expected: dict[str, tuple[int, float, float]] = {}  # part -> predicted tokens, priority, time

    def use(self, workers: int, gauges: RayGauges) -> None:
        """Note that the work is done on Ray.

        Args:
            workers: Number of workers.
            gauges: Show the figures as metrics of Ray.
        """
        self.workers, self._gauges = workers, gauges

    def expect(self, splits: Sequence[Split], priority: Callable[[Split], float]) -> None:
        """Add splits that are to be done; the time that they wait counts from now.

        Args:
            splits: The new splits.
            priority: Gives the priority of a split.
        """
        now = time.monotonic()
        self._expected |= {split.name: (split.tokens, priority(split), now) for split in splits}
        self._progress.expect(sum(split.tokens for split in splits), len(splits))

    def check(self) -> None:
        """Show progress and state if it is time, and end the run if it is to stop; to be called several times a second.

        What `held` raises is passed on.

        Raises:
            KeyboardInterrupt: A signal has asked the run to stop.
        """
        self._stop.check()
        self.held()
        self._progress.show()
        self._state.show(self._progress.state)
        if self._stop.told():
            self._progress.say(str(self._verdict()["text"]))

    def told(self, step: BlockStats) -> None:
        """Count work that is done on a split.

        Args:
            step: What one block came to.

        Raises:
            TooManyDeadLettersError: Dead letters, or documents lost in damaged files, are more than the budget in number and in
                share: the input is not what the run was told.
        """
        for stage, spent in step.seconds.items():
            self._stages[stage] += spent
        progress, options = self._progress, self._options
        progress.limits = str(self._verdict()["limits"])
        self._reasons.update(step.reasons)
        progress.add(step.documents, step.tokens, step.dead_letters, step.filtered, step.predicted)
        dead, seen = progress.dead_letters, progress.documents + progress.dead_letters + progress.filtered
        self._lost += step.lost
        self._check_lost(dead, seen)
        if dead > options.dead_letter_count and dead > options.dead_letter_share * seen:
            raise TooManyDeadLettersError(
                f"{dead:,} of {seen:,} documents are dead letters, more than {options.dead_letter_share:.0%} and "
                f"{options.dead_letter_count:,}{self.hint()}; look into "
                f"{options.output}/dead_letters, or allow more with --dead-letter-share and --dead-letter-count"
            )

    def hint(self) -> str:
        """Give the most frequent reason of dead letters, and what may help, to stand behind their number in a message.

        Returns:
            The text, which begins with a comma; "" if no reason was heard of.
        """
        if not self._reasons:
            return ""
        reason, count = self._reasons.most_common(1)[0]
        asked = f"; is {self._options.columns.text!r} the text column?" if reason == "no_text" else ""
        return f", {count:,} of them {reason} ({REASONS[reason]}){asked}"

    def _check_lost(self, dead: int, seen: int) -> None:
        """One damaged file that is large counts for as much as it held, among all that is planned: it may be the first one."""
        lost, options = self._lost, self._options
        whole = lost + seen + int(max(1, seen) * self._progress.left())
        if lost and lost + dead > options.dead_letter_count and lost > options.dead_letter_share * whole:
            raise TooManyDeadLettersError(
                f"about {lost:,} of {whole:,} documents are lost in damaged files, more than {options.dead_letter_share:.0%} and "
                f"{options.dead_letter_count:,}: {options.output}/dead_letters says which; mend them, or allow more with "
                "--dead-letter-share and --dead-letter-count"
            )

    def done(self, part: PartResult) -> None:
        """Note that a part is there; if copies of a split were done, each of them is told, and the first counts as progress.

        Args:
            part: The part, and what it took.
        """
        self.parts.append(part)
        if (expected := self._expected.pop(part.name, None)) is not None:
            tokens, priority, since = expected
            self.waited[part.name] = {"priority": priority, "waited_s": round(time.monotonic() - since, 2)}
            self._progress.part(tokens)

    def seen(self, view: dict[str, Any]) -> None:
        """Take over what is to be told of the workers, and set the gauges.

        Args:
            view: As `pipeline.fleet.driver.drive` gives it to `seen`.
        """
        self.near = int(view["near"])
        self._progress.view(view)
        if self._gauges is not None:
            self._gauges.show(self._progress.state())

    def close(self) -> None:
        """End the state in the output; the run has ended."""
        self._state.close()

    def _verdict(self) -> dict[str, object]:
        return describe_bottleneck(self._stages, time.monotonic() - self._began, self.workers, self._model)
