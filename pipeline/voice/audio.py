"""A recording of any usual format becomes samples, within limits of size, length and time, and without touching the disk.

The first bytes choose the format, so that a file cannot be a playlist or anything else that names other files. Decoding ends at
the first sample over the limit, whatever the file says of its own length.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import AudioError, AudioLimitError

RATE = 16_000
# Rates outside these are in no recording of speech; a rate of 1 Hz would make minutes of every byte.
RATES = range(4_000, 192_001)
MAX_CHANNELS = 8
# The length of a wav whose writer did not know it yet.
STREAMED = 0x7FFFF000
# Packets that cannot be decoded, as the last one of what was cut off, are left out; so many to those that can are too many.
MAX_BAD = 0.1
# What is opened of a format, and how it sounds: what browsers and phones record, and what people keep.
CODECS = frozenset({"opus", "vorbis", "mp3", "mp3float", "aac", "flac"})
FORMATS = "wav, ogg, webm, mp3 or m4a"


@dataclass(frozen=True, slots=True)
class AudioLimits:
    """What a recording may be.

    Attributes:
        seconds: Longest recording.
        size_bytes: Biggest file.
        decode_s: Longest time that decoding may take.
    """

    seconds: float = 60.0
    size_bytes: int = 10_000_000
    decode_s: float = 10.0


def decode(audio: bytes, limits: AudioLimits | None = None) -> npt.NDArray[np.float32]:
    """Decode a recording.

    Args:
        audio: The bytes of a file: wav, ogg (opus, vorbis, flac), webm, mp3 or m4a. Of several audio streams the first counts.
        limits: What it may be.

    Returns:
        Its samples, mono, 16 kHz, from -1 to 1.

    Raises:
        AudioLimitError: It is bigger or longer than allowed, or takes too long to decode.
        AudioError: It is empty, of another format, or damaged.
    """
    limits = limits or AudioLimits()
    if len(audio) > limits.size_bytes:
        raise AudioLimitError(f"the recording has more than the {limits.size_bytes / 1e6:g} MB allowed; record less, or as ogg")
    if not audio:
        raise AudioError("the recording is empty; record it again")
    if _is_cut_off(audio):
        raise AudioError("the recording is cut off: it says that it is longer than it is; record or send it again")
    parts, samples = [], 0
    for part in _samples(audio, format_of(audio), time.monotonic() + limits.decode_s):
        parts.append(part)
        samples += len(part)
        if samples > limits.seconds * RATE:
            raise AudioLimitError(f"the recording is longer than the {limits.seconds:g} s allowed; ask in fewer words")
    if not samples:
        raise AudioError("the recording has no sound in it: it is cut off behind its header; record it again")
    # A float wav may hold anything.
    return np.clip(np.nan_to_num(np.concatenate(parts), posinf=1.0, neginf=-1.0), -1.0, 1.0)


def format_of(audio: bytes) -> str:
    """Tell a recording's format by its first bytes.

    Args:
        audio: The bytes of a file.

    Returns:
        FFmpeg's name of the format.

    Raises:
        AudioError: It is none of those that are read.
    """
    head = audio[:12]
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "wav"
    if head[:4] == b"OggS":
        return "ogg"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska"
    if head[4:8] == b"ftyp":
        return "mov"
    # A tag, or a frame: eleven bits of synchronization, and layer III.
    if head[:3] == b"ID3" or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2):
        return "mp3"
    raise AudioError(f"this is no recording that can be read; give {FORMATS}")


def _is_cut_off(audio: bytes) -> bool:
    """Whether a wav has fewer bytes than it says; who streams one says the most that fits. Other formats do not say."""
    said = int.from_bytes(audio[4:8], "little")
    return audio[:4] == b"RIFF" and len(audio) < said + 8 and said < STREAMED


def _samples(audio: bytes, name: str, deadline: float) -> Iterator[npt.NDArray[np.float32]]:
    import av

    try:
        with av.open(BytesIO(audio), "r", format=name, metadata_errors="replace") as container:
            resampler = av.AudioResampler("flt", "mono", RATE)
            for frame in _frames(container, name, deadline):
                for part in resampler.resample(frame):
                    yield part.to_ndarray()[0]
            for part in resampler.resample(None):
                yield part.to_ndarray()[0]
    except (av.FFmpegError, ValueError, OverflowError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise AudioError(f"the recording is damaged or cut off ({said}); record it again, or give {FORMATS}") from error


def _frames(container: Any, name: str, deadline: float) -> Iterator[Any]:
    """What the first audio stream decodes to, as long as there is time."""
    import av

    stream = next(iter(container.streams.audio), None)
    if stream is None:
        raise AudioError(f"there is no audio in this {name} file; give {FORMATS}")
    context = stream.codec_context  # None where FFmpeg does not know the codec.
    if context is None or not (context.name in CODECS or context.name.startswith("pcm_")):
        raise AudioError(f"the audio in this {name} file is of a kind that is not read; give {FORMATS}")
    context.thread_count = 1
    good, bad = 0, 0
    for packet in container.demux(stream):
        if time.monotonic() > deadline:
            raise AudioLimitError("the recording takes too long to decode; record it anew, as wav or ogg")
        try:
            frames = packet.decode()
            good += 1
        except av.error.InvalidDataError:
            frames = []
            bad += 1
        for frame in frames:
            _check(frame.sample_rate, frame.layout.nb_channels)
            frame.pts = None  # Gaps in a stream's own clock would be filled with silence.
            yield frame
    if bad > good * MAX_BAD:
        raise AudioError(f"{bad} of {good + bad} packets of the recording are damaged; record it again")


def _check(rate: int, channels: int) -> None:
    if rate not in RATES or channels > MAX_CHANNELS:
        raise AudioError(f"a recording of {rate:,} Hz and {channels} channels is not read; record mono, at 16,000 to 48,000 Hz")
