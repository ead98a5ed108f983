"""Best paths of entity tags, and the loss that teaches their steps; both beside every path written out."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.factory.examples import IGNORE, O_OR_MISC, allowed_tags
from models.factory.losses import path_loss
from models.runtime.decode import path_spans
from models.runtime.labels import ENTITY_TAGS
from models.runtime.viterbi import NUM_TAGS, START, SURE, impossible, viterbi_paths

B_PER, I_PER, B_ORG, I_ORG = (ENTITY_TAGS.index(tag) for tag in ("B-PER", "I-PER", "B-ORG", "I-ORG"))


def softmax(scores):
    shifted = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return (shifted / shifted.sum(axis=-1, keepdims=True)).astype(np.float32)


def weight(path, logs, steps):
    """What a path weighs, and whether there is such a path."""
    before = (START, *path[:-1])
    possible = not any(impossible()[a, b] for a, b in zip(before, path, strict=True))
    return sum(steps[a, b] + logs[i, b] for i, (a, b) in enumerate(zip(before, path, strict=True))), possible


@given(st.integers(0, 2**32 - 1))
def test_no_path_is_better(seed):
    rng = np.random.default_rng(seed)
    p = softmax(rng.normal(0, 2, (rng.integers(1, 4), NUM_TAGS)))
    steps = rng.normal(0, 1, (START + 1, NUM_TAGS)).astype(np.float32)
    found = viterbi_paths(p, np.arange(len(p)) == 0, steps)
    every = [weight(path, np.log(p), steps) for path in product(range(NUM_TAGS), repeat=len(p))]
    mine, possible = weight(tuple(found), np.log(p), steps)
    assert possible
    assert (p[:, 0] >= SURE).any() or mine >= max(value for value, there in every if there) - 1e-4


@given(st.integers(0, 2**32 - 1))
def test_a_path_hangs_on_no_other_text(seed):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 12, rng.integers(1, 6))
    scores = rng.normal(0, 3, (lengths.sum(), NUM_TAGS))
    scores[:, 0] += 12 * (rng.random(len(scores)) < 0.4)  # outside for sure
    p, steps = softmax(scores), rng.normal(0, 1, (START + 1, NUM_TAGS)).astype(np.float32)
    begins = np.cumsum(lengths) - lengths
    together = viterbi_paths(p, np.isin(np.arange(len(p)), begins), steps)
    for begin, length in zip(begins, lengths, strict=True):
        alone = viterbi_paths(p[begin : begin + length], np.arange(length) == 0, steps)
        np.testing.assert_array_equal(together[begin : begin + length], alone)
    assert not impossible()[together[:-1], together[1:]][~np.isin(np.arange(1, len(p)), begins)].any()
    assert (together[p[:, 0] >= SURE] == 0).all()


def test_a_step_that_cannot_be_costs_an_entity_its_end():
    """One character that goes on behind a sure outside is either no entity, or begins one."""
    p = softmax(np.array([[3, 0, 0, 0, 0, 0, 0, 0, 0], [1.0, 0.9, 2, 0, 0, 0, 0, 0, 0]]))
    begins = np.array([True, False])
    assert viterbi_paths(p, begins, np.zeros((START + 1, NUM_TAGS), np.float32)).tolist() == [0, 0]
    dear = np.zeros((START + 1, NUM_TAGS), np.float32)
    dear[0, B_PER] = 1.0
    assert viterbi_paths(p, begins, dear).tolist() == [0, B_PER]


def test_spans_of_a_path():
    codes = np.array([B_PER, I_PER, B_PER, 0, B_ORG, I_ORG])
    p = np.zeros((6, NUM_TAGS), dtype=np.float32)
    p[np.arange(6), codes] = [0.5, 0.75, 0.5, 1.0, 0.25, 0.5]
    first, last, kind, score = path_spans(p, codes)
    assert (first.tolist(), last.tolist(), kind.tolist()) == ([0, 2, 4], [1, 2, 5], [0, 0, 1])
    assert score.tolist() == [0.625, 0.5, 0.375]
    nothing = np.zeros(0, dtype=np.int64)
    assert all(not len(part) for part in path_spans(np.zeros((0, NUM_TAGS), np.float32), nothing))
    assert not len(viterbi_paths(np.zeros((0, NUM_TAGS), np.float32), nothing > 0, np.zeros((START + 1, NUM_TAGS), np.float32)))


@pytest.mark.parametrize("seed", range(12))
def test_the_loss_is_that_of_all_paths_written_out(seed):
    rng = np.random.default_rng(seed)
    lengths, most = [1, 3, 2], 5
    logits = torch.tensor(rng.normal(0, 1, (3, most, NUM_TAGS)), dtype=torch.float32, requires_grad=True)
    steps = torch.tensor(rng.normal(0, 1, (START + 1, NUM_TAGS)), dtype=torch.float32, requires_grad=True)
    units = torch.zeros(3, most, dtype=torch.bool)
    codes = torch.full((3, most), IGNORE)
    at = [sorted(rng.choice(most, length, replace=False).tolist()) for length in lengths]
    gold = [[0], [B_PER, I_PER, O_OR_MISC], [O_OR_MISC, IGNORE]]
    for text, places in enumerate(at):
        units[text, places] = True
        codes[text, places] = torch.tensor(gold[text])

    wanted = 0.0
    allowed = [*allowed_tags().numpy()]
    for text, places in enumerate(at):
        every, right = [], []
        for path in product(range(NUM_TAGS), repeat=len(places)):
            value, possible = weight(path, logits[text, places].detach().numpy(), steps.detach().numpy())
            if possible:
                every.append(value)
                if all(code == IGNORE or allowed[code][tag] for code, tag in zip(gold[text], path, strict=True)):
                    right.append(value)
        wanted += np.logaddexp.reduce(every) - np.logaddexp.reduce(right)
    found = path_loss(logits, codes, units, steps)
    assert found.item() == pytest.approx(wanted / sum(lengths), abs=1e-4)
    found.backward()
    assert not logits.grad[~units].any()
    assert steps.grad[:, B_PER].any()
    assert not steps.grad[torch.from_numpy(impossible())].any()


def test_a_text_that_no_path_fits_counts_for_nothing():
    codes = torch.tensor([[0, I_PER, 0], [0, B_PER, I_PER]])
    logits = torch.randn(2, 3, NUM_TAGS, generator=torch.manual_seed(0), requires_grad=True)
    steps = torch.zeros(START + 1, NUM_TAGS, requires_grad=True)
    both = path_loss(logits, codes, torch.ones(2, 3, dtype=torch.bool), steps)
    alone = path_loss(logits[1:], codes[1:], torch.ones(1, 3, dtype=torch.bool), steps)
    assert both.item() == pytest.approx(alone.item() / 2)
    both.backward()
    assert not logits.grad[0].any()
    assert logits.grad[1].any()


def test_a_batch_without_entities_teaches_no_steps():
    steps = torch.zeros(START + 1, NUM_TAGS, requires_grad=True)
    loss = path_loss(torch.randn(2, 4, NUM_TAGS), torch.full((2, 4), IGNORE), torch.ones(2, 4, dtype=torch.bool), steps)
    loss.backward()
    assert loss.item() == 0
    assert not steps.grad.any()
