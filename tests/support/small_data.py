"""Small corpora of our own, in the formats and places of the real ones, for the tests of the factory."""

import gzip
import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

PEOPLE = ["Anna Berg", "Tom Reed", "Lena Okafor", "Ravi Shah", "Mia Novak"]
PLACES = ["Oslo", "Lyon", "Porto", "Leeds", "Quito"]
FIRMS = ["Nordbank", "Halvex", "Brightline"]
GOOD, BAD = ["lovely", "clever", "warm"], ["dull", "clumsy", "sour"]


def tagged(rng: random.Random) -> list[tuple[str, str, str]]:
    """One sentence as (word, part of speech, BIO tag)."""
    person = [(w, "PROPN", ("B-" if i == 0 else "I-") + "PER") for i, w in enumerate(rng.choice(PEOPLE).split())]
    place, firm = (rng.choice(PLACES), "PROPN", "B-LOC"), (rng.choice(FIRMS), "PROPN", "B-ORG")
    verb = [(rng.choice(["left", "saw", "praised"]), "VERB", "O")]
    end = [("in", "ADP", "O"), place, (".", "PUNCT", "O")]
    return [*person, *verb, firm, *end] if rng.random() < 0.7 else [firm, *verb, *end]


def opinion(rng: random.Random, good: bool) -> str:
    words = rng.sample(GOOD if good else BAD, 2)
    return f"the film is {words[0]} , and its hero in {rng.choice(PLACES)} is {words[1]} to the very end"


def columns(rng: random.Random, count: int, form: str) -> str:
    out = []
    for _ in range(count):
        for word, _pos, tag in tagged(rng):
            iob1 = "I-" + tag[2:] if tag != "O" else tag
            out.append(f"{word} NN I-NP {iob1}" if form == "conll" else f"{word}\t{tag}")
        out.append("")
    return "\n".join(out) + "\n"


def conllu(rng: random.Random, count: int) -> str:
    out = []
    for _ in range(count):
        words = tagged(rng)
        for i, (word, pos, _) in enumerate(words, 1):
            space = "SpaceAfter=No" if i == len(words) - 1 else "_"
            out.append("\t".join([str(i), word, word, pos, "_", "_", "0", "_", "_", space]))
        out.append("")
    return "\n".join(out) + "\n"


def write_corpora(root: Path) -> Path:
    """Write all corpora that conf/compress/en.toml knows below `root`."""
    rng = random.Random(7)

    def put(path: str, text: str) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)

    for name, count in (("eng.train", 120), ("eng.testa", 30)):
        put(f"en/ner/conll2003/{name}", "-DOCSTART- -X- O O\n\n" + columns(rng, count, "conll"))
    put("en/ner/wikigold/wikigold.conll.txt", columns(rng, 20, "conll"))
    for name, count in (("wnut17/train.conll", 20), ("wnut17/dev.conll", 10), ("btc/btc.train", 20), ("btc/btc.dev", 10)):
        text = columns(rng, count, "tabs")
        put(f"en/ner/{name}", text.replace("PER", "person").replace("LOC", "location") if "wnut" in name else text)
    for name, count in (("train", 60), ("dev", 20)):
        put(f"en/pos/ewt/en_ewt-ud-{name}.conllu", conllu(rng, count))
        put(f"en/sentiment/sst2/{name}.tsv", "".join(f"{opinion(rng, i % 2 == 1)}\t{i % 2}\n" for i in range(count)))
        kinds = [("negative", opinion(rng, False)), ("neutral", "a film in Oslo"), ("positive", opinion(rng, True))]
        rows = "".join(f"{i}\t{kinds[i % 3][0]}\t{kinds[i % 3][1]}\n" for i in range(count))
        put(f"en/sentiment/semeval2017/{name}.tsv", rows)
    put("en/sentiment/airline/Tweets.csv", "airline_sentiment,text\nnegative,late again\npositive,good crew\nneutral,gate 4\n")
    texts = [" ".join(w for w, _, _ in tagged(rng)) + f" Then {opinion(rng, rng.random() < 0.5)}." for _ in range(40)]
    (root / "corpora/reuters").mkdir(parents=True)
    pq.write_table(pa.table({"text": texts}), root / "corpora/reuters/a.parquet")
    (root / "corpora/reddit").mkdir()
    lines = "".join(json.dumps({"id": str(i), "text": text}) + "\n" for i, text in enumerate(texts))
    (root / "corpora/reddit/a.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    return root
