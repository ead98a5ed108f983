"""Both engines compute the same function, and a text's result does not depend on its neighbours."""

import json
import os
import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import models
from models.errors import EngineMissingError
from models.runtime import tagger as tagger_module
from models.runtime.batches import RaggedBatch, make_windows
from models.runtime.pipeline_parallel import cut_layers
from tests.support import ROOT
from tests.support.tags import TEXTS, check_offsets, same

LONG = " ".join(TEXTS[:60])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(TEXTS) | st.text(max_size=80), min_size=2, max_size=40), st.randoms())
def test_neighbours_do_not_matter(tagger, texts, rng):
    alone = tagger.tag(texts[:1]).to_pylist()
    among = list(texts)
    place = rng.randrange(len(among))
    among[0], among[place] = among[place], among[0]
    same(alone, [tagger.tag(among).to_pylist()[place]])


def test_long_neighbours_do_not_matter(tagger):
    whole = tagger.tag([*TEXTS, LONG]).to_pylist()
    for i in random.Random(0).sample(range(len(TEXTS)), 25):
        same(tagger.tag([TEXTS[i]]).to_pylist(), [whole[i]])


def test_groups_do_not_matter(tagger, monkeypatch):
    whole = tagger.tag(TEXTS).to_pylist()
    monkeypatch.setattr(tagger_module, "GROUP_CHARACTERS", 1000)
    cut = tagger.tag(["", *TEXTS, "", ""])
    assert cut.num_rows == len(TEXTS) + 3
    same(cut.to_pylist()[1:-2], whole)


def test_engines_agree():
    texts = TEXTS[:120]
    one = models.load("en-fast", engine="openvino", threads=1).tag(texts).to_pylist()
    two = models.load("en-fast", engine="torch", threads=1).tag(texts).to_pylist()
    spans = [({(e["start"], e["end"], e["label"]) for e in a["entities"]},
              {(e["start"], e["end"], e["label"]) for e in b["entities"]}) for a, b in zip(one, two, strict=True)]  # fmt: skip
    both, either = sum(len(a & b) for a, b in spans), sum(len(a | b) for a, b in spans)
    assert both / either > 0.97
    assert np.mean([a["sentiment"] == b["sentiment"] for a, b in zip(one, two, strict=True)]) > 0.97
    # By place, for one word more shifts all that follow it.
    words = [{(i, *w.values()) for i, row in enumerate(rows) for w in row["words"]} for rows in (one, two)]
    assert len(words[0] & words[1]) / len(words[0] | words[1]) > 0.97


@pytest.mark.parametrize("chains", [(("cpu",),), (("cpu", "cpu"),), (("cpu", "cpu", "cpu"), ("cpu", "cpu"))])
def test_layers_on_several_devices_give_the_same(chains):
    """Pipeline parallel by layers, and chains beside each other."""
    whole = models.load("en-fast", engine="torch")
    staged = models.load("en-fast", devices=chains)
    batches = list(whole.encode(TEXTS[:60])[2])
    one = {id(scores.batch): scores for scores in whole.engine.infer(batches)}
    found = list(staged.engine.infer(batches))
    assert len(found) == len(batches)
    for scores in found:
        np.testing.assert_allclose(scores.tokens, one[id(scores.batch)].tokens, atol=1e-4)
        np.testing.assert_allclose(scores.sentiment, one[id(scores.batch)].sentiment, atol=1e-4)


def test_an_error_in_a_stage_is_raised_and_the_chain_lives_on():
    staged = models.load("en-fast", devices=(("cpu", "cpu"),))
    good = next(staged.encode(["Cork."])[2])
    bad = RaggedBatch(np.array([10**6], np.int32), np.zeros(1, np.uint8), np.array([0, 1]), np.zeros(1, np.int64))
    with pytest.raises(IndexError):
        list(staged.engine.infer([bad, good]))
    assert len(list(staged.engine.infer([good]))) == 1
    with pytest.raises(ValueError, match="layers do not suffice for 40 devices"):
        models.load("en-fast", devices=(("cpu",) * 40,))


@given(st.lists(st.integers(1, 100), min_size=1, max_size=24), st.integers(1, 24))
def test_layers_are_cut_into_parts_of_about_equal_size(sizes, parts):
    if parts > len(sizes):
        with pytest.raises(ValueError, match="do not suffice"):
            cut_layers(sizes, parts)
        return
    cuts = cut_layers(sizes, parts)
    assert [i for cut in cuts for i in cut] == list(range(len(sizes)))
    assert all(cuts)
    if len(set(sizes)) == 1 and len(sizes) % parts == 0:
        assert len({len(cut) for cut in cuts}) == 1


def test_unknown_engine():
    with pytest.raises(EngineMissingError, match="auto, openvino, torch"):
        models.load("en-fast", engine="onnx")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(alphabet="ab .!\u3002", max_size=300), max_size=4), st.integers(8, 40))
def test_every_piece_has_one_owner(tagger, texts, limit):
    pieces = tagger.tokenizer.encode(texts)
    windows = make_windows(pieces, np.isin(pieces.ids, np.flatnonzero(tagger._breaks)), limit)
    owners = np.zeros(len(pieces.ids), dtype=int)
    for first, last, own_first, own_last in zip(windows.first, windows.last, windows.own_first, windows.own_last, strict=True):
        assert first <= own_first < own_last <= last <= first + limit
        owners[own_first:own_last] += 1
    assert (owners == 1).all()


def test_entities_over_the_seams(tagger):
    sentence = "On Monday Angela Merkel met the staff of Siemens in Paris. "
    row = tagger.tag([sentence * 40]).to_pylist()[0]
    found = [e["text"] for e in row["entities"]]
    assert found.count("Angela Merkel") >= 38
    assert found.count("Paris") >= 38


def test_a_line_of_ten_megabytes(tagger):
    text = "Ms Keller flew from Oslo to Lyon. " * 15_000 + "x" * 9_500_000
    table = tagger.tag([text])
    check_offsets([text], table)
    assert table.num_rows == 1
    assert len(table["entities"].to_pylist()[0]) > 30_000


AFFINITIES = """
import json, os
import models
models.load("en-fast", threads=1).tag(["Lena came to Oslo."])
print(json.dumps([sorted(os.sched_getaffinity(int(one))) for one in os.listdir("/proc/self/task")]))
"""


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="CPU affinity is Linux's")
def test_no_thread_is_bound_to_a_core():
    """Bound threads of several workers would share one core: the first of each process is bound to the machine's first.

    In a process of its own: other tests leave threads in this one.
    """
    done = subprocess.run([sys.executable, "-c", AFFINITIES], capture_output=True, text=True, check=True, cwd=ROOT)
    assert {frozenset(one) for one in json.loads(done.stdout)} == {frozenset(os.sched_getaffinity(0))}
