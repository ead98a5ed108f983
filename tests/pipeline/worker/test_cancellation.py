"""Control flow is no error: work that is not wanted any more ends without a trace, through every handler on its way."""

import json
import os
import shutil
import signal
from contextlib import contextmanager

import pytest

from models.runtime.tagger import Tagger
from pipeline.contract import DocumentSpec
from pipeline.errors import Cancelled, ClaimedError, DeadlineError, LostClaimError, UnavailableError
from pipeline.signals import handling_signals
from pipeline.sink.attempt import Attempt
from pipeline.source.discover import discover
from pipeline.source.read import read_fragment
from pipeline.source.splitting import fragments
from pipeline.store.local import LocalStore
from pipeline.store.retrying_client import RetryingClient
from pipeline.store.settings import StoreConfig
from pipeline.worker import isolated, tagging
from pipeline.worker.isolated import SubprocessTagger
from pipeline.worker.tagging import BlockTagger
from tests.support.runs import rows, run, write_lines

TEXTS = [f"Ms Keller of house {i} flew from Oslo to Lyon with Volta Energy." for i in range(300)]


@pytest.fixture
def block(tmp_path):
    write_lines(tmp_path / "a.jsonl", *TEXTS)
    found = discover([str(tmp_path)])
    (piece,) = fragments(found.store, found.files[0], 1 << 40)
    (block,) = read_fragment(found.store, piece, DocumentSpec(id="id"))
    return block


@contextmanager
def losing(monkeypatch, after):
    """The claim on the output is lost when it has been asked for so many times."""
    asked = []

    @contextmanager
    def claim(self, path):
        def held():
            asked.append(path)
            if len(asked) > after:
                raise LostClaimError("the claim was taken over by process 7 on other; this run has stopped")

        yield held

    with monkeypatch.context() as patched:
        patched.setattr(LocalStore, "claim", claim)
        yield asked


@pytest.mark.parametrize("after", [0, 3, 4, 6, 9])
def test_a_run_that_loses_its_claim_ends_and_blames_no_document(after, tmp_path, monkeypatch):
    for n in range(4):
        write_lines(tmp_path / "in" / f"{n}.jsonl", *TEXTS[25 * n : 25 * n + 25])
    out = tmp_path / "out"
    with losing(monkeypatch, after) as asked, pytest.raises(ClaimedError, match="taken over by process 7"):
        run(tmp_path / "in", out, split_tokens=300)
    assert len(asked) > after
    assert not list(out.glob("dead_letters/*"))
    for path in (out / "_runs").glob("*Z-????????.json"):
        assert json.loads(path.read_text())["status"] == "failed"
    run(tmp_path / "in", out, split_tokens=300)
    assert sorted(row["id"] for row in rows(out)) == sorted(f"{n}-{i}" for n in range(4) for i in range(25))
    assert rows(out, "dead_letters") == []


def test_what_check_raises_ends_the_model_at_once(tagger, block, monkeypatch):
    """Batches are counted: work that is called back is not computed in halves of halves down to single documents."""
    batches = []
    infer = tagger.engine.infer

    def counted(stream):
        for scores in infer(stream):
            batches.append(len(scores.batch.ids))
            yield scores

    monkeypatch.setattr(tagger.engine, "infer", counted)
    work = BlockTagger(tagger, DocumentSpec(id="id"))

    def check():
        raise Cancelled

    with pytest.raises(Cancelled):
        work.tag(work.prepare(block), check)
    assert len(batches) == 1
    batches.clear()
    work = BlockTagger(tagger, DocumentSpec(id="id"))
    table, left_out, *_ = work.tag(work.prepare(block), None)
    assert (table.num_rows, left_out) == (len(TEXTS), [])
    assert len(batches) > 2


@pytest.mark.parametrize(
    "error", [DeadlineError("hdfs://x", "no answer"), ClaimedError("taken"), OSError(28, "full"), MemoryError()]
)
def test_errors_of_ours_and_of_the_machine_are_no_documents_fault(error, tagger, block, monkeypatch):
    work = BlockTagger(tagger, DocumentSpec(id="id"))

    def fails(self, texts, check=None):
        raise error

    monkeypatch.setattr(Tagger, "tag", fails)
    with pytest.raises(type(error)):
        work.tag(work.prepare(block), None)


def test_a_model_that_fails_once_on_a_document_is_asked_again(tagger, block, monkeypatch):
    """Whose process was killed from outside may have been at any document."""
    failures = iter([RuntimeError("the model's process died")] * 10)
    tag = Tagger.tag

    def fails(self, texts, check=None):
        if "house 77 " in "".join(texts) and (error := next(failures, None)) is not None:
            raise error
        return tag(self, texts, check)

    monkeypatch.setattr(Tagger, "tag", fails)
    work = BlockTagger(tagger, DocumentSpec(id="id"))
    table, left_out, *_ = work.tag(work.prepare(block), None)
    assert (table.num_rows, left_out) == (len(TEXTS), [])
    failures = iter([RuntimeError("it cannot read this")] * 100)
    work = BlockTagger(tagger, DocumentSpec(id="id"))
    table, left_out, *_ = work.tag(work.prepare(block), None)
    assert [(one.id, one.reason) for one in left_out] == [("a-77", "tagger_failed")]
    assert table.num_rows == len(TEXTS) - 1


def test_a_careful_worker_is_cancelled_too():
    child = SubprocessTagger("en-fast", "auto", 1)
    try:
        assert child.tag(TEXTS[:2]).num_rows == 2
        process = child._process

        def check():
            raise Cancelled

        os.kill(process.pid, signal.SIGSTOP)  # it will not answer before it is asked
        with pytest.raises(Cancelled):
            child.tag(TEXTS[:2], check)
        assert process.poll() is not None
        assert child.tag(TEXTS[:2]).num_rows == 2
    finally:
        child.close()


def test_what_the_machine_lacks_is_told_by_the_models_process_as_what_it_is():
    for said, kind in (({"memory": True, "errno": None}, MemoryError), ({"memory": False, "errno": 28}, OSError)):
        assert type(isolated._failed({"text": "x", **said})) is kind
    assert isinstance(isolated._failed({"text": "x", "memory": False, "errno": None}), RuntimeError)


def test_no_kind_of_control_flow_is_an_exception():
    assert not issubclass(Cancelled, Exception)
    assert issubclass(UnavailableError, tagging.NOT_A_DOCUMENTS_FAULT)


def test_who_is_asked_to_stop_waits_for_no_store():
    """A store that is away is tried again for a minute, but not once somebody wants the process to end."""
    tries = []

    def away(client):
        tries.append(client)
        if len(tries) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        raise UnavailableError("path", "the share is away")

    calls = RetryingClient([object], StoreConfig(retry_s=3600.0))
    with handling_signals() as stop:
        with pytest.raises(UnavailableError):
            calls("path", away)
        with pytest.raises(KeyboardInterrupt):
            stop.check()
    assert len(tries) in (2, 3)


def test_what_is_missing_since_another_run_has_the_output_is_told_as_that(tmp_path, monkeypatch):
    """An owner that was paused wakes: its staged files have been swept by the one that came after."""
    write_lines(tmp_path / "in" / "a.jsonl", *TEXTS[:5])
    commit = Attempt.commit

    def swept(self, *given):
        asked.extend([self] * 100)  # the claim is lost
        shutil.rmtree(tmp_path / "out" / "_staging")
        return commit(self, *given)

    monkeypatch.setattr(Attempt, "commit", swept)
    with losing(monkeypatch, 50) as asked, pytest.raises(LostClaimError):
        run(tmp_path / "in", tmp_path / "out")
