"""How well and how fast spoken questions are understood: word errors in English, character errors in Chinese, seconds.

Run: python docs/measure/voice.py FOLDER [THREADS [VARIANT ...]]   (FOLDER is made by speak.py; needs textmill[voice] and weights)
A variant is BEAM or BEAM+names; by default those of VARIANTS. Names are those of spoken_questions.json: some that are
asked for, some that are not, in alphabetical order. Each file is heard by all variants in turn. Seconds are by the clock and of
the CPU, for recordings of 3 to 4.2 s. TEXTMILL_VOICE_CACHE names another folder of weights, TEXTMILL_VOICE_SHOW=1 shows errors.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path

from models.cache_folder import cache_folder
from models.runtime.cpu import cpu_name
from pipeline.voice.install import installed
from pipeline.voice.transcriber import Transcriber

VARIANTS = ("1", "5", "1+names", "5+names", "10+names")


def units(text: str, lang: str) -> list[str]:
    """Words in English, characters in Chinese; without punctuation and case."""
    plain = re.sub(r"[^\w\s']", "" if lang == "zh" else " ", text.lower())
    return list("".join(plain.split())) if lang == "zh" else plain.split()


def distance(wanted: list[str], found: list[str]) -> int:
    """The edit distance (Levenshtein, 1966)."""
    row = list(range(len(found) + 1))
    for i, one in enumerate(wanted, 1):
        last, row[0] = row[0], i
        for j, other in enumerate(found, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (one != other))
    return row[-1]


def main() -> None:
    folder, threads = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 2
    variants = sys.argv[3:] or list(VARIANTS)
    questions = json.loads(Path(__file__).with_name("spoken_questions.json").read_text(encoding="utf-8"))
    weights = installed(Path(os.environ.get("TEXTMILL_VOICE_CACHE") or cache_folder()))
    beams = {int(one.partition("+")[0]) for one in variants}
    transcribers = {beam: Transcriber(weights, threads, beam) for beam in beams}
    errors, wanted = defaultdict(int), defaultdict(int)
    clock, cpu = defaultdict(list), defaultdict(list)
    wrong_lang = defaultdict(int)
    for path in sorted(folder.glob("*.wav")):
        lang, voice, number = path.stem.split("_", 1)[0], path.stem.split("_", 1)[1][:-4], int(path.stem[-3:])
        text, audio = questions[lang]["questions"][number], path.read_bytes()
        for variant in variants:
            beam, _, names = variant.partition("+")
            began, burnt = time.perf_counter(), time.process_time()
            heard = transcribers[int(beam)].transcribe(audio, names=questions[lang]["names"] if names else ())
            if 3.0 <= heard.seconds <= 4.2:
                clock[lang, variant].append(time.perf_counter() - began)
                cpu[lang, variant].append(time.process_time() - burnt)
            lost = distance(units(text, lang), units(heard.text, lang))
            for key in ((lang, voice, variant), (lang, "all", variant)):
                errors[key] += lost
                wanted[key] += len(units(text, lang))
                wrong_lang[key] += heard.lang != lang
            if os.environ.get("TEXTMILL_VOICE_SHOW") and lost:
                print(f"{variant:8} {path.stem} {lost} {heard.confidence:.2f} {text} | {heard.text}", file=sys.stderr)
    print(json.dumps({"cpu": cpu_name(), "threads": threads, "load": os.getloadavg()[0]}))
    for key in sorted(errors):
        share = f"{errors[key] / wanted[key]:6.1%} of {wanted[key]}"
        print(f"{key[0]} {key[1]:14} {key[2]:8} errors {share}, other language {wrong_lang[key]}")
    for key in sorted(clock):
        p50, of_cpu = statistics.median(clock[key]), statistics.median(cpu[key])
        print(f"{key[0]} {key[1]:8} p50 {p50:.2f} s by the clock, {of_cpu:.2f} s of CPU, {len(clock[key])} recordings")


if __name__ == "__main__":
    main()
