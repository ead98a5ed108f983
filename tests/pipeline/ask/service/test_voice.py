"""Spoken questions at the service: heard, found and answered, over HTTP and a WebSocket; and what is no recording."""

import asyncio
import json
import shutil
import subprocess
import threading
from contextlib import suppress

import pytest

from models.cache_folder import cache_folder
from models.errors import ModelError
from pipeline.ask.service import voice
from pipeline.voice.install import installed
from pipeline.voice.transcriber import Transcriber
from tests.support.asking import ask, make_index, request, serving

QUESTION = "How many jobs did Volta Energy cut?"


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    return make_index(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def installed_voice():
    pytest.importorskip("faster_whisper", reason="no speech: pip install 'textmill[voice]'")
    try:
        installed(cache_folder())
    except ModelError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def hearing(answers, installed_voice):
    """The port of a service that hears."""
    with serving(answers, threads=1, voice=True) as port:
        yield port


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    if shutil.which("espeak-ng") is None:
        pytest.skip("no voice: apt-get install espeak-ng")
    audio = tmp_path_factory.mktemp("audio") / "question.wav"
    subprocess.run(["espeak-ng", "-v", "en-us", "-s", "140", "-w", audio, QUESTION], check=True)
    return audio.read_bytes()


def talk(port, *messages):
    """What a WebSocket says to messages."""
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosedError

    async def talked():
        said = []
        async with connect(f"ws://127.0.0.1:{port}/v1/voice", max_size=None) as socket:
            with suppress(ConnectionClosedError):  # of what went wrong, perhaps before all is sent
                for message in messages:
                    await socket.send(message)
            with suppress(ConnectionClosedError):
                async for one in socket:
                    said.append(json.loads(one))
        return said

    return asyncio.run(talked())


def test_a_service_that_does_not_hear_says_so(answers):
    with serving(answers, threads=1) as port:
        status, _, body = request(port, "POST", "/v1/transcribe", b"RIFF")
        assert (status, json.loads(body)["message"]) == (404, "this service hears nothing; start it with --voice")
        assert json.loads(request(port, "GET", "/v1/filters")[2])["voice"] is False
        assert [one["error"] for one in talk(port, b"RIFF", "end")] == ["no_voice"]


@pytest.mark.slow
def test_a_spoken_question_is_heard_and_answered(hearing, spoken):
    assert json.loads(request(hearing, "GET", "/v1/filters")[2])["voice"] is True
    status, _, body = request(hearing, "POST", "/v1/transcribe", spoken)
    heard = json.loads(body)
    assert (status, heard["text"], heard["lang"]) == (200, QUESTION, "en")
    said = talk(hearing, spoken[:5000], spoken[5000:], "end")
    assert [one["event"] for one in said] == ["heard", "passages", "answer"]
    assert (said[0]["text"], said[2]["answer"]["answer"]) == (QUESTION, "300")
    assert json.loads(ask(hearing, QUESTION, spoken=True)[2])["answer"] == said[2]["answer"]


@pytest.mark.slow
def test_names_that_take_long_hold_up_no_recording(answers, installed_voice, spoken, monkeypatch):
    found, released = [], threading.Event()

    def slow(output, say):
        released.wait(60)
        found.append(names := ["Volta Energy"])
        return names

    told = []
    transcribe = Transcriber.transcribe

    def listening(self, audio, lang, names):
        told.append(names)
        return transcribe(self, audio, lang, names)

    monkeypatch.setattr(voice, "expected_names", slow)
    monkeypatch.setattr(voice, "NAMES_S", 0.1)
    monkeypatch.setattr(Transcriber, "transcribe", listening)
    with serving(answers, threads=1, voice=True) as port:
        try:
            assert request(port, "POST", "/v1/transcribe", spoken)[0] == 200
            assert (told, found) == ([[]], [])
        finally:
            released.set()
        monkeypatch.setattr(voice, "NAMES_S", 60)
        assert request(port, "POST", "/v1/transcribe", spoken)[0] == 200
        assert told[1] == ["Volta Energy"]


@pytest.mark.slow
def test_what_is_no_recording_is_said_to_be_none(hearing, spoken):
    for body, expected in (
        (b"", 400),
        (b"no recording", 400),
        (bytes(range(256)) * 100, 400),
        (b"RIFF" + b"x" * 10_000_001, 413),
    ):
        status, _, said = request(hearing, "POST", "/v1/transcribe", body)
        assert (status, json.loads(said)["error"]) == (expected, "no_recording" if expected == 400 else "too_large")
    assert request(hearing, "POST", "/v1/transcribe?lang=xx", spoken)[0] == 400
    silence = spoken[:44] + bytes(len(spoken) - 44)
    assert json.loads(request(hearing, "POST", "/v1/transcribe", silence)[2])["text"] == ""
    assert [one["event"] for one in talk(hearing, silence, "end")] == ["heard"]
    assert [one.get("error") for one in talk(hearing, b"no recording", "end")] == ["no_recording"]
    assert request(hearing, "GET", "/healthz")[0] == 200
