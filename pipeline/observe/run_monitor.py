"""What a run sees and shows of itself while it lasts: progress, state, metrics, the stage that limits it, and its budget of
dead letters.
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
    """`parts` are those that were heard of, `waited` what the manifest says of each beside: its priority, and the seconds from
    when its split was known to when it was there; `workers` as many as there are on Ray, 0 for this process; `near` the leases
    that went where their data lies.
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
        """The work is done on Ray."""
        self.workers, self._gauges = workers, gauges

    def expect(self, splits: Sequence[Split], priority: Callable[[Split], float]) -> None:
        """More work."""
        now = time.monotonic()
        self._expected |= {split.name: (split.tokens, priority(split), now) for split in splits}
        self._progress.expect(sum(split.tokens for split in splits), len(splits))

    def check(self) -> None:
        """To be called several times a second. Raises KeyboardInterrupt when the run is to stop, ClaimedError when it must."""
        self._stop.check()
        self.held()
        self._progress.show()
        self._state.show(self._progress.state)
        if self._stop.told():
            self._progress.say(str(self._verdict()["text"]))

    def told(self, step: BlockStats) -> None:
        """Work that is done. Raises TooManyDeadLettersError if that is obviously not the input that the run was told of."""
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
        """Why most dead letters are some, with what may help, to stand behind their number."""
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
        """A part is there; of copies every one is told."""
        self.parts.append(part)
        if (expected := self._expected.pop(part.name, None)) is not None:
            tokens, priority, since = expected
            self.waited[part.name] = {"priority": priority, "waited_s": round(time.monotonic() - since, 2)}
            self._progress.part(tokens)

    def seen(self, view: dict[str, Any]) -> None:
        """What is to be told of the workers."""
        self.near = int(view["near"])
        self._progress.view(view)
        if self._gauges is not None:
            self._gauges.show(self._progress.state())

    def close(self) -> None:
        """The run has ended."""
        self._state.close()

    def _verdict(self) -> dict[str, object]:
        return describe_bottleneck(self._stages, time.monotonic() - self._began, self.workers, self._model)
