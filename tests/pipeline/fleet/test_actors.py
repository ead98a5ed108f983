"""Workers as real actors of Ray with the real Tagger: leases that are called back, and what is told to one that is gone."""

import threading

import pytest

from pipeline.config import load_config
from pipeline.contract import DocumentSpec, Fragment, Split
from pipeline.fleet.driver import WorkerReady
from pipeline.fleet.ray_pool import RayPool
from pipeline.fleet.worker_actor import WorkerActor
from pipeline.scheduler.events import Lease
from pipeline.worker.worker import WorkerSpec
from tests.support.runs import write_lines


class Counting(WorkerActor):
    """Counts the batches that its engine computes; at the second of the first lease it waits until that is called back."""

    def load(self):
        loaded = super().load()
        self.batches, self.at_call, self._called = 0, None, threading.Event()
        (tagger,) = self._worker._tagging.tagger.each
        infer = tagger.engine.infer

        def counted(batches):
            for scores in infer(batches):
                self.batches += 1
                if self.batches == 2:
                    assert self._called.wait(60)
                yield scores

        tagger.engine.infer = counted
        return loaded

    def call_back(self, lease):
        super().call_back(lease)
        self.at_call = self.batches
        self._called.set()

    def counts(self):
        return self.batches, self.at_call


def split_of(data):
    size, modified = data.stat().st_size, data.stat().st_mtime_ns
    return Split(1, 0, (Fragment(data.name, "jsonl", 0, size, size, modified, 99_999),))


def work_of(data, out):
    out.mkdir()
    about = {"run": "r", "model": "en-fast", "model_digest": "d"}
    return WorkerSpec(str(data.parent), str(out), DocumentSpec(), "en-fast", "openvino", 1, "r", "", about)


@pytest.fixture
def own_ray():
    import ray

    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


def test_a_lease_that_is_called_back_ends_soon_and_leaves_no_trace(own_ray, tmp_path):
    """Promise: no document is blamed, nothing is published, and it costs less than to finish: one batch at the most follows."""
    ray, out, data = own_ray, tmp_path / "out", tmp_path / "data" / "a.jsonl"
    write_lines(data, *[f"Ms Keller of house {i} flew from Oslo to Cork. " * 9 for i in range(999)])
    split, work = split_of(data), work_of(data, out)
    actor = ray.remote(concurrency_groups={"control": 1})(Counting).remote(work)
    control = {"concurrency_group": "control"}
    ray.get(actor.load.remote(), timeout=60)
    outcome = actor.run.remote(7, split, False)
    while ray.get(actor.counts.options(**control).remote(), timeout=60)[0] < 2:
        pass
    assert not ray.wait([outcome], timeout=0)[0]
    ray.get(actor.call_back.options(**control).remote(7), timeout=60)
    assert ray.get(outcome, timeout=60).done is None
    batches, at_call = ray.get(actor.counts.remote(), timeout=60)
    assert (at_call, batches) in ((2, 2), (2, 3))
    assert not [path for path in out.rglob("*") if path.is_file()]
    # The actor goes on with another lease of the same split, and that takes many batches.
    done = ray.get(actor.run.remote(8, split, False), timeout=60).done
    assert (done.rows, done.dead_letters) == (999, 0)
    assert ray.get(actor.counts.remote(), timeout=60)[0] - batches > 10


def test_what_is_told_to_a_worker_that_is_gone_does_nothing(tmp_path):
    """Promise: it is told as gone once, in our words, with the lease that it was at; what it is told later is not heard."""
    data = tmp_path / "data" / "a.jsonl"
    write_lines(data, *[f"Ms Keller of house {i} flew from Oslo to Cork. " * 9 for i in range(9999)])
    split, work = split_of(data), work_of(data, tmp_path / "out")
    options = load_config(None, ["workers=1"], {"sources": [str(data)], "output": tmp_path / "out"})
    first, second = Lease(1, 0, 0), Lease(2, 0, 0)
    with RayPool(work, options, None, lambda: None, lambda step: None) as crew:
        crew.start(0)
        (up,) = crew.wait(60)
        assert isinstance(up, WorkerReady)
        crew.begin(first, split)
        crew.begin(second, split)
        assert crew.wait(0.5) == []
        crew.dismiss(0)
        (gone,) = crew.wait(60)
        assert (gone.worker, gone.over, gone.blame) == (0, first, True)
        assert "died while it worked on part-000001-00000 (it hung, and was ended)" in str(gone.error)
        crew.begin(Lease(3, 0, 0), split)
        crew.call_back(2, 0)
        crew.dismiss(0)
        assert crew.wait(0.5) == []
