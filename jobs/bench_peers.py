"""Our reader beside those of others, on the same passages, in turns; each of the others in a Python of its own."""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pipeline.ask.asker import Asker
from pipeline.ask.readers import Readers
from pipeline.ask.reading import READ, QuestionReading
from pipeline.errors import ConfigError, JobFailedError

if TYPE_CHECKING:
    from pipeline.ask.search import Passage

# The script that times each peer, and what its Python needs.
PEERS = {
    "transformers": ("bench_transformers.py", "transformers 4.57 and torch"),
    "haystack": ("bench_haystack.py", "haystack-ai, transformers-haystack and torch"),
}
PASSAGES = (3, 10)
# Batches of a peer that are tried; the best counts.
BATCHES = (1, 8)
ONE_BY_ONE, ROUNDS = 30, 3
# Threads that have just worked go on spinning for a while, and would take the CPU of who comes next.
REST_S = 0.25
OURS, TILL_SURE = "ours", "ours till sure"
Pairs = list[tuple[str, str]]
Asked = list[tuple[str, list["Passage"]]]


class Peer:
    """A reader of somebody else, in a process of its own, to be used in a `with`.

    Args:
        name: A key of PEERS.
        python: Python that has what it needs.
        threads: Threads that it may use.
    """

    def __init__(self, name: str, python: Path, threads: int) -> None:
        self._script, self._needs = PEERS[name]
        self._python, self._threads = python, threads

    def __enter__(self) -> Peer:
        """Begin."""
        command = [str(self._python), str(Path(__file__).with_name(self._script)), str(self._threads)]
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        except OSError as error:
            raise ConfigError(f"{self._python}: {error.strerror}; name a Python that has {self._needs}") from error
        try:
            self.seconds([("who?", "nobody.")] * 4)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End."""
        self._end()

    def _end(self) -> None:
        with suppress(BrokenPipeError), self._process:
            self._process.kill()

    def seconds(self, pairs: Pairs) -> float:
        """Have pairs read.

        Args:
            pairs: Questions, each with a passage; those of one question stand together.

        Returns:
            The seconds that it took, in the better of its batches.

        Raises:
            JobFailedError: The process has ended.
        """
        return min(self._seconds(pairs, batch) for batch in BATCHES)

    def _seconds(self, pairs: Pairs, batch: int) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # it has died; its silence tells
            print(json.dumps([batch, pairs]), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise JobFailedError(f"{self._python} has failed, see above; it needs {self._needs}")
        return float(line)


def against(answers: Path, questions: Sequence[str], pythons: Mapping[str, Path], say: Callable[[str], object]) -> dict[str, Any]:
    """Time our reader and others on the same passages, in turns.

    Args:
        answers: Folder of an index.
        questions: What is asked.
        pythons: Peer -> the Python that has it.
        say: Hears what is done.

    Returns:
        By number of passages the milliseconds of a question (medians), ours and each peer's, and our ratio to each; and of ten
        passages of many questions the questions a second and the ratios. "till sure" is ours as `textmill ask` reads: the best
        passages first, and the others only if these leave it unsure.

    Raises:
        ConfigError: A Python is not there.
        JobFailedError: A peer has failed.
    """
    from models.runtime.engines import default_threads
    from models.runtime.reader import load_reader
    from pipeline.ask.search import PassageIndex

    index, reader = PassageIndex(answers), load_reader("qa-en")
    asked = [(question, index.search(question, max(PASSAGES))) for question in questions]
    asked = [(question, passages) for question, passages in asked if len(passages) == max(PASSAGES)]
    say(f"{', '.join(pythons)}: {len(asked)} questions")

    def ours(some: Asked) -> float:
        pairs = _pairs(some)
        return _timed(lambda: reader.read([question for question, _ in pairs], [text for _, text in pairs]))

    with ExitStack() as peers:
        asker = Asker(index, Readers(lambda lang: reader))
        timed: dict[str, Callable[[Asked], float]] = {
            OURS: ours,
            TILL_SURE: lambda some: _timed(lambda: _till_sure(asker, some)),
        }
        for name, python in pythons.items():
            peer = peers.enter_context(Peer(name, python, default_threads()))
            timed[name] = lambda some, peer=peer: peer.seconds(_pairs(some))  # type: ignore[misc]

        def medians(loads: list[Asked]) -> dict[str, float]:
            took = [{name: _rested(time_of, some) for name, time_of in timed.items()} for some in loads]
            return {name: statistics.median(one[name] for one in took) for name in timed}

        found: dict[str, Any] = {}
        for count in PASSAGES:
            loads = [[(question, passages[:count])] for question, passages in asked[:ONE_BY_ONE]]
            found[f"{count} passages, ms"] = _beside({name: 1000 * took for name, took in medians(loads).items()}, 1.0)
        took = medians([asked] * ROUNDS)
        found["questions a second"] = _beside({name: len(asked) / seconds for name, seconds in took.items()}, -1.0)
    return found


def _pairs(asked: Asked) -> Pairs:
    return [(question, passage.text) for question, passages in asked for passage in passages]


def _rested(time_of: Callable[[Asked], float], some: Asked) -> float:
    time.sleep(REST_S)
    return time_of(some)


def _timed(work: Callable[[], object]) -> float:
    """The better of as many times as a peer has."""
    took = []
    for _ in BATCHES:
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return min(took)


def _till_sure(asker: Asker, asked: Asked) -> None:
    """Read questions together, each until its answer is sure."""
    readings = [QuestionReading(question, passages[:READ], 0, asker.min_score) for question, passages in asked]
    while unsure := [one for one in readings if one.wanted()]:
        asker.read(unsure)


def _beside(figures: dict[str, float], power: float) -> dict[str, float]:
    """Figures with the ratios by which ours are better, of those of which less (1) or more (-1) is better."""
    ratios = {
        f"{mine} to {name}": (value / figures[mine]) ** power
        for mine in (OURS, TILL_SURE)
        for name, value in figures.items()
        if name not in (OURS, TILL_SURE)
    }
    return {name: round(value, 2) for name, value in {**figures, **ratios}.items()}
