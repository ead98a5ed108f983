"""What a user's own model gives is shown: its types in colours, its classes by their names, and nothing where it has none."""

import re

import pyarrow as pa
import pytest

from jobs.cli import main
from jobs.colours import COLOURS, PALETTE, colours, legend, paint
from models.runtime.labels import ENTITY_TYPES, LabelSet
from models.runtime.schema import schema_of
from tests.support.report_data import document, write_output

OWN = ("complaint", "[red]praise")
TEXT = "Volta 3 is fine."


class OwnTagger:
    """Gives every text the same tags."""

    def __init__(self, labels):
        self.labels = labels

    def tag(self, texts):
        names = [(TEXT[:7], kind) for kind in self.labels.entities[:1]]
        row = document("d", None, names, OWN[1], classes=self.labels.sentiments)
        return pa.Table.from_pylist([row for _ in texts], schema=schema_of(self.labels))


def shown(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main([*map(str, arguments)])
    assert stopped.value.code == 0
    return capsys.readouterr().out


def test_show_names_own_types_and_classes(tmp_path, capsys):
    rows = [document(f"d{n}", None, [(TEXT[:7], "PRODUCT")], OWN[n % 2], classes=OWN) for n in range(5)]
    write_output(tmp_path / "out", [rows], labels=LabelSet(("PRODUCT",), OWN))
    text = shown(capsys, "show", tmp_path / "out")
    assert "sentiment: complaint 3, [red]praise 2" in text
    assert "PRODUCT" in text
    assert "PER" not in text


@pytest.mark.parametrize("names", [(), [(TEXT[:7], "PRODUCT")]])
def test_show_says_nothing_of_classes_or_types_that_there_are_not(tmp_path, capsys, names):
    rows = [document(f"d{n}", None, names, None, classes=()) for n in range(3)]
    write_output(tmp_path / "out", [rows], labels=LabelSet(("PRODUCT",) if names else (), ()))
    text = shown(capsys, "show", tmp_path / "out")
    assert "sentiment" not in text
    assert "None" not in text
    assert "d2" in text, "documents without entities, where none has any"
    assert ("most frequent" in text) == bool(names)


@pytest.mark.parametrize("labels", [LabelSet(("PRODUCT",), OWN), LabelSet((), OWN), LabelSet(("PRODUCT",), ()), LabelSet()])
def test_try_shows_what_the_model_has(capsys, monkeypatch, labels):
    if labels == LabelSet():
        labels = LabelSet(sentiments=(*labels.sentiments, OWN[1]))
    monkeypatch.setattr("models.runtime.load.load", lambda model: OwnTagger(labels))
    text = shown(capsys, "try", TEXT, "--words")
    assert TEXT in text
    assert ("[red]praise (" in re.sub(r"\s+", " ", text)) == bool(labels.sentiments)
    assert "None" not in text
    assert all(kind in text for kind in labels.entities)


def test_each_type_has_a_colour_of_its_own_as_far_as_there_are_some():
    assert colours(ENTITY_TYPES) == COLOURS
    found = colours(["B", "PER", "A"])
    assert found["PER"] == COLOURS["PER"]
    assert len({*found.values()}) == len(found) == 3
    assert found == colours(["A", "B", "PER"])
    many = colours(f"type {n}" for n in range(30))
    assert {*many.values()} == {*PALETTE}
    painted = paint(TEXT, [{"label": "type 7", "start": 0, "end": 7}], many)
    assert [(span.start, span.end, span.style) for span in painted.spans] == [(0, 7, many["type 7"])]
    assert legend({"[b]\x1b": ""}).plain == " [b]\ufffd "
