"""Pretraining in the domain: an encoder reads unlabelled text, guesses masked pieces and predicts the labels of Baidu's LAC.

So it learns how characters are used, and words and names of which there are too few gold labels; gold comes after that, so that
it has the last word.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.factory import examples
from models.factory.corpora import read
from models.factory.corpus_readers import LabelledText
from models.factory.distillation_data import silver_codes, without_features
from models.factory.examples import Batch, Examples
from models.factory.loop import fit
from models.factory.losses import known_loss
from models.factory.prune import keep_layers
from models.factory.recipe import Reading
from models.factory.script_forms import chinese_sentences, in_both_scripts
from models.factory.silver import NUM_SILVER, Codes, SilverTokenizer
from models.runtime.encoder import Encoder

if TYPE_CHECKING:
    from models.factory.run_context import RunContext

MASKED = 0.15
# Of the masked ones: shown as the mask, as another piece; the rest stay as they are (Devlin et al. 2019).
AS_MASK, AS_OTHER = 0.8, 0.1


class PretrainingModel(nn.Module):
    """An encoder with two heads that only pretraining needs: one for LAC's codes, one for masked pieces.

    The output layer for pieces shares its weights with the word embeddings.

    Args:
        encoder: The encoder that reads; trained in place.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        hidden = encoder.config.hidden
        self.encoder = encoder
        self.silver = nn.Linear(hidden, NUM_SILVER)
        self.guess = nn.Sequential(nn.Linear(hidden, hidden), nn.GELU(), nn.LayerNorm(hidden))
        self.guess_bias = nn.Parameter(torch.zeros(encoder.config.vocab))

    def pieces(self, states: Tensor) -> Tensor:
        """Predict the pieces behind hidden states.

        Args:
            states: Hidden states of the encoder's last layer, float, shape (n, hidden).

        Returns:
            Logits over the vocabulary, float, shape (n, vocab).
        """
        return F.linear(self.guess(states), self.encoder.words.weight, self.guess_bias)


def mask_pieces(ids: Tensor, able: Tensor, mask_id: int, vocab: int) -> tuple[Tensor, Tensor]:
    """Mask pieces at random as BERT does (Devlin et al., 2019).

    Of the able positions 15 % are picked; of these 80 % show the mask, 10 % another piece, and the rest stay as they are.

    Args:
        ids: Token ids, int64, shape (batch, length).
        able: Positions that may be picked, bool, shape (batch, length).
        mask_id: Id of `[MASK]`; special tokens have no higher id, and random pieces are drawn from the ids above it.
        vocab: Size of the vocabulary.

    Returns:
        The ids as the encoder is to see them, int64, and which positions were picked, bool, both of shape (batch, length).
    """
    picked = (torch.rand(ids.shape, device=ids.device) < MASKED) & able
    way = torch.rand(ids.shape, device=ids.device)
    shown = torch.where(picked & (way < AS_MASK), mask_id, ids)
    other = picked & (way >= AS_MASK) & (way < AS_MASK + AS_OTHER)
    return torch.where(other, torch.randint(mask_id + 1, vocab, ids.shape, device=ids.device), shown), picked


def pretraining_loss(silver: Codes, mask_id: int, settings: Reading) -> Callable[[nn.Module, Batch], Tensor]:
    """Build the loss of pretraining: cross-entropy of LAC's codes plus that of the masked pieces.

    Args:
        silver: LAC's code of every token, int8, shape (n,), beside the ids of the examples that are trained on; IGNORE where
            there is none.
        mask_id: Id of `[MASK]`.
        settings: Weights of the two terms: `silver` and `guess`.

    Returns:
        Loss of a `PretrainingModel` on a batch, a scalar.
    """

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        assert isinstance(model, PretrainingModel)
        shown, picked = batch.ids, torch.zeros_like(batch.mask)
        if settings.guess:
            shown, picked = mask_pieces(batch.ids, batch.mask & (batch.ids > mask_id), mask_id, model.encoder.config.vocab)
        last = model.encoder.encode(shown, batch.cases, batch.mask)[-1]
        codes = torch.from_numpy(silver[batch.flat].astype(np.int64)).to(last.device)
        total = settings.silver * known_loss(model.silver(last[batch.mask]), codes)
        if picked.any():
            total = total + settings.guess * F.cross_entropy(model.pieces(last[picked]).float(), batch.ids[picked])
        return total

    return loss


def pretraining_texts(shop: RunContext, settings: Reading) -> Examples:
    """Choose and encode the sentences that the recipe wants read, with LAC's codes as case features.

    Args:
        shop: Context of the run; its seed chooses the sentences.
        settings: How many sentences of which corpora, and the share of them in the other script.

    Returns:
        The sentences, corpus after corpus.

    Raises:
        DataMissingError: A corpus is absent, or LAC or OpenCC is needed and not installed.
    """
    rng = np.random.default_rng(shop.recipe.seed)
    records: list[LabelledText] = []
    for name, wanted in settings.sentences.items():
        records += chinese_sentences(read(name, shop.data_dir), wanted, rng)
    tokenizer = SilverTokenizer(shop.tokenizer_json, shop.cache / "silver", lambda line: shop.say(f"read: {line}"))
    return examples.encode(in_both_scripts(records, settings.traditional, rng), tokenizer)


def pretrain(shop: RunContext, key: str) -> dict[str, Any]:
    """Run the step `read`: train an encoder on the recipe's unlabelled texts and save it.

    Args:
        shop: Context of the run; its recipe has a `[read]`.
        key: Key of the step; names its checkpoint, so that a killed step goes on where it was.

    Returns:
        Record of the step: `sentences` that were chosen, and `tokens` of all batches that were drawn.

    Raises:
        DataMissingError: A corpus or the pretrained encoder is absent, or LAC or OpenCC is needed and not installed.
    """
    settings = shop.recipe.read
    assert settings is not None
    shown = pretraining_texts(shop, settings)
    silver = silver_codes(shown)
    data = without_features(shown)
    shop.say(f"read: {len(data):,} sentences, {len(data.ids):,} tokens")
    torch.manual_seed(shop.recipe.seed)
    whole = shop.pretrained(shop.recipe.teacher.encoder, settings.pairs, settings.pair_width)
    reader = PretrainingModel(keep_layers(whole, settings.layers or tuple(range(len(whole.config.layers)))))
    runs = examples.draw(data, np.full(len(data), settings.share), settings.budget_tokens, shop.recipe.seed)
    checkpoint: Path = shop.folder("read") / f"checkpoint-{key}.pt"
    mask_id = shop.tokenizer.id_of("[MASK]")
    assert mask_id is not None
    loss = pretraining_loss(silver, mask_id, settings)
    fit(reader, data, runs, loss, settings.schedule(), checkpoint, shop.recipe.seed, lambda line: shop.say(f"read: {line}"))
    shop.save("read", reader.encoder)
    return {"sentences": len(data), "tokens": int(sum(data.lengths[run].sum() for run in runs))}
