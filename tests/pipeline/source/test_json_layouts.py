"""JSON in every layout: the content tells which, a broken record costs itself, and memory is bounded."""

import gzip
import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.contract import DocumentSpec
from pipeline.source import lines
from pipeline.source.discover import discover
from pipeline.source.read import read_fragment
from pipeline.source.splitting import fragments
from tests.support.reading import places, read, usual

DOCS = [{"id": str(i), "text": f"Lena came to Oslo {i}", "user": {"name": "x", "tags": [{"a": 1}, {"b": []}]}} for i in range(40)]
TEXTS = [(one["id"], one["text"]) for one in DOCS]
LAYOUTS = {
    "array": json.dumps(DOCS),
    "pretty array": json.dumps(DOCS, indent=2),
    "array, a record a line": "[\n" + ",\n".join(map(json.dumps, DOCS)) + "\n]\n",
    "pretty objects": "\n".join(json.dumps(one, indent=4) for one in DOCS),
    "concatenated": "".join(map(json.dumps, DOCS)),
    "with commas": ", ".join(map(json.dumps, DOCS)),
    "two arrays": json.dumps(DOCS[:20]) + "\n" + json.dumps(DOCS[20:]),
    "lines": "".join(json.dumps(one) + "\n" for one in DOCS),
    "lines with marks inside": "\ufeff".join(json.dumps(one) + "\n" for one in DOCS),
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32-be", "gb18030"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tmp_path, layout, encoding):
    text = LAYOUTS[layout].replace("Oslo", "Zürich 北京市")
    (tmp_path / "a.json").write_bytes(text.encode(encoding))
    reading = usual() if encoding != "gb18030" else usual(encoding="gbk")
    rows, letters, _ = read(tmp_path, reading=reading)
    assert (rows, letters) == ([(one, text.replace("Oslo", "Zürich 北京市")) for one, text in TEXTS], [])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_positions_are_the_records_first_bytes(tmp_path, layout):
    (tmp_path / "a.json").write_text(LAYOUTS[layout])
    rows, _, _ = read(tmp_path, id=None)
    data = (tmp_path / "a.json").read_bytes()
    at = [int(one.rpartition("@")[2]) for one, _ in rows]
    assert all(data[place:].removeprefix(b"\xef\xbb\xbf").startswith(b"{") for place in at)
    assert len(set(at)) == 40


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "with commas"])
@pytest.mark.parametrize("broken", ['{"id": "7", "text": }', '{"id": 7 "text": "x", "user": {"name": "x"}}', '{"id": "7",, }'])
def test_a_broken_record_costs_itself(tmp_path, layout, broken):
    seventh = LAYOUTS[layout].index('{"id": "7"') if "pretty" not in layout else -1
    text = LAYOUTS[layout]
    if seventh < 0:
        indent = "  " if "array" in layout else ""
        seventh = text.rindex("{", 0, text.index('"id": "7"'))
        end = text.index(f"\n{indent}}}", seventh) + 2 + len(indent)
    else:
        end = text.index("[]}]}}", seventh) + 6
    (tmp_path / "a.json").write_text(text[:seventh] + broken + text[end:])
    rows, letters, _ = read(tmp_path)
    assert rows == TEXTS[:7] + TEXTS[8:]
    assert [one.reason for one in letters] == ["not_json"]


def test_records_inside_documents(tmp_path):
    pages = [{"data": DOCS[:20], "meta": {"n": 20}}, {"meta": {"data": []}, "data": DOCS[20:39]}, {"data": DOCS[39]}]
    (tmp_path / "a.json").write_text("\n".join(json.dumps(one, indent=1) for one in pages))
    (tmp_path / "b.jsonl").write_text("".join(json.dumps(one) + "\n" for one in DOCS[:3]))
    rows, letters, _ = read(tmp_path, reading=usual(json_path="data"))
    assert (rows, letters) == (TEXTS + TEXTS[:3], [])
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "deep.json").write_text(json.dumps({"took": 3, "hits": {"total": 40, "hits": DOCS}}))
    for path in ("hits.hits", "$.hits.hits[*]"):
        assert read(tmp_path / "c", reading=usual(json_path=path))[0] == TEXTS
    _, (letter,), _ = read(tmp_path / "c", reading=usual(json_path="hits.items"))
    assert letter.reason == "no_text"


def test_who_does_not_know_of_the_path_is_told(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"data": DOCS}))
    _, (letter,), _ = read(tmp_path)
    assert "--json-path data" in letter.message


def test_an_array_that_is_cut_off_says_so(tmp_path):
    (tmp_path / "a.json").write_text(LAYOUTS["array"][:-1])
    rows, letters, _ = read(tmp_path)
    assert (len(rows), [one.reason for one in letters]) == (40, ["not_json"])
    (tmp_path / "a.json").write_text(LAYOUTS["pretty array"][:-40])
    rows, letters, _ = read(tmp_path)
    assert (len(rows), [one.reason for one in letters]) == (39, ["not_json"])


def test_values_that_are_no_records(tmp_path):
    (tmp_path / "a.json").write_text('[{"id": "1", "text": "a"}, [2], "x", 3, null, {"id": "2", "text": "b"}]')
    rows, letters, _ = read(tmp_path)
    assert (rows, [one.reason for one in letters]) == ([("1", "a"), ("2", "b")], ["not_an_object"] * 4)


def test_numbers_that_no_number_can_hold_are_their_digits(tmp_path):
    digits = "9" * 5000
    for name, layout in (("lines.jsonl", "%s\n%s\n"), ("array.json", "[%s, %s]")):
        path = tmp_path / name
        path.write_text(layout % ('{"id": 1e400, "text": "a"}', f'{{"id": {digits}, "text": "b"}}'))
        assert read(path)[0] == [("1e400", "a"), (digits, "b")]


def test_what_is_nested_too_deeply_costs_itself(tmp_path):
    deep = "[" * 200_000
    (tmp_path / "a.jsonl").write_text(f'{{"text": "a"}}\n{deep}\n{{"k": {deep}, "text": "b"}}\n{{"text": "c"}}\n')
    rows, letters, _ = read(tmp_path, id=None)
    assert ([text for _, text in rows], len(letters)) == (["a", "c"], 2)
    (tmp_path / "a.jsonl").write_text(f'[\n{{"text": "a"}},\n{{"k": {deep}, "text": "b"}},\n{{"text": "c"}}\n]')
    rows, letters, _ = read(tmp_path, id=None)
    assert ([text for _, text in rows], len(letters)) == (["a", "c"], 1)


def test_a_record_that_is_too_long_costs_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 3000)
    docs = [*DOCS[:5], {"id": "long", "text": "x" * 5000}, *DOCS[5:]]
    for indent in (None, 2):
        (tmp_path / "a.json").write_text(json.dumps(docs, indent=indent))
        rows, letters, _ = read(tmp_path)
        assert (rows, [one.reason for one in letters]) == (TEXTS, ["line_too_long"])


def test_a_long_array_is_read_in_bounded_memory(tmp_path):
    one = json.dumps({"id": "1", "text": "Lena " * 200})
    with gzip.open(tmp_path / "a.json.gz", "wt", compresslevel=1) as file:
        file.write("[" + ",".join([one] * 16_000) + "]")
    tracemalloc.start()
    try:
        rows, letters = _count_only(tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (rows, letters) == (16_000, 0)
    assert peak < 12 << 20


def _count_only(path):
    found = discover([str(path)])
    columns = DocumentSpec(reading=usual())
    rows = letters = 0
    for piece in fragments(found.store, found.files[0], 1 << 40, columns):
        for block in read_fragment(found.store, piece, columns):
            rows += len(block.texts)
            letters += len(block.left_out)
    return rows, letters


PLAIN = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner), max_leaves=6)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.dictionaries(st.sampled_from(["a", "b", "user"]), VALUES, max_size=3), min_size=1, max_size=8), st.data())
def test_any_records_in_any_layout(tmp_path_factory, records, data):
    records = [{**one, "text": f"t{i}"} for i, one in enumerate(records)]
    indent = data.draw(st.sampled_from([None, 0, 1, 4]))
    parts = [json.dumps(one, indent=indent, ensure_ascii=data.draw(st.booleans())) for one in records]
    layout = data.draw(st.sampled_from(["array", "behind each other"]))
    text = "[" + ",".join(parts) + "]" if layout == "array" else data.draw(st.sampled_from(["", "\n", " ", "\r\n"])).join(parts)
    path = tmp_path_factory.mktemp("any") / "a.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    rows, letters, _ = read(path, id=None)
    assert ([text for _, text in rows], letters) == ([one["text"] for one in records], [])


def test_damage_of_utf8_inside_a_record_is_replaced_and_counted(tmp_path):
    (tmp_path / "a.json").write_bytes(b'[{"id": "1", "text": "caf\xe9 \xe4\xb8\xad\xe6\x96\x87"},\n{"id": "2", "text": "b"}]')
    rows, letters, counts = read(tmp_path)
    assert (rows, letters, counts["replaced_characters"]) == ([("1", "caf\ufffd 中文"), ("2", "b")], [], 1)


def test_lines_that_are_padded_or_hold_control_characters(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"\0" * 4000 + b'{"text": "a"}\n\0\0\0\n{"text": "tab\there"}\n')
    rows, letters, _ = read(tmp_path, id=None)
    assert ([text for _, text in rows], places(letters)) == (["a", "tab\there"], [])
