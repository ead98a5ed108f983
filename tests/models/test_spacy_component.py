"""The spaCy component with a user's own model: its types are the labels of `doc.ents`, its classes those of the document."""

import pyarrow as pa
import pytest

from models.runtime.labels import LabelSet
from models.runtime.schema import schema_of
from tests.support.report_data import document

TEXTS = ["Volta 3 is fine.", "Volta 3 is broken."]


@pytest.mark.parametrize("classes", [("complaint", "praise"), ()])
def test_own_types_and_classes_are_those_of_the_documents(monkeypatch, classes):
    spacy = pytest.importorskip("spacy")
    component = pytest.importorskip("models.spacy_component")
    labels = LabelSet(("PRODUCT NAME",), classes)

    class OwnTagger:
        def tag(self, texts):
            rows = [document("d", None, [(text[:7], "PRODUCT NAME")], "praise", classes=classes) for text in texts]
            return pa.Table.from_pylist(rows, schema=schema_of(labels))

    monkeypatch.setattr(component, "load", lambda model, threads: OwnTagger())
    nlp = spacy.blank("en")
    nlp.add_pipe("textmill")
    for doc in nlp.pipe(TEXTS):
        assert [(entity.text, entity.label_) for entity in doc.ents] == [("Volta 3", "PRODUCT NAME")]
        assert doc._.sentiment == ("praise" if classes else None)
        assert (doc._.sentiment_scores is not None) == bool(classes)
