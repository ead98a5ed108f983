"""Spoken questions by command: what is missing is named, and a question that is read aloud is answered."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from models.cache_folder import cache_folder
from models.errors import ModelError
from pipeline.voice.install import installed
from tests.support import ROOT
from tests.support.runs import EXAMPLE, run


def textmill(*args, code=0, **env):
    command = [sys.executable, "-m", "jobs", *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, **env})
    assert done.returncode == code, (done.stdout, done.stderr)
    return done


def test_weights_that_are_absent_are_named_with_the_command_that_fetches_them(tmp_path):
    pytest.importorskip("faster_whisper", reason="no speech: pip install 'textmill[voice]'")
    (tmp_path / "a.wav").write_bytes(b"")
    done = textmill("voice", "try", tmp_path / "a.wav", "--cache", tmp_path, code=2)
    assert "run textmill voice install" in done.stderr
    assert "run textmill voice install" in textmill("voice", "try", "-", XDG_CACHE_HOME=str(tmp_path), code=2).stderr


def test_a_question_is_written_or_spoken(tmp_path):
    for args in ([], ["Where?", "--audio", "a.wav"]):
        assert "give a question, or a recording" in textmill("ask", tmp_path, *args, code=2).stderr


@pytest.mark.slow
def test_a_question_that_is_read_aloud_is_answered(tmp_path):
    pytest.importorskip("faster_whisper", reason="no speech: pip install 'textmill[voice]'")
    if shutil.which("espeak-ng") is None:
        pytest.skip("no voice: apt-get install espeak-ng")
    try:
        installed(cache_folder())
    except ModelError as error:
        pytest.skip(str(error))
    run(EXAMPLE, tmp_path / "out", id_column="id", keep_text=True)
    textmill("index", tmp_path / "out", tmp_path / "answers")
    question, audio = "How many jobs did Volta Energy cut?", tmp_path / "question.wav"
    subprocess.run(["espeak-ng", "-v", "en-us", "-w", audio, question], check=True)
    heard = json.loads(textmill("voice", "try", audio, "--name", "Volta Energy", "--json").stdout)
    assert (heard["text"], heard["lang"]) == (question, "en")
    spoken = textmill("ask", tmp_path / "answers", "--audio", audio, "--json")
    assert f"heard: {question}" in spoken.stderr
    assert json.loads(spoken.stdout) == json.loads(textmill("ask", tmp_path / "answers", question, "--json").stdout)
    silence = tmp_path / "silence.wav"
    silence.write_bytes(audio.read_bytes()[:44] + bytes(audio.stat().st_size - 44))
    assert "nobody speaks" in textmill("ask", tmp_path / "answers", "--audio", silence, code=4).stderr
