"""The columns that a Tagger gives, as one Arrow schema."""

from __future__ import annotations

import pyarrow as pa

from models.runtime.labels import SENTIMENTS

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
SENTIMENT_SCORES = pa.struct([pa.field(name, pa.float32(), nullable=False) for name in SENTIMENTS])

TAGS = pa.schema(
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
            metadata={"doc": "PER, ORG, LOC, MISC; start and end in code points of the original text"},
        ),
        pa.field("sentiment", pa.string(), nullable=False, metadata={"doc": ", ".join(SENTIMENTS)}),
        pa.field("sentiment_scores", SENTIMENT_SCORES, nullable=False, metadata={"doc": "they sum to 1"}),
        pa.field(
            "words",
            pa.list_(pa.field("item", WORD, nullable=False)),
            nullable=False,
            metadata={"doc": "words with their universal part of speech; extents in code points"},
        ),
    ]
)
