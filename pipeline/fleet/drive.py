"""Carry out what the policy decides, on workers of any kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.contract import Done, Split
from pipeline.errors import InputChangedError, PipelineError
from pipeline.fleet.policy import Failed, Finished, Lease, Lost, Policy, Ready, Replace

# Errors that concern one split only; whatever else a worker raises ends the run.
TRY_AGAIN_EXIT = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a lease: the part, or an error; `lost` if the worker died over it."""

    lease: Lease
    done: Done | None
    error: Exception | None = None
    lost: bool = False


class Crew(Protocol):
    """Workers 0 to `size` - 1."""

    size: int

    def begin(self, lease: Lease, split: Split) -> None:
        """Let a worker begin."""
        ...

    def wait(self) -> Answer:
        """The next answer of any worker; raises KeyboardInterrupt when the run is to stop."""
        ...

    def replace(self, worker: int) -> None:
        """Start a worker in the place of a dead one."""
        ...


def drive(
    splits: Sequence[Split], crew: Crew, finished: Callable[[Done], object], careful: Iterable[str] = ()
) -> dict[str, Exception]:
    """Get every split done; `finished` hears of each, `careful` names those that an earlier run died over.

    Gives the splits that were given up, with the last error of each. Raises what a worker raises if it does not concern its
    split alone.
    """
    policy = Policy([(split.name, split.tokens) for split in splits], crew.size, careful)
    by_name = {split.name: split for split in splits}
    errors: dict[str, Exception] = {}
    commands = [command for worker in range(crew.size) for command in policy.on(Ready(worker))]
    while True:
        for command in commands:
            if isinstance(command, Lease):
                crew.begin(command, by_name[command.split])
            elif isinstance(command, Replace):
                crew.replace(command.worker)
        again = [command.worker for command in commands if isinstance(command, Replace)]
        commands = [command for worker in again for command in policy.on(Ready(worker))]
        if commands:
            continue
        if policy.over:
            return {name: errors[name] for name in sorted(policy.given_up)}
        answer = crew.wait()
        if answer.done is not None:
            commands = policy.on(Finished(answer.lease.number))
            finished(answer.done)
        else:
            assert answer.error is not None
            errors[answer.lease.split] = answer.error
            if answer.lost:
                commands = policy.on(Lost(answer.lease.worker))
            else:
                commands = policy.on(Failed(answer.lease.number, _again(answer.error)))
        if not answer.lost:
            commands += policy.on(Ready(answer.lease.worker))


def _again(error: Exception) -> bool:
    """Whether another try may help; errors that do not concern the split alone are raised."""
    if isinstance(error, InputChangedError):
        return False
    if isinstance(error, PipelineError) and error.exit_code == TRY_AGAIN_EXIT:
        return True
    raise error
