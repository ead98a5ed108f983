"""Layers of an encoder on several devices, for one that does not fit a single device, and several such chains side by side.

A chain is pipeline parallel by layers: while one device computes its layers of a batch, the next one computes its own of the
batch before. Several chains are data parallel.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.runtime.batches import RaggedBatch
from models.runtime.encoder import Encoder
from models.runtime.engines import Logits


@dataclass(slots=True)
class _Flight:
    """A batch on its way through a chain: `x` are its states [B, S, H], `bias` what attention adds, `inside` bool [B, S]."""

    batch: RaggedBatch
    inside: Any
    answers: SimpleQueue[Logits | Exception]
    x: Tensor | None = None
    bias: Tensor | None = None


def cut_layers(sizes: Sequence[int], parts: int) -> list[range]:
    """Cut layers into consecutive runs of about equal total size, with at least one layer each.

    Args:
        sizes: Size of each layer in order, for instance its number of parameters.
        parts: Number of runs.

    Returns:
        Indices of each run's layers, in order.

    Raises:
        ValueError: There are fewer layers than runs.
    """
    if parts > len(sizes):
        raise ValueError(f"{len(sizes)} layers do not suffice for {parts} devices")
    reached, cuts = np.cumsum(sizes), [0]
    for part in range(1, parts):
        ideal = int(np.searchsorted(reached, reached[-1] * part / parts)) + 1
        cuts.append(min(max(ideal, cuts[-1] + 1), len(sizes) - parts + part))
    return [range(first, last) for first, last in pairwise([*cuts, len(sizes)])]


class PipelineParallelEngine:
    """An engine that spreads an encoder's layers over several torch devices; it implements `Engine`.

    Every chain of devices holds one copy of the whole encoder. Scores are those of the torch engine in the encoder's own
    precision.

    Args:
        encoder: The encoder; with one chain its layers are moved in place, with several each chain gets a copy.
        chains: The devices of each chain in the order of the layers, say (("cuda:0", "cuda:1"), ("cuda:2", "cuda:3")); a device
            may be named more than once.

    Raises:
        ValueError: A chain has no device, or more than there are layers.
    """

    name = "staged"
    arithmetic: str | None = None  # as of the torch engine
    flat = False

    def __init__(self, encoder: Encoder, chains: Sequence[Sequence[str]]) -> None:
        if not chains or not all(chains):
            raise ValueError("name at least one device for every chain")
        self.streams = len(chains)
        self._chains = [_Chain(encoder if len(chains) == 1 else copy.deepcopy(encoder), devices) for devices in chains]

    def infer(self, batches: Iterable[RaggedBatch]) -> Iterator[Logits]:
        """Compute the logits of a stream of batches, in any order; an error on a device is raised here.

        Args:
            batches: Batches, consumed lazily: the next one is taken only when a chain has room for it.

        Yields:
            The logits of each batch, once, in the order in which they are ready.
        """
        answers: SimpleQueue[Logits | Exception] = SimpleQueue()
        on_the_way = [0] * len(self._chains)
        chain_of: dict[int, int] = {}

        def landed() -> Logits:
            answer = answers.get()
            if isinstance(answer, Exception):
                raise answer
            on_the_way[chain_of.pop(id(answer.batch))] -= 1
            return answer

        for batch in batches:
            while all(count > len(chain.devices) for count, chain in zip(on_the_way, self._chains, strict=True)):
                yield landed()
            first = min(range(len(self._chains)), key=lambda i: on_the_way[i] / len(self._chains[i].devices))
            on_the_way[first] += 1
            chain_of[id(batch)] = first
            self._chains[first].begin(batch, answers)
        while chain_of:
            yield landed()


class _Chain:
    def __init__(self, encoder: Encoder, devices: Sequence[str]) -> None:
        self.devices = [torch.device(name) for name in devices]
        encoder = encoder.eval()
        layers = list(encoder.layers)
        cuts = cut_layers([sum(p.numel() for p in layer.parameters()) for layer in layers], len(devices))
        self._stages = [[layers[i].to(device) for i in cut] for cut, device in zip(cuts, self.devices, strict=True)]
        for name, module in encoder.named_children():
            if name != "layers":
                module.to(self.devices[-1 if name in HEADS else 0])
        self._encoder = encoder
        self._queues: list[SimpleQueue[_Flight]] = [SimpleQueue() for _ in devices]
        for number in range(len(devices)):
            threading.Thread(target=self._work, args=(number,), name=f"textmill-stage-{number}", daemon=True).start()

    def begin(self, batch: RaggedBatch, answers: SimpleQueue[Logits | Exception]) -> None:
        self._queues[0].put(_Flight(batch, batch.padded(), answers))

    def _work(self, number: int) -> None:
        while True:
            flight = self._queues[number].get()
            try:
                with torch.inference_mode():
                    answer = self._step(number, flight)
            except Exception as error:  # noqa: BLE001 - told to whoever waits for the batch
                flight.answers.put(error)
                continue
            if answer is not None:
                flight.answers.put(answer)
            else:
                self._queues[number + 1].put(flight)

    def _step(self, number: int, flight: _Flight) -> Logits | None:
        device = self.devices[number]
        index, inside = flight.inside
        if number == 0:
            ids = torch.from_numpy(flight.batch.ids[index].astype(np.int64)).to(device)
            cases = torch.from_numpy(flight.batch.cases[index].astype(np.int64)).to(device)
            flight.x, flight.bias = self._encoder.begin(ids, cases, torch.from_numpy(inside).to(device))
        assert flight.x is not None
        flight.x = flight.x.to(device)
        flight.bias = None if flight.bias is None else flight.bias.to(device)
        for layer in self._stages[number]:
            flight.x = layer(flight.x, flight.bias)
        if number + 1 < len(self.devices):
            return None
        tokens, sentiment = self._encoder.heads(flight.x, torch.from_numpy(inside).to(device))
        return Logits(flight.batch, tokens.float().cpu().numpy()[inside], sentiment.float().cpu().numpy())


# What computes on the last states; all other parts stand before the first layer.
HEADS = ("tokens_head", "pool", "sentiment_head")
