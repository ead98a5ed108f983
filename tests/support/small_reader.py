"""A reader with random weights that is small enough for a test, and questions of our own."""

import gzip
import json
import random

import torch

from models.factory.reader_start import fresh_reader
from models.runtime.config import EncoderConfig, LayerShape
from models.runtime.encoder import Encoder
from models.runtime.package import READER, ZOO, write_package
from models.runtime.weights import to_weights

SMALL = EncoderConfig(vocab=30522, hidden=32, layers=(LayerShape(2, 64),) * 2, head_dim=16)
TOKENIZER = (ZOO / "en" / "tokenizer.json").read_text(encoding="utf-8")
PEOPLE = ["Anna Berg", "Tom Reed", "Lena Okafor", "Ravi Shah", "Mia Novak"]
PLACES = ["Oslo", "Lyon", "Porto", "Leeds", "Quito"]


def write_reader(folder, encoder=None, window=64, lang="en", calibration=()):
    """A reader's folder; of random weights where no encoder is given."""
    torch.manual_seed(0)
    encoder = encoder or fresh_reader(Encoder(SMALL))
    write_package(folder, "small", lang, window, encoder.config, to_weights(encoder), TOKENIZER, READER, calibration)
    return folder


def question(rng):
    """A record as the corpora have them: who went where."""
    person, place, other = rng.choice(PEOPLE), *rng.sample(PLACES, 2)
    context = f"{person} went to {place} in May, and then saw the harbour of {other}."
    asked, answer = rng.choice([(f"Where did {person} go?", place), (f"Who went to {place}?", person)])
    return {"question": asked, "context": context, "answers": [{"text": answer, "start": context.index(answer)}]}


def write_questions(root, names, count=60):
    """Write small corpora of questions below qa/en."""
    rng = random.Random(3)
    (root / "qa" / "en").mkdir(parents=True, exist_ok=True)
    for name in names:
        with gzip.open(root / "qa" / "en" / f"{name}.jsonl.gz", "wt", encoding="utf-8") as out:
            for i in range(count):
                date = f"{2020 + i % 6}-05-01"
                out.write(json.dumps({"id": f"{name}-{i}", **question(rng), "date": date, "source": name}) + "\n")
    return root
