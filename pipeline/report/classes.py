"""The classes that documents may have, as the schemas of their parts tell, and whether these are moods.

Negative and positive documents, with neutral ones or without, are what a report counts sentiment of. A user's own model may have
other classes, or none: then what is counted of sentiment is null, and so is every sum over it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from models.runtime.labels import SENTIMENTS
from pipeline.errors import OutputError

if TYPE_CHECKING:
    from pipeline.report.parts import Part


def classes_of(schema: pa.Schema) -> tuple[str, ...]:
    """Return the classes that the documents of a part may have; none if its model has none.

    Args:
        schema: The part's schema, see `pipeline.contract.tags_schema`.

    Raises:
        KeyError: A column of the classes is not there.
        TypeError: The column of their scores is something else.
    """
    if schema.field("sentiment").nullable:  # then it is always null, see `models.runtime.schema.schema_of`
        return ()
    return tuple(field.name for field in schema.field("sentiment_scores").type)


def are_moods(classes: Sequence[str]) -> bool:
    """Whether sentiment can be counted of some classes: there are negative and positive, and none but these and neutral.

    Args:
        classes: The classes.
    """
    return {"negative", "positive"} <= {*classes} <= {*SENTIMENTS}


def agreed_classes(output: str, parts: Sequence[Part]) -> tuple[str, ...]:
    """Return the classes of the documents of several parts, which must be the same in all of them.

    Args:
        output: What the output is called in messages.
        parts: One or more parts, or none: then the classes are those of the shipped models.

    Raises:
        OutputError: They are not the same, as models with other classes have tagged the parts; names two of them.
    """
    if not parts:
        return SENTIMENTS
    first = parts[0]
    for part in parts[1:]:
        if {*part.classes} != {*first.classes}:
            named = " but ".join(f"those of {one.name} {_listed(one.classes)}" for one in (first, part))
            raise OutputError(
                f"{output}: models with different classes of documents have tagged it ({named}), and no report adds these up; "
                f"tag all of it with one model (`textmill tag INPUT {output} --model MODEL --retag`), or report only days that "
                "one model has tagged"
            )
    return first.classes


def _listed(classes: Sequence[str]) -> str:
    return f"are {', '.join(classes)}" if classes else "have none"
