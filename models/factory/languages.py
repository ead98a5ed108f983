"""What the factory has to know of a language beside its corpora: how its texts are cut, measured and described."""

from __future__ import annotations

from dataclasses import dataclass

from models.errors import RecipeError
from models.factory.augment import Maker, phrases, sentences
from models.factory.script_forms import chinese_phrases, chinese_sentences


@dataclass(frozen=True, slots=True)
class Language:
    """What differs between languages in making training texts, measuring models and writing cards.

    Attributes:
        sentences: Makes sentences for the teacher to label out of unlabelled texts.
        phrases: Makes phrases, parts of sentences, for the teacher to label.
        speed: Corpora on whose texts speed is measured.
        speed_count: Number of those texts in all, equally many of each corpus.
        speed_texts: What cards call them.
        shown: Keys of the figures in tables of comparison; the first is also the one that is plotted.
        posts: Corpus of real posts. Its dev split counts most, and its texts are kept out of the unlabelled training texts.
        reads: Sentence for cards on how texts are tokenized.
        limits: Known limits for cards, one an item.
        errors: For cards, the kinds of errors on real posts and how many of those that were read are of each, one an item.
    """

    sentences: Maker
    phrases: Maker
    speed: tuple[str, ...]
    speed_count: int
    speed_texts: str
    shown: tuple[str, ...]
    posts: str
    reads: str
    limits: tuple[str, ...]
    errors: tuple[str, ...] = ()


LANGUAGES = {
    "en": Language(
        sentences=sentences,
        phrases=phrases,
        speed=("reddit",),
        speed_count=1500,
        speed_texts="forum posts",
        shown=("conll2003_f1", "sst2_accuracy", "semeval2017_recall", "ewt_upos"),
        posts="real-en",
        reads="Uncased WordPiece, with case as a feature of each token.",
        limits=(
            "The vocabulary is uncased and English; case reaches the model as a feature of each token. Other languages are "
            "tagged badly.",
            "Entities follow CoNLL-2003 (news of 1996): nationalities and events are MISC; social posts score lower, see btc "
            "and wnut17 above.",
            "Sentiment comes from film reviews, tweets and posts; irony and mixed feelings are often missed.",
        ),
        errors=(
            "Read were 30 of the 61 errors in sentiment that `en` makes on the development split of the real posts, and 45 of "
            "its 151 in entities (a wrong extent or type is two).",
            "Sentiment, 18 of 30: a feeling that is hardly put into words is called neutral (enthusiasm, irony, complaints by "
            "understatement). 9: a neutral text with strong or friendly words is not, such as questions and jokes. 3: words "
            "are taken for their opposite, such as swearing that praises.",
            "Entities, 18 of 45: a name is missed, mostly of a product, a firm or a figure in a short post, of nicknames and "
            "pets. 11: the extent is wrong, such as a street's number as part of a place. 8: names in handles, hashtags and "
            "check-ins. 5: the type is wrong, mostly works taken for organisations. 3: no name at all.",
        ),
    ),
    "zh": Language(
        sentences=chinese_sentences,
        phrases=chinese_phrases,
        speed=("weibo_hot", "xinwen"),
        speed_count=240,
        speed_texts="Weibo titles and news items",
        shown=("msra_f1", "chnsenticorp_accuracy", "smp2020_recall", "gsdsimp_words_f1"),
        posts="real-zh",
        reads="Reads character by character; runs of Latin letters in pieces.",
        limits=(
            "Entities follow msra (news of 1998): persons, organisations and places; MISC are works (books, films, games) as "
            "cluener labels them. Social posts score lower, see weibo above.",
            "Words follow the GSD treebank (Wikipedia), which parts suffixes from their words; its tags were brought from "
            "version 1 of the guidelines to version 2 by rule.",
            "Sentiment comes from reviews of hotels, books, computers, goods and meals, from a car forum, and from Weibo posts "
            "with emotions.",
            "waimai has one file: every tenth row was kept for dev. Of online_shopping three categories were left out, because "
            "chnsenticorp was drawn from them.",
            "Traditional script was taught by conversion; words that only Taiwan or Hong Kong use were seen in gsd alone.",
        ),
        errors=(
            "Read were 30 of the 72 errors in sentiment that `zh` makes on the development split of the real posts, and 45 of "
            "its 99 in entities (a wrong extent or type is two).",
            "Sentiment, 17 of 30: a feeling that is hardly put into words is called neutral (titles that rejoice, sarcasm, "
            "disasters told soberly). 12: a neutral text is not, such as news of meetings in solemn words, or laughter. 1: "
            "praise is called negative.",
            "Entities, 15 of 45: a name is missed, mostly of a country within a word, a brand, a short form. 11: the extent is "
            "wrong, where names stand side by side. 10: no name at all. 9: the type is wrong, such as teams named as countries.",
        ),
    ),
}


def language(code: str) -> Language:
    """Return what the factory knows of a language.

    Args:
        code: ISO 639-1.

    Raises:
        RecipeError: The factory does not know the language.
    """
    if code not in LANGUAGES:
        raise RecipeError(f"lang = {code!r}: the factory knows {', '.join(LANGUAGES)}")
    return LANGUAGES[code]
