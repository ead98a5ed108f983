"""The names that a corpus speaks of most: what somebody who asks about it is likely to say."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.ask.tags_database import tag_parts, tags_database, tags_sql
from pipeline.errors import PipelineError
from pipeline.store.base import Store

MOST = 200


def expected_names(output: Store, say: Callable[[str], object]) -> list[str]:
    """Find the names as `frequent_names` does; without them questions are still understood, so that an error ends nothing.

    Args:
        output: The output.
        say: Hears of an error.

    Returns:
        The names; none if they cannot be had.
    """
    try:
        return frequent_names(output)
    except PipelineError as error:
        say(f"names are not told to the speech model: {error}")
        return []


def frequent_names(output: Store, most: int = MOST) -> list[str]:
    """Find the entities that most documents of an output name.

    Args:
        output: The output.
        most: At most so many of the documents of each language.

    Returns:
        Their texts, those of most documents first; none if there are no tags.

    Raises:
        OutputError: The tags cannot be read.
        StoreError: The store of the output fails.
    """
    parts = tag_parts(output)
    if not parts:
        return []
    sql = (
        "select name from (select entity.text as name, lang, count(distinct doc) as documents from "
        f"(select lang, unnest(entities) as entity, row_number() over () as doc from {tags_sql(output)}) "
        "group by entity.text, lang qualify row_number() over (partition by lang order by documents desc, name) <= $most) "
        "group by name order by sum(documents) desc, name"
    )
    with tags_database(output, parts) as con:
        return [name for (name,) in con.execute(sql, {"most": most}).fetchall()]
