"""Structured pruning: whole attention heads and blocks of feed-forward neurons, the least important first.

Importance is the sum of |gradient x weight| over a part's outputs (Michel et al. 2019), set against what the part costs
on this CPU; what costs most for what it gives goes first, over all layers at once (as in ZipLM, Kurtic et al. 2023).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.errors import FactoryError
from models.factory.devices import autocast
from models.factory.examples import Examples, gather
from models.factory.latency import Costs
from models.factory.loop import Loss
from models.factory.recipe import Prune
from models.runtime.config import LayerShape
from models.runtime.encoder import Encoder, Layer
from models.runtime.labels import NUM_CASES

BLOCK = 64


@dataclass(frozen=True, slots=True)
class Importance:
    """float64 scores: `heads`[layer] of [heads], `neurons`[layer] of [ffn]."""

    heads: list[npt.NDArray[np.float64]]
    neurons: list[npt.NDArray[np.float64]]


def importance(
    learner: nn.Module, encoder: Encoder, examples: Examples, runs: Sequence[npt.NDArray[np.int64]], loss: Loss
) -> Importance:
    """Scores from the gradients of `loss` on the batches `runs`."""
    heads = [np.zeros(shape.heads) for shape in encoder.config.layers]
    neurons = [np.zeros(shape.ffn) for shape in encoder.config.layers]
    for run in runs:
        learner.zero_grad(set_to_none=True)
        with autocast(torch.device("cpu")):
            value = loss(learner, gather(examples, run))
        value.backward()
        for i, layer in enumerate(encoder.layers):
            assert isinstance(layer, Layer)
            # Signed over a head's or neuron's weights, absolute over batches: the change of the loss without it.
            out, down = _saliency(layer.out.weight), _saliency(layer.down.weight)
            heads[i] += np.abs(out.view(encoder.config.hidden, -1, encoder.config.head_dim).sum(dim=(0, 2)).numpy())
            neurons[i] += np.abs(down.sum(dim=0).numpy())
    learner.zero_grad(set_to_none=True)
    return Importance(heads, neurons)


def _saliency(weight: Tensor) -> Tensor:
    assert weight.grad is not None
    return (weight.detach() * weight.grad).double()


@dataclass(frozen=True, slots=True)
class Keep:
    """What one layer keeps: indices of heads and of neurons, ascending."""

    heads: npt.NDArray[np.int64]
    neurons: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Aim:
    """What one round of structured pruning is to reach: `part` (0 to 1] of the way from the layers `first` to the aim."""

    settings: Prune
    costs: Costs | None
    first: tuple[LayerShape, ...]
    part: float

    def choose(self, scores: Importance) -> list[Keep]:
        """What every layer keeps."""
        if self.settings.shape is not None:
            heads, ffn = self.settings.shape
            # Neurons in blocks, as for the other aim; the last round hits the shape itself.
            wanted = [
                LayerShape(
                    round(old.heads + (heads - old.heads) * self.part),
                    ffn if self.part == 1.0 else BLOCK * round((old.ffn + (ffn - old.ffn) * self.part) / BLOCK),
                )
                for old in self.first
            ]
            return keep_best(scores, wanted)
        assert self.costs is not None
        assert self.settings.speed is not None
        begin = self.costs.speed(self.first)
        speed = begin * (self.settings.speed / begin) ** self.part
        return keep_best(scores, fastest(scores, self.costs, speed, self.settings.min_heads, self.settings.min_ffn))


def keep_best(scores: Importance, shapes: Sequence[LayerShape]) -> list[Keep]:
    """The most important heads and neurons of every layer, as many as `shapes` says."""
    return [
        Keep(np.sort(np.argsort(-heads)[: shape.heads]), np.sort(np.argsort(-neurons)[: shape.ffn]))
        for heads, neurons, shape in zip(scores.heads, scores.neurons, shapes, strict=True)
    ]


def fastest(scores: Importance, costs: Costs, speed: float, min_heads: int, min_ffn: int) -> list[LayerShape]:
    """Take away the part with the least importance per second until the predicted speed is reached.

    Neurons go in blocks of 64, the least important of a layer together.
    """
    neurons = [np.sort(layer)[::-1] for layer in scores.neurons]
    heads = [np.sort(layer)[::-1] for layer in scores.heads]
    kept = [LayerShape(len(h), len(f)) for h, f in zip(heads, neurons, strict=True)]
    while costs.speed(tuple(kept)) < speed:
        offers = []
        for i, shape in enumerate(kept):
            if shape.heads > min_heads:
                worth = float(heads[i][shape.heads - 1])
                offers.append((worth / max(costs.head_s, 1e-12), i, LayerShape(shape.heads - 1, shape.ffn)))
            if shape.ffn - BLOCK >= min_ffn:
                worth = float(neurons[i][shape.ffn - BLOCK : shape.ffn].sum())
                offers.append((worth / max(costs.block_s, 1e-12), i, LayerShape(shape.heads, shape.ffn - BLOCK)))
        if not offers:
            break
        _, i, shape = min(offers, key=lambda offer: offer[0])
        kept[i] = shape
    return kept


def shrink(encoder: Encoder, keep: Sequence[Keep]) -> Encoder:
    """A smaller encoder that computes what is left; the parts not kept are gone, not zeroed."""
    config = encoder.config
    if config.relative_buckets and any(len(k.heads) < s.heads for k, s in zip(keep, config.layers, strict=True)):
        raise FactoryError("layers with a relative position bias share it and keep all their heads; prune their width alone")
    shapes = tuple(LayerShape(len(k.heads), len(k.neurons)) for k in keep)
    small = Encoder(replace(config, layers=shapes))
    small.dropout = encoder.dropout
    state = dict(encoder.state_dict())
    for i, kept in enumerate(keep):
        p = f"layers.{i}."
        width = config.layers[i].heads * config.head_dim
        inner = (torch.as_tensor(kept.heads)[:, None] * config.head_dim + torch.arange(config.head_dim)).flatten()
        qkv = torch.cat([inner + part * width for part in range(3)])
        neurons = torch.as_tensor(kept.neurons)
        for name, rows in ((p + "qkv", qkv), (p + "up", neurons)):
            state[name + ".weight"], state[name + ".bias"] = state[name + ".weight"][rows], state[name + ".bias"][rows]
        state[p + "out.weight"] = state[p + "out.weight"][:, inner]
        state[p + "down.weight"] = state[p + "down.weight"][:, neurons]
    small.load_state_dict(state)
    return small


def keep_layers(encoder: Encoder, layers: Sequence[int]) -> Encoder:
    """An encoder of the named layers, copied, in that order; without the features that only a teacher sees."""
    config = replace(encoder.config, layers=tuple(encoder.config.layers[i] for i in layers), cases=NUM_CASES)
    small = Encoder(config)
    state = {name: value for name, value in encoder.state_dict().items() if not name.startswith("layers.")}
    state["cases.weight"] = state["cases.weight"][:NUM_CASES]
    for new, old in enumerate(layers):
        for name, value in encoder.layers[old].state_dict().items():
            state[f"layers.{new}.{name}"] = value
    small.load_state_dict(state)
    return small


def zero_smallest(encoder: Encoder, sparsity: float) -> None:
    """L1 (unstructured) pruning, in place: zero the smallest weights of every matrix of the layers.

    For comparison only: it makes nothing smaller or faster, since no kernel here skips zeros.
    """
    with torch.no_grad():
        for _, weight in _matrices(encoder):
            smallest = int(sparsity * weight.numel())
            if smallest:
                weight[weight.abs() <= weight.abs().flatten().kthvalue(smallest).values] = 0.0


def hold_zeros(encoder: Encoder) -> Callable[[int, int], None]:
    """A function, to be called before each step, that zeroes again the weights that are zero now."""
    matrices = [(weight, weight == 0) for _, weight in _matrices(encoder)]

    def zero(_step: int, _steps: int) -> None:
        with torch.no_grad():
            for weight, zeros in matrices:
                weight[zeros] = 0.0

    return zero


def _matrices(encoder: Encoder) -> Iterator[tuple[str, nn.Parameter]]:
    for name, weight in encoder.layers.named_parameters():
        if name.endswith("weight") and weight.ndim == 2:
            yield name, weight


def sparsity_report(before: Encoder, after: Encoder, layer_map: Sequence[int]) -> list[dict[str, float | str | None]]:
    """Per layer and in total: parameters before and after, the share that is zero or removed, before / after.

    `layer_map[i]` is the layer of `before` that layer i of `after` came from; dropped layers count as removed.
    """

    def live(module: nn.Module) -> int:
        return sum(int((p != 0).sum()) for p in module.parameters())

    def size(module: nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    rows = []
    for number, layer in enumerate(before.layers):
        now = after.layers[layer_map.index(number)] if number in layer_map else None
        rows.append((f"layer {number}", size(layer), live(now) if now is not None else 0))
    rows.append(("all layers", sum(r[1] for r in rows), sum(r[2] for r in rows)))
    # Outside the layers nothing is pruned; a weight that happens to be zero there is not removed.
    rows.append(("whole model", size(before), size(after) - size(after.layers) + live(after.layers)))
    return [
        {"part": part, "before": old, "after": new, "sparsity": 1 - new / old, "compression": old / new if new else None}
        for part, old, new in rows
    ]
