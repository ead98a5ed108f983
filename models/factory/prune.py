"""Structured pruning: removes whole attention heads and blocks of feed-forward neurons, the least important first.

A part's importance is |sum of gradient x weight| over its output weights, added up over batches (Michel et al., 2019), set
against what the part costs on this CPU. What costs most for what it gives goes first, over all layers at once (as in ZipLM,
Kurtic et al., 2023).
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
from models.factory.recipe import PruningAim
from models.runtime.config import LayerShape
from models.runtime.encoder import Encoder, Layer
from models.runtime.labels import NUM_CASES

BLOCK = 64


@dataclass(frozen=True, slots=True)
class Importance:
    """How important the parts of every layer are.

    Attributes:
        heads: Scores of each layer's heads, float64, shape (heads,) each.
        neurons: Scores of each layer's feed-forward neurons, float64, shape (ffn,) each.
    """

    heads: list[npt.NDArray[np.float64]]
    neurons: list[npt.NDArray[np.float64]]


def importance(
    learner: nn.Module, encoder: Encoder, examples: Examples, runs: Sequence[npt.NDArray[np.int64]], loss: Loss
) -> Importance:
    """Score heads and neurons by the gradients of a loss on some batches, on the CPU.

    A score is the first-order change of the loss without the part: gradient x weight, signed over the part's output weights and
    absolute over batches.

    Args:
        learner: Model that `loss` takes; holds `encoder`. Its gradients are cleared.
        encoder: Encoder whose parts are scored.
        examples: Texts that the batches are drawn from.
        runs: Numbers of each batch's texts, int64, shape (batch,) each.
        loss: What the parts are important for.

    Returns:
        The scores, summed over the batches.
    """
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
    """What one layer keeps.

    Attributes:
        heads: Indices of heads, ascending, int64, shape (heads kept,).
        neurons: Indices of feed-forward neurons, ascending, int64, shape (neurons kept,).
    """

    heads: npt.NDArray[np.int64]
    neurons: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Aim:
    """What one round of structured pruning is to reach.

    Attributes:
        settings: Says the aim: `speed`, or `shape`.
        costs: Measured costs of heads and neurons; None if the aim is a shape.
        first: Shapes of the layers before the first round.
        part: How far this round goes from `first` to the aim, above 0 up to 1.
    """

    settings: PruningAim
    costs: Costs | None
    first: tuple[LayerShape, ...]
    part: float

    def choose(self, scores: Importance) -> list[Keep]:
        """Choose what every layer keeps in this round.

        On the way to a shape, rounds are evenly spaced, and neurons go in blocks of 64 until the last round hits the shape
        itself. On the way to a speed, each round makes the model faster by the same factor.

        Args:
            scores: Importance of the parts that are left.

        Returns:
            What to keep, one entry a layer.
        """
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
    """Select the most important heads and neurons of every layer.

    Args:
        scores: Importance of the parts.
        shapes: How many heads and neurons each layer keeps.

    Returns:
        What to keep, one entry a layer.
    """
    return [
        Keep(np.sort(np.argsort(-heads)[: shape.heads]), np.sort(np.argsort(-neurons)[: shape.ffn]))
        for heads, neurons, shape in zip(scores.heads, scores.neurons, shapes, strict=True)
    ]


def fastest(scores: Importance, costs: Costs, speed: float, min_heads: int, min_ffn: int) -> list[LayerShape]:
    """Remove the part with the least importance per second saved until the predicted speed is reached.

    Greedy, over all layers at once. Neurons go in blocks of 64, the least important of a layer together.

    Args:
        scores: Importance of the parts.
        costs: Measured seconds of a head and of a block of neurons.
        speed: Speed wanted, as a ratio to the language's fp32 reference.
        min_heads: Heads that every layer keeps at least.
        min_ffn: Neurons that every layer keeps at least.

    Returns:
        Shape of every layer; slower than `speed` if nothing more may be removed.
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
    """Copy an encoder without the parts that are not kept; they are gone, not zeroed.

    Args:
        encoder: Encoder that is pruned; stays as it is.
        keep: What to keep, one entry a layer.

    Returns:
        The smaller encoder.

    Raises:
        FactoryError: Heads are to go from layers that share a relative position bias, which has a value for each head.
    """
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


def keep_layers(encoder: Encoder, layers: Sequence[int], cases: int = NUM_CASES) -> Encoder:
    """Copy an encoder with only some of its layers, and by default without the case features that only a teacher sees.

    Args:
        encoder: Encoder that the layers are copied from; stays as it is.
        layers: Indices of the layers, in the order in which the copy has them.
        cases: Case features that are kept.

    Returns:
        The shallower encoder.
    """
    config = replace(encoder.config, layers=tuple(encoder.config.layers[i] for i in layers), cases=cases)
    small = Encoder(config)
    state = {name: value for name, value in encoder.state_dict().items() if not name.startswith("layers.")}
    state["cases.weight"] = state["cases.weight"][:cases]
    for new, old in enumerate(layers):
        for name, value in encoder.layers[old].state_dict().items():
            state[f"layers.{new}.{name}"] = value
    small.load_state_dict(state)
    return small


def zero_smallest(encoder: Encoder, sparsity: float) -> None:
    """Prune unstructured by L1, in place: zero the smallest weights of every matrix of the layers.

    For comparison only: it makes nothing smaller or faster, since no kernel here skips zeros.

    Args:
        encoder: Encoder whose layers are pruned.
        sparsity: Share of each matrix's weights that is zeroed, 0 to 1.
    """
    with torch.no_grad():
        for _, weight in _matrices(encoder):
            smallest = int(sparsity * weight.numel())
            if smallest:
                weight[weight.abs() <= weight.abs().flatten().kthvalue(smallest).values] = 0.0


def hold_zeros(encoder: Encoder) -> Callable[[int, int], None]:
    """Build a callback that zeroes again the weights that are zero now.

    Args:
        encoder: Encoder whose layers' matrices are held.

    Returns:
        A function of the step's number and of the number of steps (both are ignored), as `fit` calls it before each step.
    """
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
    """Tabulate how many parameters pruning has left, layer by layer and in total.

    Args:
        before: Encoder before pruning, with all of its layers.
        after: Encoder after pruning.
        layer_map: For each layer of `after`, the index of the layer of `before` that it came from. Layers of `before` that are
            not named count as removed.

    Returns:
        A row for each layer, for all layers and for the whole model: `part`, parameters `before` and non-zero ones `after`,
        `sparsity` (the share that is zero or removed) and `compression` (before / after; None if nothing is left).
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
