"""What a question wants counted: how negative something is, what is named with it, what is named most, in a period, in a source.

A small grammar, in English and Chinese. What it does not know is left to the reader.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from pipeline.ask.periods import Period, split_period

# What kinds of entities are called.
KINDS = {
    "PER": ("people", "persons", "person", "names", "人物", "人"),
    "ORG": ("companies", "company", "organizations", "organisations", "firms", "公司", "机构", "企业"),
    "LOC": ("places", "place", "countries", "cities", "locations", "地方", "地点", "国家", "城市"),
}
_KIND = "|".join(sorted((word for words in KINDS.values() for word in words), key=len, reverse=True))
_DOCUMENTS = "documents|posts|articles|stories|texts|messages"
_NAMED = "named|mentioned|talked about"


@dataclass(frozen=True, slots=True)
class Intent:
    """What a question wants counted.

    Attributes:
        what: sentiment, together, top or count.
        name: The entity that it is about, "" for none.
        label: Type of the entities that are listed, "" for all.
        source: The only source whose documents count, "" for all.
        period: The days whose documents count, None for all documents, those without a time too.
    """

    what: str
    name: str = ""
    label: str = ""
    source: str = ""
    period: Period | None = None


_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (what, re.compile(pattern, re.IGNORECASE))
    for what, pattern in (
        (
            "sentiment",
            r"how (?:negative|positive|good|bad)(?:ly)? (?:is|are|was|were) (?P<name>.+?)(?: (?:seen|talked about|described))?",
        ),
        ("sentiment", r"how (?:negative|positive)(?:ly)? (?:has|have) (?P<name>.+?) been(?: (?:seen|talked about|described))?"),
        ("sentiment", r"what is the sentiment (?:on|of|about|towards?) (?P<name>.+)"),
        ("sentiment", r"(?P<name>.+?)(?:有多|多么)(?:负面|正面|消极|积极)"),
        ("sentiment", r"(?:大家)?对(?P<name>.+?)的(?:情感|情绪|态度|看法)(?:如何|怎么样|怎样)"),
        ("together", rf"(?:which|what) (?P<kind>{_KIND}) (?:is|are|was|were) (?:{_NAMED}) (?:together )?with (?P<name>.+)"),
        ("together", rf"(?:和|与|跟)(?P<name>.+?)一起(?:被)?(?:提到|出现)的(?P<kind>{_KIND})(?:有哪些|是哪些|是谁)"),
        ("top", rf"(?:what|which|who) (?:is|are|were|was) the (?:most (?:{_NAMED})|top) (?P<kind>{_KIND})"),
        ("top", rf"(?:the )?(?:most (?:{_NAMED})|top) (?P<kind>{_KIND})"),
        ("top", rf"(?:which|what) (?P<kind>{_KIND}) (?:is|are|was|were) (?:{_NAMED}) (?:most|most often)"),
        ("top", rf"(?:被)?(?:提到|提及)最多的(?P<kind>{_KIND})(?:有哪些|是哪些|是谁|是什么)?"),
        ("count", rf"how many (?:{_DOCUMENTS}) (?:mention|name|are about|talk about) (?P<name>.+)"),
        ("count", r"有?多少(?:篇|条|个)?(?:文章|帖子|微博|文档|新闻)?(?:提到|提及)(?:了)?(?P<name>.+)"),
    )
)


_SOURCES = (
    re.compile(r"(?P<before>.+) (?:in|of|from) (?:the )?source (?P<source>\S+)(?P<after>)", re.IGNORECASE),
    re.compile(r"(?P<before>.*?)在?来源\s?(?P<source>[\w./:-]+?)\s?[中里内的](?P<after>.*)"),
)


def intents_of(question: str, today: date) -> tuple[Intent, ...]:
    """Find what a question wants counted.

    Args:
        question: In English or Chinese.
        today: What "today" is, in UTC.

    Returns:
        What it may want, first what takes most of its words for a name: of the question what somebody writes of "Halden this
        week", that may be a name, or Halden in a period. Empty where the grammar knows nothing of it: then it is to be read.
    """
    plain, source, period = question.strip().rstrip("?!.\uff1f\uff01\u3002 ").strip(), "", None
    found = [_intent(plain, source, period)]
    for _ in range(2):  # "in source X this week" and "this week in source X"
        if period is None and (split := split_period(plain, today)) is not None:
            plain, period = split
            found.append(_intent(plain, source, period))
        if not source and (match := _first(_SOURCES, plain)) is not None:
            plain, source = (match["before"] + match["after"]).strip(), match["source"]
            found.append(_intent(plain, source, period))
    return tuple(intent for intent in found if intent is not None)


def _first(patterns: Iterable[re.Pattern[str]], text: str) -> re.Match[str] | None:
    return next((match for pattern in patterns if (match := pattern.fullmatch(text)) is not None), None)


def _intent(plain: str, source: str, period: Period | None) -> Intent | None:
    for what, pattern in _PATTERNS:
        if (match := pattern.fullmatch(plain)) is not None:
            groups = match.groupdict()
            kind = (groups.get("kind") or "").lower()
            label = next((label for label, words in KINDS.items() if kind in words), "")
            return Intent(what, (groups.get("name") or "").strip(" \"'"), label, source, period)
    return None
