"""Figures of the pipeline: speed beside the Tagger alone, memory that does not grow, many files. Slow."""

import json
import os
import statistics
import subprocess
import sys
import time

import pytest

import models
from pipeline.config import load_config
from pipeline.run.run import tag_documents
from pipeline.source.discover import discover
from pipeline.source.splitting import fragments, pack
from tests.support import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.alone]
EXAMPLE = ROOT / "examples" / "documents" / "posts.jsonl"


def example_texts():
    texts = []
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        try:
            texts.append(json.loads(line)["text"] + "")
        except (ValueError, KeyError, TypeError):
            continue
    return texts


def corpus(path, documents):
    """Documents of several sentences, no two the same."""
    texts = example_texts()
    with path.open("w", encoding="utf-8") as stream:
        for i in range(documents):
            text = " ".join(texts[(i * 7 + j * (i // len(texts) + 1)) % len(texts)] for j in range(4))
            stream.write(json.dumps({"id": str(i), "text": f"{text} {i}"}) + "\n")


@pytest.mark.timeout(900)
def test_a_run_is_nearly_as_fast_as_the_tagger_alone(tmp_path):
    source = tmp_path / "a.jsonl"
    corpus(source, 12_000)
    texts = [json.loads(line)["text"] for line in source.read_text().splitlines()]
    tagger = models.load("en-fast")
    tagger.tag(texts[:200])
    alone, whole = [], []
    for i in range(3):
        began, before = time.perf_counter(), tagger.work.tokens
        tagger.tag(texts)
        alone.append((tagger.work.tokens - before) / (time.perf_counter() - began))
        sets = ["id_column=id", "model=en-fast", "split_tokens=400000"]
        result = tag_documents(load_config(None, sets, {"sources": [str(source)], "output": tmp_path / f"out{i}"}))
        whole.append(result.tokens_s)
    ratio = statistics.median(whole) / statistics.median(alone)
    print(f"run {statistics.median(whole):,.0f} tokens/s, Tagger alone {statistics.median(alone):,.0f}: {ratio:.2f}")
    assert ratio >= 0.85


PEAK = """
import resource, sys
from jobs.cli import main
try:
    main(sys.argv[1:])
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


@pytest.mark.timeout(900)
def test_memory_does_not_grow_with_the_corpus(tmp_path):
    peaks = []
    for documents in (6_000, 60_000):
        source = tmp_path / f"{documents}.jsonl"
        corpus(source, documents)
        arguments = ["tag", str(source), str(tmp_path / f"out{documents}"), "--model", "en-fast", "--split-tokens", "200000"]
        done = subprocess.run([sys.executable, "-c", PEAK, *arguments], capture_output=True, text=True, check=True)
        peaks.append(int(done.stderr.splitlines()[-1]) / 1024)
    print(f"peak {peaks[0]:,.0f} MB for 6,000 documents, {peaks[1]:,.0f} MB for 60,000: {peaks[1] / peaks[0]:.2f}")
    assert peaks[1] <= 1.1 * peaks[0]


@pytest.mark.timeout(300)
def test_many_small_files_are_planned_in_seconds(tmp_path):
    for folder in range(100):
        (tmp_path / f"{folder:03d}").mkdir()
        for file in range(1000):
            path = f"{tmp_path}/{folder:03d}/{file:04d}.jsonl"
            handle = os.open(path, os.O_WRONLY | os.O_CREAT)
            os.write(handle, b'{"text": "one line"}\n')
            os.close(handle)
    began = time.perf_counter()
    found = discover([str(tmp_path)])
    splits = list(pack((p for entry in found.files for p in fragments(found.store, entry, 1_000_000)), 1, 1_000_000))
    seconds = time.perf_counter() - began
    print(f"100,000 files in {len(splits)} parts, planned in {seconds:.1f} s")
    assert len(found.files) == 100_000
    assert seconds < 30
