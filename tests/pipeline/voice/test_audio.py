"""Recordings of all formats come out as the same samples; what is none, cut off, hostile or too long is an error, and soon."""

import io
import struct
import time
import tracemalloc
import wave

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.errors import AudioError, AudioLimitError
from pipeline.voice.audio import RATE, AudioLimits, decode

av = pytest.importorskip("av", reason="no decoder: pip install 'textmill[voice]'")

HEADS = (
    b"RIFF\x24\x00\x00\x00WAVEfmt ",
    b"OggS\x00\x02",
    b"\x1a\x45\xdf\xa3",
    b"ID3\x04\x00",
    b"\xff\xfb\x90",
    b"\x00\x00\x00\x1cftypisom",
)


def wav(samples, rate=RATE, channels=1, width=2):
    kept = io.BytesIO()
    with wave.open(kept, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(width)
        out.setframerate(rate)
        ints = (np.repeat(samples, channels) * (127 if width == 1 else 32767)).astype("<i2")
        out.writeframes((ints + 128).astype("u1").tobytes() if width == 1 else ints.tobytes())
    return kept.getvalue()


def encoded(samples, container, codec, rate=48_000):
    kept = io.BytesIO()
    with av.open(kept, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(samples.astype(np.float32).reshape(1, -1), format="fltp", layout="mono")
        frame.sample_rate = rate
        cut = av.AudioResampler(stream.format.name, "mono", rate, frame_size=stream.codec_context.frame_size or 960)
        for part in [*cut.resample(frame), *cut.resample(None), None]:
            out.mux(stream.encode(part))
    return kept.getvalue()


def tone(seconds, rate, hertz=440):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


def loudest_hertz(samples):
    return np.abs(np.fft.rfft(samples)).argmax() * RATE / len(samples)


@pytest.mark.parametrize(("rate", "channels", "width"), [(16_000, 1, 2), (44_100, 2, 2), (8_000, 1, 1), (48_000, 6, 2)])
def test_a_wav_comes_out_mono_at_16_khz(rate, channels, width):
    samples = decode(wav(tone(1, rate), rate, channels, width))
    assert (samples.dtype, samples.ndim) == (np.float32, 1)
    assert abs(len(samples) - RATE) < 50
    assert abs(loudest_hertz(samples) - 440) < 2
    if channels == 1:
        assert abs(np.abs(samples).max() - 0.5) < 0.05


@pytest.mark.parametrize(
    ("container", "codec"), [("ogg", "libopus"), ("webm", "libopus"), ("mp3", "libmp3lame"), ("mp4", "aac"), ("matroska", "aac")]
)
def test_what_browsers_record_comes_out_the_same(container, codec):
    samples = decode(encoded(tone(2, 48_000), container, codec))
    assert abs(len(samples) - 2 * RATE) < 0.1 * RATE
    assert abs(loudest_hertz(samples) - 440) < 2


def test_what_is_no_recording_is_an_error_that_says_what_is_read():
    for other in (b"Hello, is this on?", b"#EXTM3U\nfile:///etc/passwd\n", b"%PDF-1.7", b"\x89PNG\r\n\x1a\n", b"\x00" * 5000):
        with pytest.raises(AudioError, match="give wav, ogg, webm, mp3 or m4a"):
            decode(other)
    with pytest.raises(AudioError, match="is empty; record it again"):
        decode(b"")
    with pytest.raises(AudioError):
        decode(wav(np.zeros(0)))


def test_what_is_cut_off_is_an_error_or_what_is_there():
    whole = wav(tone(1, RATE))
    for cut in (13, 40, 44, 1000, len(whole) - 1):
        with pytest.raises(AudioError):
            decode(whole[:cut])
    streamed = bytearray(whole)  # a writer that streams does not know the length yet
    streamed[4:8] = streamed[40:44] = struct.pack("<I", 0xFFFFFFFF)
    assert len(decode(bytes(streamed))) == RATE
    with pytest.raises(AudioError):
        decode(encoded(tone(2, 48_000), "mp4", "aac")[:10_000])
    webm = encoded(tone(2, 48_000), "webm", "libopus")
    assert 0.3 * RATE < len(decode(webm[: len(webm) // 2])) < 1.6 * RATE


@pytest.mark.parametrize(("rate", "channels"), [(1, 1), (3_999, 1), (4_000_000_000, 1), (16_000, 200)])
def test_rates_and_channels_that_no_microphone_has(rate, channels):
    head = bytearray(wav(np.zeros(4000)))
    head[22:28] = struct.pack("<HI", channels, rate)
    head[28:34] = struct.pack("<IH", 0, channels * 2)
    with pytest.raises(AudioError):
        decode(bytes(head))


def test_what_a_float_wav_holds_that_is_no_number():
    data = np.array([np.nan, np.inf, -np.inf, 1e30, 0.5] * 400, dtype="<f4").tobytes()
    head = b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 3, 1, RATE, RATE * 4, 4, 32)
    samples = decode(head + b"data" + struct.pack("<I", len(data)) + data)
    assert np.isfinite(samples).all()
    assert np.abs(samples).max() <= 1


def test_too_big_and_too_long_are_refused_before_they_cost_anything():
    with pytest.raises(AudioLimitError, match="more than the 1 MB allowed"):
        decode(wav(np.zeros(600_000)), AudioLimits(size_bytes=1_000_000))
    silence = encoded(np.zeros(48_000 * 60), "ogg", "libopus")  # a minute in 14 kB
    assert len(silence) < 30_000
    many = silence * 20
    tracemalloc.start()
    began = time.monotonic()
    with pytest.raises(AudioLimitError, match="longer than the 2 s allowed"):
        decode(many, AudioLimits(seconds=2))
    took, (_, peak) = time.monotonic() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3_000_000
    assert took < 5
    with pytest.raises(AudioLimitError, match="too long to decode"):
        decode(silence, AudioLimits(decode_s=0))


@settings(deadline=None)
@given(st.sampled_from(HEADS), st.binary(max_size=3000))
@example(b"RIFF\x24\x00\x00\x00WAVEfmt ", b"\x10\x00\x00\x00\x55\x11" + b"\x01" * 40)
def test_any_bytes_are_a_recording_or_an_error(head, rest):
    try:
        samples = decode(head + rest)
    except AudioError:
        return
    assert np.isfinite(samples).all()


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_damage_anywhere_is_survived(data):
    kind = data.draw(st.sampled_from([("ogg", "libopus"), ("webm", "libopus"), ("mp3", "libmp3lame"), ("mp4", "aac")]))
    damaged = bytearray(WHOLE.setdefault(kind, encoded(tone(0.3, 48_000), *kind)))
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, len(damaged) - 1), st.integers(0, 255)), max_size=30)):
        damaged[place] = value
    try:
        assert np.isfinite(decode(bytes(damaged))).all()
    except AudioError:
        pass


WHOLE = {}
