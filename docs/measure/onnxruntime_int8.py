"""OpenVINO and ONNX Runtime, both with static int8, on MiniLM-L6's shape: speed only, random weights.

Run: python docs/measure/onnxruntime_int8.py   (needs onnx and onnxruntime beside textmill[factory])
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from models.bench import MINILM_L6, alternate
from models.runtime.cpu import cpu_name

HIDDEN, HEADS, FFN, LAYERS, BATCH, LENGTH = 384, 12, 1536, 6, 32, 64


def build() -> onnx.ModelProto:
    """The encoder's layers on embeddings [B, S, HIDDEN]; what is left out (embeddings, heads) costs both engines alike."""
    rng = np.random.default_rng(0)
    nodes: list[Any] = []
    tensors: list[Any] = []

    def constant(name: str, value: np.ndarray) -> str:
        tensors.append(numpy_helper.from_array(value, name))
        return name

    def node(kind: str, inputs: list[str], out: str, **more: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [out], name=out, **more))
        return out

    def linear(x: str, name: str, n: int, m: int) -> str:
        weight = constant(name + ".w", (rng.standard_normal((n, m)) * 0.03).astype(np.float32))
        y = node("MatMul", [x, weight], name + ".m")
        return node("Add", [y, constant(name + ".b", np.zeros(m, np.float32))], name + ".y")

    def norm(x: str, name: str) -> str:
        scale, shift = constant(name + ".s", np.ones(HIDDEN, np.float32)), constant(name + ".t", np.zeros(HIDDEN, np.float32))
        return node("LayerNormalization", [x, scale, shift], name, axis=-1)

    split = constant("split", np.array([0, 0, HEADS, HIDDEN // HEADS], np.int64))
    merge = constant("merge", np.array([0, 0, HIDDEN], np.int64))
    factor = constant("factor", np.array((HIDDEN // HEADS) ** -0.5, np.float32))
    x = "x"
    for i in range(LAYERS):
        q, k, v = (node("Reshape", [linear(x, f"{n}{i}", HIDDEN, HIDDEN), split], f"{n}r{i}") for n in "qkv")
        q, v = (
            node(
                "Transpose",
                [
                    t,
                ],
                f"{t}t",
                perm=[0, 2, 1, 3],
            )
            for t in (q, v)
        )
        k = node("Transpose", [k], f"{k}t", perm=[0, 2, 3, 1])
        scores = node("Softmax", [node("Mul", [node("MatMul", [q, k], f"qk{i}"), factor], f"sc{i}")], f"sm{i}", axis=-1)
        context = node("Transpose", [node("MatMul", [scores, v], f"av{i}")], f"avt{i}", perm=[0, 2, 1, 3])
        out = linear(node("Reshape", [context, merge], f"c{i}"), f"o{i}", HIDDEN, HIDDEN)
        x = norm(node("Add", [x, out], f"r1{i}"), f"n1{i}")
        up = node("Gelu", [linear(x, f"u{i}", HIDDEN, FFN)], f"g{i}")
        x = norm(node("Add", [x, linear(up, f"d{i}", FFN, HIDDEN)], f"r2{i}"), f"n2{i}")
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", "S", HIDDEN])
    result = helper.make_tensor_value_info(x, TensorProto.FLOAT, ["B", "S", HIDDEN])
    graph = helper.make_graph(nodes, "layers", [value], [result], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


class Samples(CalibrationDataReader):
    """A few random inputs to set the ranges."""

    def __init__(self) -> None:
        rng = np.random.default_rng(1)
        self._rest = [{"x": rng.standard_normal((4, LENGTH, HIDDEN)).astype(np.float32)} for _ in range(4)]

    def get_next(self) -> dict[str, np.ndarray] | None:
        return self._rest.pop() if self._rest else None


def main() -> None:
    """Print tokens/s of ONNX Runtime fp32 and static int8, and of OpenVINO int8 on the project's graph of that shape."""
    import openvino as ov

    from models.runtime.encoder import Encoder
    from models.runtime.openvino_graph import build as build_openvino
    from models.runtime.quantized import layer_linears, quantize_linears
    from models.runtime.weights import to_weights

    threads = len(os.sched_getaffinity(0))
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    with tempfile.TemporaryDirectory() as folder:
        plain, small = Path(folder) / "a.onnx", Path(folder) / "b.onnx"
        onnx.save(build(), plain)
        quantize_static(
            plain, small, Samples(), quant_format=QuantFormat.QDQ, per_channel=True, op_types_to_quantize=["MatMul"],
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )  # fmt: skip
        sessions = [ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]) for path in (plain, small)]
    x = np.random.default_rng(2).standard_normal((BATCH, LENGTH, HIDDEN)).astype(np.float32)
    encoder = Encoder(MINILM_L6).eval()
    quantize_linears(encoder, {name: (-4.0, 4.0) for name, _, _ in layer_linears(encoder)})
    settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    request = ov.Core().compile_model(build_openvino(encoder.config, to_weights(encoder)), "CPU", settings).create_infer_request()
    shape = (BATCH, LENGTH)
    inputs = [np.ones(shape, np.int32), np.zeros(shape, np.int32), np.ones(shape, np.float32)]
    calls = [lambda s=s: s.run(None, {"x": x}) for s in sessions]
    times = alternate([*calls, lambda: request.infer(inputs)], 7)
    print(cpu_name(), f"{threads} threads, {BATCH} x {LENGTH} tokens, medians of 7 alternating rounds")
    for name, seconds in zip(("ONNX Runtime fp32", "ONNX Runtime static int8", "OpenVINO static int8"), times, strict=True):
        print(f"{name:26} {BATCH * LENGTH / seconds:8,.0f} tokens/s")


if __name__ == "__main__":
    main()
