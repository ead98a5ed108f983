"""The encoder on flat tokens, without padding: what CUDA runs, with variable-length attention."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from models.runtime.config import MEAN
from models.runtime.encoder import Encoder, Layer

# (q, k, v [n, heads, dim], cu_seqlens int32 [B+1], longest) -> [n, heads, dim]
Attention = Callable[[Tensor, Tensor, Tensor, Tensor, int], Tensor]


def cuda_attention(q: Tensor, k: Tensor, v: Tensor, bounds: Tensor, longest: int) -> Tensor:
    """Compute self-attention within each sequence by PyTorch's variable-length flash attention (CUDA, fp16 or bf16).

    Args:
        q: Queries of all sequences, laid end to end, shape (n, heads, head_dim).
        k: Keys, of the same shape.
        v: Values, of the same shape.
        bounds: Where each sequence begins, and the end of the last, int32, shape (B + 1,).
        longest: Tokens of the longest sequence.

    Returns:
        Context vectors, shape (n, heads, head_dim).
    """
    from torch.nn.attention.varlen import varlen_attn

    out = varlen_attn(q, k, v, bounds, bounds, longest, longest)
    assert isinstance(out, Tensor)
    return out


def loop_attention(q: Tensor, k: Tensor, v: Tensor, bounds: Tensor, longest: int) -> Tensor:
    """Compute the same as `cuda_attention` on any device and in any precision, one sequence after the other.

    Args:
        q: Queries of all sequences, laid end to end, shape (n, heads, head_dim).
        k: Keys, of the same shape.
        v: Values, of the same shape.
        bounds: Where each sequence begins, and the end of the last, int32, shape (B + 1,).
        longest: Tokens of the longest sequence; not needed here.

    Returns:
        Context vectors, shape (n, heads, head_dim).
    """
    parts = []
    for begin, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        q1, k1, v1 = (x[begin:end].transpose(0, 1)[None] for x in (q, k, v))
        parts.append(F.scaled_dot_product_attention(q1, k1, v1)[0].transpose(0, 1))
    return torch.cat(parts)


def forward(encoder: Encoder, ids: Tensor, cases: Tensor, bounds: Tensor, attend: Attention) -> tuple[Tensor, Tensor]:
    """Compute the logits of sequences that are laid end to end, without padding; for inference, since nothing is dropped.

    Args:
        encoder: Encoder without a relative position bias.
        ids: Token ids, int, shape (n,).
        cases: Case features, int, shape (n,).
        bounds: Where each sequence begins, and the end of the last, int32, shape (B + 1,).
        attend: `cuda_attention` or `loop_attention`.

    Returns:
        Token logits, shape (n, token_outputs), and sentiment logits, shape (B, text_outputs).

    Raises:
        NotImplementedError: The encoder has a relative position bias.
    """
    if encoder.relative is not None:
        raise NotImplementedError("variable-length attention has no relative position bias")
    lengths = (bounds[1:] - bounds[:-1]).long()
    owner = torch.repeat_interleave(torch.arange(len(lengths), device=ids.device), lengths)
    place = torch.arange(len(ids), device=ids.device) - bounds[:-1].long()[owner]
    inner = F.pad(ids, (1, 1))
    begins, ends = place == 0, torch.arange(len(ids), device=ids.device) == (bounds[1:].long() - 1)[owner]
    x = encoder.embed(ids, place, cases, inner[:-2].masked_fill(begins, 0), inner[2:].masked_fill(ends, 0))
    longest = int(lengths.max())
    for layer in encoder.layers:
        assert isinstance(layer, Layer)
        q, k, v = layer.qkv(x).view(len(ids), 3, layer.heads, layer.head_dim).unbind(1)
        context = attend(q, k, v, bounds, longest)
        x = layer.norm1(x + layer.out(context.reshape(len(ids), -1)))
        x = layer.norm2(x + layer.down(F.gelu(layer.up(x))))
    if encoder.pooling != MEAN:
        return encoder.outputs(x, x[bounds[:-1].long()])
    sums = torch.zeros(len(lengths), x.shape[1], dtype=torch.float32, device=x.device).index_add_(0, owner, x.float())
    mean = (sums / lengths[:, None]).to(x.dtype)
    return encoder.outputs(x, mean)
