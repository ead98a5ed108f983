"""A bidirectional LSTM student: the usual small tagger of before the transformers, for comparison."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.runtime.labels import NUM_CASES, NUM_SENTIMENTS, NUM_TOKEN_OUTPUTS


class LstmTagger(nn.Module):
    """Word-piece and case embeddings, two bidirectional LSTM layers, the encoder's heads.

    It has the interface of `Encoder` that training and the torch engine use.
    """

    def __init__(self, words: Tensor, hidden: int = 384) -> None:
        super().__init__()
        self.config = SimpleNamespace(hidden=hidden)
        self.words = nn.Embedding.from_pretrained(words.clone(), freeze=False)
        self.cases = nn.Embedding(NUM_CASES, words.shape[1])
        self.lstm = nn.LSTM(words.shape[1], hidden // 2, num_layers=2, bidirectional=True, batch_first=True)
        self.tokens_head = nn.Linear(hidden, NUM_TOKEN_OUTPUTS)
        self.pool = nn.Linear(hidden, hidden)
        self.sentiment_head = nn.Linear(hidden, NUM_SENTIMENTS)
        self.dropout = 0.0
        nn.init.zeros_(self.cases.weight)

    def encode(self, ids: Tensor, cases: Tensor, mask: Tensor | None) -> list[Tensor]:
        """Embeddings and last states [B, S, hidden]; the backward LSTM of a row begins at its last token."""
        x = F.dropout(self.words(ids) + self.cases(cases), self.dropout, self.training)
        if mask is None:
            return [x, self.lstm(x)[0]]
        packed = nn.utils.rnn.pack_padded_sequence(x, mask.sum(dim=1).cpu(), batch_first=True, enforce_sorted=False)
        out, _ = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=ids.shape[1])
        return [x, out]

    def heads(self, last: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Token logits [B, S, K] and sentiment logits [B, 3] from the mean-pooled states."""
        if mask is None:
            mean = last.mean(dim=1)
        else:
            weight = mask[:, :, None].to(last.dtype)
            mean = (last * weight).sum(dim=1) / weight.sum(dim=1)
        last = F.dropout(last, self.dropout, self.training)
        return self.tokens_head(last), self.sentiment_head(torch.tanh(self.pool(mean)))

    def forward(self, ids: Tensor, cases: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.heads(self.encode(ids, cases, mask)[-1], mask)
