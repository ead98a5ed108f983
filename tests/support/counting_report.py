"""A small real report: counts of the tags by date, written as a table, so that what nights publish can be compared.

`python tests/support/counting_report.py nightly CONF ...` is the command with these reports.
"""

import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

import duckdb

from pipeline.nightly.reporting import ChildReporter

NAME = "tests.support.counting_report:make_counts"
# A file that, while it is there, makes a report wait.
HOLD = "TEXTMILL_TEST_HOLD"
TRAILING_DAYS = 2


def make_counts(output, first, last, into, lang, memory_mb, zone, reach):
    """Documents, entities and negative ones by date and source, of the dates and the two days before."""
    if hold := os.environ.get(HOLD):
        Path(f"{hold}.waiting").touch()
        while Path(hold).exists():
            time.sleep(0.02)
    print("a report may say what it wants", file=sys.stderr, flush=True)
    os.write(1, b"wherever\n")
    Path(into).mkdir(parents=True)
    if not list(Path(output, "tags").glob("*.parquet")):
        Path(into, "counts.csv").write_text("")
        return
    dated = f"select (created_at at time zone 'UTC')::date as day, * from '{output}/tags/*.parquet'"
    query = (
        "select strftime(day, '%Y-%m-%d') as date, source, count(*) as documents, sum(len(entities)) as entities, "
        f"sum((sentiment = 'negative')::int) as negative from ({dated}) "
        f"where day between date '{first}' - {TRAILING_DAYS} and date '{last}' group by 1, 2 order by 1, 2"
    )
    duckdb.sql(query).write_parquet(f"{into}/counts.parquet")


class Here:
    """The same without a process of its own, where that is not what is tested."""

    trailing_days = TRAILING_DAYS

    def make(self, order, check, deadline_s):
        make_counts(**asdict(order))


def reporter():
    return ChildReporter(NAME, TRAILING_DAYS)


if __name__ == "__main__":
    import jobs.reports
    from jobs.cli import main

    jobs.reports.reporter = reporter
    main(sys.argv[1:])
