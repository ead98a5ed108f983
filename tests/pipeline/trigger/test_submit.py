"""Nights and batches as jobs of a real Ray head with its dashboard."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing, suppress
from importlib.metadata import version
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from pipeline.errors import ConfigError
from pipeline.nightly.config import SubmitConfig
from pipeline.trigger.job_watcher import ConnectionLostError
from pipeline.trigger.ray_jobs import RayJobs
from tests.support import ROOT
from tests.support.nights import DAYS, check, command, conf_of, environment, runs, tables, write_day
from tests.support.redis_server import free_port
from tests.support.runs import rows

# Ray asks for a token unless it is told not to; this one is of these tests alone.
TOKEN = "of-these-tests-alone-0123456789abcdef"
# For this process, where Ray may have looked for a token before.
BEARER = {"Authorization": f"Bearer {TOKEN}"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def asked(url):
    return urlopen(Request(url, headers=BEARER), timeout=10)


@pytest.fixture(scope="module")
def head():
    """A head with one CPU and its dashboard, in a session of its own: `ray stop` would end other people's too."""
    temp = Path(tempfile.mkdtemp(prefix="r"))  # the names of its sockets have 107 bytes at most
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_AUTH_MODE", "token")
    patch.setenv("RAY_AUTH_TOKEN", TOKEN)
    port, dashboard = free_port(), free_port()
    start = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--num-cpus=1", f"--port={port}"]
    start += [f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={free_port()}", f"--temp-dir={temp}"]
    start += ["--disable-usage-stats", "--include-dashboard=true", "--object-store-memory=100000000"]
    with (temp / "log").open("wb") as log:
        # What its processes leave when they are killed goes with the session.
        process = subprocess.Popen(start, stdout=log, stderr=log, start_new_session=True, env=environment(TMPDIR=temp))
    address = f"http://127.0.0.1:{dashboard}"
    try:
        until = time.monotonic() + 120
        while True:
            assert process.poll() is None, (temp / "log").read_text()
            assert time.monotonic() < until, (temp / "log").read_text()
            with suppress(OSError), asked(f"{address}/api/version"):
                break
            time.sleep(0.5)
        yield address
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(60)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        patch.undo()
    left = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    assert not [line for line in left.splitlines() if str(temp) in line]
    shutil.rmtree(temp, ignore_errors=True)


@pytest.fixture
def job(tmp_path):
    """A working directory with the job file, data and output beside it; gives the file, the output and what is printed."""
    data, out = tmp_path / "data", tmp_path / "out"
    write_day(data, DAYS[0])
    work = tmp_path / "work"
    stand_in = f"{sys.executable} {ROOT}/tests/support/counting_report.py"
    more = f'[submit]\nworking_dir = "{work}"\ncommand = "{stand_in}"\nenv = {{ PYTHONPATH = "{ROOT}" }}\npoll_s = 0.5\n'
    conf = conf_of(work, data, out, tag=more)
    return conf, out


def submit(address, conf, *more, code=0):
    done = subprocess.run(
        command("submit", conf, "--address", address, "--date", DAYS[0], *more),
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, (done.returncode, done.stderr)
    return done


def jobs_at(address):
    with asked(f"{address}/api/jobs/") as answer:
        return {one["submission_id"]: one["status"] for one in json.load(answer) if one["submission_id"]}


def test_a_night_on_a_cluster_and_the_same_command_again(head, job):
    conf, out = job
    done = submit(head, conf)
    night = json.loads(done.stdout)
    assert (night["submission"], night["status"]) == (f"textmill-{DAYS[0]}-a1", "finished")
    assert "1 reports are due" in done.stderr  # the job's own log
    assert tables(out)[str(DAYS[0])][0] == 6
    check(out)
    before = jobs_at(head)
    assert before[night["submission"]] == "SUCCEEDED"
    assert json.loads(submit(head, conf).stdout) == night
    assert jobs_at(head) == before


def test_pinned_requirements_are_there_in_the_job(head, job, tmp_path):
    """One that is installed already, so that no registry is asked."""

    conf, out = job
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"click=={version('click')}\n")
    text = conf.read_text().replace("[submit]", f'[submit]\njob = "pinned"\nrequirements = "{requirements}"')
    conf.write_text(text.replace(f'command = "{sys.executable} ', 'command = "python '))
    submit(head, conf)
    assert tables(out)[str(DAYS[0])][0] == 6


def test_a_submitter_that_ends_well_without_a_manifest_has_failed(head, job):
    conf, out = job
    text = conf.read_text()
    conf.write_text(
        text.replace("[submit]", '[submit]\njob = "liar"\nattempts = 2').replace(
            f'command = "{sys.executable}', 'command = "true'
        )
    )
    done = submit(head, conf, code=3)
    assert "liar-2024-02-15-a2 ended (the cluster says SUCCEEDED) without a manifest" in done.stderr
    assert [state for id, state in jobs_at(head).items() if id.startswith("liar")] == ["SUCCEEDED"] * 2
    conf.write_text(text.replace("[submit]", '[submit]\njob = "liar"'))
    assert json.loads(submit(head, conf).stdout)["submission"] == f"liar-{DAYS[0]}-a3"
    assert len(runs(out, DAYS[0])) == 1


def test_a_job_that_fails_gives_its_exit_code(head, job):
    conf, out = job
    conf.write_text(
        conf.read_text().replace("[submit]", '[submit]\njob = "wrong"').replace('sources = ["', 'sources = ["/nowhere')
    )
    done = submit(head, conf, code=2)
    assert "no such file or folder" in done.stderr
    assert [one["exit_code"] for one in runs(out, DAYS[0])] == [2]


def test_a_follower_that_is_stopped_leaves_the_job_and_the_next_one_follows_it(head, job, tmp_path):
    conf, out = job
    hold = tmp_path / "hold"
    hold.touch()
    conf.write_text(
        conf.read_text()
        .replace("[submit]", '[submit]\njob = "held"')
        .replace("env = {", f'env = {{ TEXTMILL_TEST_HOLD = "{hold}",')
    )
    line = command("submit", conf, "--address", head, "--date", DAYS[0])
    process = subprocess.Popen(line, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while not Path(f"{hold}.waiting").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)
    process.terminate()
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "the job goes on" in stderr
    hold.unlink()
    assert json.loads(submit(head, conf).stdout)["submission"] == f"held-{DAYS[0]}-a1"
    assert len(runs(out, DAYS[0])) == 1


def test_a_reply_that_is_lost_and_a_job_that_vanishes(head, job, monkeypatch):
    """The network loses Ray's answer; somebody deletes the job. Ray itself is the real one."""
    import requests
    from ray.job_submission import JobSubmissionClient

    from pipeline.nightly.config import load_night
    from pipeline.nightly.record import nights_by_submission
    from pipeline.store.local import LocalStore
    from pipeline.trigger.job_watcher import Job, follow

    conf, out = job
    given = load_night(conf).submit
    cluster = RayJobs(head, given, BEARER)
    ask, lost = cluster._client._do_request, []

    def losing(method, endpoint, **more):
        answer = ask(method, endpoint, **more)
        if method == "POST" and endpoint == "/api/jobs/" and not lost:
            lost.append(answer.status_code)
            raise requests.ConnectionError("reset by peer")
        return answer

    monkeypatch.setattr(cluster._client, "_do_request", losing)
    said = []
    name = f"lossy-{DAYS[0]}"
    gone = f"sleep 600 # {given.command}"
    night = f"{given.command} nightly {conf.name} --date {DAYS[0]} --submission"

    asked_for = []

    def seen():
        """Whether the job's state was asked for since the reply was lost: so it is known to have begun."""
        asked_for.append(1)
        return len(asked_for) > 2

    def wait(seconds):
        time.sleep(seconds)
        if any("no answer" in text for text in said) and seen() and jobs_at(head).get(f"{name}-a1") == "RUNNING":
            client = JobSubmissionClient(head, headers=BEARER)
            client.stop_job(f"{name}-a1")
            until = time.monotonic() + 60
            while jobs_at(head)[f"{name}-a1"] != "STOPPED":
                assert time.monotonic() < until
                time.sleep(0.1)
            client.delete_job(f"{name}-a1")

    one = Job(
        name,
        lambda id: gone if id.endswith("a1") else f"{night} {id}",
        lambda: nights_by_submission(LocalStore(out), DAYS[0]),
        2,
        0.3,
    )
    found = follow(cluster, one, said.append, lambda text: None, wait)
    assert lost == [200]
    assert found["submission"] == f"{name}-a2"
    assert any("no answer" in text for text in said)
    assert any("ended (it has vanished) without a manifest" in text for text in said)
    assert [one["submission"] for one in runs(out, DAYS[0])] == [f"{name}-a2"]


def test_an_id_that_is_known_starts_nothing(head, job):
    from pipeline.nightly.config import load_night

    cluster = RayJobs(head, load_night(job[0]).submit, BEARER)
    for _ in range(2):
        cluster.submit("twice-a1", "echo $((40 + 2))")
    assert [id for id in jobs_at(head) if id.startswith("twice")] == ["twice-a1"]
    assert cluster.status("nobody") is None
    until = time.monotonic() + 60
    while cluster.status("twice-a1") != "SUCCEEDED":
        assert time.monotonic() < until
        time.sleep(0.2)
    assert cluster.log("twice-a1").count("42\n") == 1


def test_who_has_no_token_is_told(head, job, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "another one")
    done = submit(head, job[0], code=2)
    assert "does not let us in" in done.stderr
    assert "Traceback" not in done.stderr


def test_batches_run_as_jobs(head, job, tmp_path):
    conf, out = job
    (tmp_path / "data" / "_SUCCESS").touch()
    conf.write_text(conf.read_text().replace("[submit]", "[watch]\npoll_s = 0.2\n[submit]"))
    line = command("watch", conf, "--address", head)
    process = subprocess.Popen(line, env=environment(), stderr=subprocess.PIPE, text=True)
    decided = []
    for text in process.stderr:
        if text.startswith('{"event": "decision"'):
            decided.append(json.loads(text))
            if decided[-1]["decision"] == "done":
                break
    process.terminate()
    process.stderr.read()
    assert process.wait(60) == 0
    process.stderr.close()
    assert [one["decision"] for one in decided] == ["run", "done"]
    assert len(rows(out)) == 6
    assert any(id.startswith("textmill-batch-") for id in jobs_at(head))


def test_a_head_that_is_mute_or_away_is_told(tmp_path, monkeypatch):
    from pipeline.trigger import ray_jobs

    monkeypatch.setattr(ray_jobs, "ANSWER_S", 0.5)
    with closing(socket.socket()) as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        held = threading.Timer(30, mute.close)
        held.start()
        with pytest.raises(ConfigError, match="no Ray dashboard answers there"):
            RayJobs(f"http://127.0.0.1:{mute.getsockname()[1]}", SubmitConfig())
        held.cancel()
    with pytest.raises(ConfigError, match="no Ray dashboard answers there"):
        RayJobs(f"http://127.0.0.1:{free_port()}", SubmitConfig())
    assert issubclass(ConnectionLostError, Exception)
