"""A job on a cluster, followed to its end: the manifest that it leaves decides what came of it, not what the cluster says."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipeline.errors import JobFailedError, JobLostError

TRY_AGAIN = 3
ENDED = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})


class Cluster(Protocol):
    """What is asked of a cluster. Every call may raise ConnectionLostError, whether or not what it asked for was done."""

    def submit(self, id: str, entrypoint: str) -> None:
        """Start a job; an id that is known already starts nothing.

        Args:
            id: Submission id.
            entrypoint: Command that the job runs.
        """
        ...

    def status(self, id: str) -> str | None:
        """Ask how a job is.

        Args:
            id: Submission id.

        Returns:
            PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED; None if there is no job of that id.
        """
        ...

    def log(self, id: str) -> str:
        """Return all that a job has printed so far.

        Args:
            id: Submission id.
        """
        ...


class ConnectionLostError(Exception):
    """The cluster did not answer, or its answer was lost."""


@dataclass(slots=True)
class Job:
    """What is submitted, under ids NAME-aN, N from 1.

    Attributes:
        entrypoint: Makes the command of an id.
        manifests: Gives, by id, those that jobs of this name have left, with `status`, `exit_code` and `error`.
        attempts: Submissions that may get lost.
        poll_s: Seconds between looks.
        lost_s: Seconds after which a job that is not to be seen is taken as lost.
    """

    name: str
    entrypoint: Callable[[str], str]
    manifests: Callable[[], Mapping[str, Mapping[str, Any]]]
    attempts: int = 3
    poll_s: float = 2.0
    lost_s: float = 300.0
    said: dict[str, int] = field(default_factory=dict)

    def id(self, attempt: int) -> str:
        """Return the submission id of an attempt.

        Args:
            attempt: Its number, from 1.
        """
        return f"{self.name}-a{attempt}"

    def attempt(self, id: str) -> int:
        """Return the number of an id, 0 for one that is not of this job.

        Args:
            id: Submission id.
        """
        name, _, number = id.rpartition("-a")
        return int(number) if name == self.name and number.isdigit() else 0


def follow(
    cluster: Cluster,
    job: Job,
    say: Callable[[str], object],
    echo: Callable[[str], object],
    wait: Callable[[float], object] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> Mapping[str, Any]:
    """Submit a job, follow its log, and submit it again where it got lost.

    May be called again after anything: an attempt that has succeeded is found by its manifest, one that still runs is followed,
    and one that has failed before is followed by the next id.

    Args:
        cluster: Where it runs.
        job: The job.
        say: Hears what people should know.
        echo: Gets the job's log.
        wait: Waits so many seconds, called several times a minute; what it raises ends the following, not the job.
        monotonic: Seconds, as time.monotonic().

    Returns:
        The manifest of the attempt that succeeded.

    Raises:
        JobFailedError: With the manifest's exit code, if that is not "try again".
        JobLostError: So many submissions as the job may have have left no manifest that says finished.
    """
    before = {job.attempt(id): manifest for id, manifest in job.manifests().items() if job.attempt(id)}
    for number, manifest in before.items():
        if manifest["exit_code"] == 0:
            say(f"{job.id(number)} has finished before, says its manifest")
            return manifest
    error, attempt, tries = "", max(before, default=0), 0
    while tries < job.attempts:
        attempt += 1
        id = job.id(attempt)
        state, ours = _run(cluster, job, id, say, echo, wait, monotonic)
        tries += ours
        left = job.manifests().get(id)
        if left is None:
            error = f"{id} ended ({state}) without a manifest"
            say(error)
        elif left["exit_code"] == 0:
            say(f"{id} has finished, says its manifest ({state})")
            return left
        else:
            error = f"{id}: its manifest says {left['status']}, exit code {left['exit_code']}: {left['error']}"
            if left["exit_code"] != TRY_AGAIN:
                raise JobFailedError(error, left["exit_code"])
            say(error)
    raise JobLostError(f"given up after {tries} submissions; the last one: {error}")


def _run(
    cluster: Cluster,
    job: Job,
    id: str,
    say: Callable[[str], object],
    echo: Callable[[str], object],
    wait: Callable[[float], object],
    monotonic: Callable[[], float],
) -> tuple[str, bool]:
    """Submit if need be and wait until the job has ended, vanished, or the cluster has not answered for too long.

    Gives how it ended, and False if that was so before anybody asked.
    """
    heard, submitted, seen, quiet = monotonic(), False, False, ""
    while True:
        try:
            state = cluster.status(id)
            if state is None and (seen or submitted):
                return "it has vanished", True
            if state is None:
                say(f"{id}: {job.entrypoint(id)}")
                cluster.submit(id, job.entrypoint(id))
                state, submitted = "PENDING", True
            elif state in ENDED:
                _echo(cluster, job, id, echo)
                return f"the cluster says {state}", seen or submitted
            else:
                seen = True
                _echo(cluster, job, id, echo)
            heard, quiet = monotonic(), ""
        except ConnectionLostError as error:
            # If it was the reply to the submission that got lost, the next question for the state tells whether it arrived.
            if str(error) != quiet:
                quiet = str(error)
                say(f"{id}: no answer: {quiet}")
            if monotonic() - heard > job.lost_s:
                return f"no answer for {job.lost_s:g} s: {quiet}", True
        wait(job.poll_s)


def _echo(cluster: Cluster, job: Job, id: str, echo: Callable[[str], object]) -> None:
    text = cluster.log(id)
    known = job.said.get(id, 0)
    if len(text) > known:
        echo(text[known:])
        job.said[id] = len(text)
