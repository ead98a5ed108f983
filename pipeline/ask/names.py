"""The names that a corpus speaks of most: what somebody who asks about it is likely to say."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import OutputError
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
    import duckdb

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
    try:
        con = duckdb.connect(":memory:", config={"autoinstall_known_extensions": False, "autoload_known_extensions": False})
        try:
            return [name for (name,) in con.execute(sql, {"parts": parts, "most": most}).fetchall()]
        finally:
            con.close()
    except duckdb.Error as error:
        raise OutputError(f"{output}: the names in the tags cannot be read ({type(error).__name__}: {error})") from error
