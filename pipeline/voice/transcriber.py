"""A recording becomes text: decoded, cut where nobody speaks, heard, and written in simplified script."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.runtime.engines import default_threads
from pipeline.errors import ConfigError
from pipeline.voice.audio import RATE, AudioLimits, decode
from pipeline.voice.whisper import LANGS, Heard, Whisper

BEAM = 5
# The model hears 30 s at once, but of more than half of that it leaves sentences out where it writes no times.
MAX_WINDOW_S = 15


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said in a recording.

    Attributes:
        text: The words; "" if nobody spoke, or nothing was understood.
        lang: Their language, en or zh; "" if nobody spoke and no language was given.
        seconds: Length of the recording.
        confidence: The geometric mean of the probabilities of the text's tokens; 0 if there is none. It is not calibrated.
    """

    text: str
    lang: str
    seconds: float
    confidence: float


class Transcriber:
    """Turns recordings into text on this machine; nothing is sent anywhere or written to disk.

    One recording is worked on at a time: other threads that call the same instance wait for it.

    Args:
        folder: Folder of the speech model, as `pipeline.voice.install.installed` gives it.
        threads: Number of threads; all CPUs by default.
        beam: Width of the beam search.
        limits: What a recording may be.
    """

    def __init__(self, folder: Path, threads: int | None = None, beam: int = BEAM, limits: AudioLimits | None = None) -> None:
        from opencc import OpenCC

        self.limits = limits or AudioLimits()
        self._whisper, self._simplified = Whisper(folder, threads or default_threads(), beam), OpenCC("t2s")
        self._lock = threading.Lock()

    def transcribe(
        self, audio: bytes, lang: str = "", names: Sequence[str] = (), check: Callable[[], object] = lambda: None
    ) -> Transcript:
        """Turn a recording into text.

        Args:
            audio: The bytes of a file: wav, ogg, webm, mp3 or m4a.
            lang: en or zh; "" to have it detected by the first words.
            names: Names that may be heard, the likeliest first, in any of the languages.
            check: Called before every window of up to 15 s; what it raises ends the call.

        Returns:
            The text, its language, the length of the recording, and how sure the model is.

        Raises:
            ConfigError: The language is neither en nor zh.
            AudioLimitError: The recording is bigger or longer than allowed.
            AudioError: It is empty, damaged, or none that can be read.
        """
        if lang not in ("", *LANGS):
            raise ConfigError(f"speech in the language {lang!r} is not understood; give en or zh, or leave it out")
        samples = decode(audio, self.limits)
        heard: list[Heard] = []
        with self._lock:
            for window in windows(samples):
                check()
                heard.append(self._whisper.hear(window, lang, names))
                lang = heard[-1].lang
        said = [one for one in heard if one.text]
        text = ("" if lang == "zh" else " ").join(one.text for one in said)
        tokens = sum(one.tokens for one in said)
        confidence = math.exp(sum(one.logprob for one in said) / tokens) if tokens else 0.0
        return Transcript(self._simplified.convert(text) if lang == "zh" else text, lang, len(samples) / RATE, confidence)


def windows(samples: npt.NDArray[np.float32]) -> Iterator[npt.NDArray[np.float32]]:
    """Cut a recording where nobody speaks.

    Args:
        samples: Mono, 16 kHz.

    Yields:
        Samples with speech in them, at most 15 s, without long silences; nothing if nobody speaks.
    """
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    spoken: list[dict[str, Any]] = get_speech_timestamps(samples, VadOptions(max_speech_duration_s=MAX_WINDOW_S))
    parts: list[npt.NDArray[np.float32]] = []
    for one in spoken:
        part = samples[one["start"] : one["end"]]
        if parts and sum(map(len, parts)) + len(part) > MAX_WINDOW_S * RATE:
            yield np.concatenate(parts)
            parts = []
        parts.append(part)
    if parts:
        yield np.concatenate(parts)
