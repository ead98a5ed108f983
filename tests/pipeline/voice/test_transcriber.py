"""Spoken questions become text; silence, noise and tones become none. With the real weights, where they are installed: slow."""

import io
import shutil
import subprocess
import wave
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from models.cache_folder import cache_folder
from models.errors import ModelError, ModelMissingError
from pipeline.errors import AudioError, AudioLimitError, ConfigError
from pipeline.voice.audio import RATE, AudioLimits
from pipeline.voice.install import installed
from pipeline.voice.transcriber import Transcriber, windows

pytest.importorskip("faster_whisper", reason="no speech: pip install 'textmill[voice]'")

QUESTIONS = (
    "When did Angela Merkel meet the president of France?",
    "How long will the bridge in Baltimore stay closed?",
)


def wav(samples):
    kept = io.BytesIO()
    with wave.open(kept, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes((np.asarray(samples) * 32767).astype("<i2").tobytes())
    return kept.getvalue()


def not_speech():
    noise = np.random.default_rng(0)
    yield np.zeros(3 * RATE)
    yield np.zeros(100)
    yield 0.5 * np.sin(2 * np.pi * 440 * np.arange(3 * RATE) / RATE)
    yield noise.normal(size=3 * RATE).clip(-4, 4) * 0.01


def test_nobody_speaks_in_silence_tones_and_noise():
    for samples in not_speech():
        assert list(windows(samples.astype(np.float32))) == []


def test_weights_that_are_not_there_are_named(tmp_path):
    with pytest.raises(ModelMissingError, match="run textmill voice install"):
        installed(tmp_path)


@pytest.fixture(scope="module")
def transcriber():
    try:
        folder = installed(cache_folder())
    except ModelError as error:
        pytest.skip(str(error))
    return Transcriber(folder, threads=1, limits=AudioLimits(seconds=40))


@pytest.fixture(scope="module")
def spoken():
    """Questions read aloud: each as a wav, and as samples."""
    if shutil.which("espeak-ng") is None:
        pytest.skip("no voice: apt-get install espeak-ng")
    return [read_aloud(one) for one in QUESTIONS]


def read_aloud(text):
    audio = subprocess.run(["espeak-ng", "-v", "en-us", "--stdout", text], capture_output=True, check=True).stdout
    with wave.open(io.BytesIO(audio)) as stream:
        rate = stream.getframerate()
    samples = np.frombuffer(audio[44:], "<i2") / 32768
    at = np.arange(0, len(samples), rate / RATE)
    return SimpleNamespace(audio=audio, samples=np.interp(at, np.arange(len(samples)), samples))


@pytest.mark.slow
def test_nothing_is_heard_where_nobody_speaks(transcriber):
    for samples in not_speech():
        heard = transcriber.transcribe(wav(samples))
        assert (heard.text, heard.lang, heard.confidence) == ("", "", 0.0)
        assert heard.seconds == pytest.approx(len(samples) / RATE, abs=0.01)


@pytest.mark.slow
def test_a_spoken_question_is_heard(transcriber, spoken):
    heard = transcriber.transcribe(spoken[0].audio, names=["France", "Berlin", "\u534e\u4e3a"])
    assert heard.lang == "en"
    assert {"When", "Angela", "Merkel", "meet", "president", "France"} <= set(heard.text.strip("?.").split())
    assert 0.4 < heard.confidence <= 1
    assert transcriber.transcribe(spoken[0].audio, "en", ["France", "Berlin"]) == heard


@pytest.mark.slow
def test_speech_is_found_between_long_silences_and_over_several_windows(transcriber, spoken):
    quiet, (one, other) = np.zeros(7 * RATE), [question.samples for question in spoken]
    heard = transcriber.transcribe(wav(np.concatenate([quiet, one, quiet, other, quiet])))
    assert ("Merkel" in heard.text, "Baltimore" in heard.text) == (True, True)
    passed = []
    many = np.concatenate([one, np.zeros(RATE), other, np.zeros(RATE)] * 5)[: 39 * RATE]
    heard = transcriber.transcribe(wav(many), check=lambda: passed.append(1))
    assert len(passed) >= 3
    assert heard.text.count("Merkel") + heard.text.count("Baltimore") >= 7


@pytest.mark.slow
def test_threads_that_share_an_instance_hear_the_same(transcriber, spoken):
    alone = transcriber.transcribe(spoken[0].audio)
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(transcriber.transcribe, [spoken[0].audio] * 3)) == [alone] * 3


@pytest.mark.slow
def test_what_is_refused_leaves_the_transcriber_usable(transcriber, spoken):
    with pytest.raises(ConfigError, match="give en or zh"):
        transcriber.transcribe(spoken[0].audio, "fr")
    with pytest.raises(AudioLimitError, match="longer than the 40 s"):
        transcriber.transcribe(wav(np.zeros(41 * RATE)))
    with pytest.raises(AudioError):
        transcriber.transcribe(b"not audio")

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        transcriber.transcribe(spoken[0].audio, check=stop)
    assert transcriber.transcribe(spoken[0].audio).text
