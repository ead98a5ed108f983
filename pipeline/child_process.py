"""A child process that is given an order, a line of JSON, and answers in lines of JSON.

It ends when its standard input does, and so does not outlive whoever started it, however that ends.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO

from pipeline.errors import PipelineError
from pipeline.exits import BUG, DO_NOT_TRY_AGAIN, exit_of
from pipeline.observe.safe_stderr import safe_stderr


@contextmanager
def child_process() -> Iterator[tuple[dict[str, Any], TextIO]]:
    """Be such a child: nothing that is printed in the body, in Python or not, gets into the answers.

    Yields:
        The order, and where the answers go.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    safe_stderr()

    def leave() -> None:
        sys.stdin.read()
        os._exit(1)

    order = json.loads(sys.stdin.readline())
    threading.Thread(target=leave, daemon=True).start()
    with redirect_stdout(sys.stderr):
        yield order, answers


def told(error: Exception) -> tuple[str, int]:
    """Tell of an error to whoever started this process; of a bug with its traceback, on standard error.

    Args:
        error: The error.

    Returns:
        What it says, with its notes, and the exit code of a command that ends with it.
    """
    notes = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
    text = str(error) if isinstance(error, PipelineError) else f"{type(error).__name__}: {error}"
    code = exit_of(error).code
    if code == BUG:
        traceback.print_exception(error)
        code = DO_NOT_TRY_AGAIN
    return text + notes, code
