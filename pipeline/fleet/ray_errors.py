"""What Ray says of workers that died or could not start, in our words, and as errors of our own tree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.errors import ConfigError, PipelineError, WorkerLostError
from pipeline.exits import BUG, SETTINGS, TRY_AGAIN, exit_of
from pipeline.fleet.ray_connection import first_line

# What Ray's message contains -> what it means; the first that fits counts.
_SIGNS = (
    ("owner has died", "Ray has ended it"),
    ("running low on memory", "Ray has killed it, as its node ran out of memory"),
    ("node has died", "its node died"),
    ("its node was preempted", "its node was taken away"),
    ("ray.kill", "it hung, and was ended"),
    ("connection error code 2", "its process was killed, or crashed"),
)
_MISSING = re.compile(r"^(?:[\w.]+\.)?(?:ModuleNotFoundError|ImportError|NameTakenError): .*$", re.MULTILINE)
_SHADOWED = re.compile(r"No module named '(jobs|models|pipeline)\.")


def how(error: Any) -> str:
    """Return how a worker has died, as part of a sentence.

    Args:
        error: What Ray raised.
    """
    text = str(error)
    if getattr(error, "preempted", False):
        return "its node was taken away"
    if (code := re.search(r"exit code (\d+)", text)) is not None:
        return f"its process ended with exit code {code[1]}"
    known = next((words for sign, words in _SIGNS if sign in text), None)
    return known or f"Ray: {type(error).__name__}: {last_line(text) or 'no reason'}"


def last_line(text: str) -> str:
    """Return the last line that is not empty: Ray's messages begin with what is always the same.

    Args:
        text: A message.
    """
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")[:300]


def host_of(error: Any) -> str:
    """Return the address of the machine on which a task raised, which Ray keeps as text only; "" if it does not say.

    Args:
        error: What Ray raised.
    """
    found = re.search(r"\bip=([^,\s)]+)", str(error))
    return "" if found is None else found[1]


def died(worker: int, host: str, error: Exception, part: str | None) -> WorkerLostError:
    """Return the error of a worker that was up and is gone.

    Args:
        worker: Its number.
        host: Its machine, "" if that is not known.
        error: What Ray raised.
        part: What it was at, None if it was idle.
    """
    over = f" while it worked on {part}" if part is not None else ""
    return WorkerLostError(f"worker {worker}{' on ' * bool(host)}{host} died{over} ({how(error)})")


def cannot_start(worker: int, host: str, error: Any) -> PipelineError:
    """Find the error of a worker that could not start.

    Args:
        worker: Its number.
        host: Its machine, "" if that is not known.
        error: What was raised; a bug is raised again.

    Returns:
        ConfigError if it is the settings' or the installation's fault, WorkerLostError if another try may help; other errors of
        our own tree as they are.
    """
    whose = f"worker {worker}{' on ' * bool(host)}{host} cannot start"
    missing = _MISSING.findall(str(error)) if getattr(error, "actor_init_failed", False) else []
    if missing:
        hidden = _SHADOWED.search(missing[-1])
        hint = f", and no other `{hidden[1]}` before it on Python's path" if hidden else ""
        return ConfigError(f"{whose}: {missing[-1]}; every node needs the same textmill, Python and models{hint}")
    code = exit_of(error).code
    if code == BUG:
        raise error
    if code == SETTINGS:
        return ConfigError(f"{whose}: {type(error).__name__}: {first_line(error)}")
    if code == TRY_AGAIN:
        reason = how(error) if getattr(error, "actor_id", None) else f"{type(error).__name__}: {first_line(error)}"
        return WorkerLostError(f"{whose}: {reason}")
    return error if isinstance(error, PipelineError) else PipelineError(f"{whose}: {type(error).__name__}: {first_line(error)}")


@contextmanager
def told(what: str) -> Iterator[None]:
    """Turn what Ray raises in the body into a WorkerLostError that says what it was about.

    Args:
        what: What was tried, as part of a sentence.

    Yields:
        Nothing.

    Raises:
        WorkerLostError: Ray raised; errors of the task itself pass as they are.
    """
    from ray.exceptions import RayError, RayTaskError

    try:
        yield
    except RayTaskError:
        raise
    except RayError as error:
        reason = f"{what}: Ray says {type(error).__name__}: {first_line(error)}"
        raise WorkerLostError(f"{reason}; look at the cluster, then run the command again") from error
