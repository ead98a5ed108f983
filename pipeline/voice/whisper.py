"""Whisper on one window of speech: its language, its words, and how sure it is, by one pass of the encoder.

The encoder sees the window and some silence behind it, not thirty seconds: it takes a sixth of the time for a question of four
seconds. A window that comes out badly is heard again with the whole thirty seconds and without a prompt; a loop is nothing that
was said.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.runtime.script import languages
from pipeline.voice.audio import RATE
from pipeline.voice.prompt import is_echo, prompt_of

LANGS = ("en", "zh")
WINDOW_S = 30
FRAMES_PER_S = 100
# The context of the encoder: the window and so much silence, and so much at least.
SILENCE_S, LEAST_S = 2, 10
# Half of what the decoder holds is for the prompt, less the mark before it.
PROMPT_TOKENS = 448 // 2 - 1
TOKENS_PER_S, MORE_TOKENS = 12, 24
# Below this mean log probability, or above this ratio of compression, what was heard is doubted.
DOUBTED_LOGPROB, REPEATING = -0.7, 2.4
# Above this probability that nobody speaks, and below this mean log probability, it is nothing (Radford et al., 2022, 4.5).
NO_SPEECH, NO_SPEECH_LOGPROB = 0.6, -1.0


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard in one window.

    Attributes:
        text: The words; "" if it is no speech.
        logprob: Sum of the log probabilities of its tokens.
        tokens: Number of tokens, the end included.
        lang: The language that it was heard in.
        is_echo: Whether it is a piece of the prompt.
    """

    text: str
    logprob: float
    tokens: int
    lang: str
    is_echo: bool = False

    @property
    def mean(self) -> float:
        """The mean log probability of a token."""
        return self.logprob / self.tokens if self.tokens else -math.inf

    @property
    def is_loop(self) -> bool:
        """Whether it says the same again and again."""
        raw = self.text.encode()
        return bool(raw) and len(raw) / len(zlib.compress(raw)) > REPEATING

    @property
    def is_doubtful(self) -> bool:
        """Whether it is improbable, an echo, a loop, or in another script than its language's."""
        romanized = self.lang == "zh" and languages([self.text]) != ["zh"]
        return bool(self.text) and (romanized or self.is_echo or self.is_loop or self.mean < DOUBTED_LOGPROB)


class Whisper:
    """A Whisper model in int8 on the CPU. Not for several threads at once.

    Args:
        folder: Folder of the model, see `pipeline.voice.install`.
        threads: Number of threads.
        beam: Width of the beam search.
    """

    def __init__(self, folder: Path, threads: int, beam: int) -> None:
        from faster_whisper import WhisperModel

        self._beam = beam
        self._model = WhisperModel(str(folder), "cpu", compute_type="int8", cpu_threads=threads, local_files_only=True)

    def hear(self, window: npt.NDArray[np.float32], lang: str, names: Sequence[str]) -> Heard:
        """Hear one window.

        Args:
            window: Samples, 16 kHz, at most 30 s.
            lang: en or zh; "" to have it detected.
            names: Names that may be heard, the likeliest first.

        Returns:
            What was heard.
        """
        seconds = len(window) / RATE
        context_s = min(WINDOW_S, max(LEAST_S, math.ceil(seconds) + SILENCE_S))
        encoded = self._encode(window, context_s)
        lang = lang or self._language(encoded)
        heard = self._decode(encoded, lang, names, seconds)
        if heard.is_doubtful:
            again = self._decode(self._encode(window, WINDOW_S), lang, (), seconds)
            # An echo is probable, as it was shown, and yet nothing that was said.
            heard = again if heard.is_echo else max(heard, again, key=lambda one: (not one.is_doubtful, one.mean))
        return replace(heard, text="") if heard.is_loop else heard

    def _encode(self, window: npt.NDArray[np.float32], context_s: int) -> Any:
        padded = np.pad(window, (0, max(0, context_s * RATE - len(window))))
        features = self._model.feature_extractor(padded)[:, : context_s * FRAMES_PER_S]
        return self._model.encode(np.ascontiguousarray(features))

    def _language(self, encoded: Any) -> str:
        found = dict(self._model.model.detect_language(encoded)[0])
        return max(LANGS, key=lambda lang: found.get(f"<|{lang}|>", 0.0))

    def _decode(self, encoded: Any, lang: str, names: Sequence[str], seconds: float) -> Heard:
        from faster_whisper.tokenizer import Tokenizer

        tokenizer = Tokenizer(self._model.hf_tokenizer, True, "transcribe", lang)
        previous = prompt_of(names, lang, tokenizer.encode, PROMPT_TOKENS)
        prompt = self._model.get_prompt(tokenizer, previous, without_timestamps=True)
        most = min(self._model.max_length, len(prompt) + MORE_TOKENS + int(seconds * TOKENS_PER_S))
        result = self._model.model.generate(
            encoded, [prompt], beam_size=self._beam, max_length=most, return_scores=True, return_no_speech_prob=True
        )[0]
        ids = result.sequences_ids[0]
        text = tokenizer.decode(ids).strip()
        echo = is_echo(text, tokenizer.decode(previous), names)
        heard = Heard(text, result.scores[0] * len(ids), len(ids) + 1, lang, echo)
        silent = result.no_speech_prob > NO_SPEECH and heard.mean < NO_SPEECH_LOGPROB
        return replace(heard, text="") if silent or not any(map(str.isalnum, text)) else heard
