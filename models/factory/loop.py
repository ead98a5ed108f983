"""The training loop that every step of the factory shares: resumable, deterministic, with progress."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.factory.devices import autocast, device, keep_memory
from models.factory.examples import TRAIN_MULTIPLE, Batch, Examples, gather
from models.factory.files import write_whole

# Layers that no pretrained encoder brings; they learn at a higher rate.
FRESH = (
    "cases.", "pairs.", "pair_project.", "tokens_head.", "pool.", "sentiment_head.",
    "transitions", "project.", "silver.", "guess.", "guess_bias",
)  # fmt: skip

_PREFIX = re.compile(r"(learners\.\d+\.)?(student\.)?(encoder\.)?")

Loss = Callable[[nn.Module, Batch], Tensor]


@dataclass(frozen=True, slots=True)
class Schedule:
    """AdamW with a linear warm-up of the learning rate and a linear decay towards zero.

    Attributes:
        learning_rate: Peak rate of pretrained layers.
        warmup: Share of the steps in which the rate rises.
        floor: Share of the peak rate that the decay does not go below.
        weight_decay: Of matrices; vectors, such as biases and norms, have none.
        head_rate: Rate of layers that no pretrained encoder brings (FRESH), as a multiple of the others'.
        clip: Largest norm of the gradients of a model.
        checkpoint_s: Seconds between checkpoints.
        limit_s: Seconds that a whole run may take. Batches that the clock overtakes are skipped evenly, so that the rate decays
            to its end in time. None is no limit.
    """

    learning_rate: float
    warmup: float = 0.1
    floor: float = 0.0
    weight_decay: float = 0.01
    head_rate: float = 10.0
    clip: float = 1.0
    checkpoint_s: float = 300.0
    limit_s: float | None = None

    def factor(self, step: int, steps: int) -> float:
        """Compute the learning rate of a step as a multiple of the peak rate.

        Args:
            step: Number of the step, from 0.
            steps: Steps of the run.

        Returns:
            The multiple.
        """
        rise = max(1.0, self.warmup * steps)
        if step < rise:
            return min(1.0, (step + 1) / rise)
        return max(self.floor, (steps - step) / max(1.0, steps - rise))

    def after(self, step: int, steps: int, start: int, seconds: float) -> int:
        """Choose the next batch, which is the one behind this unless the time limit forces batches to be skipped.

        Args:
            step: Number of the batch that was just trained on.
            steps: Batches of the run.
            start: Batch that this process began or went on at; what is left after a kill has its share of the time.
            seconds: Seconds since then.

        Returns:
            Number of the next batch; `steps` if the run is over.
        """
        if self.limit_s is None:
            return step + 1
        # What is left after a kill has its share of the time.
        return min(steps, max(step + 1, start + int(seconds / self.limit_s * steps)))


def _parameters(model: nn.Module, schedule: Schedule) -> list[dict[str, object]]:
    groups: dict[tuple[bool, bool], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            fresh = _PREFIX.sub("", name).startswith(FRESH)
            groups.setdefault((fresh, parameter.ndim > 1), []).append(parameter)
    rate = schedule.learning_rate
    return [
        {
            "params": parameters,
            "lr": rate * (schedule.head_rate if fresh else 1.0),
            "weight_decay": schedule.weight_decay if matrix else 0.0,
        }
        for (fresh, matrix), parameters in groups.items()
    ]


def fit(
    model: nn.Module,
    examples: Examples,
    runs: Sequence[npt.NDArray[np.int64]],
    loss: Loss,
    schedule: Schedule,
    checkpoint: Path,
    seed: int,
    say: Callable[[str], None],
    each_step: Callable[[int, int], None] | None = None,
) -> None:
    """Train a model in place, from a checkpoint if there is one.

    It is trained on the `device()` and comes back to the CPU in evaluation mode. The checkpoint of the last step stays: the
    caller removes it once the result is saved.

    Args:
        model: Learns; the gradients of each of its `learners`, if it has some, are clipped apart.
        examples: What the batches are gathered from.
        runs: Numbers of the texts of each batch, in order, as from `draw`.
        loss: Computes the loss of a batch, a scalar.
        schedule: Learning rates, limits and intervals.
        checkpoint: Where model, optimizer and step are kept. What is there must be of this same run.
        seed: Fixes dropout and what else is drawn, step by step, so that a resumed run draws as one that was not interrupted.
        say: Gets lines of progress.
        each_step: Called before each step with its number and the number of steps (pruned weights are held at zero so).
    """
    keep_memory()
    where = device()
    model.to(where)
    optimizer = torch.optim.AdamW(_parameters(model, schedule), betas=(0.9, 0.98), fused=True)
    peaks = [group["lr"] for group in optimizer.param_groups]
    start = _resumed(model, optimizer, checkpoint, where)
    if start:
        say(f"going on at step {start} of {len(runs)}")
    parts = [list(part.parameters()) for part in getattr(model, "learners", [model])]
    model.train()
    began = last_saved = time.monotonic()
    last_said = began - 15
    tokens, done, running = 0, 0, torch.zeros((), device=where)
    step = start
    while step < len(runs):
        if each_step is not None:
            each_step(step, len(runs))
        torch.manual_seed(seed * 1_000_003 + step)
        factor = schedule.factor(step, len(runs))
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * factor
        batch = gather(examples, runs[step], TRAIN_MULTIPLE).to(where)
        value = _learn(model, batch, loss, optimizer, parts, schedule.clip)
        tokens, done = tokens + batch.tokens, done + 1
        # Asked for when it is said alone: a GPU would have to be waited for.
        running = value.lerp(running, 0.95 if done > 1 else 0.0)
        now = time.monotonic()
        step = schedule.after(step, len(runs), start, now - began)
        last = step == len(runs)
        if now - last_said > 20 or last:
            left = (now - began) / (step - start) * (len(runs) - step)
            rate = tokens / (now - began)
            say(f"step {step}/{len(runs)}  loss {running.item():.4f}  {rate:,.0f} tokens/s  {left:.0f} s left")
            last_said = now
        if now - last_saved > schedule.checkpoint_s or last:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
            write_whole(checkpoint, partial(torch.save, state))
            last_saved = time.monotonic()
    if done < len(runs) - start:
        say(f"{done:,} of {len(runs) - start:,} batches in {schedule.limit_s:.0f} s: the clock overtook the others")
    model.to("cpu").eval()


def _resumed(model: nn.Module, optimizer: torch.optim.Optimizer, checkpoint: Path, where: torch.device) -> int:
    """Take the state of a checkpoint on, if there is one; gives the step to begin with."""
    if not checkpoint.exists():
        return 0
    saved = torch.load(checkpoint, weights_only=True, map_location=where)
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    return int(saved["step"])


def _learn(
    model: nn.Module, batch: Batch, loss: Loss, optimizer: torch.optim.Optimizer, parts: Sequence[list[nn.Parameter]], clip: float
) -> Tensor:
    """One step; gives the loss."""
    with autocast(batch.ids.device):
        value = loss(model, batch)
    value.backward()
    for part in parts:
        nn.utils.clip_grad_norm_(part, clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return value.detach()
