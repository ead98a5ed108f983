"""The seam to the reports: one function, named, called in a process of its own.

So a report that runs out of memory or is asked to stop leaves the job in order, and what it took is given back.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any, Protocol

from typing_extensions import override

from pipeline.child_process import child_process, told
from pipeline.errors import NoReportError, WorkerLostError

_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """One report.

    Attributes:
        output: URL of the output whose tags are counted.
        first: First date, ISO.
        last: Last date, ISO.
        into: Folder of the report, which is not there yet.
        reach: How the store is reached, see `StoreConfig.told`.
    """

    output: str
    first: str
    last: str
    into: str
    lang: str
    memory_mb: int
    zone: str
    reach: dict[str, Any]


class Reporter(Protocol):
    """Makes reports."""

    @property
    def trailing_days(self) -> int:
        """Days before a date on which its report depends."""
        ...

    def make(self, order: ReportRequest, check: Callable[[], object], deadline_s: float) -> None:
        """Make the files of a report.

        Args:
            order: Which report.
            check: Called several times a second; what it raises ends the report.
            deadline_s: Seconds after which it is given up.

        Raises:
            NoReportError: It was not made.
            WorkerLostError: The process died.
        """
        ...


@dataclass(frozen=True, slots=True)
class ChildReporter(Reporter):
    """Calls a function in a process of its own, with the fields of the request.

    Attributes:
        name: Of the function, "package.module:function".
    """

    name: str
    trailing_days: int

    @override
    def make(self, order: ReportRequest, check: Callable[[], object], deadline_s: float) -> None:
        command = [sys.executable, "-m", "pipeline.nightly.reporting"]
        # The child ends when its standard input does: so it does not outlive this process, however that ends.
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(json.dumps({"function": self.name, "fields": asdict(order)}) + "\n")
                process.stdin.flush()
                until = time.monotonic() + deadline_s
                while not select.select([process.stdout], [], [], _POLL_S)[0]:
                    check()
                    if time.monotonic() > until:
                        raise NoReportError(f"the report of {order.first} takes longer than {deadline_s:,.0f} s (report_s)")
                answer = process.stdout.readline()
            except BrokenPipeError:
                answer = ""
            finally:
                process.kill()
        if not answer:
            raise WorkerLostError(f"the process that made the report of {order.first} has died; is memory_mb too much for it?")
        told = json.loads(answer)
        if told["error"]:
            raise NoReportError(f"the report of {order.first}: {told['error']}", told["exit_code"])


def _serve() -> None:
    from datetime import date

    from pipeline.store.settings import StoreConfig

    with child_process() as (request, answers):
        answer: dict[str, Any] = {"error": "", "exit_code": 0}
        module, _, function = request["function"].partition(":")
        fields = dict(request["fields"])
        for key in ("first", "last"):
            fields[key] = date.fromisoformat(fields[key])
        fields["reach"] = StoreConfig(**fields["reach"])
        try:
            getattr(import_module(module), function)(**fields)
        except Exception as error:  # noqa: BLE001 - whatever it is, the night tells of it; a bug with its traceback
            answer = dict(zip(("error", "exit_code"), told(error), strict=True))
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    _serve()
