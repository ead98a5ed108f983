"""The invariants I1 to I10 of an output, against the truth of the corpus; each function gives what is wrong, as text."""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.sink.attempt import FOOTER
from pipeline.sink.layout import CLAIM, DEAD_LETTERS, FILTERED, RUNS, TAGS
from pipeline.sink.reconciliation import SUPERSEDED
from tests.faults.chaos.corpus import SECRETS, Corpus

# The engine is the same everywhere, but a server answers in float16.
TOLERANCE, SERVED_TOLERANCE = 1e-4, 0.02
SERVED_OTHER_WORDS, SERVED_OTHER_DOCUMENTS = 0.001, 0.004
# Peaks of resident memory: the model, its engine and Ray; they do not depend on the corpus.
PEAK_BYTES = {"driver": 1200 << 20, "worker": 1200 << 20, "reader": 600 << 20, "server": 1200 << 20}


def files(store) -> dict[str, bytes]:
    """Every file of an output."""
    found = {}
    for entry in store.list(""):
        with store.open_read(entry.path) as stream:
            found[entry.path] = stream.read()
    return found


def rows(there: dict[str, bytes], kind: str) -> list[dict[str, Any]]:
    """The rows of all whole files of a kind; the observer tells of those that are not whole."""
    tables = []
    for path, data in sorted(there.items()):
        with suppress(pa.ArrowException, OSError):
            tables += [pq.read_table(io.BytesIO(data))] if path.startswith(f"{kind}/") else []
    return pa.concat_tables(tables).to_pylist() if tables else []


def check(there: dict[str, bytes], corpus: Corpus, golden: dict[str, Any], served: bool) -> list[str]:
    """I1, I2, I5, I6, and of I8 what concerns files."""
    return [*_each_once(there, corpus), *_as_golden(there, golden, served), *_counts(there), *_left_over(there)]


def lost_and_doubled(there: dict[str, bytes], corpus: Corpus) -> tuple[int, int]:
    """How many documents of the truth are nowhere, and how many are there more than once."""
    found: Counter[Any] = Counter(row["id"] for row in rows(there, TAGS))
    found.update(row["id"] for row in rows(there, FILTERED))
    found.update((row["path"], row["position"]) for row in rows(there, DEAD_LETTERS))
    truth = {*corpus.tagged, *corpus.filtered, *corpus.dead}
    return len(truth - set(found)), sum(count - 1 for count in found.values())


def _each_once(there: dict[str, bytes], corpus: Corpus) -> Iterator[str]:
    """I1, I2: every document in the one place that the truth names."""
    tagged = Counter(row["id"] for row in rows(there, TAGS))
    left_out = Counter((row["id"], row["path"], row["position"], row["reason"]) for row in rows(there, FILTERED))
    dead = Counter((row["path"], row["position"], row["reason"]) for row in rows(there, DEAD_LETTERS))
    filtered = {(id, *place, "no_model_for_language") for id, place in corpus.filtered.items()}
    killed = {(*place, reason) for place, reason in corpus.dead.items()}
    for name, found, truth in (
        ("tagged", tagged, set(corpus.tagged)),
        ("filtered", left_out, filtered),
        ("dead letters", dead, killed),
    ):
        if missing := truth - set(found):
            yield f"I1: {len(missing)} of {len(truth)} are not {name}: {sorted(missing, key=str)[:3]}"
        if wrong := set(found) - truth:
            yield f"I1: {len(wrong)} are {name} and should not be: {sorted(wrong, key=str)[:3]}"
        if double := {one: count for one, count in found.items() if count > 1}:
            yield f"I2: {len(double)} are {name} more than once: {sorted(double, key=str)[:3]}"


def content(there: dict[str, bytes]) -> dict[str, Any]:
    """The tags by id: labels, which must be equal, and scores, which must be near."""
    found = {}
    for row in rows(there, TAGS):
        entities, scores = row["entities"], row["sentiment_scores"]
        labels = [(one["text"], one["label"], one["start"], one["end"]) for one in entities]
        words = [(one["start"], one["end"], one["pos"]) for one in row["words"]]
        found[row["id"]] = (row["lang"], row["sentiment"], labels, words), [*scores.values(), *(one["score"] for one in entities)]
    return found


def _as_golden(there: dict[str, bytes], golden: dict[str, Any], served: bool) -> Iterator[str]:
    """I5. Where two labels are as good as equal, a server's float16 may choose the other."""
    words = other_words = documents = 0
    others = []
    for id, (labels, scores) in content(there).items():
        if id not in golden:
            continue
        *mine, my_words = labels
        *theirs, their_words = golden[id][0]
        places = [word[:2] for word in my_words] == [word[:2] for word in their_words]
        documents, words = documents + 1, words + len(my_words)
        other_words += sum(one != other for one, other in zip(my_words, their_words, strict=False))
        if mine != theirs or not places or (my_words != their_words and not served):
            others.append(id)
        elif not np.allclose(scores, golden[id][1], rtol=0, atol=SERVED_TOLERANCE if served else TOLERANCE):
            yield f"I5: {id} has other scores than without faults"
    if len(others) > (documents * SERVED_OTHER_DOCUMENTS if served else 0):
        yield f"I5: {', '.join(others)} have other labels than without faults"
    if other_words > words * SERVED_OTHER_WORDS:
        yield f"I5: {other_words} of {words} words are other parts of speech than without faults"


def _counts(there: dict[str, bytes]) -> Iterator[str]:
    """I6: manifests and records say what the files hold."""
    held = _held(there)
    for path, data in there.items():
        if path.startswith(f"{RUNS}/") and not path.endswith(".metrics.json"):
            manifest = json.loads(data)
            listed = manifest["parts"]
            for part in listed:
                yield from _part(path, part, there, held)
            for key, name in (("rows_out", "rows"), ("dead_letters", "dead_letters"), ("filtered", "filtered")):
                if manifest[key] != sum(part[name] for part in listed):
                    yield f"I6: {path}: {key} is not the sum over its parts"
        if path.startswith("_plans/") and path.endswith(".done.json"):
            record = json.loads(data)
            for part in record["made"]:
                gone = superseded(there.get(f"{TAGS}/{part['name']}.parquet", b""))
                for key, kind in (("rows", TAGS), ("dead_letters", DEAD_LETTERS), ("filtered", FILTERED)):
                    now = held.get(f"{kind}/{part['name']}.parquet", 0)
                    if part[key] != now + gone["rows"] if kind == TAGS else not gone["fragments"] and part[key] != now:
                        yield f"I6: {path}: {part['name']} is said to have {part[key]} {key}"


def superseded(data: bytes) -> dict[str, Any]:
    """What a part, or a file beside it, says of rows that were taken out as their files were tagged anew."""
    footer: dict[str, Any] = {}
    with suppress(pa.ArrowException, OSError, KeyError, TypeError):
        footer = json.loads(pq.read_metadata(io.BytesIO(data)).metadata[FOOTER])
    return footer.get(SUPERSEDED, {"fragments": [], "rows": 0})


def _held(there: dict[str, bytes]) -> dict[str, int]:
    """Rows of every whole file, by its path."""
    found = {}
    for path, data in there.items():
        with suppress(pa.ArrowException, OSError):
            if path.startswith((f"{TAGS}/", f"{DEAD_LETTERS}/", f"{FILTERED}/")):
                found[path] = pq.read_metadata(io.BytesIO(data)).num_rows
    return found


def _part(manifest: str, part: dict[str, Any], there: dict[str, bytes], held: dict[str, int]) -> Iterator[str]:
    path = f"{TAGS}/{part['name']}.parquet"
    if path not in there:
        yield f"I6: {manifest} names {path}, which is not there"
    elif (gone := superseded(there[path]))["fragments"]:
        if held.get(path, 0) + gone["rows"] != part["rows"]:
            yield f"I6: {manifest}: {path} holds {held.get(path)} rows and lost {gone['rows']}, not {part['rows']} together"
    elif hashlib.sha256(there[path]).hexdigest() != part["sha256"]:
        yield f"I6: {manifest}: {path} is not the file that it names"
    elif held.get(path) != part["rows"]:
        yield f"I6: {manifest}: {path} holds {held.get(path)} rows, not {part['rows']}"


def _left_over(there: dict[str, bytes]) -> Iterator[str]:
    """I8."""
    for path in there:
        inside = path.startswith(f"{CLAIM}/") and path.endswith(".released")
        if path.startswith(("_staging/", "_next/", "_before/", "_state")) or (path.startswith(f"{CLAIM}") and not inside):
            yield f"I8: {path} is left"


def check_log(name: str, text: str) -> list[str]:
    """I10."""
    return [f"I10: {name} holds text of a document" for secret in SECRETS if secret in text]


def check_peaks(peaks: dict[str, int]) -> list[str]:
    """I9."""
    return [
        f"I9: a {kind} had {peaks[kind] >> 20} MB, more than {bound >> 20}"
        for kind, bound in PEAK_BYTES.items()
        if peaks.get(kind, 0) > bound
    ]
