"""A batch run as a job on a cluster: its list of files goes there through the output, and what came of it comes back so."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from pipeline.errors import JobFailedError, JobLostError, TakenError
from pipeline.nightly.config import NightConfig
from pipeline.nightly.index import listed, read_json
from pipeline.sink.files import write_whole
from pipeline.sink.layout import WATCH, WATCH_STAGING
from pipeline.store.base import Entry, Store
from pipeline.trigger.batch_log import BatchResult
from pipeline.trigger.batches import InputBatch
from pipeline.trigger.job_watcher import Cluster, Job, follow
from pipeline.trigger.watcher import Runner


def run_there(
    config: NightConfig,
    store: Store,
    cluster: Cluster,
    entrypoint: Callable[[str, str], str],
    say: Callable[[str], object],
    echo: Callable[[str], object],
    wait: Callable[[float], object],
) -> Runner:
    """Make a runner that submits each batch as a job.

    Args:
        config: Settings of the job.
        store: The output.
        cluster: Where jobs run.
        entrypoint: Makes the command of a revision and a submission id.
        say: Hears what people should know.
        echo: Gets the jobs' logs.
        wait: Waits so many seconds; what it raises ends the following.

    Returns:
        The runner.
    """

    def run(batch: InputBatch, attempt: int, check: Callable[[], object]) -> BatchResult:
        def waited(seconds: float) -> None:
            wait(seconds)
            check()

        write_list(store, batch)
        given = config.submit
        name = f"{given.job}-batch-{batch.revision}"
        job = Job(name, lambda id: entrypoint(batch.revision, id), lambda: results_of(store, name), 1, given.poll_s, given.lost_s)
        try:
            found = follow(cluster, job, say, echo, waited)
        except (JobLostError, JobFailedError) as error:
            return BatchResult(error.exit_code, error=str(error))
        return BatchResult(0, str(found["run"]), str(found["manifest"]))

    return run


def write_list(store: Store, batch: InputBatch) -> None:
    """Let the cluster know of a batch.

    Args:
        store: The output.
        batch: The batch.
    """
    body = {"root": batch.root, "folder": batch.folder, "files": [[e.path, e.size, e.modified_ns] for e in batch.files]}
    with suppress(TakenError):
        write_whole(store, f"{WATCH}/lists/{batch.revision}.json", json.dumps(body).encode(), "batch", WATCH_STAGING)


def run_listed(store: Store, revision: str, submission: str, runner: Runner) -> BatchResult:
    """Run a batch that is listed, here, and leave the result under the submission's id.

    Args:
        store: The output.
        revision: Of the batch.
        submission: Id of the job.
        runner: Runs it.

    Returns:
        How it ended.

    Raises:
        ClaimedError: The output is busy.
        MissingError: There is no such list.
    """
    body = read_json(store, f"{WATCH}/lists/{revision}.json")
    batch = InputBatch(body["root"], body["folder"], tuple(Entry(*file) for file in body["files"]))
    ran = runner(batch, 1, lambda: None)
    result = {**asdict(ran), "status": "failed" if ran.exit_code else "finished"}
    write_whole(store, _result(submission), json.dumps(result, indent=1).encode() + b"\n", "batch", WATCH_STAGING)
    return ran


def results_of(store: Store, name: str) -> Mapping[str, Mapping[str, Any]]:
    """Return what the jobs of a name have left, by the id of their submission.

    Args:
        store: The output.
        name: Of the job.
    """
    ids = [path.rpartition("/")[2].removesuffix(".json") for path in listed(store, f"{WATCH}/results", ".json")]
    return {id: read_json(store, _result(id)) for id in ids if id.startswith(name)}


def _result(submission: str) -> str:
    return f"{WATCH}/results/{submission}.json"
