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
        call: The call.
        repeats: How often.

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
    """Measure 32 x 64 tokens through the int8 OpenVINO graph of a shape, with random weights.

    Args:
        config: Shapes of the weights.
        threads: Threads.

    Returns:
        Seconds.
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
    """Measure the same tokens through the fp32 encoder in torch.

    Args:
        config: Shapes of the weights.
        threads: Threads.

    Returns:
        Seconds.
    """
    torch.set_num_threads(threads)
    encoder = Encoder(replace(config, vocab=64)).eval()
    ids = torch.ones((BATCH, LENGTH), dtype=torch.long)
    with torch.inference_mode():
        return median_s(lambda: encoder(ids, torch.zeros_like(ids)), 5)


@dataclass(frozen=True, slots=True)
class Costs:
    """What 32 x 64 tokens cost on this CPU.

    Attributes:
        reference_s: Seconds of one fp32 run of the reference.
        base_s: Seconds of an int8 layer beside its heads and neurons.
        head_s: Seconds of one attention head.
        block_s: Seconds of 64 feed-forward neurons.
    """

    reference_s: float
    base_s: float
    head_s: float
    block_s: float

    def speed(self, layers: tuple[LayerShape, ...]) -> float:
        """Predict the speed of an int8 model.

        Args:
            layers: Its shape.

        Returns:
            Ratio to the fp32 reference.
        """
        parts = sum(self.head_s * shape.heads + self.block_s * shape.ffn / 64 for shape in layers)
        return self.reference_s / (self.base_s * len(layers) + parts)


def measure_costs(reference: EncoderConfig, threads: int | None = None) -> Costs:
    """Fit the costs of a layer, of one head and of 64 feed-forward neurons from three shapes.

    A busy machine can make a smaller shape look slower; then it is measured again.

    Args:
        reference: Shape of the fp32 reference.
        threads: Threads; by default all CPUs.

    Returns:
        The costs.

    Raises:
        FactoryError: A smaller layer is not measured as faster again and again.
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
