"""Reports counted by Ray workers: the same to the last byte, also when workers are lost."""

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.report import parts as parts_module
from pipeline.report.build import make_report
from tests.support import ROOT
from tests.support.report_data import made_up, write_output

FIRST, LAST = date(2026, 11, 16), date(2026, 11, 22)
# Stands in every process: blocks are of one part, and the actor that is first to count one dies over it.
CODE = """
import os
import pipeline.report.parts as parts
parts.BLOCK_ROWS = 1
import pipeline.report.workers as crew
count = crew.Counter.count
def once(self, what, block):
    try:
        os.close(os.open({mark!r}, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return count(self, what, block)
    os._exit(9)
crew.Counter.count = once
"""


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    documents = made_up(300)
    folder = tmp_path_factory.mktemp("report") / "out"
    return write_output(folder, [documents[at : at + 50] for at in range(0, 300, 50)])


def files(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.name != "report.json"}


def test_workers_count_what_this_process_counts_though_one_is_lost(output, tmp_path, monkeypatch):
    monkeypatch.setattr(parts_module, "BLOCK_ROWS", 1)
    here = make_report(str(output), FIRST, LAST, str(tmp_path / "here"))
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(CODE.format(mark=str(tmp_path / "mark")))
    command = [sys.executable, "-m", "jobs", "report", str(output), "--from", str(FIRST), "--to", str(LAST), "--workers", "2"]
    command += ["--memory-mb", "600", "--into", str(tmp_path / "there")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(ROOT)])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "mark").exists()
    assert files(tmp_path / "there") == files(here.folder)


def test_no_cluster_is_a_clear_error_and_leaves_nothing(output, tmp_path):
    with pytest.raises(ConfigError, match=r"--address 127.0.0.1:1: no Ray cluster answers there"):
        make_report(str(output), FIRST, LAST, str(tmp_path / "none"), address="127.0.0.1:1")
    assert not [path for path in tmp_path.iterdir() if path.is_dir() and path.name != ".none.claim"]
