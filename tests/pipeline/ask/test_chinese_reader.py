"""Chinese questions: read by the shipped reader, in either script, from passages and out of an index."""

import json

import pytest

from models.runtime.reader import load_reader
from pipeline.ask.asker import Asker
from pipeline.ask.index import build_index
from pipeline.ask.readers import Readers
from pipeline.ask.search import Filters, PassageIndex
from pipeline.store.local import LocalStore
from tests.support.runs import run

OFFICE = "沃尔塔能源公司于2026年3月在奥斯陆开设了办事处。安娜·伯格担任首席执行官。该公司去年裁减了四百个岗位。"
TRADITIONAL = "沃爾塔能源公司於2026年3月在奧斯陸開設了辦事處。安娜·伯格擔任首席執行官。"
HARBOUR = "港口委员会昨天宣布,卑尔根港将在明年春天扩建,预计投资三亿克朗。"
KNOWN = [
    ("沃尔塔能源公司在哪里开设了办事处?", OFFICE, "奥斯陆"),
    ("谁担任首席执行官?", OFFICE, "安娜·伯格"),
    ("办事处什么时候开设的?", OFFICE, "2026年3月"),
    ("誰擔任首席執行官?", TRADITIONAL, "安娜·伯格"),
    ("谁担任首席执行官?", TRADITIONAL, "安娜·伯格"),
]


@pytest.fixture(scope="module")
def reader():
    return load_reader("qa-zh", threads=1)


@pytest.mark.parametrize(("question", "passage", "answer"), KNOWN)
def test_a_passage_is_read_in_either_script(reader, question, passage, answer):
    (found,) = reader.read([question], [passage])
    assert (found.text, passage[found.start : found.end]) == (answer, answer)
    assert found.score > 0.5


def test_what_the_passage_does_not_say_is_improbable(reader):
    asked = ["谁赢得了世界杯?", "苹果公司的总部在哪里?"]
    assert all(one.score < 0.3 for one in reader.read(asked, [OFFICE] * 2))


def test_a_long_passage_is_read_in_windows(reader):
    passage = HARBOUR * 40 + OFFICE + HARBOUR * 40
    (found,) = reader.read(["谁担任首席执行官?"], [passage])
    assert found.text == "安娜·伯格"
    assert passage[found.start : found.end] == found.text


def test_chinese_questions_are_answered_out_of_an_index(tmp_path):
    (tmp_path / "in").mkdir()
    lines = [{"id": f"z{i}", "text": text} for i, text in enumerate((HARBOUR, OFFICE))] + [{"id": "e0", "text": "Oslo is wet."}]
    (tmp_path / "in" / "a.jsonl").write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    run(tmp_path / "in", tmp_path / "out", keep_text=True, id_column="id", model="auto")
    build_index(LocalStore(tmp_path / "out"), tmp_path / "answers", embedder=None)
    asker = Asker(PassageIndex(tmp_path / "answers"), Readers.choose("auto", 1), 0.0)
    for question in ("沃尔塔能源公司在哪里开设了办事处?", "沃爾塔能源公司在哪裡開設了辦事處?"):
        best = asker.ask(question, Filters(lang="zh")).best
        assert best is not None
        assert (best.answer.text, best.passage.id) == ("奥斯陆", "z1")
        assert OFFICE[best.start : best.end] == "奥斯陆"
