"""The shipped Chinese model: offsets in code points of the original text, both scripts, mixed text, spaCy."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import models
from models.runtime.package import ZOO
from tests.support.tags import check_offsets, same

PARTS = [
    "王小明", "在北京大學", "工作", "\uff34\uff4f\uff4d", "\uff11\uff12\uff13", "\uff0c", "。", "\u3000", " ",
    "iPhone 15", "#双十一#", "@李娜 ", "https://t.cn/A6x?b=1", "😀", "👨‍👩‍👧", "\ufe0f", "ﬁ", "㈱", "½",
    "é", "e\u0301", "\ud83d", "\u200b", "\n", "龘", "𠮷",
]  # fmt: skip


@pytest.fixture(scope="module")
def zh():
    return models.load("zh", threads=1)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.sampled_from(PARTS), max_size=12).map("".join) | st.text(max_size=30), max_size=8))
def test_offsets_are_of_the_original_text(zh, texts):
    table = zh.tag(texts)
    check_offsets(texts, table)
    for text, row in zip(texts, table.to_pylist(), strict=True):
        assert all(0 <= word["start"] < word["end"] <= len(text) for word in row["words"])


def test_full_width_forms_are_read_as_plain_ones(zh):
    plain, wide = zh.tag(["我用iPhone15", "我用\uff49\uff30\uff48\uff4f\uff4e\uff45\uff11\uff15"]).to_pylist()
    assert [(w["start"], w["end"]) for w in plain["words"]] == [(w["start"], w["end"]) for w in wide["words"]]


def test_a_character_that_is_taken_apart_is_one_word(zh):
    for text in ("¼", "㈱", "ﬁ", "㍿"):
        (row,) = zh.tag([text]).to_pylist()
        assert [(w["start"], w["end"]) for w in row["words"]] == [(0, 1)]


def test_both_scripts_are_tagged(zh):
    simplified, traditional = zh.tag(["王小明昨天从北京飞到上海。", "王小明昨天從北京飛到上海。"]).to_pylist()
    spans = [{(e["start"], e["end"], e["label"]) for e in row["entities"]} for row in (simplified, traditional)]
    assert spans[0] == spans[1] >= {(6, 8, "LOC"), (10, 12, "LOC")}
    assert len(traditional["words"]) > 4


def test_a_text_does_not_hang_on_its_neighbours(zh):
    texts = ["".join(PARTS[i : i + 5]) for i in range(len(PARTS))]
    among = zh.tag(texts).to_pylist()
    for i in range(0, len(texts), 3):
        same(zh.tag([texts[i]]).to_pylist(), [among[i]])


def test_engines_agree():
    texts = ["王小明昨天从北京飞到上海。", "這家飯店的服務太差了,再也不來了", "华为在深圳发布了新手机", "天气不错"] * 5
    one, two = (models.load("zh", engine=engine, threads=1).tag(texts).to_pylist() for engine in ("openvino", "torch"))
    assert [[(e["start"], e["end"], e["label"]) for e in row["entities"]] for row in one] == [
        [(e["start"], e["end"], e["label"]) for e in row["entities"]] for row in two
    ]
    a, b = ([list(row["sentiment_scores"].values()) for row in rows] for rows in (one, two))
    np.testing.assert_allclose(a, b, atol=0.03)
    # Of two that are all but alike either engine may have either.
    sure = np.diff(np.sort(a, axis=1)[:, 1:]).ravel() > 0.06
    assert sure.sum() >= 15
    assert [row["sentiment"] for row in np.array(one)[sure]] == [row["sentiment"] for row in np.array(two)[sure]]


def test_spacy():
    spacy = pytest.importorskip("spacy")
    import models.spacy_component  # noqa: F401

    nlp = spacy.blank("zh")
    nlp.add_pipe("textmill", config={"model": "zh"})
    (doc,) = nlp.pipe(["王小明昨天从北京飞到上海。"])
    assert ("北京", "LOC") in [(ent.text, ent.label_) for ent in doc.ents]
    assert doc._.sentiment in ("negative", "neutral", "positive")


def test_the_folder_is_small_and_has_a_card():
    files = {path.name: path.stat().st_size for path in (ZOO / "zh").iterdir()}
    assert sum(size for name, size in files.items() if not name.endswith((".md", ".png"))) <= 30_000_000
    card = (ZOO / "zh" / "card.md").read_text(encoding="utf-8")
    assert all(part in card for part in ("multilingual-e5-small", "Baidu LAC", "msra", "## Limits", "## Data and licences"))
