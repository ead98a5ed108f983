"""A submitted job has succeeded if and only if its manifest says so; what gets lost is submitted again, nothing runs twice."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError, JobFailedError, JobLostError
from pipeline.nightly.config import SubmitConfig
from pipeline.trigger.job_watcher import ConnectionLostError, Job, follow
from pipeline.trigger.ray_jobs import pinned, runtime_env


class Lost(ConnectionLostError):
    pass


class Cluster:
    """A cluster that forgets jobs and loses messages, by a list of faults: one is taken at each call."""

    def __init__(self, faults=(), ends=()):
        self.faults, self.ends = list(faults), list(ends)
        self.jobs, self.manifests, self.started, self.forgotten = {}, {}, [], set()
        self.now_s = 0.0

    def _fault(self):
        return self.faults.pop(0) if self.faults else "none"

    def submit(self, id, entrypoint):
        fault = self._fault()
        if fault == "lost request":
            raise Lost(fault)
        if id not in self.jobs:
            assert id not in self.started or id in self.forgotten  # an id is never run twice
            self.started.append(id)
            self.jobs[id] = "PENDING"
        if fault == "lost reply":
            raise Lost(fault)

    def status(self, id):
        fault = self._fault()
        if fault in ("lost request", "lost reply"):
            raise Lost(fault)
        if fault == "forgotten" and self.jobs.pop(id, None):
            self.forgotten.add(id)
            return None
        state = self.jobs.get(id)
        if state == "PENDING":
            self.jobs[id] = "RUNNING"
        elif state == "RUNNING":
            self._end(id)
        return state

    def _end(self, id):
        end = self.ends.pop(0) if self.ends else "done"
        self.jobs[id] = "FAILED" if end == "killed" else "SUCCEEDED"
        codes = {"done": 0, "again": 3, "settings": 2, "bug": 4}
        if end in codes:
            code = codes[end]
            self.manifests[id] = {"status": "failed" if code else "finished", "exit_code": code, "error": end}
        if end == "done":
            self.jobs[id] = "FAILED" if self._fault() == "forgotten" else "SUCCEEDED"  # the cluster may think what it wants

    def log(self, id):
        return "a line\n"

    def wait(self, seconds):
        self.now_s += seconds


def followed(cluster, attempts=3):
    echoed = []
    job = Job("job-2024-02-29", lambda id: f"run {id}", lambda: dict(cluster.manifests), attempts)
    found = follow(cluster, job, lambda text: None, echoed.append, cluster.wait, lambda: cluster.now_s)
    return found, echoed


FAULTS = st.lists(st.sampled_from(["none", "none", "lost request", "lost reply", "forgotten"]), max_size=30)
ENDS = st.lists(st.sampled_from(["done", "again", "settings", "bug", "killed", "no manifest"]), max_size=5)


@settings(deadline=None)
@given(faults=FAULTS, ends=ENDS)
def test_success_is_what_the_manifest_says_and_nothing_else(faults, ends):
    cluster, code = Cluster(faults, ends), 0
    try:
        found, _ = followed(cluster)
    except (JobFailedError, JobLostError) as error:
        code = error.exit_code
    codes = [one["exit_code"] for one in cluster.manifests.values()]
    assert (code == 0) == (0 in codes)
    if code in (2, 4):
        assert code in codes
    if code == 0:
        before = list(cluster.started)
        assert followed(cluster)[0] == found  # again: nothing is submitted
        assert cluster.started == before


def test_a_reply_that_is_lost_leads_to_no_second_job():
    cluster = Cluster(["none", "lost reply"])
    followed(cluster)
    assert cluster.started == ["job-2024-02-29-a1"]
    cluster = Cluster(["none", "lost request"])
    followed(cluster)
    assert cluster.started == ["job-2024-02-29-a1"]


def test_a_job_that_vanishes_is_submitted_under_the_next_id():
    cluster = Cluster(["none", "none", "forgotten"])
    followed(cluster)
    assert cluster.started == ["job-2024-02-29-a1", "job-2024-02-29-a2"]


def test_a_job_that_ends_well_without_a_manifest_has_failed():
    cluster = Cluster(ends=["no manifest"] * 3)
    with pytest.raises(JobLostError, match=r"SUCCEEDED\) without a manifest") as raised:
        followed(cluster)
    assert raised.value.exit_code == 3
    assert len(cluster.started) == 3
    assert followed(cluster)[0]["exit_code"] == 0  # later it is tried anew, under another id
    assert cluster.started[-1] == "job-2024-02-29-a4"


def test_what_must_not_be_tried_again_is_not_until_somebody_asks():
    cluster = Cluster(ends=["settings"])
    with pytest.raises(JobFailedError) as raised:
        followed(cluster)
    assert (raised.value.exit_code, len(cluster.started)) == (2, 1)
    assert followed(cluster)[0]["exit_code"] == 0


def test_a_cluster_that_is_mute_is_given_up_after_a_while():
    cluster = Cluster(["lost request"] * 100_000)
    with pytest.raises(JobLostError, match="no answer for 300 s"):
        followed(cluster, 1)
    assert 300 < cluster.now_s < 310


def test_each_line_of_the_log_is_echoed_once():
    _, echoed = followed(Cluster())
    assert echoed == ["a line\n"]


def test_requirements_are_pinned_and_what_goes_along_is_there(tmp_path):
    path = tmp_path / "requirements.txt"
    path.write_text("# of the job\ntextmill==0.1.0\nnumpy==2.4.6  # fast\n\nother @ https://example.org/o.whl\n")
    assert pinned(path) == ["textmill==0.1.0", "numpy==2.4.6", "other @ https://example.org/o.whl"]
    made = runtime_env(SubmitConfig(working_dir=tmp_path, requirements=path, env={"A": "1"}))
    assert (made["working_dir"], made["env_vars"], len(made["pip"]["packages"])) == (str(tmp_path), {"A": "1"}, 3)
    path.write_text("numpy>=2\n")
    with pytest.raises(ConfigError, match=r"line 1: 'numpy>=2' is not pinned"):
        pinned(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        pinned(tmp_path / "none")
    with pytest.raises(ConfigError, match="is no folder"):
        runtime_env(SubmitConfig(working_dir=path))
