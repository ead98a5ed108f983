"""The parts of a report: folding of names, the statistics, words cut out of texts."""

import random
import unicodedata
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.contract import tags_schema
from pipeline.report import statistics
from pipeline.report.name_normalization import normalize_name, normalize_names
from pipeline.report.stop_words import stop_words
from pipeline.report.words import CLASSES, LONGEST, Terms
from tests.support.report_data import document

SAME = [
    [
        "Volta Energy",
        "VOLTA ENERGY",
        "Volta  Energy",
        "“Volta Energy”",
        "Volta Energy's",
        "Volta Energy\u2019s",
        "(Volta Energy),",
    ],
    ["U.S.", "US", "u.s.", "U.S", "Ｕ．Ｓ．", "U.S.’s"],
    ["Coca-Cola", "Coca Cola", "COCA\u2011COLA", "Coca\u2013Cola"],
    ["J.R.R. Tolkien", "JRR Tolkien", "J.R.R. Tolkien's"],
    ["Acme Inc.", "Acme Inc", "ACME INC"],
    ["唐纳德·特朗普", "唐纳德・特朗普", "唐纳德•特朗普", "《唐纳德·特朗普》"],
    ["ＩＢＭ", "IBM", "#IBM", "@ibm"],
    ["ﬁnance", "finance", "fi\u00adnance", "finance\u200b"],
    ["the Joneses'", "the Joneses", "The Joneses’"],
]


@pytest.mark.parametrize("names", SAME, ids=lambda names: names[0])
def test_spellings_of_one_name_are_one(names):
    assert len(set(normalize_names(pa.array(names)).to_pylist())) == 1, normalize_names(pa.array(names))


def test_different_names_stay_apart():
    names = [
        "Paris",
        "Paris Hilton",
        "amazon",
        "amazon.com",
        "C++",
        "C",
        "O'Neil",
        "Oneal",
        "U2",
        "U",
        "张三",
        "张三丰",
        "St. John",
    ]
    assert len(set(normalize_names(pa.array(names)).to_pylist())) == len(names)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=20), max_size=8))
def test_folding_twice_is_folding_once_and_no_name_vanishes(names):
    once = normalize_names(pa.array(names, pa.string()))
    assert normalize_names(once).equals(once)
    assert all(folded for folded, name in zip(once.to_pylist(), names, strict=True) if name)
    assert once.to_pylist() == [normalize_name(name) for name in names]


@settings(max_examples=40, deadline=None)
@given(st.from_regex(r"\A[A-Za-z]{2,8}( [A-Za-z]{2,8})?\Z"))
def test_case_width_quotes_and_possessive_do_not_matter(name):
    wide = "".join(chr(ord(c) + 0xFEE0) if c != " " else "\u3000" for c in name)
    forms = [name, name.upper(), wide, f"“{name}”", f"{name}'s", f"{name}’s,", f" {name} "]
    assert {normalize_name(form) for form in forms} == {normalize_name(name)}
    assert unicodedata.is_normalized("NFKC", normalize_name(wide))


def test_g2_is_the_likelihood_ratio_of_the_2x2_table():
    contingency = pytest.importorskip("scipy.stats").chi2_contingency
    rng = random.Random(3)
    for _ in range(50):
        n1, n0 = rng.randrange(50, 5000), rng.randrange(50, 50_000)
        a, b = rng.randrange(1, n1), rng.randrange(1, n0)
        found = contingency([[a, n1 - a], [b, n0 - b]], lambda_="log-likelihood", correction=False)
        assert statistics.g2([a], n1, [b], n0)[0] == pytest.approx(found.statistic, rel=1e-9, abs=1e-9)


def test_what_rises_needs_more_than_a_few_documents_or_a_large_ratio():
    now, before = [2, 3, 3, 300, 300, 30], [0, 0, 1, 2000, 2100, 1000]
    rises = statistics.rises(now, 1_000, before, 7_000)
    # Twice is chance; 3 of 1,000 after 0 of 7,000 is G2 12.5; 300 after 2,000 of 7,000 is about the same share; 30 has fallen.
    assert rises.tolist() == [False, False, False, False, False, False]
    assert statistics.rises([5, 40], 1_000, [0, 100], 7_000).tolist() == [True, True]
    assert not statistics.rises([50], 100, [0], 0)[0], "without earlier days nothing rises"


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 500), st.integers(0, 500), st.integers(500, 10_000), st.integers(500, 10_000))
def test_statistics_are_finite_and_of_the_right_sign(now, before, documents_now, documents_before):
    counts = ([now], documents_now, [before], documents_before)
    assert np.isfinite(statistics.g2(*counts)).all()
    assert statistics.g2(*counts)[0] >= 0
    assert 0 < statistics.ratio(*counts)[0] < np.inf
    assert statistics.expected(*counts)[0] <= now + before
    if now * documents_before == before * documents_now:
        assert statistics.g2(*counts)[0] == pytest.approx(0, abs=1e-6)


def test_npmi_is_one_only_together_and_zero_by_chance():
    both, one, other = [10, 25, 1, 100], [10, 50, 50, 100], [10, 50, 50, 100]
    found = statistics.npmi(both, one, other, 100)
    assert found[0] == pytest.approx(1)
    assert found[1] == pytest.approx(0)
    assert found[2] < 0
    assert found[3] == 1, "in every document"
    assert statistics.lift([25], [50], [50], 100)[0] == 1


SPELLED = ["budget", "Budget", "the", "税收", "naïve", "𝒳yz", "of", "Zürich", "1987", "的", "x"]
WORDS = st.tuples(st.sampled_from(SPELLED), st.sampled_from([*CLASSES, "DET"]))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.lists(WORDS, max_size=6), st.sampled_from(["en", "zh", "und"]), st.booleans()), max_size=6))
def test_terms_are_those_of_a_slow_count(documents):
    rows, slow = [], Counter()
    seen = Counter()
    for n, (words, lang, current) in enumerate(documents):
        row = document(str(n), None, lang=lang, words=words, text="é " + "  ".join(word for word, _ in words))
        rows.append({**row, "current": current})
        terms = Counter()
        for extent in row["words"]:
            term = normalize_name(row["text"][extent["start"] : extent["end"]])
            letters = [c for c in term if c.isalpha()]
            short = len(term) == 1 and ord(term) < 0x250
            if extent["pos"] in CLASSES and letters and not short and term not in stop_words(lang):
                terms[current, lang, extent["pos"], term] += 1
        slow.update(terms)
        seen.update(terms.keys())
    schema = tags_schema((), True).append(pa.field("current", pa.bool_()))
    table = pa.Table.from_pylist(rows, schema=schema).select(["current", "lang", "text", "words", "entities"])
    counter = Terms()
    fast, documents_of = Counter(), Counter()
    for batch in table.to_batches(max_chunksize=2):
        for row in counter.count(batch).to_pylist():
            key = row["current"], row["lang"], row["pos"], row["term"]
            fast[key] += row["mentions"]
            documents_of[key] += row["documents"]
    assert fast == slow
    assert documents_of == seen


def test_a_chinese_persons_name_is_one_word():
    words = [("张", "PROPN"), ("伟", "NOUN"), ("见", "VERB"), ("李", "PROPN"), ("梅", "PROPN")]
    row = {**document("1", None, lang="zh", words=words, text="张伟见李梅"), "current": True}
    extents = [("PER", 0, 2), ("PER", 3, 5), ("ORG", 2, 4)]
    row["entities"] = [{"text": "x", "label": label, "start": a, "end": b, "score": 0.9} for label, a, b in extents]
    cut_short = {**row, "entities": [{**row["entities"][0], "end": 1}, {**row["entities"][1], "label": "LOC"}]}
    schema = tags_schema((), True).append(pa.field("current", pa.bool_()))

    def terms(*rows):
        batch = pa.Table.from_pylist(rows, schema=schema).combine_chunks().to_batches()[0]
        return {(one["pos"], one["term"]): one["mentions"] for one in Terms().count(batch).to_pylist()}

    assert {key for key in terms(row) if key[0] == "PROPN"} == {("PROPN", "张伟"), ("PROPN", "李梅")}
    plain = terms(cut_short)
    assert ("PROPN", "张伟") not in plain
    assert ("PROPN", "李") in plain
    assert terms({**row, "lang": "en"}) == terms({**cut_short, "lang": "en"})
    both = terms({**row, "entities": []}, row, {**row, "words": [], "text": ""})
    assert both["PROPN", "张伟"] == 1


def test_words_that_no_text_can_hold_are_left_out():
    row = document("1", None, words=[("a" * (LONGEST + 1), "NOUN"), ("budget", "NOUN")])
    table = pa.Table.from_pylist([{**row, "current": True}], schema=tags_schema((), True).append(pa.field("current", pa.bool_())))
    assert [row["term"] for row in Terms().count(table.to_batches()[0]).to_pylist()] == ["budget"]


def test_stop_words_are_those_of_spacy():
    from spacy.lang.en.stop_words import STOP_WORDS as ENGLISH
    from spacy.lang.zh.stop_words import STOP_WORDS as CHINESE

    assert stop_words("en") == ENGLISH
    assert stop_words("zh") == {word.lower() for word in CHINESE}
    assert stop_words("und") == stop_words("en") | stop_words("zh")
