"""The worker: splits in, published parts out. One class, used in this process and inside a Ray actor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from uuid import uuid4

from models.runtime.package import open_models
from pipeline.cache.settings import CacheConfig
from pipeline.contract import Block, DocumentSpec, PartResult, Split
from pipeline.faults import point
from pipeline.sink.attempt import Attempt
from pipeline.source.blocks import coalesce
from pipeline.source.cursors import Cursors
from pipeline.source.lost_files import Losses, LostFileError, losses_of, read_skipping_lost
from pipeline.source.prefetch import read_ahead
from pipeline.source.read_counts import ReadCounts
from pipeline.store.open import open_store
from pipeline.store.os_errors import error_of_system
from pipeline.store.retrying_client import noticed
from pipeline.store.settings import StoreConfig
from pipeline.worker.isolated import SubprocessTagger
from pipeline.worker.split_progress import SplitProgress
from pipeline.worker.stage_clock import StageClock
from pipeline.worker.tagging import BlockTagger
from pipeline.worker.tally import tally


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What a worker must know of a run; small, and the same for all splits.

    Attributes:
        source: URL of the input's root.
        output: URL of the output.
        folder: Folder of the generation that parts go into, with a slash behind it; "" for the current one.
        about: What the footer of each part says of the run.
        servers: Actors that compute for all workers.
    """

    source: str
    output: str
    columns: DocumentSpec
    model: str
    engine: str
    threads: int | None
    run: str
    folder: str
    about: dict[str, Any]
    servers: tuple[Any, ...] = ()  # actors that compute for all workers
    cache: CacheConfig = field(default_factory=CacheConfig)
    store: StoreConfig = field(default_factory=StoreConfig)


@dataclass(frozen=True, slots=True)
class BlockStats:
    """What one block came to.

    Attributes:
        predicted: Tokens that were predicted for it, see `SplitProgress`.
        seconds: Time by stage.
        reasons: How many dead letters have which reason.
        lost: Documents that the dead letters seem to stand for beside themselves.
    """

    documents: int
    tokens: int
    dead_letters: int
    filtered: int
    predicted: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    lost: int = 0


class TagWorker:
    """Holds a loaded model; `run` makes a part of a split.

    Args:
        work: What the worker must know of the run.
    """

    def __init__(self, work: WorkerSpec) -> None:
        from models.runtime.load import load

        self._work = work
        self._source, self._output = (open_store(url, work.store) for url in (work.source, work.output))
        self._cursors = Cursors()
        tagger = load(work.model, engine=work.engine, threads=work.threads)  # type: ignore[arg-type]
        if work.servers:
            from pipeline.serving.remote_engine import RemoteEngine

            for one in tagger.each:
                one.engine = RemoteEngine(work.servers, one.lang, one.engine)
        # What is shared is filed under the model that this node has, whatever the run says of it.
        digest = open_models(work.model).digest if work.cache.redis_url is not None else ""
        self._tagging = BlockTagger(tagger, work.columns, work.cache, digest)

    def run(
        self,
        split: Split,
        check: Callable[[], object] | None = None,
        tell: Callable[[BlockStats], object] | None = None,
        isolated: bool = False,
    ) -> PartResult:
        """Read, tag and publish a split.

        Args:
            split: The split.
            check: Called often; what it raises ends the work without a trace.
            tell: Hears of every block.
            isolated: Whether the model works in a process of its own, as somebody has died over this split.

        Returns:
            The part, which is in place.

        Raises:
            StoreError: Input or output fails; errors of the system are StoreErrors too, so that they mean the same wherever they
                are caught.
            TaggerBrokenError: The model fails on any text.
            LostDocumentsError: Fewer documents came out than were read.
            OutputError: The output is not as it should be.
        """
        try:
            return self._run_isolated(split, check, tell, isolated)
        except OSError as error:
            raise error_of_system(split.name, error) from error

    def _run_isolated(
        self, split: Split, check: Callable[[], object] | None, tell: Callable[[BlockStats], object] | None, isolated: bool
    ) -> PartResult:
        if not isolated:
            return self._run(split, check, tell)
        usual, child = self._tagging.tagger, SubprocessTagger(self._work.model, self._work.engine, self._work.threads)
        try:
            self._tagging.tagger = child
            return self._run(split, check, tell)
        finally:
            self._tagging.tagger = usual
            child.close()

    def _run(self, split: Split, check: Callable[[], object] | None, tell: Callable[[BlockStats], object] | None) -> PartResult:
        """A file that turns out to be lost is left out, and the split begun anew."""
        losses: Losses = {}
        while True:
            try:
                return self._once(split, losses, check, tell)
            except LostFileError as error:
                losses = {**losses_of(self._source, split.fragments), **losses, **error.losses}

    def _once(
        self, split: Split, losses: Losses, check: Callable[[], object] | None, tell: Callable[[BlockStats], object] | None
    ) -> PartResult:
        work, clock = self._work, StageClock()
        known = Counter(noticed)
        name, about = f"{work.run}-{uuid4().hex[:12]}", {"plan": split.plan, **work.about}
        attempt = Attempt(self._output, split, name, work.folder, self._tagging.schema, about)
        tokens, reasons, far = 0, Counter[str](), SplitProgress(split.fragments)
        try:
            met = [ReadCounts() for _ in split.fragments]
            with closing(self._blocks(split, met, losses, check)) as blocks:
                for block in clock.waited("read", coalesce(blocks)):
                    if point("block.read"):
                        continue
                    stats = self._tag_block(block, attempt, clock, far, check)
                    tokens += stats.tokens
                    reasons.update(stats.reasons)
                    if tell is not None:
                        tell(stats)
            with clock.stage("write"):
                troubles = Counter({name: count - known[name] for name, count in noticed.items()})
                attempt.add(self._tagging.schema.empty_table(), (), +troubles)
                published = attempt.commit(tokens, clock.seconds, met)
        except BaseException:
            attempt.abort()
            raise
        return replace(published, cache=self._tagging.cache.told(), reasons=dict(reasons))

    def _blocks(
        self, split: Split, met: Sequence[ReadCounts], losses: Losses, check: Callable[[], object] | None
    ) -> Generator[Block]:
        """The blocks of a split's fragments, read ahead; `met` counts what each fragment holds."""
        readers = [
            partial(read_skipping_lost, self._source, piece, self._work.columns, one, losses, self._cursors)
            for piece, one in zip(split.fragments, met, strict=True)
        ]
        return read_ahead(readers, self._source.read_concurrency, check or (lambda: None))

    def _tag_block(
        self, block: Block, attempt: Attempt, clock: StageClock, far: SplitProgress, check: Callable[[], object] | None
    ) -> BlockStats:
        """Tag a block and write its rows into the attempt."""
        with clock.stage("prepare"):
            prepared = self._tagging.prepare(block)
        with clock.stage("model"):
            before = self._tagging.tagger.work.tokens
            table, left_out, counts, paths = self._tagging.tag(prepared, check)
        tokens = self._tagging.tagger.work.tokens - before
        with clock.stage("write"):
            attempt.add(table, left_out, counts + tally(block, table, left_out), paths)
        reasons = Counter(one.reason for one in left_out if one.outcome == "dead_letter")
        dead = reasons.total()
        return BlockStats(
            table.num_rows, tokens, dead, len(left_out) - dead, far.read(block), clock.since_last(), dict(reasons),
            block.counts["lost_documents"],
        )  # fmt: skip
