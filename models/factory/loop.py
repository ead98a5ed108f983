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
    """AdamW with a linear warm-up and a linear fall of the learning rate.

    Attributes:
        learning_rate: Peak rate.
        warmup: Share of the steps in which the rate rises.
        floor: Share of the peak rate at the end.
        head_rate: Rate of fresh layers / of the others.
        clip: Largest norm of the gradients.
        checkpoint_s: Seconds between checkpoints.
        limit_s: A run is over after so many seconds: batches that the clock overtakes are left out, evenly, so that the rate
            falls to its end in time.
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
        """Return the share of the peak rate at a step.

        Args:
            step: From 0.
            steps: Of the whole run.
        """
        rise = max(1.0, self.warmup * steps)
        if step < rise:
            return (step + 1) / rise
        return max(self.floor, (steps - step) / max(1.0, steps - rise))

    def after(self, step: int, steps: int, start: int, seconds: float) -> int:
        """Return the number of the next batch; `steps` if that was the last.

        Args:
            step: Number of the last batch.
            steps: Of the whole run.
            start: Number of the first batch since the start.
            seconds: Since the start.
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
    """Train a model in place on batches; go on from a checkpoint that holds a part of this run.

    It is trained on the `device()` and comes back to the CPU. Models that learn side by side (`learners`) have their gradients
    clipped apart. The checkpoint of the last step stays: who has saved the result removes it.

    Args:
        model: The model.
        examples: The texts.
        runs: Numbers of the texts of each batch, in order.
        loss: Gives the loss of the model for a batch.
        schedule: Rates, checkpoints and limits.
        checkpoint: File that the state is kept in.
        seed: Draws what is dropped.
        say: Gets lines of progress.
        each_step: Called with step and steps before each step (pruned weights are held at zero).
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
