"""Documents are counted where they are read; what is not accounted for fails the run, and is never published."""

import csv
import gzip
import json
import os
from collections import Counter
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs import cli
from pipeline.contract import DocumentSpec
from pipeline.errors import LostDocumentsError, OutputError, UnavailableError, UnreadableInputError
from pipeline.run.verify import verify
from pipeline.sink import attempt, ledger
from pipeline.sink.attempt import FOOTER, read_footer
from pipeline.sink.plans import PlanLog
from pipeline.sink.reconciliation import accounted_for, check_footer, read_of
from pipeline.source.count import count_documents
from pipeline.source.discover import discover
from pipeline.source.read import read_fragment
from pipeline.source.read_counts import ReadCounts
from pipeline.source.splitting import fragments
from pipeline.source.tables import stop_reader_processes
from pipeline.store.local import LocalStore
from pipeline.worker import worker
from tests.support.runs import rows, run, state, write_lines

TEXTS = ["Ms Keller flew to Oslo.", "Volta Energy is in Cork.", "A day like any other.", "Мы любим Лион."]


def only_split(store):
    log = PlanLog(store)
    log.look()
    (head,) = log.heads
    (split,) = log.plan(head.number).splits
    return split


def test_a_block_that_is_lost_between_reader_and_writer_fails_the_run(tmp_path, monkeypatch):
    write_lines(tmp_path / "in" / "a.jsonl", *TEXTS)
    monkeypatch.setattr(worker, "coalesce", lambda blocks: iter(list(blocks)[1:]))
    with pytest.raises(LostDocumentsError, match=r"4 documents were read, 0 are accounted for"):
        run(tmp_path / "in", tmp_path / "out")
    assert not list((tmp_path / "out").glob("tags/*"))
    (manifest,) = [json.loads(path.read_text()) for path in (tmp_path / "out" / "_runs").glob("*Z-????????.json")]
    assert manifest["status"] == "failed"


def test_a_document_that_the_model_loses_fails_the_run(tmp_path, monkeypatch):
    write_lines(tmp_path / "in" / "a.jsonl", *TEXTS)
    tag = worker.BlockTagger.tag

    def one_less(self, prepared, check):
        table, *others = tag(self, prepared, check)
        return table.slice(1), *others

    monkeypatch.setattr(worker.BlockTagger, "tag", one_less)
    with pytest.raises(LostDocumentsError, match="4 documents were read, 3 are accounted for"):
        run(tmp_path / "in", tmp_path / "out")


def test_a_damaged_row_group_is_lost_alone_and_counted(tmp_path):
    texts = [f"Ms Keller flew to Oslo, number {i}." for i in range(300)]
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "a.parquet"
    pq.write_table(
        pa.table({"id": [f"d{i}" for i in range(300)], "text": texts}),
        path,
        row_group_size=50,
        compression="snappy",
        use_dictionary=False,
    )
    data, footer = bytearray(path.read_bytes()), pq.read_metadata(path)
    for group in (1, 2, 4):
        at = footer.row_group(group).column(1).data_page_offset
        data[at : at + 200] = b"\xff" * 200
    path.write_bytes(data)
    with pytest.raises(UnreadableInputError, match="row group 1 is damaged"):
        run(tmp_path / "in", tmp_path / "out", dead_letter_count=1000)
    dead = rows(tmp_path / "out", "dead_letters")
    assert [(one["position"], one["message"].rpartition("; ")[2]) for one in dead] == [
        (50, "100 rows are lost"), (200, "50 rows are lost")
    ]  # fmt: skip
    assert sorted(row["id"] for row in rows(tmp_path / "out")) == sorted(
        f"d{i}" for i in (*range(50), *range(150, 200), *range(250, 300))
    )
    store = LocalStore(tmp_path / "out")
    footer = read_footer(store, ledger.parts(store)[only_split(store).name])
    assert (footer["read"], footer["unread"]) == ([152], {"0": 149})
    found = verify(str(tmp_path / "out"))
    assert (found.status, found.documents) == ("agrees", 152), found.differences


def test_parts_say_what_was_read_of_each_fragment(tmp_path):
    write_lines(tmp_path / "in" / "a.jsonl", *TEXTS, "not JSON")
    with (tmp_path / "in" / "a.jsonl").open("a") as file:
        file.write("{broken\n\n")
    pq.write_table(pa.table({"text": TEXTS * 3}), tmp_path / "in" / "b.parquet", row_group_size=5)
    result = run(tmp_path / "in", tmp_path / "out")
    store = LocalStore(tmp_path / "out")
    split = only_split(store)
    assert [piece.rows for piece in split.fragments] == [None, 12]
    footer = read_footer(store, ledger.parts(store)[split.name])
    assert (footer["read"], footer["unread"]) == ([6, 12], {})
    assert read_of(footer) == accounted_for(footer) == result.rows_in == 18
    assert result.rows_out + result.dead_letters + result.filtered == 18
    done = json.loads((tmp_path / "out" / "_plans" / "plan-000001.done.json").read_text())
    assert done["read"] == 18


@pytest.mark.parametrize("wrong", [{"rows": 2}, {"read": [4, 0]}, {"read": []}])
def test_footers_that_do_not_add_up(wrong, tmp_path):
    write_lines(tmp_path / "in" / "a.jsonl", *TEXTS)
    run(tmp_path / "in", tmp_path / "out")
    store = LocalStore(tmp_path / "out")
    split = only_split(store)
    footer = read_footer(store, ledger.parts(store)[split.name])
    check_footer(split, footer)
    with pytest.raises(LostDocumentsError):
        check_footer(split, footer | wrong)
    tables = replace(split, fragments=tuple(replace(piece, rows=5) for piece in split.fragments))
    with pytest.raises(LostDocumentsError, match="its footer counted 5 rows when it was planned, 4 were read"):
        check_footer(tables, footer)
    check_footer(split, {key: value for key, value in footer.items() if key not in ("read", "unread")})  # made before


def test_a_plan_does_not_end_without_the_files_of_what_was_left_out(tmp_path):
    """Killed between the two renames, and then somebody tidied up."""
    write_lines(tmp_path / "in" / "a.jsonl", *TEXTS)
    run(tmp_path / "in", tmp_path / "out")
    out = tmp_path / "out"
    (out / "_plans" / "plan-000001.done.json").unlink()
    (filtered,) = (out / "filtered").glob("*.parquet")
    filtered.unlink()
    with pytest.raises(LostDocumentsError, match=r"filtered/part-000001-00000\.parquet: 0 rows are there, the part says 1"):
        run(tmp_path / "in", out)
    assert not (out / "_plans" / "plan-000001.done.json").exists()


def test_what_was_left_out_survives_a_failure_behind_the_parts_publication(tmp_path, monkeypatch):
    """The part is in place, and its filtered documents could not be renamed: they stay staged, and are published later."""
    write_lines(tmp_path / "in" / "a.jsonl", *TEXTS)
    publish, refusals = attempt.publish, []

    def refused(store, staged, target, name):
        if "filtered" in target:
            refusals.append(target)
            raise UnavailableError(target, "the share is away")
        return publish(store, staged, target, name)

    monkeypatch.setattr(attempt, "publish", refused)
    result = run(tmp_path / "in", tmp_path / "out")
    assert refusals
    assert (result.status, result.parts, result.filtered) == ("finished", 1, 1)
    assert pq.read_table(tmp_path / "out" / "filtered").num_rows == 1


@pytest.fixture(autouse=True)
def readers():
    yield
    stop_reader_processes()  # as a run does at its end


LINES = st.lists(st.sampled_from(["plain", 'say "x"', "two\nlines", "a,b", "", " ", "ünï", "{"]), max_size=30)


@settings(deadline=None, max_examples=60)
@given(LINES, st.sampled_from(["a.jsonl", "a.csv", "a.tsv", "a.txt", "a.parquet", "a.arrow", "a.jsonl.gz"]), st.integers(1, 40))
def test_however_a_file_is_cut_its_pieces_hold_what_it_holds(tmp_path_factory, texts, name, target):
    """The count of the whole file, made another way, is the sum of what is read of its pieces."""
    folder = tmp_path_factory.mktemp("cut")
    path = folder / name
    match name.split(".")[1:]:
        case ["jsonl", *packed]:
            data = "".join(text + "\n" if text in ("", " ", "{") else json.dumps({"text": text}) + "\n" for text in texts)
            with (gzip.open if packed else open)(path, "wb") as file:
                file.write(data.encode())
        case ["csv"]:
            with path.open("w", newline="") as file:
                csv.writer(file).writerows([["text", "n"], *([text, "1"] for text in texts)])
        case ["parquet"]:
            pq.write_table(pa.table({"text": pa.array(texts, pa.string())}), path, row_group_size=3)
        case ["arrow"]:
            with pa.OSFile(str(path), "wb") as sink:
                table = pa.table({"text": pa.array(texts, pa.string())})
                with pa.ipc.new_file(sink, table.schema) as writer:
                    writer.write_table(table, max_chunksize=4)
        case _:
            path.write_text("text\n" + "\n".join(texts))
    found = discover([str(folder)])
    if not found.files:
        return  # an empty file
    (entry,) = found.files
    met = Counter()
    for piece in fragments(found.store, entry, target):
        one = ReadCounts()
        blocks = list(read_fragment(found.store, piece, DocumentSpec(), one))
        assert one.documents == sum(block.rows for block in blocks)
        met["read"] += one.documents
    assert met["read"] == count_documents(found.store, entry, DocumentSpec()).documents


@pytest.fixture
def verified(tmp_path):
    """An output of several files and plans, and its input."""
    data, out = tmp_path / "in", tmp_path / "out"
    write_lines(data / "a.jsonl", *TEXTS * 5, "x")
    with (data / "a.jsonl").open("a") as file:
        file.write("{broken\n")
    pq.write_table(pa.table({"text": TEXTS * 3}), data / "b.parquet", row_group_size=5)
    run(data, out, split_tokens=100)
    (data / "c.csv").write_text('text,n\n"two\nlines",1\n"x ""y""",2\n')
    whole = gzip.compress("".join(json.dumps({"text": text}) + "\n" for text in TEXTS * 300).encode())
    (data / "d.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    run(data, out, failed_files_share=0.5)
    return data, out


def test_verify_agrees(verified):
    data, out = verified
    before = state(out)
    found = verify(str(out))
    assert (found.status, found.plans, found.files, found.files_gone, found.parts_missing) == ("agrees", 2, 4, 0, 0)
    assert found.counted == found.read == found.documents > 22 + 12 + 2
    assert state(out) == before
    (data / "a.jsonl").unlink()
    (data / "c.csv").write_text("text\nnew\n")
    found = verify(str(out))
    assert (found.status, found.files_gone) == ("agrees", 2)


def test_verify_names_what_is_not_there(verified, capsys):
    _, out = verified
    part, *_, last = sorted((out / "tags").glob("*.parquet"))
    kept = part.read_bytes()
    part.unlink()
    assert verify(str(out)).differences == ["part-000001-00000 is not there, though its plan is finished"]
    part.write_bytes(kept)
    (letter,) = (out / "dead_letters").glob("part-000001*")
    aside = letter.read_bytes()
    letter.unlink()
    with pytest.raises(SystemExit) as ended:
        cli.main(["verify", str(out)])
    assert ended.value.code == 4
    assert "0 rows are there, the part says 1" in capsys.readouterr().err
    letter.write_bytes(aside)
    table, footer = pq.read_table(last), pq.read_metadata(last).metadata[FOOTER]
    with pq.ParquetWriter(last, table.schema, compression="gzip") as writer:  # the same rows, other bytes
        writer.write_table(table)
        writer.add_key_value_metadata({FOOTER: footer})
    assert "has changed since run" in verify(str(out)).differences[0]
    (out / "tags" / "part-000009-00000.parquet").write_bytes(kept)
    assert "tags/part-000009-00000.parquet: no plan has such a part" in verify(str(out)).differences


def test_verify_sees_a_file_of_which_something_was_not_read(verified):
    """As if the reader had skipped lines: size and time of the file are what they were."""
    data, out = verified
    path = data / "a.jsonl"
    when = path.stat()
    path.write_bytes(b"\n" + path.read_bytes()[1:])  # one line less that is JSON, and one that is blank
    text = path.read_text().split("\n", 2)
    path.write_text(" " * (len(text[0]) + len(text[1]) + 1) + "\n" + text[2])
    os.utime(path, ns=(when.st_atime_ns, when.st_mtime_ns))
    (difference,) = verify(str(out)).differences
    assert "a.jsonl: holds 21 documents, 22 were read of it" in difference


def test_verify_of_a_run_that_was_stopped(verified, capsys):
    data, out = verified
    for path in (out / "_plans").glob("plan-000002.done.json"):
        path.unlink()
    sorted((out / "tags").glob("part-000002*"))[0].unlink()
    with pytest.raises(SystemExit) as ended:
        cli.main(["verify", str(out)])
    assert ended.value.code == 3
    assert "run textmill tag again" in capsys.readouterr().err
    with pytest.raises(OutputError, match="no plans in it"):
        verify(str(data))
