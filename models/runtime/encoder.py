"""The encoder and its heads: one class for teacher, students and the torch engine.

The layout is BERT's (post-norm, exact GELU; Devlin et al. 2019) with four additions: a case-feature embedding, because
the vocabularies are uncased; an optional relative position bias shared by all layers (MPNet, Song et al. 2020); layers
whose numbers of heads and feed-forward widths may differ, as structured pruning leaves them; and, where text is read
character by character, an optional embedding of each pair of neighbours, which holds words at next to no cost.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from models.runtime.config import FIRST_RELU, MEAN, EncoderConfig, LayerShape, relative_buckets
from models.runtime.labels import NUM_SENTIMENTS, NUM_TOKEN_OUTPUTS


def dropped(x: Tensor, share: float, training: bool, whole_rows: bool = False) -> Tensor:
    """Apply dropout (Srivastava et al., 2014) with a probability rounded to a multiple of 1/256.

    It needs one random byte for every value. torch's own dropout draws 64 bits for each on the CPU, which took a sixth of a
    training step.

    Args:
        x: Values, of any shape.
        share: Probability that a value is dropped.
        training: Whether anything is dropped; if not, `x` is given back as it is.
        whole_rows: Whether vectors along the last dimension are dropped whole, instead of single values.

    Returns:
        The values, of the same shape: 0 where dropped, else scaled up so that the expectation stays.
    """
    cut = round(share * 256) if training else 0
    if not cut:
        return x
    shape = (*x.shape[:-1], 1) if whole_rows else x.shape
    count = math.prod(shape)
    bits = torch.empty(-(-count // 8), dtype=torch.int64, device=x.device).random_(-(2**63), None)
    kept = bits.view(torch.uint8)[:count].view(shape) >= cut
    return x * kept * (256 / (256 - cut))


class Layer(nn.Module):
    """A post-norm transformer layer: self-attention and feed-forward, each followed by residual and LayerNorm.

    Args:
        config: The encoder's.
        shape: Heads and feed-forward width of this layer.
    """

    def __init__(self, config: EncoderConfig, shape: LayerShape) -> None:
        super().__init__()
        inner = shape.heads * config.head_dim
        self.heads, self.head_dim = shape.heads, config.head_dim
        self.qkv = nn.Linear(config.hidden, 3 * inner)
        self.out = nn.Linear(inner, config.hidden)
        self.norm1 = nn.LayerNorm(config.hidden, eps=config.layer_norm_eps)
        self.up = nn.Linear(config.hidden, shape.ffn)
        self.down = nn.Linear(shape.ffn, config.hidden)
        self.norm2 = nn.LayerNorm(config.hidden, eps=config.layer_norm_eps)

    def forward(self, x: Tensor, bias: Tensor | None, dropout: float = 0.0) -> Tensor:
        """Compute the layer's output states.

        Args:
            x: States, shape (B, S, hidden).
            bias: Added to the attention scores, shape (B or 1, heads or 1, S, S), or None; see `Encoder.attention_bias`.
            dropout: Probability of dropout on both sublayers' outputs; without effect outside of training.

        Returns:
            States, shape (B, S, hidden).
        """
        batch, length, _ = x.shape
        q, k, v = (part.view(batch, length, self.heads, self.head_dim).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        mask = None if bias is None else bias.to(q.dtype)
        if x.device.type == "cpu" and torch.is_grad_enabled():
            # The fused kernel's way back takes 11 times as long on the CPU: 43 of 100 of a step's time.
            scores = q @ k.transpose(-1, -2) * self.head_dim**-0.5
            weights = F.softmax(scores if mask is None else scores + mask, dim=-1)
            context = weights.to(v.dtype) @ v
        else:
            context = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        context = self.out(context.transpose(1, 2).reshape(batch, length, self.heads * self.head_dim))
        x = self.norm1(x + dropped(context, dropout, self.training))
        y = self.down(F.gelu(self.up(x)))
        out: Tensor = self.norm2(x + dropped(y, dropout, self.training))
        return out


def pair_row(first: Tensor, then: Tensor, config: EncoderConfig) -> Tensor:
    """Hash pairs of neighbouring tokens to rows of the bigram embedding table.

    Collisions are common, but two frequent pairs seldom share a row.

    Args:
        first: Ids of the first tokens, int, of any shape.
        then: Ids of the tokens that follow them, of the same shape.
        config: The encoder's; its `pairs` is not 0.

    Returns:
        Row of each pair, int, of the same shape.
    """
    return (first * config.vocab + then) % config.pairs


class TokenModel(nn.Module):
    """Base of the tagging models: a subclass computes hidden states in `encode`, and shared heads turn the last into logits.

    Args:
        hidden: Width of the states.
        token_outputs: Logits of each token.
        text_outputs: Logits of the whole. Where both are 0 there are no heads, see `EncoderConfig`.
        pooling: What the whole is told by, see `EncoderConfig`.
    """

    def __init__(
        self, hidden: int, token_outputs: int = NUM_TOKEN_OUTPUTS, text_outputs: int = NUM_SENTIMENTS, pooling: str = MEAN
    ) -> None:
        super().__init__()
        self.hidden, self.pooling = hidden, pooling
        self.headless = not token_outputs
        if not self.headless:
            self.tokens_head = nn.Linear(hidden, token_outputs)
            self.pool = nn.Linear(hidden, hidden)
            self.sentiment_head = nn.Linear(hidden, text_outputs)
        self.dropout = self.pair_dropout = 0.0

    def encode(self, ids: Tensor, cases: Tensor, mask: Tensor | None) -> list[Tensor]:
        """Compute the hidden states from the embeddings up.

        Args:
            ids: Token ids, int, shape (B, S).
            cases: Case features, int, shape (B, S).
            mask: True where a token is, False for padding, bool, shape (B, S); None without padding.

        Returns:
            States after the embeddings and after every layer, shape (B, S, hidden) each.
        """
        raise NotImplementedError

    def heads(self, last: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Compute the logits from the last layer's states; the sentiment's from their mean over the tokens, or from the first.

        Args:
            last: States after the last layer, shape (B, S, hidden).
            mask: True where a token is, False for padding, bool, shape (B, S); None without padding.

        Returns:
            Token logits, shape (B, S, token_outputs), and sentiment logits, shape (B, text_outputs).
        """
        if self.pooling != MEAN:
            pooled = last[:, 0]
        elif mask is None:
            pooled = last.mean(dim=1)
        else:
            weight = mask[:, :, None].to(last.dtype)
            pooled = (last * weight).sum(dim=1) / weight.sum(dim=1)
        last = dropped(last, self.dropout, self.training)
        return self.outputs(last, pooled)

    def outputs(self, last: Tensor, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Apply the heads.

        Args:
            last: States after the last layer, shape (..., hidden).
            pooled: Their mean over the tokens of each text, or its first token's, shape (B, hidden).

        Returns:
            Logits of tokens and of texts; without heads what came in.
        """
        if self.headless:
            return last, pooled
        bent = torch.relu if self.pooling == FIRST_RELU else torch.tanh
        return self.tokens_head(last), self.sentiment_head(bent(self.pool(pooled)))

    def forward(self, ids: Tensor, cases: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Compute the logits of tokens and texts.

        Args:
            ids: Token ids, int, shape (B, S).
            cases: Case features, int, shape (B, S).
            mask: True where a token is, False for padding, bool, shape (B, S); None without padding.

        Returns:
            Token logits, shape (B, S, token_outputs), and sentiment logits, shape (B, text_outputs).
        """
        return self.heads(self.encode(ids, cases, mask)[-1], mask)


class Encoder(TokenModel):
    """The transformer encoder with its heads: token ids and case features in, token and sentiment logits out.

    Args:
        config: Shapes of the weights.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__(config.hidden, config.token_outputs, config.text_outputs, config.pooling)
        self.config = config
        self.words = nn.Embedding(config.vocab, config.hidden)
        self.places = nn.Embedding(config.positions, config.hidden)
        self.cases = nn.Embedding(config.cases, config.hidden)
        self.norm = nn.LayerNorm(config.hidden, eps=config.layer_norm_eps)
        self.layers = nn.ModuleList(Layer(config, shape) for shape in config.layers)
        self.relative = nn.Embedding(config.relative_buckets, config.layers[0].heads) if config.relative_buckets else None
        nn.init.zeros_(self.cases.weight)
        if config.pairs:
            self.pairs = nn.Embedding(config.pairs, config.pair_width)
            self.pair_project = nn.Linear(2 * config.pair_width, config.hidden, bias=False)
            nn.init.zeros_(self.pairs.weight)
        if config.transitions:
            self.transitions = nn.Parameter(torch.zeros(config.entity_tags + 1, config.entity_tags))

    def embed(self, ids: Tensor, places: Tensor, cases: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """Compute the input of the first layer: the normalized sum of all embeddings.

        Args:
            ids: Token ids, int, of any shape.
            places: Position of each token in its sequence, int, of a shape that broadcasts to that of `ids`.
            cases: Case features, int, of the shape of `ids`.
            before: Id of the token before each, int, of the shape of `ids`; 0 (the padding's) where there is none.
            after: Id of the token after each, int, of the shape of `ids`; 0 where there is none.

        Returns:
            States, shape (..., hidden).
        """
        x = self.words(ids) + self.places(places) + self.cases(cases)
        if self.config.pairs:
            rows = [pair_row(first, then, self.config) for first, then in ((before, ids), (ids, after))]
            seen = [dropped(self.pairs(row), self.pair_dropout, self.training, whole_rows=True) for row in rows]
            x = x + self.pair_project(torch.cat(seen, dim=-1))
        normed: Tensor = self.norm(x)
        return normed

    def attention_bias(self, mask: Tensor | None, length: int, device: torch.device) -> Tensor | None:
        """Compute the bias that all layers add to their attention scores: it masks padding and holds relative positions.

        Args:
            mask: True where a token is, False for padding, bool, shape (B, S); None without padding.
            length: Number of positions S.
            device: Where the bias is to lie.

        Returns:
            Bias, float, shape (B or 1, heads or 1, S, S); None without padding and relative positions.
        """
        bias = None
        if self.relative is not None:
            buckets = torch.from_numpy(relative_buckets(length, self.config.relative_buckets)).to(device)
            bias = self.relative(buckets).permute(2, 0, 1)[None]
        if mask is not None:
            keys = torch.zeros(mask.shape, device=device).masked_fill_(~mask, -1e9)[:, None, None, :]
            bias = keys.expand(-1, 1, length, -1) if bias is None else bias + keys
        return bias

    @override
    def encode(self, ids: Tensor, cases: Tensor, mask: Tensor | None) -> list[Tensor]:
        x, bias = self.begin(ids, cases, mask)
        states = [x]
        for layer in self.layers:
            states.append(layer(states[-1], bias, self.dropout))
        return states

    def begin(self, ids: Tensor, cases: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Compute the input of the first layer and the attention bias of all layers.

        Args:
            ids: Token ids, int, shape (B, S).
            cases: Case features, int, shape (B, S).
            mask: True where a token is, False for padding, bool, shape (B, S); None without padding.

        Returns:
            States, shape (B, S, hidden), and the bias, see `attention_bias`.
        """
        length = ids.shape[1]
        known = F.pad(ids if mask is None else ids * mask, (1, 1))
        places = torch.arange(length, device=ids.device)
        x = self.embed(ids, places, cases, known[:, :-2], known[:, 2:])
        x = dropped(x, self.dropout, self.training)
        return x, self.attention_bias(mask, length, ids.device)
