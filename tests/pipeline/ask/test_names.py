"""The names that most documents name, counted slowly beside it; none where there are no tags."""

from collections import Counter

import pytest

from pipeline.ask.names import expected_names, frequent_names
from pipeline.errors import OutputError
from pipeline.store.local import LocalStore
from tests.support.runs import EXAMPLE, rows, run


def test_names_of_most_documents_come_first(tmp_path):
    run(EXAMPLE, tmp_path / "out", id_column="id")
    slow = Counter(name for row in rows(tmp_path / "out") for name in {one["text"] for one in row["entities"]})
    wanted = sorted(slow, key=lambda name: (-slow[name], name))
    assert frequent_names(LocalStore(tmp_path / "out"), 1_000_000) == wanted
    assert frequent_names(LocalStore(tmp_path / "out"), 5) == wanted[:5]


def test_an_output_without_tags_has_no_names(tmp_path):
    assert frequent_names(LocalStore(tmp_path)) == []
    (tmp_path / "tags").mkdir()
    (tmp_path / "tags" / "a.parquet").write_bytes(b"no parquet")
    with pytest.raises(OutputError, match="cannot be read"):
        frequent_names(LocalStore(tmp_path))
    said = []
    assert expected_names(LocalStore(tmp_path), said.append) == []
    assert "cannot be read" in said[0]
