"""An index on HDFS or S3: published whole or not at all, fetched once, each document in it once, whoever is killed when."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import faults
from pipeline.ask.counting import count_answer
from pipeline.ask.fetching import FETCHING, local_folder, newest_generation
from pipeline.ask.generations import read_generation, whole_generations
from pipeline.ask.index import build_index
from pipeline.ask.intents import Intent
from pipeline.ask.names import frequent_names
from pipeline.ask.search import PassageIndex
from pipeline.errors import ClaimedError, ConfigError, OutputError, UnavailableError
from pipeline.sink.layout import TAGS
from pipeline.store.local import LocalStore
from pipeline.store.open import open_store
from tests.support import ROOT
from tests.support.asking import request, serving
from tests.support.remote import remote_place, table_of_store


@pytest.fixture(
    params=["s3", pytest.param("hdfs-native", marks=pytest.mark.slow), pytest.param("webhdfs", marks=pytest.mark.slow)]
)
def world(request, tmp_path, monkeypatch):
    """A place with a tagged output of two documents, and a cache that is this test's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    place = remote_place(request)
    place.put_lines("in/a.jsonl", "A quay by the river.", "The harbour of Cork.")
    place.run(keep_text=True)
    place.answers = open_store(f"{place.url}/answers", place.config)
    place.output = open_store(f"{place.url}/out", place.config)
    (tmp_path / "store.toml").write_text(table_of_store(place, "store"))
    place.command = [
        sys.executable,
        "-m",
        "jobs",
        "index",
        place.output.url,
        place.answers.url,
        "--config",
        tmp_path / "store.toml",
    ]
    return place


def more(world, name, *texts):
    world.put_lines(f"in/{name}.jsonl", *texts)
    world.run(keep_text=True)


def ids(index):
    return sorted(passage.id for passage in index.search("quay harbour river tower", 100))


def elsewhere(monkeypatch, tmp_path, name="other"):
    """From now on this is another machine: it has copied nothing yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))


def killed(command, point):
    done = subprocess.run(command, env={**os.environ, faults.ENV: point}, capture_output=True, check=False, cwd=ROOT)
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_what_is_built_on_one_machine_is_found_on_another(world, monkeypatch, tmp_path):
    counts = build_index(world.output, world.answers, embedder=None)
    assert (counts.generation, counts.added) == (1, 1)
    assert ids(PassageIndex(world.answers)) == ["a-0", "a-1"]
    elsewhere(monkeypatch, tmp_path)
    there = PassageIndex(world.answers)
    assert (ids(there), there.output) == (["a-0", "a-1"], world.output.url)
    more(world, "b", "A tower by the river.")
    assert build_index(world.output, world.answers, embedder=None).generation == 2
    assert build_index(world.output, world.answers, embedder=None).added == 0
    assert ids(there) == ["a-0", "a-1"]
    assert there.outdated()
    there = PassageIndex(world.answers)
    assert (ids(there), there.outdated()) == (["a-0", "a-1", "b-0"], False)
    again = read_generation(world.answers, 2)
    shared = [name for name, file in again.files.items() if file.folder == "g000001"]
    assert shared, "files that are still right are not written again"
    assert not [entry for entry in world.answers.list("g000002") if entry.path.split("/")[1] in shared]


def test_replaced_generations_vanish_here_and_there(world):
    for name in "bcd":
        build_index(world.output, world.answers, embedder=None)
        more(world, name, f"A tower of {name} by the river.")
    build_index(world.output, world.answers, embedder=None)
    assert whole_generations(world.answers) == [3, 4]
    needed = {f"{file.folder}/{name}" for number in (3, 4) for name, file in read_generation(world.answers, number).files.items()}
    there = {entry.path for entry in world.answers.list() if entry.path.startswith("g")}
    assert there == needed | {"g000003/manifest.json", "g000004/manifest.json"}
    assert sorted(path.name for path in local_folder(world.answers).glob("g*")) == ["g000003", "g000004"]
    assert len(ids(PassageIndex(world.answers))) == 5


def test_a_service_answers_from_it(world):
    build_index(world.output, world.answers, embedder=None)
    with serving(world.answers, threads=1) as port:
        reply = json.loads(request(port, "GET", "/v1/passages?q=harbour")[2])
    assert [one["passage"] for one in reply["passages"]] == ["The harbour of Cork."]


def test_tags_elsewhere_are_counted_as_they_would_be_here(world, tmp_path):
    more(
        world,
        "b",
        "Volta Energy opened an office in Oslo.",
        "Volta Energy cut 40 jobs in Cork and hired a lawyer.",
        "Anna Berg left Oslo.",
    )
    build_index(world.output, world.answers, embedder=None)
    copy = tmp_path / "copy"
    for entry in world.output.list(TAGS):
        (copy / entry.path).parent.mkdir(parents=True, exist_ok=True)
        with world.output.open_read(entry.path) as stream:
            (copy / entry.path).write_bytes(stream.read())
    index = PassageIndex(world.answers)
    for intent in (Intent("count", "Volta Energy"), Intent("sentiment", "Volta Energy"), Intent("top", "", "LOC")):
        here = count_answer([intent], LocalStore(copy))
        assert count_answer([intent], index.tags).table == here.table
    assert count_answer([Intent("count", "Nobody Here")], index.tags) is None
    assert frequent_names(index.tags) == frequent_names(LocalStore(copy))
    command = [sys.executable, "-m", "jobs", "ask", world.answers.url, "How many documents mention Volta Energy?", "--json"]
    done = subprocess.run([*command, "--config", tmp_path / "store.toml"], capture_output=True, check=True, text=True, cwd=ROOT)
    found = json.loads(done.stdout)
    assert (found["rows"], world.output.url in found["sql"]) == ([{"documents": 2}], True)


def test_an_output_of_any_name_is_counted_with_one_look(world, monkeypatch):
    world.run(output="o[dd]")
    output = open_store(f"{world.url}/o[dd]", world.config)
    looks, look = [], type(output).list
    monkeypatch.setattr(type(output), "list", lambda self, folder="": looks.append(folder) or look(self, folder))
    counted = count_answer([Intent("top", "", "LOC")], output)
    assert counted.table.to_pylist() == [{"name": "Cork", "label": "LOC", "documents": 1}]
    assert looks == [TAGS]


def test_a_store_that_fails_while_it_is_counted_is_named(world, monkeypatch):
    def mute(*_args):
        raise UnavailableError(world.output.url, "does not answer")

    monkeypatch.setattr(world.output, "open_read", mute)
    with pytest.raises(UnavailableError, match="does not answer"):
        count_answer([Intent("top")], world.output)


@pytest.mark.parametrize("point", [*faults.INDEX_PUBLISH_POINTS, "index.file:3"])
def test_a_publication_that_was_killed_is_mended_by_the_same_command(world, monkeypatch, tmp_path, point):
    build_index(world.output, world.answers, embedder=None)
    more(world, "b", "A tower by the river.")
    killed(world.command, point)
    elsewhere(monkeypatch, tmp_path)  # who mends it has no copy
    seen = ids(PassageIndex(world.answers))
    assert seen == ["a-0", "a-1"] if point != "generation.rename.after" else ["a-0", "a-1", "b-0"]
    done = subprocess.run(world.command, capture_output=True, check=True, cwd=ROOT)
    assert json.loads(done.stdout)["generation"] == 2
    assert ids(PassageIndex(world.answers)) == ["a-0", "a-1", "b-0"]
    needed = {f"{file.folder}/{name}" for number in (1, 2) for name, file in read_generation(world.answers, number).files.items()}
    assert {entry.path for entry in world.answers.list() if entry.path.startswith(("g", "_staging"))} == needed | {
        "g000001/manifest.json",
        "g000002/manifest.json",
    }
    assert not (local_folder(world.answers) / "building").exists()


@pytest.mark.parametrize("point", [*faults.INDEX_FETCH_POINTS, "fetch.file:3"])
def test_a_fetch_that_was_killed_is_gone_on_with(world, monkeypatch, tmp_path, point):
    build_index(world.output, world.answers, embedder=None)
    elsewhere(monkeypatch, tmp_path)
    ask = [sys.executable, "-m", "jobs", "ask", world.answers.url, "Where?", *world.command[-2:]]
    killed(ask, point)
    folder = local_folder(world.answers)
    if point == "fetch.file:3":
        done, torn, *_ = sorted(path for path in (folder / FETCHING).iterdir())
        torn.write_bytes(b"half")
        before = done.stat().st_ino
    assert ids(PassageIndex(world.answers)) == ["a-0", "a-1"]
    assert not (folder / FETCHING).exists()
    if point == "fetch.file:3":
        assert (folder / "g000001" / done.name).stat().st_ino == before


def test_a_copy_that_was_torn_is_fetched_again_and_a_file_that_is_not_as_said_is_refused(world, monkeypatch, tmp_path):
    build_index(world.output, world.answers, embedder=None)
    folder = local_folder(world.answers) / "g000001"
    (folder / "meta.json").write_bytes(b"{")
    assert ids(PassageIndex(world.answers)) == ["a-0", "a-1"]
    world.answers.delete("g000001/meta.json")
    elsewhere(monkeypatch, tmp_path)
    with pytest.raises(OutputError, match=r"g000001/meta.json is not there; remove the index's folder and make the index anew"):
        PassageIndex(world.answers)
    with world.answers.create_exclusive("g000001/meta.json") as out:
        out.write(b"{}")
    with pytest.raises(OutputError, match=r"g000001/meta.json is not what its manifest says"):
        newest_generation(world.answers)


def test_one_builder_at_a_time(world):
    build_index(world.output, world.answers, embedder=None)
    with world.answers.claim("_claim"), pytest.raises(ClaimedError):
        build_index(world.output, world.answers, embedder=None)
    with pytest.raises(ConfigError, match=r"make one with `textmill index OUTPUT .*nothing`"):
        PassageIndex(open_store(f"{world.url}/nothing", world.config))
    assert Path(local_folder(world.answers)).is_relative_to(os.environ["XDG_CACHE_HOME"])
