"""A report is of its own output's parts, whatever the folders above them are called."""

from datetime import date
from pathlib import Path

import pytest

from pipeline.report.build import make_report
from pipeline.store.claim import holder
from pipeline.store.local import LocalStore
from tests.support.report_data import document, state, write_output

DAY = date(2026, 11, 22)


@pytest.mark.parametrize(
    ("name", "beside"),
    [("exp[1]", "exp1"), ("a*b", "axb"), ("q?x", "qyx"), ("back\\sl[1]*", "back\\sl1x"), ("it's[1]", "it's1"), ("**", "x")],
)
def test_an_output_whose_name_looks_like_a_pattern(tmp_path, name, beside):
    for folder, count in ((name, 3), (beside, 2)):
        write_output(tmp_path / folder, [[document(f"{folder}-{i}", f"{DAY}T08:00:00") for i in range(count)]])
    before = state(tmp_path / beside)
    report = make_report(str(tmp_path / name), DAY, DAY)
    assert (report.documents, report.disagreements) == (3, ())
    again = make_report(str(tmp_path / name), DAY, DAY, into=str(tmp_path / name / "r[1]*"))
    assert again.documents == 3
    assert not make_report(str(tmp_path / name), DAY, DAY).changed
    assert state(tmp_path / beside) == before
    assert [path.name for path in (tmp_path / name / "reports").iterdir() if not path.name.startswith(".")] == [str(DAY)]
    assert holder(LocalStore(tmp_path / name), f"reports/.{DAY}.claim") is None


def test_a_folder_above_that_looks_like_a_column_says_nothing(tmp_path):
    """DuckDB takes lang=zh in a path for a value of the column `lang`."""
    output = tmp_path / "lang=zh" / "source=other"
    write_output(output, [[document("a", f"{DAY}T08:00:00", lang="en", source="news")]])
    plain = write_output(tmp_path / "plain", [[document("a", f"{DAY}T08:00:00", lang="en", source="news")]])
    one, other = (make_report(str(folder), DAY, DAY) for folder in (output, plain))
    assert one.disagreements == other.disagreements == ()
    for name in one.tables:
        if name not in ("outcomes",):
            assert Path(one.tables[name]).read_bytes() == Path(other.tables[name]).read_bytes(), name
