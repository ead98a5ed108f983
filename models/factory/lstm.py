"""A bidirectional LSTM student: the usual small tagger of before the transformers, for comparison."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from models.runtime.encoder import TokenModel
from models.runtime.labels import NUM_CASES


class LstmTagger(TokenModel):
    """Word-piece and case embeddings, two bidirectional LSTM layers, and the heads of `TokenModel`.

    Args:
        words: Embeddings that the pieces start from, float, shape (vocabulary, width); copied.
        hidden: Width of the states, half of it for each direction; an even number.
    """

    def __init__(self, words: Tensor, hidden: int = 384) -> None:
        super().__init__(hidden)
        self.words = nn.Embedding(words.shape[0], words.shape[1], _weight=words.clone())
        self.cases = nn.Embedding(NUM_CASES, words.shape[1])
        self.lstm = nn.LSTM(words.shape[1], hidden // 2, num_layers=2, bidirectional=True, batch_first=True)
        nn.init.zeros_(self.cases.weight)

    @override
    def encode(self, ids: Tensor, cases: Tensor, mask: Tensor | None) -> list[Tensor]:
        """Compute the embeddings and the states of the last layer.

        With a mask, the backward LSTM of a row begins at the row's last token, and states behind it are 0.

        Args:
            ids: Token ids, int, shape (B, S).
            cases: Case features, int, shape (B, S).
            mask: Where a token is, bool, shape (B, S); None if everywhere. Every row has a token, and padding is at its end.

        Returns:
            Embeddings, shape (B, S, width), and last states, shape (B, S, hidden).
        """
        x = F.dropout(self.words(ids) + self.cases(cases), self.dropout, self.training)
        if mask is None:
            return [x, self.lstm(x)[0]]
        packed = nn.utils.rnn.pack_padded_sequence(x, mask.sum(dim=1).cpu(), batch_first=True, enforce_sorted=False)
        out, _ = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=ids.shape[1])
        return [x, out]
