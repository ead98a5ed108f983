"""Readers of the Chinese corpora, one function for each file format, and the maps from their labels to ours."""

from __future__ import annotations

import csv
import html
import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from models.factory.corpus_readers import LabelledText, conllu_sentences, lay_out, open_text, tabbed_sentences, to_bio
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
    """Read a character and its BIO or BMES tag on each line, with blank lines between sentences.

    Args:
        path: The file, or the file without its suffix `.gz`.
        fold: Entity type -> its new name; `O` makes its entities no entities.
        digit: Whether a digit behind the character, which is dropped, says its place in its word.

    Yields:
        The sentences with entity tags; every character is a word.

    Raises:
        DataMissingError: The file is absent.
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
    """Return a BMES tag as BIO: M and E become I, S becomes B; BIO tags stay.

    Args:
        tag: Tag such as `E-PER`, or `O`.
    """
    prefix, _, kind = tag.partition("-")
    return tag if not kind else {"M": "I", "E": "I", "S": "B"}.get(prefix, prefix) + "-" + kind


def read_cluener(path: Path) -> Iterator[LabelledText]:
    """Read a stream of JSON objects: `text`, and `label`, which maps type -> surface -> list of [first, last] characters.

    The last character belongs to the entity. Types are folded by CLUENER_FOLD.

    Args:
        path: The file, or the file without its suffix `.gz`.

    Yields:
        The texts with entity tags; every character is a word.

    Raises:
        DataMissingError: The file is absent.
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
    """Read lines of label (0 negative, 1 positive), tab, and text, below a header; CSV quotes are undone.

    Args:
        path: The file, or the file without its suffix `.gz`.

    Yields:
        The reviews with sentiment.

    Raises:
        DataMissingError: The file is absent.
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
    """Read the reviews of the categories in SHOPPING from a CSV with the columns `cat`, `label` and `review`.

    The other categories are left out, because chnsenticorp was drawn from them.

    Args:
        path: The file, or the file without its suffix `.gz`.

    Yields:
        The reviews with sentiment; empty ones are left out.

    Raises:
        DataMissingError: The file is absent.
    """
    return (record for row, record in _reviews(path) if row["cat"] in SHOPPING)


def read_waimai(path: Path, dev: bool) -> Iterator[LabelledText]:
    """Read one split of the reviews of take-away meals, a CSV with the columns `label` and `review`.

    The corpus has one file only: one review in DEV_EVERY is kept for dev, the others are for training, less those whose text is
    that of a dev review.

    Args:
        path: The file, or the file without its suffix `.gz`.
        dev: Whether the dev split is read, else that for training.

    Returns:
        The reviews of the split with sentiment; empty ones are left out.

    Raises:
        DataMissingError: The file is absent.
    """
    kept = [record for number, (_, record) in enumerate(_reviews(path)) if number % DEV_EVERY == 0]
    if dev:
        return iter(kept)
    texts = {record.text for record in kept}
    return (r for number, (_, r) in enumerate(_reviews(path)) if number % DEV_EVERY and r.text not in texts)


def read_smp(path: Path) -> Iterator[LabelledText]:
    """Read a JSON list of Weibo posts, `content` and the emotion as `label`, with HTML escapes undone.

    Emotions are folded to sentiment by EMOTIONS; posts with another emotion (surprise) and empty ones are left out.

    Args:
        path: The file, or the file without its suffix `.gz`.

    Yields:
        The posts with sentiment.

    Raises:
        DataMissingError: The file is absent.
    """
    with open_text(path) as file:
        for row in json.load(file):
            if row["label"] in EMOTIONS and row["content"].strip():
                yield LabelledText(html.unescape(row["content"]), sentiment=EMOTIONS[row["label"]])


def read_emotions(path: Path) -> Iterator[LabelledText]:
    """Read lines of emotion, tab, and post; emotions are folded to sentiment as in `read_smp`.

    Args:
        path: The file, or the file without its suffix `.gz`.

    Yields:
        The posts with sentiment; those with an emotion that EMOTIONS leaves out, and empty ones, are left out.

    Raises:
        DataMissingError: The file is absent.
    """
    with open_text(path) as lines:
        for line in lines:
            emotion, _, post = line.rstrip("\r\n").partition("\t")
            if emotion in EMOTIONS and post.strip():
                yield LabelledText(post, sentiment=EMOTIONS[emotion])


def read_words(path: Path) -> Iterator[LabelledText]:
    """Read lines of word, universal part of speech, and what is not used, apart by tabs, with blank lines between sentences.

    Args:
        path: The file, or the file without its suffix `.gz`.

    Yields:
        The sentences with parts of speech; words stand without spaces, except between two Latin ones.

    Raises:
        DataMissingError: The file is absent.
    """
    for forms, tags in tabbed_sentences(path):
        text, extents = lay_out(forms, latin_spaces(forms))
        yield LabelledText(text, extents, upos=tuple(tag if tag in UPOS else "X" for tag in tags))


def latin_spaces(forms: Sequence[str]) -> list[bool]:
    """Return for each word of a Chinese sentence whether a space follows: only between two Latin words.

    Args:
        forms: The words.
    """
    latin = [form[:1].isascii() and form[:1].isalnum() and form[-1:].isascii() for form in forms]
    return [a and b for a, b in zip(latin, [*latin[1:], False], strict=True)]


def read_smp_dev(folder: Path) -> Iterator[LabelledText]:
    """Read the two evaluation sets of SMP2020: first everyday posts, then posts on the epidemic.

    Args:
        folder: Folder that holds `usual_eval.txt` and `virus_eval.txt`.

    Yields:
        The posts with sentiment.

    Raises:
        DataMissingError: One of the files is absent.
    """
    for name in ("usual_eval.txt", "virus_eval.txt"):
        yield from read_smp(folder / name)


def read_gsd_1(path: Path) -> Iterator[LabelledText]:
    """Read the GSD treebank in version 1 of Universal Dependencies, with tags as in version 2.

    Words are written without spaces, except between two Latin words, and punctuation marks are made full-width.

    Args:
        path: The file, or the file without its suffix `.gz`.

    Yields:
        The sentences with parts of speech.

    Raises:
        DataMissingError: The file is absent.
    """
    for sentence in conllu_sentences(path):
        forms = [FULL_WIDTH.get(fields[1], fields[1]) if fields[3] == "PUNCT" else fields[1] for fields in sentence]
        text, extents = lay_out(forms, latin_spaces(forms))
        yield LabelledText(text, extents, upos=tuple(map(upos_2, sentence)))


def upos_2(fields: Sequence[str]) -> str:
    """Return the part of speech that version 2 of Universal Dependencies gives a word of the GSD treebank in version 1.

    Aspect marks, copulas and the passive are AUX, words that mark a clause SCONJ; a tag that is not universal becomes X.

    Args:
        fields: The 10 CoNLL-U fields of the word.
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
    """Read the texts of another reader with every HTML tag replaced by a line break and HTML escapes undone.

    Args:
        read: Reads the texts with their markup; their labels are dropped.
        path: File or folder that `read` gets.

    Yields:
        The texts, without labels.
    """
    for record in read(path):
        yield LabelledText(html.unescape(_TAG.sub("\n", record.text)))


read_weibo_entities = partial(read_characters, fold=WEIBO_FOLD, digit=True)
read_resume = partial(read_characters, fold=RESUME_FOLD)
