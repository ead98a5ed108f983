"""A shipped model with heads for other labels: what it knows of them already stays, what is new begins near nothing."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from models.runtime.encoder import Encoder
from models.runtime.labels import LabelSet

# Standard deviation of what new outputs begin with.
SMALL = 0.02


def with_labels(start: Encoder, before: LabelSet, after: LabelSet) -> Encoder:
    """Copy an encoder, with heads for another set of labels.

    Outputs of tags and classes that bear the same names are copied, and so are those of words. The tags of a new type begin with
    the mean of the types that are there: somewhere an entity is. New classes begin with small random weights.

    Args:
        start: A model's float encoder.
        before: What it tells apart.
        after: What the copy will tell apart; its `words` is that of `before`.

    Returns:
        The copy, with transitions between tags only if the types stay the same.
    """
    same = before.entities == after.entities
    config = replace(
        start.config, token_outputs=after.token_outputs, text_outputs=after.text_outputs, entity_tags=len(after.entity_tags),
        transitions=start.config.transitions and same,
    )  # fmt: skip
    model, old = Encoder(config), start.state_dict()
    state = {name: value for name, value in old.items() if name in model.state_dict()}
    for kind in ("weight", "bias"):
        state[f"tokens_head.{kind}"] = _token_rows(old[f"tokens_head.{kind}"], before, after)
        state[f"sentiment_head.{kind}"] = _class_rows(old[f"sentiment_head.{kind}"], before, after)
    model.load_state_dict(state)
    return model.eval()


def _token_rows(old: Tensor, before: LabelSet, after: LabelSet) -> Tensor:
    entities = old[before.entity_slice]
    known = dict(zip(before.entity_tags, entities, strict=True))
    rows = []
    for at, tag in enumerate(after.entity_tags):
        if tag in known:
            rows.append(known[tag])
        elif len(entities) > 1:
            mean = entities[1:][(at + 1) % 2 :: 2].mean(dim=0)
            rows.append(mean + SMALL * torch.randn_like(mean))
        else:
            rows.append(SMALL * torch.randn_like(entities[0]))
    return torch.cat([torch.stack(rows), old[before.upos_slice], old[before.join_slice]])


def _class_rows(old: Tensor, before: LabelSet, after: LabelSet) -> Tensor:
    known = dict(zip(before.sentiments, old, strict=False))
    names = after.sentiments or ("",)
    return torch.stack([known[name] if name in known else SMALL * torch.randn_like(old[0]) for name in names])
