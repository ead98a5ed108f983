"""The Reader: whatever it is asked, an answer is a span of its passage, and does not depend on what is asked beside it."""

import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import models
from models.errors import ModelDamagedError, ModelMissingError
from models.runtime.pairs import may_begin, may_end, pair_windows
from models.runtime.reader import MOST_ABOVE, load_reader
from models.runtime.spans import best_spans, log_sums
from models.runtime.tokenizer import PieceTokenizer
from tests.support.small_reader import TOKENIZER, write_reader
from tests.support.tags import TEXTS

LONG = " ".join(TEXTS[:40])
CALM = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PAIRS = st.tuples(
    st.sampled_from(["Who?", "Where did it go, and why?", "", "?" * 300, "\udcff"]) | st.text(max_size=40),
    st.sampled_from([*TEXTS[:30], LONG, "", " ", "\u200b"]) | st.text(max_size=120),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_reader(tmp_path_factory.mktemp("reader"))


@pytest.fixture(scope="module")
def reader(folder):
    return load_reader(folder, threads=2)


def test_an_answer_is_a_span_of_its_passage(reader):
    @CALM
    @given(st.lists(PAIRS, max_size=12))
    def holds(pairs):
        questions, passages = [q for q, _ in pairs], [p for _, p in pairs]
        answers = reader.read(questions, passages)
        assert len(answers) == len(pairs)
        for answer, passage in zip(answers, passages, strict=True):
            assert passage[answer.start : answer.end] == answer.text
            assert 0 <= answer.score <= 1
            assert answer.text or answer.score == 0

    holds()


def test_neighbours_and_batches_do_not_matter_to_the_last_bit(reader, monkeypatch):
    rng = random.Random(0)
    pairs = [(rng.choice(["Who?", "Where is the harbour of Oslo?"]), rng.choice([*TEXTS, LONG])) for _ in range(60)]
    together = reader.read([q for q, _ in pairs], [p for _, p in pairs])
    for i in rng.sample(range(60), 20):
        assert reader.read([pairs[i][0]], [pairs[i][1]]) == [together[i]]
    monkeypatch.setattr(reader, "budget_tokens", 100)
    assert reader.read([q for q, _ in pairs], [p for _, p in pairs]) == together


def test_windows_show_every_piece_and_every_short_span_whole():
    tokenizer = PieceTokenizer(TOKENIZER)
    windows = pair_windows(["Where?", "w " * 500], [LONG, LONG], tokenizer, 64)
    pieces = len(tokenizer.encode([LONG]).ids)
    for pair, room in ((0, 64 - 3 - 2), (1, None)):
        mine = np.flatnonzero(windows.pair == pair)
        shown = [np.arange(windows.first[i], windows.first[i] + windows.count[i]) for i in mine]
        assert sorted(set(np.concatenate(shown).tolist())) == list(range(pieces))
        if room:
            whole = {(int(one[0]), int(one[-1])) for one in shown}
            span = room // 4
            assert all(any(a <= at and at + span <= b + 1 for a, b in whole) for at in range(pieces - span))
    assert np.diff(windows.offsets).max() <= 64


def best_of_one(logits, begins, ends, longest):
    """The best span and the best beside it, by looking at all of them."""
    spans = {
        (a, b): logits[a, 0] + logits[b, 1] for a in np.flatnonzero(begins) for b in np.flatnonzero(ends) if a <= b < a + longest
    }
    if not spans:
        return 0, 0, -np.inf, -np.inf
    first, last = min(spans, key=lambda ends: (-spans[ends], ends[1] - ends[0], ends[0]))
    beside = [value for (a, b), value in spans.items() if b < first or a > last]
    return first, last, spans[first, last], max(beside, default=-np.inf)


@CALM
@given(st.integers(0, 2**32 - 1), st.integers(0, 5), st.integers(0, 50), st.integers(1, 60), st.booleans())
def test_the_best_span_is_the_best_of_all(seed, rows, pieces, longest, equals):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, pieces, 2))
    if equals:  # of equal ones the shortest, and of these the earliest
        logits = np.round(logits)
    begins, ends = rng.random((2, rows, pieces)) < 0.7
    found = best_spans(logits, begins, ends, longest)
    for row in range(rows):
        mine = found.first[row], found.last[row], found.best[row], found.other[row]
        assert mine == best_of_one(logits[row], begins[row], ends[row], longest)


def test_a_sum_of_exponentials_hangs_on_no_padding():
    logits = np.random.default_rng(0).normal(size=(3, 200, 2)) * 9
    inside = np.arange(200) < np.array([[1], [150], [200]])
    sums = log_sums(logits, inside)
    for row, count in enumerate((1, 150, 200)):
        alone = log_sums(logits[row : row + 1, :count], np.ones((1, count), bool))[0]
        assert alone.tobytes() == sums[row].tobytes()
        assert np.allclose(alone, np.logaddexp.reduce(logits[row, :count], axis=0))


def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def test_a_prepared_reader_compiles_nothing_while_it_reads(folder):
    """Each new shape of batch would take memory, and time of whoever asks."""
    rng = random.Random(0)
    loads = [[LONG[: rng.randrange(10, 900)]] * rng.randint(1, 3) for _ in range(300)]
    grown = []
    for prepared in (False, True):
        reader = load_reader(folder, threads=2)
        if prepared:
            reader.prepare(600, 3)
        before = resident_mb()
        for passages in loads:
            reader.read(["Where is it?"] * len(passages), passages)
        grown.append(resident_mb() - before)
    fresh, prepared = grown
    assert prepared < max(2.0, fresh / 3)  # kernels of whole floats are compiled for all shapes at once


def test_what_a_score_is_made_of(reader):
    answers = reader.read(["Where is it?"] * 2, ["It is in Oslo, they say.", "Oslo"])
    for answer in answers:
        span, answerable, above, log_p = answer.margins
        assert 0 <= above <= MOST_ABOVE
        assert log_p < 0
        *weights, constant = reader.calibration
        assert answer.logit == pytest.approx(np.dot(weights, [span, answerable, above, log_p]) + constant)
    assert answers[1].margins[2] == MOST_ABOVE  # there is no other span


def test_a_reader_with_a_score_of_another_version_is_refused(tmp_path):
    with pytest.raises(ModelDamagedError, match="3 weights of its score; make it again"):
        load_reader(write_reader(tmp_path / "old", calibration=(0.5, 0.5, 0.0)))


def test_answers_are_whole_words(reader):
    pieces = reader.tokenizer.encode(["The unbelievability of Okafor's harbourmasters."])
    begins, ends = may_begin(pieces), may_end(pieces)
    assert begins.sum() == ends.sum() < len(pieces.ids)
    answer = reader.read(["Whose?"], ["The unbelievability of Okafor's harbourmasters."])[0]
    text = "The unbelievability of Okafor's harbourmasters."
    assert answer.start == 0 or not (text[answer.start - 1].isalnum() and text[answer.start].isalnum())
    assert answer.end == len(text) or not (text[answer.end - 1].isalnum() and text[answer.end].isalnum())


def test_both_engines_read_the_same(folder):
    questions, passages = ["Where is it?"] * 40, TEXTS[:40]
    ours = load_reader(folder, "openvino", 1).read(questions, passages)
    reference = load_reader(folder, "torch", 1).read(questions, passages)
    assert np.allclose([a.logit for a in ours], [a.logit for a in reference], atol=2e-2)
    assert np.mean([a.text == b.text for a, b in zip(ours, reference, strict=True)]) > 0.9


def test_what_is_no_question_is_refused(reader):
    with pytest.raises(ValueError, match="1 questions for 2 passages"):
        reader.read(["Who?"], ["a", "b"])
    with pytest.raises(TypeError, match="not a sequence of strings"):
        reader.read("Who?", ["a"])
    assert reader.read([], []) == []


def test_a_reader_is_no_tagger_and_a_tagger_no_reader(folder):
    with pytest.raises(ModelMissingError, match=r"a reader, where a tagger is needed; it answers questions: textmill answer"):
        models.load(folder)
    with pytest.raises(ModelMissingError, match=r"a tagger, where a reader is needed; it tags texts: textmill tag"):
        load_reader("en")


def test_folded_characters_are_read_as_others_where_they_stand(tmp_path):
    """Traditional script is read as simplified, and places stay; a package that says it wrongly is refused."""
    plain, folding = PieceTokenizer(TOKENIZER), PieceTokenizer(TOKENIZER, ("\u570b\u6a02", "\u56fd\u4e50"))
    one, other = folding.encode(["\u570b\u6a02 x"]), plain.encode(["\u56fd\u4e50 x"])
    assert (one.ids == other.ids).all()
    assert (one.starts == other.starts).all()
    folder = write_reader(tmp_path / "model")
    manifest = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**manifest, "folds": ["ab", "c"]}))
    with pytest.raises(ModelDamagedError, match="folds: 2 characters, of which 1 are to be read"):
        load_reader(folder)
