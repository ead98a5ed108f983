"""CSV and TSV as people have them: dialects, and records that are broken."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.source import delimited, lines
from tests.support.reading import places, read, usual
from tests.support.runs import run


def csv_of(rows, **dialect):
    out = io.StringIO(newline="")
    csv.writer(out, **dialect).writerows(rows)
    return out.getvalue()


ROWS = [("id", "text", "n"), *((f"c{i}", f"Lena came to Oslo {i}", str(i)) for i in range(2000))]
LINES = csv_of(ROWS).splitlines(keepends=True)


def with_line(number, line):
    return "".join([*LINES[: number + 1], line, *LINES[number + 2 :]])


@pytest.mark.parametrize(
    "line",
    [
        'c5,"Lena came to Oslo,5\r\n',  # never closed
        '"c5,Lena came to Oslo,5\r\n',
        'c5,Lena came to Oslo,"5\r\n',
        "c5,Lena,came,to,Oslo,5\r\n",  # more fields than the header
    ],
)
@pytest.mark.parametrize("target", [1 << 40, 2000])
@pytest.mark.parametrize("later", ["", "quoted", "all quoted"])
def test_a_broken_record_costs_itself(tmp_path, line, target, later):
    """Whether or not a quote of a record far behind it would close the one that it has opened."""
    text = with_line(5, line)
    if later:
        rest = csv_of(ROWS[1500:], quoting=csv.QUOTE_ALL if later == "all quoted" else csv.QUOTE_MINIMAL)
        text = "".join(text.splitlines(keepends=True)[:1500]) + 'q,"a, ""b"" c",1\r\n' + rest
    (tmp_path / "a.csv").write_text(text, newline="")
    rows, letters, _ = read(tmp_path, target)
    assert places(letters) == [(sum(map(len, LINES[:6])), "bad_csv")]
    assert [one for one, _ in rows if one != "q"] == [f"c{i}" for i in range(2000) if i != 5]


def test_two_broken_records_one_behind_the_other(tmp_path):
    (tmp_path / "a.csv").write_text('id,text\n1,"Oslo\n2,"Lyon\n3,Porto\n4,"a ""b""\nc"\n')
    rows, letters, _ = read(tmp_path)
    assert rows == [("3", "Porto"), ("4", 'a "b"\nc')]
    assert places(letters) == [(8, "bad_csv"), (16, "bad_csv")]


def test_a_quote_that_is_open_too_long_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "MAX_FIELD_LINES", 10)
    (tmp_path / "a.csv").write_text("id,text\n" + '1,"' + "a\n" * 8 + 'b"\n2,"' + "x,y\n" * 12 + 'c"\n')
    rows, letters, _ = read(tmp_path)
    assert rows[0] == ("1", "a\n" * 8 + "b")
    assert rows[1:] == [("x", "y")] * 11
    assert [reason for _, reason in places(letters)] == ["bad_csv", "no_text"]
    monkeypatch.setattr(delimited, "MAX_FIELD_LINES", 50)
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 40)
    rows, letters, _ = read(tmp_path)
    assert rows[1:] == [("x", "y")] * 11


def test_a_stray_carriage_return_is_a_character(tmp_path):
    (tmp_path / "a.csv").write_bytes(b'id,text\n1,Lyon\rmetro\n2,"a\rb"\r\n3,Porto\n')
    (tmp_path / "b.tsv").write_bytes(b"id\ttext\n1\tLyon\rmetro\n3\tPorto\n")
    rows, letters, _ = read(tmp_path)
    assert rows == [("1", "Lyon\rmetro"), ("2", "a\rb"), ("3", "Porto"), ("1", "Lyon\rmetro"), ("3", "Porto")]
    assert letters == []


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".txt"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_lines_that_end_with_a_carriage_return_alone(tmp_path, suffix, encoding):
    text = {".csv": "text\ra\rb\r", ".tsv": "text\ra\rb\r", ".jsonl": '{"text": "a"}\r{"text": "b"}\r', ".txt": "a\rb\r"}[suffix]
    (tmp_path / f"a{suffix}").write_bytes(text.encode(encoding))
    for target in (1 << 40, 1):
        assert [text for _, text in read(tmp_path, target, id=None)[0]] == ["a", "b"]


def test_a_line_that_is_too_long_costs_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 1000)
    long = "x" * 5000
    (tmp_path / "a.csv").write_text(f'id,text\n1,Oslo\n2,{long}\n3,"a\n{long}\nb"\n4,Porto\n')
    (tmp_path / "b.tsv").write_text(f"id\ttext\n1\tOslo\n2\t{long}\n3\tPorto\n")
    for target in (1 << 40, 100):
        rows, letters, _ = read(tmp_path, target)
        assert [one for one, _ in rows if len(one) == 1] == ["1", "4", "1", "3"]
        assert [one.reason for one in letters if one.path == "b.tsv"] == ["line_too_long"]
        assert [one.reason for one in letters if one.path == "a.csv"][:3] == ["line_too_long", "bad_csv", "line_too_long"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "\x01"])
@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_the_header_tells_the_delimiter(tmp_path, delimiter, suffix):
    (tmp_path / f"a{suffix}").write_text(f"id{delimiter}text{delimiter}n\n1{delimiter}Oslo{delimiter}2\n")
    for target in (1 << 40, 1):
        rows, letters, counts = read(tmp_path, target)
        assert (rows, letters) == ([("1", "Oslo")], [])
        usual_one = {".csv": ",", ".tsv": "\t"}[suffix]
        assert any(name.startswith("files_with_delimiter") for name in counts) == (delimiter != usual_one)


def test_dialects_that_are_said(tmp_path):
    (tmp_path / "a.csv").write_text("1~'O~slo''s'\n2~Lyon\n")
    rows, letters, _ = read(tmp_path, reading=usual(delimiter="~", quote="'", header=("id", "text")))
    assert (rows, letters) == ([("1", "O~slo's"), ("2", "Lyon")], [])
    (tmp_path / "a.csv").write_text('id,text\n1,"Lyon\n2,Oslo\n')
    rows, letters, _ = read(tmp_path, reading=usual(quote=""))
    assert (rows, letters) == ([("1", '"Lyon'), ("2", "Oslo")], [])
    (tmp_path / "a.csv").write_text("sep=;\nid;text\n1;Oslo\n")
    assert read(tmp_path)[:2] == ([("1", "Oslo")], [])


def test_files_without_a_header(tmp_path):
    (tmp_path / "a.csv").write_text('"0","1","Mon Apr 06","Oslo"\r\n"4","2","Mon Apr 06","Lyon, at last"\r\n')
    rows, letters, _ = read(tmp_path, reading=usual(header=("label", "id", "date", "text")))
    assert (rows, letters) == ([("1", "Oslo"), ("2", "Lyon, at last")], [])
    _, letters, _ = read(tmp_path)
    assert "--columns" in letters[0].message
    assert "Lyon" not in letters[0].message
    (tmp_path / "a.csv").write_text("1|Oslo\n2|Lyon\n")
    assert read(tmp_path, reading=usual(header=("id", "text")))[0] == [("1", "Oslo"), ("2", "Lyon")]


def test_spark_escapes_quotes_with_a_backslash(tmp_path):
    (tmp_path / "a.csv").write_text(
        'id,text,n\n1,"He said \\"hello, Lena\\" in Oslo",x\n2,plain,y\n3,"two\nlines \\\\ and \\"more\\"",z\n'
    )
    for target in (1 << 40, 1):
        rows, letters, counts = read(tmp_path, target)
        assert rows == [("1", 'He said "hello, Lena" in Oslo'), ("2", "plain"), ("3", 'two\nlines \\ and "more"')]
        assert (letters, counts["files_with_escape_backslash"]) == ([], 1)
    (tmp_path / "a.csv").write_text('id,text\n1,"C:\\temp\\"\n2,"a ""b"""\n')
    assert read(tmp_path)[0] == [("1", "C:\\temp\\"), ("2", 'a "b"')]


@pytest.mark.parametrize("role", ["source", "time", "keep"])
@pytest.mark.parametrize("name", ["Text", " TEXT", "ID", "Title"])
def test_a_column_that_is_something_else_is_not_taken_for_another_case(tmp_path, role, name):
    """An exact name goes first, and what has a role by its exact name keeps it."""
    (tmp_path / "a.csv").write_text("id,text,title\n1,Oslo,a\n")
    rows, letters, _ = read(tmp_path, **{role: (name,) if role == "keep" else name})
    assert (rows, letters) == ([("1", "Oslo")], [])
    (tmp_path / "a.csv").write_text(f"Id,{name.strip()},text,id\n1,no,Oslo,2\n")
    assert read(tmp_path, **{role: (name,) if role == "keep" else name})[0] == [("2", "Oslo")]


def test_a_column_that_was_asked_for_in_another_case_than_the_texts_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("id,text\n1,Oslo\n")
    with pytest.raises(ConfigError, match=r"no column 'Text'.*is it 'text'"):
        run(tmp_path / "a.csv", tmp_path / "out", source_column="Text")


def test_headers_that_differ_in_case_and_blanks(tmp_path):
    (tmp_path / "a.csv").write_text("ID, Text ,TEXT,n\n1,Oslo,Lyon,3\n")
    (tmp_path / "b.csv").write_text("id,text,Text,text\n2,Oslo,Lyon,Porto\n")
    rows, letters, _ = read(tmp_path)
    assert (rows, letters) == ([("1", "Oslo"), ("2", "Oslo")], [])


def test_null_is_no_text(tmp_path):
    (tmp_path / "a.tsv").write_text("id\ttext\n1\t\\N\n\\N\tOslo\n")
    rows, letters, _ = read(tmp_path)
    assert ([text for _, text in rows], [one.reason for one in letters]) == (["Oslo"], ["no_text"])
    assert rows[0][0].startswith("a.tsv@")
    assert len(read(tmp_path, reading=usual(null=None))[0]) == 2


def test_fields_too_many_and_too_few(tmp_path):
    (tmp_path / "a.csv").write_text('id,text,n\n1,Oslo\n2,Oslo,1,\n3,Oslo,1,2\n4\n5,x, "Oslo, Lyon"\n')
    rows, letters, _ = read(tmp_path)
    assert [one for one, _ in rows] == ["1", "2", "5"]
    assert [one.reason for one in letters] == ["bad_csv", "no_text"]


CELL = st.text(st.sampled_from('ab,;"\n\r\\ é'), max_size=6)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(CELL, CELL), max_size=15), st.integers(1, 30), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_what_a_writer_of_csv_writes_is_read(tmp_path_factory, cells, target, quoting):
    """Whatever the fields hold, and however the file is cut."""
    path = tmp_path_factory.mktemp("any") / "a.csv"
    body = [(text, more) for text, more in cells if text or more]
    path.write_text(csv_of([("text", "n"), *body], quoting=quoting), newline="", encoding="utf-8")
    rows, letters, _ = read(path, target, id=None, reading=usual(escape=""))
    assert ([text for _, text in rows], letters) == ([text for text, _ in body], [])
