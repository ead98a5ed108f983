"""Reading before learning: a pretrained encoder reads unlabelled text, guesses masked characters and says what LAC says.

So it learns the characters' ways, and words and names of which gold labels tell too little, before gold comes last.
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
    """An encoder with two heads of its own: one for LAC's codes, one for masked pieces, tied to the embeddings."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        hidden = encoder.config.hidden
        self.encoder = encoder
        self.silver = nn.Linear(hidden, NUM_SILVER)
        self.guess = nn.Sequential(nn.Linear(hidden, hidden), nn.GELU(), nn.LayerNorm(hidden))
        self.guess_bias = nn.Parameter(torch.zeros(encoder.config.vocab))

    def pieces(self, states: Tensor) -> Tensor:
        """Logits [N, vocabulary] of the pieces behind the states [N, hidden]."""
        return F.linear(self.guess(states), self.encoder.words.weight, self.guess_bias)


def mask_pieces(ids: Tensor, able: Tensor, mask_id: int, vocab: int) -> tuple[Tensor, Tensor]:
    """The ids [B, S] with some of the `able` ones masked, and which those are, bool [B, S]."""
    picked = (torch.rand(ids.shape, device=ids.device) < MASKED) & able
    way = torch.rand(ids.shape, device=ids.device)
    shown = torch.where(picked & (way < AS_MASK), mask_id, ids)
    other = picked & (way >= AS_MASK) & (way < AS_MASK + AS_OTHER)
    return torch.where(other, torch.randint(mask_id + 1, vocab, ids.shape, device=ids.device), shown), picked


def pretraining_loss(silver: Codes, mask_id: int, settings: Reading) -> Callable[[nn.Module, Batch], Tensor]:
    """Cross-entropy of LAC's codes, `silver` int8 [N] beside the examples' ids, and of the masked pieces."""

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
    """The recipe's sentences, with LAC's codes as features."""
    rng = np.random.default_rng(shop.recipe.seed)
    records: list[LabelledText] = []
    for name, wanted in settings.sentences.items():
        records += chinese_sentences(read(name, shop.data_dir), wanted, rng)
    tokenizer = SilverTokenizer(shop.tokenizer_json, shop.cache / "silver", lambda line: shop.say(f"read: {line}"))
    return examples.encode(in_both_scripts(records, settings.traditional, rng), tokenizer)


def pretrain(shop: RunContext, key: str) -> dict[str, Any]:
    """The step: an encoder that has read the recipe's texts."""
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
