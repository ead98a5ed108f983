"""The labelled and unlabelled corpora that the factory knows: where they lie, how they are read, under which licence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from models.errors import DataMissingError
from models.factory import corpus_readers_zh as zh
from models.factory.corpus_readers import (
    LabelledText,
    read_airline,
    read_columns,
    read_conllu,
    read_folder,
    read_jsonl_texts,
    read_labelled,
    read_parquet_texts,
    read_posts,
    read_semeval,
    read_sst2,
    read_tabbed,
)

WNUT_FOLD = {
    "person": "PER", "location": "LOC", "corporation": "ORG", "group": "ORG",
    "product": "MISC", "creative-work": "MISC",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Corpus:
    """Where a corpus lies below the data folder, how it is read, and what its labels mean.

    Attributes:
        read: Reads the file or folder of a split.
        train: File or folder of the training split, relative to the data folder.
        dev: File or folder of the dev split, relative to the data folder; None if there is none.
        licence: Licence or terms of use, as cards name them.
        misc_known: False where an entity of type MISC may be labelled O.
        neutral_known: False where no text is called neutral.
        read_dev: Reads the dev split where its format is another one; None is `read`.
    """

    read: Callable[[Path], Iterator[LabelledText]]
    train: str
    dev: str | None
    licence: str
    misc_known: bool = True
    neutral_known: bool = True
    read_dev: Callable[[Path], Iterator[LabelledText]] | None = None


POSTS_LICENCE = "texts of their sites, labelled by a large language model"


def _entities(folder: str, licence: str, misc_known: bool = True) -> Corpus:
    """A corpus with entities that is a folder of tabbed columns, all of it to be trained on."""
    return Corpus(partial(read_folder, read_tabbed, ".conll"), f"en/ner/{folder}", None, licence, misc_known)


def _sentiments(folder: str, licence: str, neutral_known: bool = True) -> Corpus:
    """A corpus with sentiment that is a folder of labelled lines, all of it to be trained on."""
    reader = partial(read_folder, read_labelled, ".tsv")
    return Corpus(reader, f"en/sentiment/{folder}", None, licence, neutral_known=neutral_known)


def _treebank(folder: str, licence: str) -> Corpus:
    """A treebank that is a folder, all of it to be trained on."""
    return Corpus(partial(read_folder, read_conllu, ".conllu"), f"en/pos/{folder}", None, licence)


CORPORA: dict[str, Corpus] = {
    "conll2003": Corpus(
        read_columns, "en/ner/conll2003/eng.train", "en/ner/conll2003/eng.testa", "Reuters, research use"
    ),
    "wikigold": Corpus(read_columns, "en/ner/wikigold/wikigold.conll.txt", None, "CC BY 4.0"),
    "wnut17": Corpus(
        lambda path: read_columns(path, WNUT_FOLD), "en/ner/wnut17/train.conll", "en/ner/wnut17/dev.conll",
        "CC BY 4.0", misc_known=False,
    ),
    "btc": Corpus(read_columns, "en/ner/btc/btc.train", "en/ner/btc/btc.dev", "CC BY 4.0", misc_known=False),
    "ewt": Corpus(
        read_conllu, "en/pos/ewt/en_ewt-ud-train.conllu", "en/pos/ewt/en_ewt-ud-dev.conllu", "CC BY-SA 4.0"
    ),
    "sst2": Corpus(read_sst2, "en/sentiment/sst2/train.tsv", "en/sentiment/sst2/dev.tsv", "research use"),
    "semeval2017": Corpus(
        read_semeval, "en/sentiment/semeval2017/train.tsv", "en/sentiment/semeval2017/dev.tsv", "Twitter terms"
    ),
    "airline": Corpus(read_airline, "en/sentiment/airline/Tweets.csv", None, "CC BY-NC-SA 4.0"),
    "real-en": Corpus(read_posts, "real_train/en.jsonl", "real/en.jsonl", POSTS_LICENCE),
    "real-zh": Corpus(read_posts, "real_train/zh.jsonl", "real/zh.jsonl", POSTS_LICENCE, misc_known=False),
    "worldwide": _entities("worldwide", "not stated (Stanford research release)"),
    # To be measured on alone: it has the guidelines of conll2003, and its train split here.
    "conll2020": Corpus(
        read_columns, "en/ner/conll2003/eng.train", "en/ner/conll2020/all.conll", "not stated", read_dev=read_tabbed
    ),
    "uner_ewt": _entities("uner_ewt", "CC BY-SA 4.0", misc_known=False),
    "uner_pud": _entities("uner_pud", "CC BY-SA 4.0", misc_known=False),
    "crossner": _entities("crossner", "MIT; text of Wikipedia, CC BY-SA"),
    "tweebank": _entities("tweebank", "Apache-2.0; tweets CC BY-NC-SA 4.0"),
    # OTHER and the ten types of WNUT are not CoNLL's MISC: nationalities are none of theirs.
    "twitter2015": _entities("twitter2015", "not stated", misc_known=False),
    "twitter2017": _entities("twitter2017", "not stated", misc_known=False),
    "wnut16": _entities("wnut16", "GPL-3.0; Twitter terms", misc_known=False),
    "finer_ord": _entities("finer_ord", "CC BY-NC 4.0", misc_known=False),
    "sst_phrases": Corpus(
        read_labelled, "en/sentiment/sst_phrases/train.tsv", "en/sentiment/sst_phrases/dev_sentences.tsv", "research use"
    ),
    "goemotions": _sentiments("goemotions", "Apache-2.0"),
    "tweet_extraction": _sentiments("tweet_extraction", "CC BY 4.0 (upstream)"),
    "tweets_misc": _sentiments("tweets_misc", "not stated; Twitter terms"),
    "vader": _sentiments("vader", "MIT"),
    "imdb": _sentiments("imdb", "research use", neutral_known=False),
    "newsmtsc": _sentiments("newsmtsc", "MIT"),
    "semeval14_absa": _sentiments("semeval14_absa", "SemEval, research use"),
    "senti4sd": _sentiments("senti4sd", "MIT"),
    "labelled_sentences": _sentiments("labelled_sentences", "CC BY 4.0 (upstream)", neutral_known=False),
    "gum": _treebank("gum", "CC BY-NC-SA 4.0"),
    "lines": _treebank("lines", "CC BY-NC-SA 4.0"),
    "partut": _treebank("partut", "CC BY-NC-SA 4.0"),
    "gentle": _treebank("gentle", "CC BY-NC-SA 4.0"),
    "pud": _treebank("pud", "CC BY-SA 3.0"),
    "tweets": Corpus(read_jsonl_texts, "corpora/tweets", None, "Twitter terms"),
    "en_news": Corpus(read_jsonl_texts, "corpora/en_news", None, "the newspapers' text"),
    "reuters": Corpus(read_parquet_texts, "corpora/reuters", None, "research use"),
    "reddit": Corpus(read_jsonl_texts, "corpora/reddit", None, "PDDL"),
    "msra": Corpus(
        zh.read_characters, "zh/ner/msra/train.txt", "zh/ner/msra/dev.txt", "research use", misc_known=False
    ),
    "weibo": Corpus(
        zh.read_weibo_entities, "zh/ner/weibo/weiboNER_2nd_conll.train", "zh/ner/weibo/weiboNER_2nd_conll.dev",
        "CC BY-SA 3.0", misc_known=False,
    ),
    "cluener": Corpus(
        zh.read_cluener, "zh/ner/cluener2020/train.json", "zh/ner/cluener2020/dev.json", "research use"
    ),
    "resume": Corpus(
        zh.read_resume, "zh/ner/resume/train.char.bmes", "zh/ner/resume/dev.char.bmes", "not stated", misc_known=False
    ),
    "chnsenticorp": Corpus(
        zh.read_chnsenticorp, "zh/sentiment/chnsenticorp/train.tsv", "zh/sentiment/chnsenticorp/dev.tsv", "research use"
    ),
    "waimai": Corpus(
        partial(zh.read_waimai, dev=False), "zh/sentiment/waimai/waimai_10k.csv", "zh/sentiment/waimai/waimai_10k.csv",
        "not stated", read_dev=partial(zh.read_waimai, dev=True),
    ),
    "online_shopping": Corpus(
        zh.read_shopping, "zh/sentiment/online_shopping/online_shopping_10_cats.csv", None, "not stated"
    ),
    "smp2020": Corpus(
        zh.read_smp, "zh/sentiment/smp2020/virus_train.txt", "zh/sentiment/smp2020", "research use",
        read_dev=zh.read_smp_dev,
    ),
    "gsd": Corpus(
        zh.read_gsd_1, "zh/pos/gsd_r1.4/zh-ud-train.conllu", "zh/pos/gsd/zh_gsd-ud-dev.conllu",
        "CC BY-NC-SA 4.0", read_dev=read_conllu,
    ),
    # Its training split in the words and tags of its dev split; gsd's is of an older version.
    "gsdsimp": Corpus(
        zh.read_words, "zh/pos/gsdsimp_train/train.tsv", "zh/pos/gsdsimp/zh_gsdsimp-ud-dev.conllu",
        "CC BY-SA 4.0", read_dev=read_conllu,
    ),
    "smp2020_usual": Corpus(zh.read_emotions, "zh/sentiment/smp2020_usual/train.tsv", None, "research use"),
    "bdci_car": Corpus(read_labelled, "zh/sentiment/bdci_car/train.tsv", None, "not stated"),
    "nlpcc2014": Corpus(read_labelled, "zh/sentiment/nlpcc2014/train.tsv", None, "not stated", neutral_known=False),
    "uner_gsdsimp": Corpus(zh.read_characters, "zh/ner/uner_gsdsimp/train.txt", None, "CC BY-SA 4.0", misc_known=False),
    "pfr199801": Corpus(zh.read_characters, "zh/ner/pfr199801/train.txt", None, "research use", misc_known=False),
    "weibo_comments": Corpus(read_jsonl_texts, "corpora/weibo_comments", None, "Weibo's text"),
    "zh_news": Corpus(read_jsonl_texts, "corpora/zh_news", None, "the sites' text"),
    "weibo_hot": Corpus(read_jsonl_texts, "corpora/weibo_hot", None, "Weibo's text"),
    "tnews": Corpus(read_jsonl_texts, "corpora/tnews", None, "research use"),
    "xinwen": Corpus(partial(zh.read_markup, read_jsonl_texts), "corpora/xinwen", None, "CCTV's text"),
}  # fmt: skip


def read(name: str, data_dir: Path, split: str = "train") -> list[LabelledText]:
    """Read all records of one split of a corpus; unlabelled corpora have only `train`.

    Args:
        name: Name of the corpus in `CORPORA`.
        data_dir: Folder that holds the corpora.
        split: `train` or `dev`.

    Returns:
        The records in the order of the files; at least one.

    Raises:
        DataMissingError: The corpus is not known, has no such split, or its file is absent, without records, or not of the
            expected format.
    """
    corpus = CORPORA.get(name)
    if corpus is None:
        raise DataMissingError(f"corpus {name!r} is not known; known are {', '.join(CORPORA)}")
    where = corpus.train if split == "train" else corpus.dev
    if where is None:
        raise DataMissingError(f"corpus {name!r} has no {split} split")
    reader = corpus.read_dev if split != "train" and corpus.read_dev is not None else corpus.read
    records = list(reader(data_dir / where))
    if not records:
        raise DataMissingError(f"{data_dir / where}: no records; is --data-dir the folder that holds en/ and corpora/?")
    return records
