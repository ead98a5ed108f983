"""The engines: ragged batches in, logits out. All give the same function of the same weights."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from models.runtime.batches import RaggedBatch, in_few_shapes
from models.runtime.cpu import sums_int8_exactly
from models.runtime.signal_stack import signal_stack_kept

if TYPE_CHECKING:
    from torch import nn

    from models.runtime.config import EncoderConfig
    from models.runtime.openvino_graph import Weights

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Logits:
    """The logits of one batch.

    Attributes:
        batch: The very object that was given to the engine, by which answers find their batch.
        tokens: Logits of the batch's n tokens, specials included, float32, shape (n, token_outputs).
        sentiment: Sentiment logits of the batch's B sequences, float32, shape (B, text_outputs). A model without heads gives
            states in the place of both, see `EncoderConfig`.
    """

    batch: RaggedBatch
    tokens: Float32
    sentiment: Float32


class Engine(Protocol):
    """Anything that computes the logits of ragged batches.

    Attributes:
        name: Which kind of engine this is.
        streams: Batches that it computes at a time.
    """

    name: str
    streams: int
    arithmetic: str | None
    """Names all that a text's scores depend on to the last bit, beside the model, the versions and the CPU's instructions; None
    if they depend on more, say on the texts beside it: such scores must not be shared as equal."""

    def infer(self, batches: Iterable[RaggedBatch]) -> Iterator[Logits]:
        """Compute the logits of a stream of batches, in any order.

        Args:
            batches: Batches, consumed lazily: the next one is taken only when the engine has room for it.

        Yields:
            The logits of each batch, once, in the order in which they are ready.
        """
        ...


class OpenVinoEngine(Engine):
    """OpenVINO on the CPU, with one stream for each thread, so that threads never wait for each other within a batch.

    What is not int8 is computed in `precision`. Left to itself OpenVINO computes in bf16 where the CPU can: a tenth faster, but
    then one in twenty of the example texts gets other tags than from the reference, or on a CPU without bf16. A CPU that loses
    what does not fit into 16 bits multiplies the rounded numbers as floats.

    Args:
        config: Shapes of the weights.
        weights: Tensors by name, as `ModelPackage.weights` gives them.
        threads: Number of threads, and of streams.
        precision: f32 or bf16, of all operations that are not int8.
        few_shapes: Whether batches are padded to one of a few shapes. OpenVINO compiles for each shape when it comes first: 20 to
            40 ms, and 6 MB that it keeps. Who reads a few passages at a time has ever new shapes; in large batches padding costs.
    """

    name = "openvino"

    def __init__(
        self, config: EncoderConfig, weights: Weights, threads: int, precision: str = "f32", few_shapes: bool = False
    ) -> None:
        import openvino as ov

        from models.runtime.openvino_graph import build

        settings: dict[str, object] = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": threads,
            "PERFORMANCE_HINT": "THROUGHPUT",
            "INFERENCE_PRECISION_HINT": precision,
            # Pinned to cores, the first threads of all processes of a machine share the first core.
            "ENABLE_CPU_PINNING": False,
        }
        with signal_stack_kept():
            compiled = ov.Core().compile_model(build(config, weights, whole_keys=few_shapes), "CPU", settings)
        # Neither threads, nor streams, nor the texts beside a text change a bit of its scores.
        computed = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        self.arithmetic: str | None = f"openvino-{computed}" + ("" if sums_int8_exactly() else "-products")
        self.streams, self._few_shapes = threads, few_shapes
        self._requests = [compiled.create_infer_request() for _ in range(threads + 1)]

    @override
    def infer(self, batches: Iterable[RaggedBatch]) -> Iterator[Logits]:
        idle, busy = deque(self._requests), deque[tuple[Any, RaggedBatch, npt.NDArray[np.bool_]]]()
        try:
            for batch in batches:
                if not idle:
                    yield self._finish(busy, idle)
                index, inside = batch.padded()
                mask = inside
                if self._few_shapes:
                    index, inside = in_few_shapes(index, inside)
                    mask = inside.copy()
                    mask[len(batch.windows) :, 0] = True  # a row without a token has no mean
                request = idle.popleft()
                ids, cases = batch.ids[index], batch.cases[index].astype(np.int32)
                request.start_async({"ids": ids, "cases": cases, "mask": mask.astype(np.float32)})
                busy.append((request, batch, inside))
            while busy:
                yield self._finish(busy, idle)
        finally:
            # Whoever stops early must not leave a request at work: the next call would find it busy.
            for request, _, _ in busy:
                request.wait()

    @staticmethod
    def _finish(busy: deque[tuple[Any, RaggedBatch, npt.NDArray[np.bool_]]], idle: deque[Any]) -> Logits:
        request, batch, inside = busy.popleft()
        request.wait()
        tokens = request.get_output_tensor(0).data[inside]
        sentiment = request.get_output_tensor(1).data[: len(batch.windows)].copy()
        idle.append(request)
        return Logits(batch, tokens, sentiment)


class TorchEngine(Engine):
    """The reference engine: PyTorch, with padded batches in fp32 on the CPU, or in bf16 on CUDA.

    On CUDA batches are computed without padding, by variable-length attention, if the encoder has no relative position bias.

    Args:
        encoder: An `Encoder` or another model with its inputs and outputs; for CUDA it is moved there and converted, in place.
        threads: CPU threads of the whole process; None leaves torch's setting alone.
        device: cpu or cuda.

    Attributes:
        flat: Whether batches are computed without padding.
        on_cuda: Whether they are computed on a GPU.
    """

    name = "torch"
    streams = 1
    arithmetic: str | None = None  # its kernels are chosen by a batch's shape, so the last bits depend on a text's neighbours
    flat = False  # whether batches are computed without padding
    on_cuda = False

    def __init__(self, encoder: nn.Module, threads: int | None, device: str = "cpu") -> None:
        import torch

        if threads:
            torch.set_num_threads(threads)
        self.on_cuda = device != "cpu"
        self.flat = self.on_cuda and getattr(encoder, "relative", None) is None
        self._device = torch.device(device)
        self._encoder = encoder.eval()
        if self.on_cuda:
            from models.runtime.quantized import QuantLinear

            # Rounding inputs to 8 bits is the CPU's arithmetic; bf16 needs none of it.
            for module in encoder.modules():
                if isinstance(module, QuantLinear):
                    module.round_input = False
            self._encoder = encoder.to(self._device, torch.bfloat16)

    @override
    def infer(self, batches: Iterable[RaggedBatch]) -> Iterator[Logits]:
        import torch

        for batch in batches:
            with torch.inference_mode():
                scores = self._flat(batch) if self.flat else self._padded(batch)
            yield scores

    def _padded(self, batch: RaggedBatch) -> Logits:
        import torch

        index, inside = batch.padded()
        ids = torch.from_numpy(batch.ids[index].astype(np.int64)).to(self._device)
        cases = torch.from_numpy(batch.cases[index].astype(np.int64)).to(self._device)
        mask = None if inside.all() else torch.from_numpy(inside).to(self._device)
        tokens, sentiment = self._encoder(ids, cases, mask)
        return Logits(batch, tokens.float().cpu().numpy()[inside], sentiment.float().cpu().numpy())

    def _flat(self, batch: RaggedBatch) -> Logits:
        import torch

        from models.runtime.encoder import Encoder
        from models.runtime.varlen import cuda_attention, forward

        assert isinstance(self._encoder, Encoder)
        ids, cases, bounds = (torch.from_numpy(values).to(self._device) for values in (batch.ids, batch.cases, batch.offsets))
        tokens, sentiment = forward(self._encoder, ids, cases.long(), bounds.int(), cuda_attention)
        return Logits(batch, tokens.float().cpu().numpy(), sentiment.float().cpu().numpy())


def default_threads() -> int:
    """Return the number of CPUs that this process may run on, by its affinity mask."""
    return len(os.sched_getaffinity(0))
