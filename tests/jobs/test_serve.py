"""The command that serves: what is wrong is said with the option, and a stop ends it in order."""

import re
import signal
import subprocess
import sys

import pytest

from tests.support import ROOT
from tests.support.asking import ask, make_index


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    return make_index(tmp_path_factory.mktemp("world"))


def textmill(*args):
    command = [sys.executable, "-m", "jobs", "serve", *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    return done.returncode, done.stderr


WRONG = {
    "--port 99999": "--port: Input should be less than or equal to 65535",
    "--redis-url http://x": "--redis-url: Value error, write redis://HOST:PORT/DB",
    "--tls-cert /nowhere.pem": "https needs both --tls-cert and --tls-key",
    "--tokens /nowhere": "--tokens: /nowhere: no such file",
    "--replicas 2": "--replicas and --detach need a cluster",
    "--host 256.0.0.1": "--host 256.0.0.1 --port 8080: cannot be listened on",
}


@pytest.mark.parametrize("options", WRONG)
def test_what_is_wrong_is_said_with_its_option(answers, options):
    code, said = textmill(answers, *options.split())
    assert (code, WRONG[options] in said) == (2, True), said
    assert "Traceback" not in said


def test_a_folder_without_an_index_is_named_with_the_remedy(tmp_path):
    code, said = textmill(tmp_path, "--port", 0)
    assert code == 2
    assert "make one with `textmill index" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_ends_it_in_order(answers, number):
    command = [sys.executable, "-m", "jobs", "serve", str(answers), "--port", "0", "--threads", "1"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        port = next(
            int(found[1]) for line in process.stderr if (found := re.search(r"answering at http://127.0.0.1:(\d+)/", line))
        )
        assert ask(port, "Who leads the central bank?")[0] == 200
        process.send_signal(number)
        assert "stopped" in process.stderr.read()
        assert process.wait(30) == 0
