"""A teacher's answers to the texts of a pool: kept on disk where asking is expensive, or asked for while the student learns."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.factory.devices import autocast
from models.factory.examples import Batch, Examples, gather, sweep
from models.factory.files import read_json, write_json
from models.runtime.encoder import Encoder
from models.runtime.engines import default_threads
from models.runtime.labels import NUM_SENTIMENTS, NUM_TOKEN_OUTPUTS
from models.runtime.signal_stack import signal_stack_kept

if TYPE_CHECKING:
    import openvino as ov

SAVE_EVERY = 50


@dataclass(frozen=True, slots=True)
class Asked:
    """What a teacher says of a batch, on the batch's device.

    Attributes:
        tokens: Logits of the token tasks for each of the batch's units, float32, shape (units, NUM_TOKEN_OUTPUTS).
        hidden: Last hidden states of the units, float32, shape (units, hidden).
        sentiment: Sentiment logits of the texts, float32, shape (batch, 3).
    """

    tokens: Tensor
    hidden: Tensor
    sentiment: Tensor


class TeacherRun(Protocol):
    """Anything that says what a teacher says of the batches of a pool."""

    @property
    def hidden_size(self) -> int:
        """Width of the teacher's hidden states."""
        ...

    def of(self, batch: Batch) -> Asked:
        """Answer a batch of the pool.

        Args:
            batch: Batch gathered from the pool's examples.

        Returns:
            The teacher's answers, on the batch's device.
        """
        ...


@dataclass(frozen=True, slots=True)
class TeacherLogits:
    """A teacher's answers to a whole pool, in tables that may be memory-mapped.

    Attributes:
        tokens: Logits of the token tasks for every token, float16, shape (tokens, NUM_TOKEN_OUTPUTS).
        hidden: Last hidden states of every token, float16, shape (tokens, hidden).
        sentiment: Sentiment logits of every text, float32, shape (texts, 3).
    """

    tokens: npt.NDArray[np.float16]
    hidden: npt.NDArray[np.float16]
    sentiment: npt.NDArray[np.float32]

    @property
    def hidden_size(self) -> int:
        """Width of the teacher's hidden states."""
        return int(self.hidden.shape[1])

    def of(self, batch: Batch) -> Asked:
        """Look up the answers to a batch of the pool.

        Args:
            batch: Batch gathered from the pool's examples.

        Returns:
            The teacher's answers, on the batch's device.
        """
        where, device = batch.flat[batch.units[batch.mask].cpu().numpy()], batch.ids.device
        tokens, hidden, sentiment = (
            torch.from_numpy(values).to(device).float()
            for values in (self.tokens[where], self.hidden[where], self.sentiment[batch.docs])
        )
        return Asked(tokens, hidden, sentiment)


class LiveTeacher:
    """A teacher that is asked while a student learns.

    On a GPU that costs a third of a step of the teacher's own training, and answers to many texts need no disk.

    Args:
        teacher: Float encoder; moved to `where` and put into evaluation mode.
        shown: The pool's texts with the features that only the teacher sees; None if it sees none.
        where: Device that the teacher computes on.
    """

    def __init__(self, teacher: Encoder, shown: Examples | None, where: torch.device) -> None:
        self._teacher, self._shown, self._where = teacher.to(where).eval(), shown, where

    @property
    def hidden_size(self) -> int:
        """Width of the teacher's hidden states."""
        return self._teacher.config.hidden

    def of(self, batch: Batch) -> Asked:
        """Compute the answers to a batch of the pool, without gradients.

        Args:
            batch: Batch gathered from the pool's examples, on any device.

        Returns:
            The teacher's answers, on the batch's device.
        """
        seen = batch if self._shown is None else gather(self._shown, batch.docs, batch.ids.shape[1])
        seen, back = seen.to(self._where), batch.ids.device
        with torch.no_grad(), autocast(self._where):
            last = self._teacher.encode(seen.ids, seen.cases, seen.mask)[-1]
            tokens, sentiment = self._teacher.heads(last, seen.mask)
        told = (tokens[seen.units], last[seen.units], sentiment)
        return Asked(*(values.to(back).float() for values in told))


class Once:
    """Answers that are asked for once a batch, however many students learn from it.

    Args:
        answers: Whose answers they are.
    """

    def __init__(self, answers: TeacherRun) -> None:
        self._answers = answers
        self._last: tuple[Batch, Asked] | None = None

    @property
    def hidden_size(self) -> int:
        """Width of the teacher's hidden states."""
        return self._answers.hidden_size

    def of(self, batch: Batch) -> Asked:
        """Answer a batch of the pool, with the last answer again if it is the same batch object.

        Args:
            batch: Batch gathered from the pool's examples.

        Returns:
            The teacher's answers, on the batch's device.
        """
        if self._last is None or self._last[0] is not batch:
            self._last = batch, self._answers.of(batch)
        return self._last[1]


def compute_logits(teacher: Encoder, examples: Examples, folder: Path, key: str, say: Callable[[str], None]) -> TeacherLogits:
    """Compute a teacher's answers to all texts into memory-mapped tables, or go on with those that are there.

    A kill loses at most the last SAVE_EVERY batches.

    Args:
        teacher: Float encoder; runs in OpenVINO on the CPU.
        examples: Texts, with the features that the teacher sees.
        folder: Where tables and progress are kept; made if it is absent.
        key: Names the teacher and the texts; with another key the tables are begun anew.
        say: Gets lines of progress.

    Returns:
        The answers to all texts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = folder / "progress.json"
    total, docs, width = len(examples.ids), len(examples), teacher.config.hidden
    begun = read_json(state) or {}
    fresh = begun.get("key") != key
    if fresh:
        # Before the tables are opened anew: a kill must not leave them empty under a state that calls them whole.
        state.unlink(missing_ok=True)
    mode = "w+" if fresh else "r+"

    def table(name: str, kind: str, shape: tuple[int, int]) -> npt.NDArray[Any]:
        return np.lib.format.open_memmap(folder / f"{name}.npy", mode=mode, dtype=kind, shape=shape if fresh else None)

    tokens = table("tokens", "float16", (total, NUM_TOKEN_OUTPUTS))
    hidden = table("hidden", "float16", (total, width))
    sentiment = table("sentiment", "float32", (docs, NUM_SENTIMENTS))
    done = 0 if fresh else int(begun["batches"])
    batches = list(sweep(examples, 2048))
    if done < len(batches):
        compiled = _compile(teacher)
        began, seen = time.monotonic(), 0
        for number in range(done, len(batches)):
            batch = batches[number]
            inside = batch.mask.numpy()
            inputs = [
                batch.ids.numpy().astype(np.int32),
                batch.cases.numpy().astype(np.int32),
                inside.astype(np.float32),
            ]
            out = compiled(inputs)
            tokens[batch.flat], sentiment[batch.docs], hidden[batch.flat] = out[0][inside], out[1], out[2][inside]
            seen += batch.tokens
            if (number + 1) % SAVE_EVERY == 0 or number + 1 == len(batches):
                write_json(state, {"key": key, "batches": number + 1})
                rate = seen / (time.monotonic() - began)
                say(f"labelled batch {number + 1}/{len(batches)}  {rate:,.0f} tokens/s")
    return TeacherLogits(tokens, hidden, sentiment)


def _compile(teacher: Encoder) -> ov.CompiledModel:
    import openvino as ov

    from models.runtime.openvino_graph import build

    weights = {name: tensor.numpy() for name, tensor in teacher.state_dict().items()}
    settings = {"INFERENCE_NUM_THREADS": default_threads(), "NUM_STREAMS": 1}
    with signal_stack_kept():
        return ov.Core().compile_model(build(teacher.config, weights, hidden=True), "CPU", settings)
