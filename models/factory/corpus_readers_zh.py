"""Readers of the Chinese corpora, one function a file format, and what their labels are folded to."""

from __future__ import annotations

import csv
import html
import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from models.factory.corpus_readers import LabelledText, conllu_sentences, lay_out, open_text, to_bio
from models.runtime.labels import UPOS

# Cluener's fine types; a work (book, game, film) is the MISC of the other corpora, a position is no entity in them.
CLUENER_FOLD = {
    "name": "PER", "organization": "ORG", "company": "ORG", "government": "ORG", "address": "LOC", "scene": "LOC",
    "book": "MISC", "game": "MISC", "movie": "MISC", "position": "O",
}  # fmt: skip
# Only names: "the woman" (NOM) is no entity elsewhere.
WEIBO_FOLD = {
    "PER.NAM": "PER", "ORG.NAM": "ORG", "LOC.NAM": "LOC", "GPE.NAM": "LOC",
    "PER.NOM": "O", "ORG.NOM": "O", "LOC.NOM": "O", "GPE.NOM": "O",
}  # fmt: skip
# A nationality ("citizen of China"), race, degree, profession and title are no entities elsewhere.
RESUME_FOLD = {"NAME": "PER", "CONT": "O", "EDU": "O", "PRO": "O", "RACE": "O", "TITLE": "O"}
# Emotions as sentiment; surprise is neither of the three and left out.
EMOTIONS = {"angry": 0, "sad": 0, "fear": 0, "neutral": 1, "happy": 2}
# The categories of online_shopping that chnsenticorp was not drawn from; the other three hold most of its dev texts.
SHOPPING = ("平板", "手机", "水果", "洗发水", "热水器", "蒙牛", "衣服")
# One row of so many of waimai, which has one file only, is kept for dev.
DEV_EVERY = 10
# A full-width mark is its plain form, 0xfee0 further up; the full stop alone has another shape.
FULL_WIDTH = {mark: chr(ord(mark) + 0xFEE0) for mark in ",():;?!"} | {".": "\u3002"}
_TAG = re.compile(r"<[^>]{1,200}>")


def read_characters(path: Path, fold: dict[str, str] | None = None, digit: bool = False) -> Iterator[LabelledText]:
    """Read a character and its tag a line (BIO or BMES), sentences apart by blank lines.

    Args:
        path: The file; PATH.gz will do.
        fold: Entity type -> its new name; "O" drops it.
        digit: Whether a digit behind the character says its place in its word; it is dropped.

    Yields:
        The texts.
    """
    forms: list[str] = []
    tags: list[str] = []
    with open_text(path) as lines:
        for line in [*lines, ""]:
            parts = line.split()
            if len(parts) >= 2:
                forms.append(parts[0][:-1] if digit and len(parts[0]) > 1 else parts[0])
                tags.append(bio_of(parts[-1]))
            elif not parts and forms:
                text, extents = lay_out(forms, [False] * len(forms))
                yield LabelledText(text, extents, tags=to_bio(tags, fold))
                forms, tags = [], []


def bio_of(tag: str) -> str:
    """Return a BMES tag as BIO: M and E go on, S stands alone.

    Args:
        tag: The tag.
    """
    prefix, _, kind = tag.partition("-")
    return tag if not kind else {"M": "I", "E": "I", "S": "B"}.get(prefix, prefix) + "-" + kind


def read_cluener(path: Path) -> Iterator[LabelledText]:
    """Read a stream of JSON objects: text, and label -> type -> surface -> [first, last] with the last included.

    Args:
        path: The file; PATH.gz will do.

    Yields:
        The texts.
    """
    with open_text(path) as file:
        rest = file.read()
    decoder, at = json.JSONDecoder(), 0
    while at < len(rest):
        if rest[at].isspace():
            at += 1
            continue
        row, at = decoder.raw_decode(rest, at)
        text = row["text"]
        tags = ["O"] * len(text)
        for kind, surfaces in row["label"].items():
            for first, last in (extent for extents in surfaces.values() for extent in extents):
                tags[first : last + 1] = [f"B-{kind}", *[f"I-{kind}"] * (last - first)]
        yield LabelledText(text, tuple((i, i + 1) for i in range(len(text))), tags=to_bio(tags, CLUENER_FOLD))


def read_chnsenticorp(path: Path) -> Iterator[LabelledText]:
    """Read label TAB text, with a header.

    Args:
        path: The file; PATH.gz will do.

    Yields:
        The texts.
    """
    with open_text(path) as lines:
        next(lines)
        for line in lines:
            label, _, text = line.rstrip("\r\n").partition("\t")
            yield LabelledText(text.strip().strip('"').replace('""', '"'), sentiment=2 * int(label))


def _reviews(path: Path) -> Iterator[tuple[dict[str, str], LabelledText]]:
    with open_text(path) as lines:
        for row in csv.DictReader(lines):
            text = (row["review"] or "").lstrip("\ufeff").strip()
            if text:
                yield row, LabelledText(text, sentiment=2 * int(row["label"]))


def read_shopping(path: Path) -> Iterator[LabelledText]:
    """Read the reviews of `SHOPPING`.

    Args:
        path: The file; PATH.gz will do.

    Yields:
        The texts.
    """
    return (record for row, record in _reviews(path) if row["cat"] in SHOPPING)


def read_waimai(path: Path, dev: bool) -> Iterator[LabelledText]:
    """Read the reviews of take-away meals: every tenth for dev, the others for training, less those with a dev text.

    Args:
        path: The file; PATH.gz will do.
        dev: Which of the two.

    Yields:
        The texts.
    """
    kept = [record for number, (_, record) in enumerate(_reviews(path)) if number % DEV_EVERY == 0]
    if dev:
        return iter(kept)
    texts = {record.text for record in kept}
    return (r for number, (_, r) in enumerate(_reviews(path)) if number % DEV_EVERY and r.text not in texts)


def read_smp(path: Path) -> Iterator[LabelledText]:
    """Read a JSON list of Weibo posts with an emotion.

    Args:
        path: The file; PATH.gz will do.

    Yields:
        The texts.
    """
    with open_text(path) as file:
        for row in json.load(file):
            if row["label"] in EMOTIONS and row["content"].strip():
                yield LabelledText(html.unescape(row["content"]), sentiment=EMOTIONS[row["label"]])


def read_smp_dev(folder: Path) -> Iterator[LabelledText]:
    """Read both evaluation sets, everyday posts and those of the epidemic.

    Args:
        folder: The folder.

    Yields:
        The texts.
    """
    for name in ("usual_eval.txt", "virus_eval.txt"):
        yield from read_smp(folder / name)


def read_gsd_1(path: Path) -> Iterator[LabelledText]:
    """Read the GSD treebank in version 1: laid out without its spaces, marks full-width, tags as in version 2.

    Args:
        path: The file; PATH.gz will do.

    Yields:
        The texts.
    """
    for sentence in conllu_sentences(path):
        forms = [FULL_WIDTH.get(fields[1], fields[1]) if fields[3] == "PUNCT" else fields[1] for fields in sentence]
        latin = [form[:1].isascii() and form[:1].isalnum() and form[-1:].isascii() for form in forms]
        spaces = [a and b for a, b in zip(latin, [*latin[1:], False], strict=True)]
        text, extents = lay_out(forms, spaces)
        yield LabelledText(text, extents, upos=tuple(map(upos_2, sentence)))


def upos_2(fields: Sequence[str]) -> str:
    """Return the tag that version 2 gives a word of version 1.

    Aspect marks, copulas and the passive are AUX, words that mark a clause SCONJ.

    Args:
        fields: The word's CoNLL-U fields.
    """
    form, tag, xpos, role = fields[1], fields[3], fields[4], fields[7]
    if tag == "CONJ":
        return "CCONJ"
    if xpos == "AS" or (xpos == "VC" and role == "cop") or (form == "\u88ab" and xpos == "BB"):
        return "AUX"
    if xpos == "BB":
        return "ADP"
    if (tag == "ADV" and role == "mark") or (xpos == "DEC" and "Case=Rel" in fields[5]) or xpos == "DEV":
        return "SCONJ"
    return tag if tag in UPOS else "X"


def read_markup(read: Callable[[Path], Iterator[LabelledText]], path: Path) -> Iterator[LabelledText]:
    """Read the texts of another reader without HTML tags; a tag ends a line.

    Args:
        read: The other reader.
        path: The file; PATH.gz will do.

    Yields:
        The texts.
    """
    for record in read(path):
        yield LabelledText(html.unescape(_TAG.sub("\n", record.text)))


read_weibo_entities = partial(read_characters, fold=WEIBO_FOLD, digit=True)
read_resume = partial(read_characters, fold=RESUME_FOLD)
