"""An `Encoder`'s weights as an OpenVINO model, built operation by operation.

A quantized layer becomes FakeQuantize on the input and an int8 constant with a scale per channel, the form that
OpenVINO's low-precision passes turn into int8 kernels. Where these kernels lose what does not fit into 16 bits, it becomes the
product of the same whole numbers as floats: it has no fractions to lose (below 2^24), so it is the same on every CPU and in
every batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13 as op

from models.runtime.config import ACT_MAX, FIRST_RELU, MEAN, EncoderConfig, relative_buckets
from models.runtime.cpu import sums_int8_exactly

Weights = Mapping[str, npt.NDArray[Any]]

# Attention looks at a multiple of so many keys (a vector register of float32): else the last ones are summed in another order,
# and the scores of a text hang, in their last bits, on how long its neighbours are.
KEYS = 16


class _Builder:
    def __init__(self, config: EncoderConfig, weights: Weights, whole_keys: bool) -> None:
        self.config, self.weights, self.whole_keys = config, weights, whole_keys
        self.whole_floats = not sums_int8_exactly()

    def f32(self, name: str) -> ov.Node:
        return op.constant(self.weights[name].astype(np.float32))

    def table(self, name: str, index: ov.Node) -> ov.Node:
        """Rows of an embedding table; an int8 table has a scale per row."""
        axis = op.constant(np.int64(0))
        rows = op.gather(op.constant(self.weights[name + ".weight"]), index, axis)
        if name + ".weight_scale" not in self.weights:
            return op.convert(rows, np.float32)
        scale = op.gather(op.constant(self.weights[name + ".weight_scale"][:, None]), index, axis)
        return op.multiply(op.convert(rows, np.float32), scale)

    def pairs(self, ids: ov.Node, mask: ov.Node) -> ov.Node:
        """What the pairs with the neighbours before and behind add to every token, [B, S, hidden]."""
        config = self.config
        one = op.constant(np.array([0, 1], dtype=np.int64))
        known = op.pad(op.multiply(ids, op.convert(mask, np.int32)), one, one, "constant", op.constant(np.int32(0)))
        # OpenVINO computes whole numbers in float32, which is exact below 2^24 only; so the product comes out of a table.
        products = (np.arange(config.vocab, dtype=np.int64) * config.vocab % config.pairs).astype(np.int32)
        sums = op.add(op.gather(op.constant(products), _but_last(known), op.constant(np.int64(0))), _but_first(known))
        count = op.constant(np.int32(config.pairs))
        rounds = -(-(config.pairs + config.vocab) // config.pairs)
        for _ in range(rounds - 1):
            sums = op.select(op.greater_equal(sums, count), op.subtract(sums, count), sums)
        table = self.table("pairs", sums)
        sides = op.concat([_but_last(table), _but_first(table)], -1)
        return op.matmul(sides, self.f32("pair_project.weight"), False, True)

    def norm(self, x: ov.Node, name: str) -> ov.Node:
        axes = op.constant(np.array([-1], dtype=np.int64))
        y = op.mvn(x, axes, True, self.config.layer_norm_eps, "inside_sqrt")
        return op.add(op.multiply(y, self.f32(name + ".weight")), self.f32(name + ".bias"))

    def relative(self, where: ov.Node, keys: ov.Node) -> ov.Node:
        """Bias [heads, S, K] of every pair of positions."""
        buckets = relative_buckets(self.config.positions, self.config.relative_buckets)
        table = self.weights["relative.weight"].astype(np.float32)[buckets].transpose(2, 0, 1)
        rows = op.gather(op.constant(np.ascontiguousarray(table)), where, op.constant(np.int64(1)))
        last = op.constant(np.int64(self.config.positions - 1))  # of padding any row will do
        return op.gather(rows, op.minimum(keys, last), op.constant(np.int64(2)))

    def rounded(self, x: ov.Node, name: str) -> ov.Node:
        """Input of a layer, in the 8 bits that it reads; as it is if the layer is not quantized."""
        if name + ".weight_scale" not in self.weights:
            return x
        step = float(self.weights[name + ".act_scale"])
        zero = int(self.weights[name + ".act_zero"])
        if self.whole_floats:
            return op.clamp(op.round(op.divide(x, op.constant(np.float32(step))), "half_to_even"), -zero, ACT_MAX - zero)
        low, high = (op.constant(np.float32(step * (level - zero))) for level in (0, ACT_MAX))
        return op.fake_quantize(x, low, high, low, high, ACT_MAX + 1)

    def product(self, x: ov.Node, name: str, rows: slice = slice(None)) -> ov.Node:
        """Some outputs, by default all, of a layer over its rounded input."""
        scale = self.weights.get(name + ".weight_scale")
        weight = self.weights[name + ".weight"][rows]
        bias = op.constant(self.weights[name + ".bias"][rows].astype(np.float32))
        if scale is not None and self.whole_floats:
            steps = op.constant((scale[rows] * self.weights[name + ".act_scale"]).astype(np.float32))
            return op.add(op.multiply(op.matmul(x, op.constant(weight.astype(np.float32)), False, True), steps), bias)
        if scale is not None:
            matrix = op.multiply(op.convert(op.constant(weight), np.float32), op.constant(scale[rows, None]))
        else:
            matrix = op.constant(weight.astype(np.float32))
        return op.add(op.matmul(x, matrix, False, True), bias)

    def linear(self, x: ov.Node, name: str) -> ov.Node:
        return self.product(self.rounded(x, name), name)

    def heads(self, x: ov.Node, name: str, heads: int) -> list[ov.Node]:
        """Query, key and value of x, each [B, heads, S, head_dim]: three products cost less than one that is then taken apart."""
        dim = self.config.head_dim
        x, width = self.rounded(x, name), heads * dim
        parts = (self.product(x, name, slice(n * width, (n + 1) * width)) for n in range(3))
        shape, order = np.array([0, 0, heads, dim], dtype=np.int64), np.array([0, 2, 1, 3], dtype=np.int64)
        return [op.transpose(op.reshape(part, shape, True), order) for part in parts]

    def longer(self, x: ov.Node, more: ov.Node, dims: int, axis: int) -> ov.Node:
        """X of so many dimensions with `more` (int64 scalar) zeros behind it on an axis."""
        if self.whole_keys:
            return x
        ends = op.multiply(more, op.constant(np.eye(dims, dtype=np.int64)[axis]))
        return op.pad(x, op.constant(np.zeros(dims, dtype=np.int64)), ends, "constant", op.constant(np.float32(0)))

    def layer(self, x: ov.Node, i: int, bias: ov.Node, more: ov.Node) -> ov.Node:
        """A layer over x [B, S, hidden] with attention's bias [B or 1, heads or 1, 1 or S, K]; `more` is K - S."""
        prefix, heads, dim = f"layers.{i}.", self.config.layers[i].heads, self.config.head_dim
        q, k, v = self.heads(x, prefix + "qkv", heads)
        k, v = (self.longer(y, more, 4, 2) for y in (k, v))
        context = op.scaled_dot_product_attention(q, k, v, bias)
        context = op.transpose(context, np.array([0, 2, 1, 3], dtype=np.int64))
        context = op.reshape(context, np.array([0, 0, heads * dim], dtype=np.int64), True)
        x = self.norm(op.add(x, self.linear(context, prefix + "out")), prefix + "norm1")
        y = op.gelu(self.linear(x, prefix + "up"), "erf")
        return self.norm(op.add(x, self.linear(y, prefix + "down")), prefix + "norm2")

    def pooled(self, x: ov.Node, mask: ov.Node) -> ov.Node:
        """What the whole is told by, [B, hidden]: the mean of x [B, S, hidden] over the tokens, or the first one."""
        if self.config.pooling != MEAN:
            return op.gather(x, op.constant(np.int64(0)), op.constant(np.int64(1)))
        axis = op.constant(np.array([1], dtype=np.int64))
        weight = op.unsqueeze(mask, op.constant(np.int64(2)))
        return op.divide(op.reduce_sum(op.multiply(x, weight), axis), op.reduce_sum(weight, axis))


def _but_last(x: ov.Node) -> ov.Node:
    begin, end, one = (op.constant(np.array([n], dtype=np.int64)) for n in (0, -1, 1))
    return op.slice(x, begin, end, one, one)


def _but_first(x: ov.Node) -> ov.Node:
    one, end = (op.constant(np.array([n], dtype=np.int64)) for n in (1, np.iinfo(np.int32).max))
    return op.slice(x, one, end, one, one)


def build(config: EncoderConfig, weights: Weights, hidden: bool = False, whole_keys: bool = False) -> ov.Model:
    """Build an encoder and its heads as an OpenVINO graph, with dynamic batch size and sequence length.

    Args:
        config: Shapes of the weights.
        weights: Tensors by name, as `ModelPackage.weights` gives them.
        hidden: Whether the last layer's states are a third output.
        whole_keys: Whether S will always be a multiple of KEYS; then nothing is padded to it, which costs a twelfth.

    Returns:
        A model with the inputs `ids` (int32), `cases` (int32) and `mask` (float32, 1 where a token is, 0 for padding), all of
        shape (B, S). Its outputs, all float32, are the token logits, shape (B, S, token_outputs), the sentiment logits, shape
        (B, 3), and with `hidden` the states, shape (B, S, hidden). Without heads they are the states and their mean over the
        tokens, shape (B, hidden).
    """
    b = _Builder(config, weights, whole_keys)
    ids, cases = (op.parameter([-1, -1], np.int32, name=name) for name in ("ids", "cases"))
    mask = op.parameter([-1, -1], np.float32, name="mask")
    first, one = op.constant(np.int64(0)), op.constant(np.int64(1))
    length = op.gather(op.shape_of(ids), one, first)
    more = op.floor_mod(op.subtract(first, length), op.constant(np.int64(KEYS)))
    where = op.range(first, length, one, "i64")
    x = op.add(op.add(b.table("words", ids), b.table("places", where)), b.table("cases", cases))
    if config.pairs:
        x = op.add(x, b.pairs(ids, mask))
    x = b.norm(x, "norm")
    # 0 for a token, -1e9 for padding, as [B, 1, 1, K]
    keys = op.multiply(op.subtract(b.longer(mask, more, 2, 1), op.constant(np.float32(1))), op.constant(np.float32(1e9)))
    bias = op.unsqueeze(keys, op.constant(np.array([1, 2], dtype=np.int64)))
    if config.relative_buckets:
        bias = op.add(bias, b.relative(where, op.range(first, op.add(length, more), one, "i64")))
    for i in range(len(config.layers)):
        x = b.layer(x, i, bias, more)
    pooled = b.pooled(x, mask)
    if config.headless:
        return ov.Model([x, pooled], [ids, cases, mask], "textmill")
    tokens = b.linear(x, "tokens_head")
    bent = op.relu if config.pooling == FIRST_RELU else op.tanh
    sentiment = b.linear(bent(b.linear(pooled, "pool")), "sentiment_head")
    return ov.Model([tokens, sentiment, x] if hidden else [tokens, sentiment], [ids, cases, mask], "textmill")
