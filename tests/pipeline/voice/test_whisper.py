"""What is made of a window that comes out badly, without the weights: what the model gives is set here."""

import numpy as np
import pytest

pytest.importorskip("faster_whisper", reason="no speech: pip install 'textmill[voice]'")

from pipeline.voice.whisper import Heard, Whisper

ECHO = Heard("Volta Energy, Oslo, Anna Keller.", -0.8, 10, "en", is_echo=True)
UNSURE = Heard("Hm.", -3.0, 3, "en")
SURE = Heard("Who runs Volta Energy?", -0.6, 6, "en")
LOOP = Heard("no " * 60, -1.0, 60, "en")


class Told(Whisper):
    """Gives what it was told to, one after the other."""

    def __init__(self, *gives):
        self.gives = list(gives)

    def _encode(self, window, context_s):
        return context_s

    def _decode(self, encoded, lang, names, seconds):
        return self.gives.pop(0)


def heard(*gives):
    return Told(*gives).hear(np.zeros(16_000, np.float32), "en", ["Volta Energy"]).text


CASES = [
    ((SURE,), SURE.text),
    ((ECHO, UNSURE), UNSURE.text),
    ((ECHO, SURE), SURE.text),
    ((UNSURE, SURE), SURE.text),
    ((LOOP, LOOP), ""),
]


@pytest.mark.parametrize(("gives", "text"), CASES)
def test_an_echo_of_the_prompt_or_a_loop_is_never_what_was_said(gives, text):
    assert heard(*gives) == text
