"""The columns that a Tagger gives, as one Arrow schema."""

from __future__ import annotations

import pyarrow as pa

from models.runtime.labels import LABELS, LabelSet

ENTITY = pa.struct(
    [
        pa.field("text", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("start", pa.int32(), nullable=False),
        pa.field("end", pa.int32(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
    ]
)
WORD = pa.struct(
    [
        pa.field("start", pa.int32(), nullable=False),
        pa.field("end", pa.int32(), nullable=False),
        pa.field("pos", pa.string(), nullable=False),
    ]
)


def schema_of(labels: LabelSet) -> pa.Schema:
    """Return the columns that a model gives.

    Args:
        labels: What the model tells apart. Its classes are the fields of `sentiment_scores`; without classes that column and
            `sentiment` are null, and as nullable as a column can be that is always null.
    """
    classes = labels.sentiments or LABELS.sentiments
    none = not labels.sentiments
    scores = pa.struct([pa.field(name, pa.float32(), nullable=none) for name in classes])
    return pa.schema(
        [
            pa.field(
                "lang",
                pa.string(),
                nullable=False,
                metadata={"doc": "the model's, or und: neither"},
            ),
            pa.field(
                "entities",
                pa.list_(pa.field("item", ENTITY, nullable=False)),
                nullable=False,
                metadata={"doc": f"{', '.join(labels.entities)}; start and end in code points of the original text"},
            ),
            pa.field("sentiment", pa.string(), nullable=none, metadata={"doc": ", ".join(classes)}),
            pa.field("sentiment_scores", scores, nullable=none, metadata={"doc": "they sum to 1"}),
            pa.field(
                "words",
                pa.list_(pa.field("item", WORD, nullable=False)),
                nullable=False,
                metadata={"doc": "words with their universal part of speech; extents in code points"},
            ),
        ]
    )


# The columns of the shipped models.
TAGS = schema_of(LABELS)
