"""Use the Tagger as a spaCy component: python examples/spacy_docs.py   (extra: spacy)."""

import spacy

import textmill_spacy  # noqa: F401  (makes "textmill" known to spaCy)


def main() -> None:
    """Print the entities and the sentiment of two texts."""
    nlp = spacy.blank("en")
    nlp.add_pipe("textmill", config={"model": "en-fast"})
    for doc in nlp.pipe(["Angela Merkel visited Paris and loved it.", "The train to Leeds was late again, awful."]):
        print([(ent.text, ent.label_) for ent in doc.ents], doc._.sentiment)


if __name__ == "__main__":
    main()
