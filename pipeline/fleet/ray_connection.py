"""The Ray that the work is done on: one that is joined, or one of this process's own, whose end is noticed."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from models.extras import install
from pipeline.errors import ConfigError, PipelineError, WorkerLostError
from textmill_names import check_names

PROBE_S = 10.0
_RECONNECT = "RAY_gcs_rpc_server_reconnect_timeout_s"
# Ray's C++ ends a driver whose head has not answered for so long (60 s), with 1 and without asking anybody. A run ends itself
# before, with words: after this share of it, so that there is time to leave. What the variable says once Ray is imported does
# not always count, so that Ray is also told to wait longer but not relied on for it.
_SHARE, MORE_S = 0.6, 60.0
HEAD_S = _SHARE * float(os.environ.get(_RECONNECT, 60))
# The processes of a local Ray without which nothing goes on. The raylet ends itself with either of its agents.
_NEEDED = ("gcs_server", "raylet")


def check_ray() -> None:
    """Raise ConfigError if Ray is not installed, and NameTakenError if its workers would import other packages than ours."""
    if find_spec("ray") is None:
        raise ConfigError(f"--workers needs Ray: {install('ray')}")
    check_names(Path.cwd())


def probe(address: str) -> None:
    """Find out whether something listens at an address; Ray itself would try for minutes.

    Args:
        address: HOST:PORT; any other form is taken to be there.

    Raises:
        OSError: Nothing listens.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon:
        with socket.create_connection((host, int(port)), PROBE_S):
            pass


def join(address: str | None, cpus: int, env: Mapping[str, str] | None = None) -> None:
    """Join the Ray cluster at an address, or start a Ray of this process's own.

    Args:
        address: Of the cluster, see `ray.init`; None starts one here.
        cpus: CPUs of the one that is started here.
        env: Environment variables of all processes that do this process's work there.

    Raises:
        ConfigError: No cluster answers there, or it has other versions. No Ray is left then.
        WorkerLostError: None can be started here.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ[_RECONNECT] = f"{HEAD_S + MORE_S:.0f}"  # read by Ray's C++, perhaps when it is imported
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    if env:
        quiet["runtime_env"] = {"env_vars": dict(env)}
    others = ray.is_initialized()  # by who uses this as a library; it is refused, and goes on
    # Ray sets a handler of its own, which ends the process with 1 and without a word to anybody.
    on_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM) if on_main else None
    try:
        if address:
            probe(address)
            ray.init(address=address, **quiet)
        else:
            ray.init(address="local", num_cpus=cpus, include_dashboard=False, **quiet)
    except BaseException as error:
        if not others:
            ray.shutdown()
        if (why := _why(address, error)) is None:
            raise
        raise why from error
    finally:
        if handler is not None:
            signal.signal(signal.SIGTERM, handler)


def _why(address: str | None, error: BaseException) -> PipelineError | None:
    """What to tell of an error of `ray.init`; None of one that has nothing to do with Ray."""
    from ray.exceptions import AuthenticationError

    if isinstance(error, AuthenticationError):
        return ConfigError(f"--address {address}: the cluster does not let us in: {first_line(error)}")
    if not isinstance(error, Exception):  # Ray raises bare ones, too
        return None
    if not address:
        return WorkerLostError(f"a local Ray cannot be started: {first_line(error)}; run the command again")
    if "Version mismatch" in str(error):
        return ConfigError(f"--address {address}: this process must have the cluster's: {' '.join(str(error).split())}")
    return ConfigError(f"--address {address}: no Ray cluster answers there ({first_line(error)})")


def ended() -> str | None:
    """Find out which process of this process's own Ray has ended, and how.

    Returns:
        Part of a sentence; None while all are there that it needs.
    """
    from ray._private import worker  # Ray has no public call for it; pinned by a test

    node = worker._global_node
    dead = {} if node is None else {kind: process.returncode for kind, process in node.dead_processes()}
    for kind in _NEEDED:
        if (code := dead.get(kind)) is not None:
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            return f"its {kind} ended ({how})"
    return None


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message that is not empty, or its type if there is none.

    Args:
        error: The error.
    """
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]
