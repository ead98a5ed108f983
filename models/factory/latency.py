"""What a layer costs on this CPU, measured: the basis of pruning and of the reported speeds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from models.errors import FactoryError
from models.runtime.config import EncoderConfig, LayerShape
from models.runtime.encoder import Encoder
from models.runtime.engines import default_threads
from models.runtime.quantized import layer_linears, quantize_linears
from models.runtime.signal_stack import signal_stack_kept
from models.runtime.weights import to_weights

BATCH, LENGTH = 32, 64
ATTEMPTS = 5


def median_s(call: Callable[[], object], repeats: int = 7) -> float:
    """Measure the median wall time of a call, after one call that is not counted.

    Args:
        call: What is timed.
        repeats: Number of calls that are counted, best an odd one.

    Returns:
        Seconds.
    """
    call()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return sorted(times)[repeats // 2]


def int8_seconds(config: EncoderConfig, threads: int) -> float:
    """Measure one inference of the int8 OpenVINO graph of an encoder's shape, with random weights, on BATCH x LENGTH tokens.

    Args:
        config: Shape of the encoder; its vocabulary is cut to 64 ids.
        threads: CPU threads of the graph.

    Returns:
        Median of the wall time, in seconds.
    """
    import openvino as ov

    from models.runtime.openvino_graph import build

    encoder = Encoder(replace(config, vocab=64)).eval()
    quantize_linears(encoder, {name: (-4.0, 4.0) for name, _, _ in layer_linears(encoder)})
    settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    with signal_stack_kept():
        compiled = ov.Core().compile_model(build(encoder.config, to_weights(encoder)), "CPU", settings)
    request = compiled.create_infer_request()
    shape = (BATCH, LENGTH)
    inputs = [np.ones(shape, np.int32), np.zeros(shape, np.int32), np.ones(shape, np.float32)]
    return median_s(lambda: request.infer(inputs))


def fp32_seconds(config: EncoderConfig, threads: int) -> float:
    """Measure one inference of the fp32 encoder in torch, with random weights, on BATCH x LENGTH tokens.

    Args:
        config: Shape of the encoder; its vocabulary is cut to 64 ids.
        threads: CPU threads; torch keeps this setting for the whole process afterwards.

    Returns:
        Median of the wall time, in seconds.
    """
    torch.set_num_threads(threads)
    encoder = Encoder(replace(config, vocab=64)).eval()
    ids = torch.ones((BATCH, LENGTH), dtype=torch.long)
    with torch.inference_mode():
        return median_s(lambda: encoder(ids, torch.zeros_like(ids)), 5)


@dataclass(frozen=True, slots=True)
class Costs:
    """Measured seconds for BATCH x LENGTH tokens on this CPU.

    Attributes:
        reference_s: The whole reference in fp32.
        base_s: Share of an int8 layer that depends on neither its heads nor its feed-forward width.
        head_s: One attention head of an int8 layer.
        block_s: 64 feed-forward neurons of an int8 layer.
    """

    reference_s: float
    base_s: float
    head_s: float
    block_s: float

    def speed(self, layers: tuple[LayerShape, ...]) -> float:
        """Predict the speed of an int8 model.

        Args:
            layers: Shape of each layer.

        Returns:
            Speed as a ratio to the fp32 reference's; 2 is twice as fast.
        """
        parts = sum(self.head_s * shape.heads + self.block_s * shape.ffn / 64 for shape in layers)
        return self.reference_s / (self.base_s * len(layers) + parts)


def measure_costs(reference: EncoderConfig, threads: int | None = None) -> Costs:
    """Fit the costs of a layer, of one head and of 64 feed-forward neurons from timings of three shapes.

    The shapes are the reference's, that with half the heads, and that with half the feed-forward width. A busy machine can make a
    smaller one look slower; then all are measured again, ATTEMPTS times at most.

    Args:
        reference: Shape of the reference, whose layers are all alike.
        threads: CPU threads; by default all CPUs that the process may use.

    Returns:
        The costs.

    Raises:
        FactoryError: No attempt found the smaller shapes faster.
    """
    threads = threads or default_threads()
    depth = len(reference.layers)
    heads, ffn = reference.layers[0].heads, reference.layers[0].ffn

    def seconds(h: int, f: int) -> float:
        return int8_seconds(replace(reference, layers=(LayerShape(h, f),) * depth), threads) / depth

    for _ in range(ATTEMPTS):
        whole, few_heads, narrow = seconds(heads, ffn), seconds(heads // 2, ffn), seconds(heads, ffn // 2)
        head_s = (whole - few_heads) / (heads - heads // 2)
        block_s = (whole - narrow) / ((ffn - ffn // 2) / 64)
        if head_s > 0 and block_s > 0:
            base_s = max(whole - heads * head_s - ffn / 64 * block_s, 0.0)
            return Costs(fp32_seconds(reference, threads), base_s, head_s, block_s)
    raise FactoryError("a smaller layer was not measured as faster; is the machine busy? stop other work and run the step again")
