"""Outputs for the tests of reports: parts written by the same code as a run's, of documents that are said or replicated."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from models.runtime.labels import LABELS
from pipeline.contract import Fragment, PartResult, RejectedDocument, Split, tags_schema
from pipeline.sink import ledger
from pipeline.sink.attempt import Attempt
from pipeline.sink.manifest import write_manifest
from pipeline.sink.plan_log import Plan, write_finished, write_plan
from pipeline.source.read_counts import ReadCounts
from pipeline.store.local import LocalStore

SCORES = {"negative": (0.8, 0.1, 0.1), "neutral": (0.2, 0.6, 0.2), "positive": (0.1, 0.1, 0.8)}


def document(id, when, names=(), sentiment="neutral", source="news", lang="en", text=None, words=(), classes=tuple(SCORES)):
    """A row of a part. `names`: (surface, label); `words`: (word, pos) in their order in `text`; `classes`: those of the model,
    none if it has none.
    """
    text = text if text is not None else " ".join([word for word, _ in words] or [name for name, _ in names] or ["-"])
    at, extents = 0, []
    for word, pos in words:
        at = text.index(word, at)
        extents.append({"start": at, "end": at + len(word), "pos": pos})
        at += len(word)
    usual = SCORES[sentiment] if set(classes) == SCORES.keys() else [0.8 if name == sentiment else 0.1 for name in classes]
    return {
        "id": id,
        "source": source,
        "created_at": datetime.fromisoformat(when).replace(tzinfo=UTC) if isinstance(when, str) else when,
        "text": text,
        "lang": lang,
        "entities": [{"text": n, "label": label, "start": 0, "end": len(n), "score": 0.9} for n, label in names],
        "sentiment": sentiment if classes else None,
        "sentiment_scores": dict(zip(classes, usual, strict=True)) if classes else None,
        "words": extents,
    }


def letter(outcome, reason, position=0):
    return RejectedDocument("a.jsonl", position, None, reason, "what is wrong", b"{", outcome)


def write_output(folder, rows_of, left_out=(), keep_text=True, status="finished", failures=None, parts=None, labels=LABELS):
    """An output as one run leaves it: `rows_of` are lists of documents or tables (if not a list, `parts` says how many), a part
    each; `left_out` lists of what each left out; `labels` what the model tells apart, or a list of that, one a part.
    """
    store, run = LocalStore(folder), "20261123T020000Z-0badcafe"
    splits = [
        Split(1, n, (Fragment(f"{n}.jsonl", "jsonl", 0, 1, 1, 1, 1),)) for n in range(len(rows_of) if parts is None else parts)
    ]
    plan = Plan(1, 1, "/data", {"model": "en", "columns": {}}, tuple(splits))
    write_plan(store, plan)
    done: list[PartResult] = []
    for split, rows in zip(splits, rows_of, strict=True):
        schema = tags_schema((), keep_text, labels[split.number] if isinstance(labels, list) else labels)
        about = {"run": run, "model": "en", "model_digest": "0"}
        attempt = Attempt(store, split, f"{run}-{split.number}", "", schema, about)
        table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows, schema=schema)
        here = left_out[split.number] if split.number < len(left_out) else []
        attempt.add(table, here, Counter())
        done.append(
            attempt.commit(
                100, {"model": 1.0, "read": 0.1, "prepare": 0.1, "write": 0.1}, [ReadCounts(table.num_rows + len(here))]
            )
        )
    write_finished(store, plan, ledger.counts_of(store, plan, ledger.parts(store)))
    sums = {key: sum(getattr(part, key) for part in done) for key in ("rows", "dead_letters", "filtered")}
    about = {
        "status": status, "started": "2026-11-23T02:00:00+00:00", "ended": "2026-11-23T02:01:00+00:00", "model": "en",
        "rows_in": sum(sums.values()), "rows_out": sums["rows"], "dead_letters": sums["dead_letters"],
        "filtered": sums["filtered"], "seconds": 60.0, "failures": failures or {},
    }  # fmt: skip
    write_manifest(store, run, about, done, {"verdict": {"limits": "model", "text": "the model limits the run"}})
    return folder


def made_up(count, seed=1, first="2026-11-15", days=8, names=40):
    """So many documents over some days, of made-up names and words; some without a time, some without a source."""
    rng = random.Random(seed)
    people = [(f"Person {chr(65 + n % 26)}{n}", "PER") for n in range(names)]
    places = [(f"Town {n}", "LOC") for n in range(names)]
    verbs = [
        ("praise", "VERB"),
        ("blame", "VERB"),
        ("the", "DET"),
        ("of", "ADP"),
        ("budget", "NOUN"),
        ("Budget", "NOUN"),
        ("new", "ADJ"),
    ]
    begin = datetime.fromisoformat(first).replace(tzinfo=UTC)
    out = []
    for n in range(count):
        when = begin + timedelta(days=rng.randrange(days), seconds=rng.randrange(86_400))
        some = [one for one in rng.choices(people + places, k=rng.randrange(5))]
        some = [
            (name.upper() if rng.random() < 0.1 else f"{name}'s" if rng.random() < 0.1 else name, label) for name, label in some
        ]
        out.append(
            document(
                f"d{n}", None if rng.random() < 0.05 else when, some, rng.choice(list(SCORES)),
                rng.choice(["news", "forum", "social", None]), rng.choice(["en", "en", "zh"]),
                words=rng.choices(verbs, k=rng.randrange(6)),
            )
        )  # fmt: skip
    return out


def replicate(tables, count, days=8, first="2026-11-15", seed=1):
    """Really tagged documents over and over until there are `count`, with new ids and times: tables of 50,000 rows."""
    rng = random.Random(seed)
    whole = pa.concat_tables(tables).combine_chunks()
    begin = int(datetime.fromisoformat(first).replace(tzinfo=UTC).timestamp() * 1e6)
    made = 0
    while made < count:
        rows = min(50_000, count - made)
        picked = whole.take(pa.array([rng.randrange(whole.num_rows) for _ in range(rows)]))
        ids = pa.array([f"r{made + n}" for n in range(rows)])
        times = pa.array([begin + int(rng.random() * days * 86_400e6) for _ in range(rows)]).cast(pa.timestamp("us", "UTC"))
        picked = picked.set_column(picked.schema.get_field_index("id"), pa.field("id", pa.string(), nullable=False), ids)
        yield picked.set_column(picked.schema.get_field_index("created_at"), "created_at", times)
        made += rows


def state(folder):
    """Every file below a folder, with its bytes; but for the claims on reports, which every one counts up."""
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if not path.parent.name.endswith(".claim")}


def visible(folder):
    """The names in a folder, sorted, but for hidden ones."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


# What must do no harm wherever it is shown.
HOSTILE = [
    "<script>alert(1)</script>", "</script><img src=x onerror=alert(1)>", "=HYPERLINK(\"http://x\")", "+1+1", "-2+3", "@SUM(A1)",
    "＝1+1", "../../etc/passwd", "a\u202eb", "{{ 7*7 }}", "' onmouseover='x", "tab\tand\nline", "&lt;b&gt;", "\u2028",
]  # fmt: skip


def hostile_output(folder):
    documents = [
        document(
            f"{text}{n}", "2026-11-22T08:00:00", [(f"{text} x", "PER"), ("Oslo", "LOC")], source=text, words=[("trains", "NOUN")]
        )
        for text in HOSTILE
        for n in range(3)
    ]
    return write_output(folder, [documents], [[letter("dead_letter", "<b>reason</b>")]], failures={"part-<i>": "<u>no</u>"})
