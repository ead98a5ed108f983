"""Vectors beside the index: only what is new is encoded, filters hold, either kind of hit is found, damage is said."""

import json
from dataclasses import replace

import numpy as np
import pytest

from models.runtime.package import EMBEDDER, open_package
from pipeline.ask.generations import read_generation
from pipeline.ask.index import build_index
from pipeline.ask.nearest import NearestPassages
from pipeline.ask.search import Filters, PassageIndex
from pipeline.ask.vectors import (
    BLOCK,
    FIRST_SHARE,
    NEIGHBOUR_SHARE,
    PassageVectors,
    VectorsOf,
    VectorWriter,
    rounded,
    vectors_file,
    with_neighbours,
)
from pipeline.errors import OutputError
from pipeline.store.local import LocalStore
from tests.support.runs import run
from tests.support.small_embedder import write_embedder


class Fixed:
    """Gives vectors that are already there, in their order."""

    def __init__(self, vectors):
        self.vectors_left = vectors

    def vectors(self, texts, check):
        check()
        some, self.vectors_left = self.vectors_left[: len(texts)], self.vectors_left[len(texts) :]
        return some


def units(count, width=48, seed=0):
    values = np.random.default_rng(seed).normal(size=(count, width))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def written(folder, vectors, *counts):
    writer = VectorWriter(folder, VectorsOf(), lambda: Fixed(vectors), "digest", "en")
    for part, count in enumerate(counts):
        for i in range(count):
            assert writer.add(f"{i}", "zh", i) is None
            assert writer.add(f"{i}", "en", i) == sum(counts[:part]) + i
        writer.close_part(f"p{part}", lambda: None)
    return writer.of()


def test_cosines_are_those_of_the_vectors(tmp_path):
    vectors = units(2 * BLOCK + 130)
    of = written(tmp_path, vectors, 3, 0, 5, BLOCK, BLOCK + 120, 2)
    assert VectorsOf.from_json(json.loads(json.dumps(of.to_json()))) == of
    opened = PassageVectors(tmp_path, of, 48)
    assert opened.numbers.tolist() == list(range(len(vectors)))
    query = units(1, seed=1)[0]
    assert np.allclose(opened.cosines(query), vectors @ query, atol=0.02)
    rows, scales = rounded(vectors)
    assert np.allclose(rows * scales[:, None], vectors, atol=0.01)


def test_a_passage_has_a_little_of_its_neighbours_and_of_the_first_of_its_document():
    vectors = np.eye(6, dtype=np.float32)
    mixed = with_neighbours(vectors, np.array([0, 0, 0, 0, 1, 2]))
    assert (mixed[4:] == vectors[4:]).all()
    wanted = vectors[2] + NEIGHBOUR_SHARE * (vectors[1] + vectors[3]) + FIRST_SHARE * vectors[0]
    assert np.allclose(mixed[2], wanted / np.linalg.norm(wanted))
    assert np.allclose(np.linalg.norm(mixed, axis=1), 1)


def test_the_nearest_are_chosen_however_many_are_equally_near(embedder, tmp_path):
    """250 passages are equally near, and the 40 that are nearer have the last numbers."""
    package = open_package(embedder, EMBEDDER)
    of = replace(written(tmp_path, units(300)[:, : package.config.hidden], 300), digest=package.digest)
    nearest = NearestPassages(tmp_path, of, embedder)
    cosines = np.array([0.5] * 250 + [0.9] * 40 + [0.1] * 10)
    chosen = nearest.best(cosines, 50)
    assert set(range(250, 290)) <= set(chosen)
    assert len(chosen) == 100
    assert nearest.best(cosines, 400) == list(range(300))


def test_sums_are_exact_in_any_order(tmp_path):
    vectors = units(600)
    opened = PassageVectors(tmp_path, written(tmp_path, vectors, 600), 48)
    query = units(1, seed=2)[0]
    (rows, scales), (asked, scale) = rounded(vectors), rounded(query[None])
    sums = np.array([sum(int(a) * int(b) for a, b in zip(row, asked[0], strict=True)) for row in rows], np.float64)
    assert (opened.cosines(query) == sums * scales * np.float64(scale[0])).all()
    turned = PassageVectors(tmp_path / "t", written(_made(tmp_path / "t"), vectors[::-1, ::-1], 200, 400), 48)
    assert (opened.cosines(query) == turned.cosines(query[::-1])[::-1]).all()


def _made(folder):
    folder.mkdir()
    return folder


def test_parts_that_go_take_their_vectors_along_and_numbers_are_not_used_again(tmp_path):
    before = written(tmp_path, units(10), 4, 6)
    writer = VectorWriter(tmp_path, before, lambda: Fixed(units(3)), "digest", "en")
    writer.drop("p1")
    writer.drop("nobody")
    assert [writer.add("a", "en", i) for i in range(3)] == [10, 11, 12]
    writer.close_part("p2", lambda: None)
    assert writer.of().parts == {"p0": (0, 4), "p2": (10, 3)}
    assert sorted(path.name for path in tmp_path.glob("*.int8")) == [vectors_file(tmp_path, n).name for n in (0, 10)]
    assert PassageVectors(tmp_path, writer.of(), 48).numbers.tolist() == [0, 1, 2, 3, 10, 11, 12]


def test_damage_is_said(tmp_path):
    of = written(tmp_path, units(4), 4)
    vectors_file(tmp_path, 0).write_bytes(b"short")
    with pytest.raises(OutputError, match=r"5 bytes, where 4 vectors have 208; make the index anew"):
        PassageVectors(tmp_path, of, 48)
    vectors_file(tmp_path, 0).unlink()
    with pytest.raises(OutputError, match="no vectors of passages"):
        PassageVectors(tmp_path, of, 48)


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
    return write_embedder(tmp_path_factory.mktemp("embedder"))


@pytest.fixture
def world(tmp_path):
    (tmp_path / "in").mkdir()
    put(tmp_path, "a", ("d1", "A quay by the river.", "news"), ("d2", "Ships lie in the harbour.", "forum"))
    put(tmp_path, "b", ("d3", "\u738b\u6bc5\u5728\u5317\u4eac\u51fa\u5e2d\u4e86\u6703\u8b70\u3002", "news"))
    return tmp_path


def put(world, name, *documents):
    lines = [json.dumps({"id": id, "text": text, "source": source}) for id, text, source in documents]
    (world / "in" / f"{name}.jsonl").write_text("\n".join(lines) + "\n")


def built(world, embedder):
    run(world / "in", world / "out", keep_text=True, id_column="id", model="auto")
    return build_index(LocalStore(world / "out"), world / "answers", embedder=embedder)


def vectors_of(world, number):
    return VectorsOf.from_json(read_generation(LocalStore(world / "answers"), number).about["vectors"])


def found(world, embedder, question, spoken=False, **filters):
    index = PassageIndex(world / "answers", embedder)
    return {one.id: one.cosine for one in index.search(question, 20, Filters(**filters), spoken)}


def test_passages_without_a_term_of_the_question_are_found_and_filters_hold(world, embedder):
    built(world, embedder)
    cosines = found(world, embedder, "Where do boats go?")
    assert set(cosines) == {"d1", "d2"}
    assert all(-1 <= cosine <= 1 for cosine in cosines.values())
    assert set(found(world, embedder, "Where do boats go?", source="forum")) == {"d2"}
    assert found(world, embedder, "Where do boats go?", source="nowhere") == {}
    assert found(world, embedder, "\u738b\u6bc5\u51fa\u5e2d\u4f1a\u8bae", lang="en") == {}


def test_chinese_is_found_in_either_script_and_by_sound(world, embedder):
    pytest.importorskip("opencc")
    pytest.importorskip("pypinyin")
    built(world, embedder)
    assert (
        found(world, embedder, "\u51fa\u5e2d\u4f1a\u8bae") == found(world, embedder, "\u51fa\u5e2d\u6703\u8b70") == {"d3": None}
    )
    misheard = "\u80cc\u666f\u5427"  # sounds like the city
    assert found(world, embedder, misheard) == {}
    assert found(world, embedder, misheard, spoken=True) == {"d3": None}


def test_only_what_is_new_is_encoded(world, embedder):
    built(world, embedder)
    before = vectors_of(world, 1)
    put(world, "c", ("d4", "A tower by the sea.", "news"))
    built(world, embedder)
    after = vectors_of(world, 2)
    assert before.next + 1 == after.next
    assert before.parts.items() <= after.parts.items()
    kept = [vectors_file(world / f"answers/g{n:06d}", first) for first, _ in before.parts.values() for n in (1, 2)]
    assert kept[0].samefile(kept[1])
    assert set(found(world, embedder, "Where do boats go?")) == {"d1", "d2", "d4"}


def test_another_embedder_or_none_makes_the_index_anew(world, embedder, tmp_path_factory):
    built(world, embedder)
    other = write_embedder(tmp_path_factory.mktemp("other"), seed=1)
    with pytest.raises(OutputError, match=r"vectors of another embedder .* run `textmill index` again"):
        PassageIndex(world / "answers", other)
    assert built(world, other).generation == 2
    assert set(found(world, other, "Where do boats go?")) == {"d1", "d2"}
    counts = built(world, None)
    assert (counts.generation, counts.passages, list((world / "answers/g000003").glob("*.int8"))) == (3, 3, [])
    assert found(world, other, "Where do boats go?") == {}
    manifest = world / "answers/g000003/manifest.json"
    said = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**said, "about": {**said["about"], "format": 1}}))
    with pytest.raises(OutputError, match=r"made by another version; run `textmill index"):
        PassageIndex(world / "answers", other)
    assert built(world, None).generation == 4
