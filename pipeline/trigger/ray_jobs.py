"""Ray's job API (`http://HEAD:8265`) as a cluster that can be asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from typing_extensions import override

from models.extras import install
from pipeline.errors import ConfigError
from pipeline.fleet.ray_connection import first_line
from pipeline.nightly.config import SubmitConfig
from pipeline.trigger.job_watcher import Cluster, ConnectionLostError

ANSWER_S = 30.0
_T = TypeVar("_T")


class _AnswerError(RuntimeError):
    """Ray's job API has answered with an error; `status` is the HTTP status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"HTTP {status}: {text}")
        self.status = status


class RayJobs(Cluster):
    """Jobs at an address; each gets the working directory and the pinned requirements of the settings.

    Args:
        address: Of Ray's dashboard.
        config: Settings of submitted jobs.
        headers: Go with every request; the token is Ray's own matter (RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH).

    Raises:
        ConfigError: Ray is not installed, nothing answers there, it takes no job from us, or a file of the settings is not there.
    """

    def __init__(self, address: str, config: SubmitConfig, headers: Mapping[str, str] | None = None) -> None:
        if find_spec("ray") is None:
            raise ConfigError(f"submit needs Ray: {install('ray')}")
        from ray.exceptions import AuthenticationError, RayError

        self._environment = runtime_env(config)
        try:
            self._client = _client(address, headers)
        except AuthenticationError as error:
            raise ConfigError(f"--address {address}: it does not let us in: {first_line(error)}") from error
        except (RayError, OSError, RuntimeError, ValueError) as error:
            raise ConfigError(f"--address {address}: no Ray dashboard answers there ({first_line(error)})") from error

    @override
    def submit(self, id: str, entrypoint: str) -> None:
        def submitted() -> None:
            try:
                self._client.submit_job(entrypoint=entrypoint, submission_id=id, runtime_env=self._environment)
            except RuntimeError:
                if self.status(id) is None:
                    raise

        _asked(submitted)

    @override
    def status(self, id: str) -> str | None:
        def found() -> str | None:
            try:
                return str(self._client.get_job_status(id).value)
            except _AnswerError as error:
                if error.status == 404:
                    return None
                raise

        return _asked(found)

    @override
    def log(self, id: str) -> str:
        return _asked(lambda: str(self._client.get_job_logs(id)))


def _client(address: str, headers: Mapping[str, str] | None) -> Any:
    from ray.job_submission import JobSubmissionClient

    class Client(JobSubmissionClient):  # type: ignore[misc]
        """Ray's own waits for ever for a head that does not answer."""

        def _do_request(self, method: str, endpoint: str, **more: Any) -> Any:
            return super()._do_request(method, endpoint, **{"timeout": ANSWER_S, **more})

        def _raise_error(self, answer: Any) -> None:
            """Ray's own puts the status into its text, where a job's id may stand, too."""
            raise _AnswerError(answer.status_code, answer.text)

    return Client(address, headers=dict(headers or {}))


def runtime_env(config: SubmitConfig) -> dict[str, Any]:
    """Return what Ray is to make for the job on the cluster.

    Args:
        config: Settings of submitted jobs.

    Raises:
        ConfigError: A file of the settings is not there.
    """
    made: dict[str, Any] = {"env_vars": dict(config.env)}
    if config.working_dir is not None:
        if not config.working_dir.is_dir():
            raise ConfigError(f"submit.working_dir: {config.working_dir} is no folder")
        made["working_dir"] = str(config.working_dir.resolve())
    if config.requirements is not None:
        made["pip"] = {"packages": pinned(config.requirements), "pip_check": False}
    return made


def pinned(path: Path) -> list[str]:
    """Return the lines of a file of requirements.

    Args:
        path: The file.

    Raises:
        ConfigError: It cannot be read, or a line names no exact version.
    """
    try:
        lines = [line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"submit.requirements: {path} cannot be read ({error})") from error
    wanted = [line for line in lines if line]
    for number, line in enumerate(lines, 1):
        if line and "==" not in line and " @ " not in line:
            raise ConfigError(f"{path}, line {number}: {line!r} is not pinned; write NAME==VERSION")
    return wanted


def _asked(question: Callable[[], _T]) -> _T:
    """The answer. Raises ConnectionLostError for whatever the client or the network raises."""
    import requests
    from ray.exceptions import RayError

    try:
        return question()
    except (requests.RequestException, RayError, OSError, RuntimeError) as error:
        raise ConnectionLostError(f"{type(error).__name__}: {str(error)[:300]}") from error
