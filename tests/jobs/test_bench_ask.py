"""`textmill bench ask`: the service is measured from end to end, and what fails is said."""

import json
import subprocess
import sys

import pytest

from jobs.bench_peers import Peer
from models.factory.reader_corpora import TRAIN
from pipeline.errors import ConfigError, JobFailedError
from tests.support import ROOT
from tests.support.small_reader import write_questions


def bench(data, work, *options):
    command = [sys.executable, "-m", "jobs", "bench", "ask", "--data-dir", str(data), "--work", str(work), *options]
    return subprocess.run(
        [*command, "--documents", "100", "--seconds", "1"], capture_output=True, check=False, text=True, cwd=ROOT
    )


@pytest.mark.parametrize("name", ["transformers", "haystack"])
def test_a_peer_that_cannot_be_timed_says_what_it_needs(tmp_path, name):
    with (
        pytest.raises(ConfigError, match=f"nowhere: No such file.*a Python that has .*{name}"),
        Peer(name, tmp_path / "nowhere", 1),
    ):
        pass
    with pytest.raises(JobFailedError, match=f"false has failed.*{name}"), Peer(name, "/bin/false", 1):
        pass


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_service_is_measured_and_what_fails_is_said(tmp_path):
    data = write_questions(tmp_path / "data", [corpus.name for corpus in TRAIN["en"]] + ["tydi_goldp_en_dev"])
    done = bench(data, tmp_path / "work")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for load in ("one", "sixteen", "cached", "cached, one asker"):
        assert found[load]["answered"] > 0
        assert found[load]["errors"] == {}
    assert set(found["mixed"]) == {"high", "normal", "low"}
    assert set(found["cached"]["from"]) == {"memory"}
    assert 100 < found["resident_mb"] < 1200

    broken = bench(data, tmp_path / "work", "--transformers", "/bin/false")
    assert broken.returncode == 4
    assert "/bin/false has failed" in broken.stderr
    assert "Traceback" not in broken.stderr
    (tmp_path / "work" / "100" / "answers").rename(tmp_path / "moved")
    (tmp_path / "work" / "100" / "answers").write_text("no folder")
    taken = bench(data, tmp_path / "work")
    assert taken.returncode in (2, 4)
    assert "textmill index has failed, see above" in taken.stderr
    assert "Traceback" not in taken.stderr
