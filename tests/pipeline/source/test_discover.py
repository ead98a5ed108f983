"""Which files a source names: by one set of rules for folders, patterns and URLs, each file once, whatever leads to it."""

import os
import re
import socket
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.cli import main
from pipeline.config import load_config
from pipeline.contract import DocumentSpec
from pipeline.errors import ConfigError, DeniedError, OutputError
from pipeline.run.verify import verify
from pipeline.source.discover import discover
from pipeline.store.resolve import unasked
from pipeline.trigger.batches import Landing
from tests.support.runs import rows, run

LINE = '{"text": "in Oslo"}\n'


def put(folder, *names, text=LINE):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def paths(*sources):
    return [entry.path for entry in discover([str(source) for source in sources]).files]


LEFT_ALONE = (
    "_temporary/0/a.jsonl", ".b.jsonl", "._c.jsonl", "_metadata", "d.jsonl.tmp", "e.jsonl.inprogress", "f.jsonl._COPYING_",
    "g/_delta_log/0.json", ".spark-staging-1/h.jsonl", "i.jsonl.filepart", "j.jsonl.partial",
)  # fmt: skip


@pytest.mark.parametrize("pattern", ["", "*", "*.jsonl", "**", "**/*.jsonl", "*od.jsonl"])
def test_a_pattern_leaves_alone_what_a_walk_leaves_alone(tmp_path, pattern):
    put(tmp_path, "good.jsonl", *LEFT_ALONE)
    assert paths(tmp_path / pattern) == ["good.jsonl"]


def test_what_is_asked_for_by_name_is_read(tmp_path):
    put(tmp_path, "_new/a.jsonl", "_new/.b.jsonl", ".old/c.jsonl", "d/_e.jsonl", "d/f.jsonl", "_year=2026/g.jsonl")
    assert paths(tmp_path / "_new") == ["a.jsonl"]
    assert paths(tmp_path / ".old" / "*.jsonl") == ["c.jsonl"]
    assert paths(tmp_path / "_*" / "*.jsonl") == ["_new/a.jsonl", "_year=2026/g.jsonl"]
    assert paths(tmp_path / "*" / "_e.jsonl") == ["d/_e.jsonl"]
    assert paths(tmp_path / "d" / "_e.jsonl") == ["_e.jsonl"]
    assert paths(tmp_path) == ["_year=2026/g.jsonl", "d/f.jsonl"]  # a partition is no hidden folder


def test_a_pattern_keeps_the_folders_that_it_matches(tmp_path):
    """Paths, and with them partitions and ids, do not depend on how many folders match on a day."""
    put(tmp_path, "dt=1/a.jsonl")
    assert paths(tmp_path / "dt=*" / "*.jsonl") == ["dt=1/a.jsonl"]
    put(tmp_path, "dt=2/a.jsonl", "dt=2/deep/b.jsonl")
    assert paths(tmp_path / "dt=*" / "*.jsonl") == ["dt=1/a.jsonl", "dt=2/a.jsonl"]
    assert paths(tmp_path / "dt=*") == ["dt=1/a.jsonl", "dt=2/a.jsonl", "dt=2/deep/b.jsonl"]
    with pytest.raises(ConfigError, match="no file matches"):
        paths(tmp_path / "dt=3*")


def test_a_pattern_says_what_it_leaves_alone(tmp_path):
    put(tmp_path, "notes.pdf", "_x.jsonl")
    found = discover([str(tmp_path / "*")])
    assert (found.files, found.skipped) == ([], {"other format": 1, "hidden": 1})
    assert found.examples == {"other format": ["notes.pdf"], "hidden": ["_x.jsonl"]}


def test_odd_names_are_shown_as_they_can_be_printed(tmp_path):
    for name in (b"new\nline.pdf", b"\xff.jsonl", b"back\\slash.pdf"):
        (tmp_path / os.fsdecode(name)).write_text(LINE)
    found = discover([str(tmp_path)])
    assert found.examples == {"other format": ["back\\slash.pdf", "new\\nline.pdf"], "name is not UTF-8": ["\\udcff.jsonl"]}


def test_a_name_with_characters_of_patterns_is_a_name(tmp_path):
    put(tmp_path, "l[1].jsonl", "s*.jsonl", "sx.jsonl", "q?.jsonl", "new\nline.jsonl")
    for name in ("l[1].jsonl", "s*.jsonl", "q?.jsonl", "new\nline.jsonl"):
        assert paths(tmp_path / name) == [name]


def test_every_file_is_read_once_and_a_link_is_not_the_file(tmp_path):
    put(tmp_path, "a/x.jsonl", "z.jsonl")
    os.symlink("..", tmp_path / "a" / "up")
    os.symlink("a", tmp_path / "b")
    os.symlink("z.jsonl", tmp_path / "latest.jsonl")
    os.link(tmp_path / "a" / "x.jsonl", tmp_path / "a" / "hard.jsonl")
    os.symlink("nowhere", tmp_path / "broken.jsonl")
    os.symlink("self.jsonl", tmp_path / "self.jsonl")
    found = discover([str(tmp_path)])
    assert [entry.path for entry in found.files] == ["a/hard.jsonl", "z.jsonl"]
    assert found.also == {"a/hard.jsonl": ["a/x.jsonl"], "z.jsonl": ["latest.jsonl"]}
    assert found.skipped == {"another name of a file that is read": 3, "link to nothing": 1, "link in a circle": 2}
    assert sorted(found.examples["link in a circle"]) == ["a/up", "self.jsonl"]
    # Given by several names, in any order.
    sources_given = (
        ["a", ".", "a/x.jsonl"],
        ["latest.jsonl", "z.jsonl", "b", "*"],
        ["**/*.jsonl"],
        ["a/*.jsonl", "*", "*.jsonl"],
    )
    for sources in sources_given:
        assert paths(*(tmp_path / source for source in sources)) == ["a/hard.jsonl", "z.jsonl"]


def test_a_link_shows_what_lies_elsewhere(tmp_path):
    put(tmp_path, "store/v2/a.jsonl", "in/b.jsonl")
    os.symlink("../store", tmp_path / "in" / "current")
    os.symlink("../store/v2", tmp_path / "in" / "fixed")
    os.symlink("../store/v2/a.jsonl", tmp_path / "in" / "one.jsonl")
    found = discover([str(tmp_path / "in")])
    assert [entry.path for entry in found.files] == ["b.jsonl", "current/v2/a.jsonl"]
    assert paths(tmp_path / "in", tmp_path / "store") == ["in/b.jsonl", "store/v2/a.jsonl"]


def test_a_link_upwards_leads_to_nothing_that_was_not_asked_for(tmp_path):
    put(tmp_path, "private/c.jsonl", "in/a.jsonl")
    os.symlink("..", tmp_path / "in" / "up")
    assert paths(tmp_path / "in") == ["a.jsonl"]


def test_what_is_no_regular_file_is_named(tmp_path):
    put(tmp_path, "x.jsonl", "dir.jsonl/y.txt")
    os.mkfifo(tmp_path / "pipe.jsonl")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "sock.jsonl"))
        found = discover([str(tmp_path)])
        assert [entry.path for entry in found.files] == ["dir.jsonl/y.txt", "x.jsonl"]
        assert found.skipped == {"no regular file": 2}
        for source in (tmp_path / "pipe.jsonl", tmp_path / "sock.jsonl", "/dev/null"):
            with pytest.raises(ConfigError, match="no regular file"):
                discover([str(source)])


@pytest.mark.parametrize("name", ["self.jsonl", "nothing.jsonl"])
def test_a_source_that_is_a_link_to_nothing(tmp_path, name):
    os.symlink("self.jsonl" if name == "self.jsonl" else "absent", tmp_path / name)
    with pytest.raises(ConfigError, match="a link"):
        discover([str(tmp_path / name)])


def test_a_folder_that_may_not_be_read_costs_itself(tmp_path, monkeypatch):
    put(tmp_path, "a.jsonl", "locked/b.jsonl", ".locked/c.jsonl", "sub/deep/d.jsonl")
    scan = os.scandir

    def refused(folder):
        if str(folder).endswith(("locked", "deep")):
            raise PermissionError(13, "Permission denied", folder)
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refused)
    found = discover([str(tmp_path)])
    assert [entry.path for entry in found.files] == ["a.jsonl"]
    assert set(found.unreadable) == {"locked", "sub/deep"}  # what is hidden is not even looked at
    assert all(isinstance(error, DeniedError) for error in found.unreadable.values())
    assert str(tmp_path / "sub" / "deep") in str(found.unreadable["sub/deep"])
    with pytest.raises(DeniedError, match="deep"):
        list(found.store.list())


@pytest.mark.parametrize(
    ("names", "pattern", "ways"),
    [
        ("a/b", "", ["a/b"]),
        ("a/b", "a/*", ["b"]),
        ("a/_b", "a/_*", [""]),
        ("a/b/c", "**/c", ["a/b"]),
        ("a/b/c", "*", ["a/b/c"]),
        ("c/c", "**/c", ["c", "c"]),
        ("a", "b*", []),
    ],
)
def test_what_of_a_path_was_not_asked_for(names, pattern, ways):
    found = unasked(tuple(names.split("/")), tuple(pattern.split("/")) if pattern else ())
    assert sorted("/".join(way) for way in found) == sorted(ways)


@pytest.mark.slow
def test_objects_whose_names_are_no_paths(s3):
    import boto3

    client = boto3.client("s3")
    keys = ("/x.jsonl", "a//y.jsonl", "b", "b/z.jsonl", "c/", "c/w.jsonl", "d.jsonl/", "e/../f.jsonl")
    for key in keys:
        client.put_object(Bucket="textmill", Key=f"odd/{key}", Body=LINE.encode() if key.endswith(".jsonl") else b"")
    found = discover(["s3://textmill/odd"])
    assert [entry.path for entry in found.files] == ["/x.jsonl", "a//y.jsonl", "b/z.jsonl", "c/w.jsonl"]
    assert found.skipped == {"empty": 1, "name with . or .. between slashes": 1}
    for entry in found.files:
        assert found.store.stat(entry.path) == entry
        with found.store.open_read(entry.path) as stream:
            assert stream.read() == LINE.encode()
    assert paths("s3://textmill/odd/b") == paths("s3://textmill/odd/b/*.jsonl") == ["z.jsonl"]
    assert paths("s3://textmill/odd/b/z.jsonl") == ["z.jsonl"]
    assert paths("s3://textmill/odd/[a-c]/*.jsonl") == ["b/z.jsonl", "c/w.jsonl"]


def ids(output):
    return sorted(row["id"] for row in rows(output))


def test_a_file_that_gets_another_name_is_not_read_again(tmp_path):
    put(tmp_path, "in/b.jsonl", "in/d.jsonl")
    run(tmp_path / "in", tmp_path / "out", id_column=None)
    os.link(tmp_path / "in" / "b.jsonl", tmp_path / "in" / "a.jsonl")
    assert run(tmp_path / "in", tmp_path / "out", id_column=None).status == "nothing to do"
    (tmp_path / "in" / "b.jsonl").unlink()
    put(tmp_path, "in/c.jsonl")
    run(tmp_path / "in", tmp_path / "out", id_column=None)
    assert ids(tmp_path / "out") == ["a.jsonl@0", "b.jsonl@0", "c.jsonl@0", "d.jsonl@0"]


def test_an_unreadable_folder_is_told_in_the_exit_code_when_the_rest_is_done(tmp_path, monkeypatch):
    put(tmp_path, "in/a.jsonl", "in/locked/b.jsonl")
    scan, locked = os.scandir, ["locked"]

    def refused(folder):
        if str(folder).endswith(tuple(locked)):
            raise PermissionError(13, "Permission denied", folder)
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refused)
    for _ in range(2):  # and again, though there is nothing else to do
        with pytest.raises(DeniedError, match=r"in/locked: Permission denied"):
            run(tmp_path / "in", tmp_path / "out", id_column=None)
        assert ids(tmp_path / "out") == ["a.jsonl@0"]
    locked.append("in")
    with pytest.raises(DeniedError, match=r"/in: Permission denied"):
        run(tmp_path / "in", tmp_path / "other", id_column=None)
    assert not (tmp_path / "other").exists()
    locked.clear()
    locked.append("nothing")
    assert run(tmp_path / "in", tmp_path / "out", id_column=None).status == "finished"
    assert ids(tmp_path / "out") == ["a.jsonl@0", "locked/b.jsonl@0"]


@pytest.mark.slow
def test_ids_are_unique_across_the_inputs_of_an_output(tmp_path):
    put(tmp_path, "in/a/x.jsonl", "in/b/x.jsonl", "in/c/x.jsonl", "in/a/sub/x.jsonl")
    out = tmp_path / "out"
    run(tmp_path / "in" / "a" / "x.jsonl", out, id_column=None)
    run(tmp_path / "in" / "b", out, id_column=None)
    run(tmp_path / "in" / "a" / "sub", out, id_column=None)
    run(tmp_path / "in", out, id_column=None)
    b, c = (f"{tmp_path}/in/{name}/x.jsonl@0" for name in "bc")
    assert ids(out) == sorted([b, c, "sub/x.jsonl@0", "x.jsonl@0"])
    assert verify(str(out)).status == "agrees"


@given(
    st.lists(st.sampled_from(["a", "b", "a/a", "a/b", "b/a", ""]), min_size=1, max_size=5),
    st.lists(st.sampled_from(["a/x", "b/x", "a/a/x", "a/b/x", "x", "a/b/c/x"]), min_size=2, max_size=2, unique=True),
)
def test_ids_are_unique_whatever_the_roots_and_depend_on_the_file_alone(roots, files):
    """Each file by every root above it: one path in ids, and none in common with another file."""
    full = [f"/in/{root}".rstrip("/") for root in roots]
    found = []
    for file in files:
        below = [root for root in full if f"/in/{file}".startswith(f"{root}/")]
        columns = [DocumentSpec() if root == full[0] else DocumentSpec(root=root, first_root=full[0]) for root in below]
        found.append({one.path_in_id(f"/in/{file}"[len(root) + 1 :]) for root, one in zip(below, columns, strict=True)})
    assert all(len(one) <= 1 for one in found)
    assert found[0].isdisjoint(found[1])


@pytest.mark.parametrize("place", ["/proc/nope/out", "file/out", "file"])
def test_an_output_that_cannot_be_made_is_named(tmp_path, place):
    put(tmp_path, "in/a.jsonl")
    (tmp_path / "file").touch()
    output = tmp_path / place if place[0] != "/" else Path(place)
    with pytest.raises(OutputError, match=rf"^{re.escape(str(output))}:? .*name a"):
        run(tmp_path / "in", output, id_column=None)


@pytest.mark.parametrize("foreign", ["no Parquet", "another table", "another column"])
def test_show_on_a_file_that_is_no_part_is_one_sentence(tmp_path, capsys, foreign):
    (tmp_path / "tags").mkdir()
    path = tmp_path / "tags" / "x.parquet"
    if foreign == "no Parquet":
        path.write_text("no")
    elif foreign == "another table":
        pq.write_table(pa.table({"id": ["1"], "sentiment": ["a"], "entities": ["b"]}), path)
    else:
        pq.write_table(pa.table({"id": ["1"]}).replace_schema_metadata({"textmill": "{}"}), path)
    with pytest.raises(SystemExit) as ended:
        main(["show", str(tmp_path)])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"textmill: {path} is no part of a run")


def test_a_watcher_goes_on_beside_a_folder_that_it_may_not_read(tmp_path, monkeypatch, caplog):
    put(tmp_path, "in/a/x.jsonl", "in/locked/y.jsonl")
    scan = os.scandir

    def refused(folder):
        if str(folder).endswith("locked"):
            raise PermissionError(13, "Permission denied", folder)
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refused)
    options = load_config(None, (), {"sources": [str(tmp_path / "in")], "output": tmp_path / "out"})
    landing = Landing(options, "_SUCCESS", "_manifest.json")
    for _ in range(2):
        (batch,) = landing.look()
        assert batch.folder == "a"
    assert caplog.text.count("in/locked: Permission denied") == 1  # said once, not at every look
    chosen = tuple((entry.path, entry.size, entry.modified_ns) for entry in batch.files)
    assert run(tmp_path / "in", tmp_path / "out", id_column=None, only=chosen).rows_out == 1
