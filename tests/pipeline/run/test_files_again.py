"""A file is what is lost, mended and tagged again: its neighbours stay, and each document is there once."""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pipeline import faults
from pipeline.errors import ConfigError, InputChangedError, OutputError, UnreadableInputError
from pipeline.exits import SETTINGS, exit_of
from pipeline.nightly.index import index_of
from pipeline.report.parts import parts_of
from pipeline.report.reconciliation import health_of
from pipeline.report.window import ReportWindow
from pipeline.run.verify import verify
from pipeline.sink.origins import ORIGINS
from pipeline.source.lost_files import read_skipping_lost
from pipeline.store.local import LocalStore
from pipeline.worker import worker
from tests.support.runs import rows, run, state, write_lines

TEXTS = ["Ms Keller flew to Oslo.", "Volta Energy is in Cork.", "A day like any other.", "Мы любим Лион."]


COMMAND = [sys.executable, "-m", "jobs", "tag", "--model", "en-fast", "--threads", "1", "--id-column", "id"]


def ids(out):
    """All documents of an output, tagged or filtered, each as often as it is there."""
    return sorted([row["id"] for row in rows(out)] + [row["id"] for row in rows(out, "filtered")])


def lines_of(name, count, first=0):
    return [f"{name}-{i}" for i in range(first, count)]


def pack(path, name, count, cut=0):
    """A packed file of `count` documents, of whose bytes the last `cut` are missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    body = "".join(
        json.dumps({"id": f"{name}-{i}", "text": f"{TEXTS[i % 4]} {os.urandom(40).hex()}"}) + "\n" for i in range(count)
    )
    data = gzip.compress(body.encode(), mtime=0)
    path.write_bytes(data[: len(data) - cut])


def agrees(out):
    """Whether the input, the plans, the parts and the report all say the same."""
    found = verify(str(out))
    assert found.status == "agrees", found.differences
    store = LocalStore(out)
    parts = parts_of(store)
    read = {part.name: (part.rows, part.rows, part.undated) for part in parts}
    assert health_of(store, parts, read, ReportWindow(None, None, "UTC")).disagreements == []


def test_a_torn_file_costs_itself_and_is_tagged_when_it_is_whole(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    write_lines(source / "a.jsonl", *TEXTS)
    pack(source / "b.jsonl.gz", "b", 40, cut=1500)
    write_lines(source / "c.jsonl", *TEXTS)
    with pytest.raises(UnreadableInputError, match=r"b\.jsonl\.gz: it ends in the middle of the gzip member"):
        run(source, out)
    torn = [id for id in ids(out) if id.startswith("b")]
    assert 0 < len(torn) < 40
    assert len(ids(out)) == 8 + len(torn)
    assert [d["path"] for d in rows(out, "dead_letters")] == ["b.jsonl.gz"]
    with pytest.raises(UnreadableInputError, match=r"b\.jsonl\.gz: it ends in the middle of the gzip member"):
        run(source, out)  # it is as it was: nothing is done, and it is not forgotten
    assert run(source, out, failed_files_share=0.4).status == "nothing to do"

    pack(source / "b.jsonl.gz", "b", 40)
    result = run(source, out)
    assert (result.status, result.rows_in, result.parts) == ("finished", 40, 1)
    assert ids(out) == sorted(lines_of("a", 4) + lines_of("b", 40) + lines_of("c", 4))
    assert rows(out, "dead_letters") == []
    agrees(out)
    assert run(source, out).status == "nothing to do"


def test_of_a_big_file_that_lies_in_many_parts_each_loses_its_rows(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    write_lines(source / "a.jsonl", *TEXTS)
    write_lines(source / "b.jsonl", *TEXTS * 20)
    write_lines(source / "c.jsonl", *TEXTS)
    run(source, out, split_tokens=300)
    assert len(list((out / "tags").iterdir())) > 3
    write_lines(source / "b.jsonl", *TEXTS * 3)
    with pytest.raises(InputChangedError, match=r"b\.jsonl: changed since it was tagged; give --retag-files"):
        run(source, out, split_tokens=300)
    before = {path: data for path, data in state(out).items() if path.startswith("_plans/")}
    assert run(source, out, split_tokens=300, retag_files=("b.*",)).rows_in == 12
    assert ids(out) == sorted(lines_of("a", 4) + lines_of("b", 12) + lines_of("c", 4))
    assert before.items() <= state(out).items()
    agrees(out)


def test_what_the_night_has_counted_of_a_plan_is_counted_anew(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"

    def write(name, *days):
        source.mkdir(exist_ok=True)
        body = [json.dumps({"id": f"{name}{i}", "text": TEXTS[i], "created_at": day}) + "\n" for i, day in enumerate(days)]
        (source / f"{name}.jsonl").write_text("".join(body))

    write("a", "2026-11-20", "2026-11-21")
    write("b", "2026-11-20", "2026-11-20")
    run(source, out)
    assert {str(day): sum(one.rows for one in held) for day, held in index_of(LocalStore(out), "UTC").days.items()} == {
        "2026-11-20": 3,
        "2026-11-21": 1,
    }
    write("b", "2026-11-22")
    run(source, out, retag_files=("b.jsonl",))
    assert {str(day): sum(one.rows for one in held) for day, held in index_of(LocalStore(out), "UTC").days.items()} == {
        "2026-11-20": 1,
        "2026-11-21": 1,
        "2026-11-22": 1,
    }
    assert index_of(LocalStore(out), "UTC").undated == 0


def test_files_with_dead_letters_are_tagged_again_when_that_is_asked_for(tmp_path, monkeypatch):
    source, out = tmp_path / "in", tmp_path / "out"
    write_lines(source / "a.jsonl", *TEXTS)
    tag = worker.BlockTagger._asked

    def fails_on_cork(self, texts, check):
        if any("Cork" in text for text in texts):
            raise ValueError("a bug of the model, mended since")
        return tag(self, texts, check)

    with monkeypatch.context() as patched:
        patched.setattr(worker.BlockTagger, "_asked", fails_on_cork)
        assert run(source / "a.jsonl", out).dead_letters == 1
    assert run(source / "a.jsonl", out).status == "nothing to do"
    assert run(source / "a.jsonl", out, retry_dead_letters=True).rows_in == 4
    assert ids(out) == lines_of("a", 4)
    assert rows(out, "dead_letters") == []
    assert run(source / "a.jsonl", out, retry_dead_letters=True).status == "nothing to do"
    agrees(out)


def test_what_was_asked_to_be_tagged_again_and_is_not_there_is_said(tmp_path, capsys):
    source, out = tmp_path / "in", tmp_path / "out"
    for name in ("posts/may.jsonl", "posts/june.jsonl", "x.jsonl"):
        write_lines(source / name, *TEXTS)
    run(source, out)
    before = state(out)
    for glob, told in (
        ("post/may.jsonl", "is it 'posts/may.jsonl'?"),
        ("*.csv", "there are posts/june.jsonl, posts/may.jsonl, x.jsonl"),
    ):
        with pytest.raises(ConfigError, match=f"no file of the input matches .*{re.escape(told)}"):
            run(source, out, retag_files=("x*", glob))
    assert exit_of(ConfigError("")).code == SETTINGS
    assert state(out) == before
    capsys.readouterr()
    assert run(source, out, retry_dead_letters=True).status == "nothing to do"
    assert "no file of the input has dead letters here" in capsys.readouterr().err


@pytest.mark.parametrize("change", ["gone", "changed"])
def test_a_file_that_is_not_what_was_planned_holds_nobody_up(tmp_path, monkeypatch, change):
    """Between plan and reading, and while it is read: others are tagged, and it is what it is when it comes back."""
    source, out = tmp_path / "in", tmp_path / "out"
    for name in "abc":
        write_lines(source / f"{name}.jsonl", *TEXTS)
    met = []

    def read(store, fragment, columns, counts, losses, cursors):
        if fragment.path == "b.jsonl" and not met:
            met.append(True)
            if change == "gone":
                (source / "b.jsonl").unlink()
            else:
                write_lines(source / "b.jsonl", *TEXTS[:2])
        yield from read_skipping_lost(store, fragment, columns, counts, losses, cursors)

    monkeypatch.setattr(worker, "read_skipping_lost", read)
    if change == "gone":
        with pytest.raises(UnreadableInputError, match=r"b\.jsonl: .*no longer there"):
            run(source, out)
        assert ids(out) == sorted(lines_of("a", 4) + lines_of("c", 4))
        assert run(source, out).status == "nothing to do"
        write_lines(source / "b.jsonl", *TEXTS)
        assert run(source, out).rows_in == 4
        assert ids(out) == sorted(lines_of("a", 4) + lines_of("b", 4) + lines_of("c", 4))
    else:
        assert run(source, out).status == "finished"  # what it is now is planned in the same run
        assert ids(out) == sorted(lines_of("a", 4) + lines_of("b", 2) + lines_of("c", 4))
    assert rows(out, "dead_letters") == []
    agrees(out)


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="no setpriv (util-linux), without which root may open everything")
def test_a_file_that_may_not_be_opened_is_tried_again_by_itself(tmp_path):
    """Its time and size tell nothing of permissions."""
    source, out = tmp_path / "in", tmp_path / "out"
    for name in "abc":
        write_lines(source / f"{name}.jsonl", *TEXTS)
    (source / "b.jsonl").chmod(0)
    less = "-dac_override,-dac_read_search"
    humble = ["setpriv", f"--bounding-set={less}", f"--inh-caps={less}"] if os.geteuid() == 0 else []
    done = subprocess.run([*humble, *COMMAND, str(source), str(out)], capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr
    assert "b.jsonl: DeniedError" in done.stderr
    assert ids(out) == sorted(lines_of("a", 4) + lines_of("c", 4))
    (source / "b.jsonl").chmod(0o644)
    assert run(source, out).rows_in == 4
    assert ids(out) == sorted(lines_of("a", 4) + lines_of("b", 4) + lines_of("c", 4))
    agrees(out)


def test_parts_of_before_are_refused_as_they_do_not_tell_which_rows_are_whose(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    for name in "ab":
        write_lines(source / f"{name}.jsonl", *TEXTS)
    run(source, out)
    (part,) = (out / "tags").iterdir()
    table = pq.read_table(part)
    metadata = {key: value for key, value in pq.read_metadata(part).metadata.items() if key not in (ORIGINS, b"ARROW:schema")}
    pq.write_table(table.replace_schema_metadata(metadata), part)
    before = state(out)
    with pytest.raises(OutputError, match=r"part-000001-00000\.parquet.*--retag to tag everything anew"):
        run(source, out, retag_files=("b.jsonl",))
    assert {k: v for k, v in state(out).items() if not k.startswith("_state")} == before


USUAL = "supersede.deleted.after"  # the others take the same way
POINTS = [*faults.SUPERSEDE_POINTS, "part.rename.after", "done.write.before"]


@pytest.mark.parametrize("point", [USUAL, *(pytest.param(point, marks=pytest.mark.slow) for point in POINTS if point != USUAL)])
def test_killed_while_files_are_tagged_again(tmp_path, point):
    source, out = tmp_path / "in", tmp_path / "out"
    write_lines(source / "a.jsonl", *TEXTS)
    pack(source / "b.jsonl.gz", "b", 40, cut=1500)
    with (source / "a.jsonl").open("a") as file:
        file.write("{broken\n")
    write_lines(source / "c.jsonl", *TEXTS)
    with pytest.raises(UnreadableInputError):
        run(source, out)
    if not point.startswith("lost."):
        pack(source / "b.jsonl.gz", "b", 40)
    else:
        pack(source / "b.jsonl.gz", "b", 40, cut=800)
    command = [*COMMAND, str(source), str(out)]
    for time in (1, 2):
        env = {**os.environ, faults.ENV: f"{point}:{time}"}
        killed = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert killed.returncode in ((-9,) if time == 1 else (-9, 0, 4)), killed.stderr
        assert len(set(ids(out))) == len(ids(out))  # at no time is a document there twice
    if point.startswith("lost."):
        pack(source / "b.jsonl.gz", "b", 40)
    assert run(source, out).status in ("finished", "nothing to do")
    assert ids(out) == sorted(lines_of("a", 4) + lines_of("b", 40) + lines_of("c", 4))
    assert [d["reason"] for d in rows(out, "dead_letters")] == ["not_json"]
    agrees(out)


class Files(RuleBasedStateMachine):
    """Files come, change, tear, are mended and go, with runs between; what a run leaves is what the files have said last."""

    @initialize()
    def begin(self):
        self.home = Path(tempfile.mkdtemp())
        self.whole, self.said, self.torn = {}, {}, set()
        self.at = 0

    @rule(name=st.sampled_from("abcd"), count=st.integers(1, 30), cut=st.sampled_from([0, 0, 300]))
    def write(self, name, count, cut):
        if name in self.said and name not in self.torn:
            return  # what was tagged whole is changed by `retag` alone
        path = self.home / "in" / f"{name}.jsonl.gz"
        self.at += 1
        pack(path, f"{name}{self.at}", count, cut)
        os.utime(path, ns=(self.at * 10**9, self.at * 10**9))
        self.whole[name] = [f"{name}{self.at}-{i}" for i in range(count)], bool(cut)

    @rule()
    def tag(self):
        self.run()

    @rule(name=st.sampled_from("abcd"), count=st.integers(1, 30))
    def retag(self, name, count):
        self.run()  # all that is planned is done
        if name in self.said:
            self.torn.add(name)
            self.write(name, count, 0)
            self.run(retag_files=(f"{name}.*",))

    def run(self, **more):
        if not self.whole:
            return
        try:
            run(self.home / "in", self.home / "out", split_tokens=400, dead_letter_count=10**6, **more)
        except UnreadableInputError:
            assert any(cut for _, cut in self.whole.values())
        self.said = dict(self.whole)
        self.torn = {name for name, (_, cut) in self.whole.items() if cut}

    @invariant()
    def each_once(self):
        if not getattr(self, "said", None):
            return
        found = ids(self.home / "out")
        assert len(set(found)) == len(found)
        for name, (wanted, cut) in self.said.items():
            mine = [id for id in found if id.startswith(name)]
            assert set(mine) <= set(wanted) if cut else sorted(mine) == sorted(wanted)

    def teardown(self):
        if self.said:
            self.run()
            agrees(self.home / "out")
        shutil.rmtree(self.home)


TestFiles = pytest.mark.slow(Files.TestCase)
TestFiles.settings = settings(max_examples=6, stateful_step_count=8, deadline=None)
