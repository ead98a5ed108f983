"""The names that a corpus speaks of most: what somebody who asks about it is likely to say."""

from __future__ import annotations

from pathlib import Path

from pipeline.ask.tags_database import tags_database
from pipeline.sink.layout import TAGS

MOST = 200


def frequent_names(output: str, most: int = MOST) -> list[str]:
    """Find the entities that most documents of an output name.

    Args:
        output: Folder of the output, on this machine.
        most: At most so many of the documents of each language.

    Returns:
        Their texts, those of most documents first; none if there are no tags on this machine.

    Raises:
        OutputError: The tags cannot be read.
    """
    parts = sorted(map(str, (Path(output) / TAGS).glob("*.parquet")))
    if not parts:
        return []
    tags = "read_parquet($parts, hive_partitioning = false)"
    sql = (
        "select name from (select entity.text as name, lang, count(distinct doc) as documents from "
        f"(select lang, unnest(entities) as entity, row_number() over () as doc from {tags}) "
        "group by entity.text, lang qualify row_number() over (partition by lang order by documents desc, name) <= $most) "
        "group by name order by sum(documents) desc, name"
    )
    with tags_database(output) as con:
        return [name for (name,) in con.execute(sql, {"parts": parts, "most": most}).fetchall()]
