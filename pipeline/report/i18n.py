"""The words of the page by language, and how it writes days."""

from __future__ import annotations

from datetime import date

from pipeline.report import i18n_en, i18n_zh

LANGUAGES = ("en", "zh")
TEXTS = {"en": i18n_en.TEXTS, "zh": i18n_zh.TEXTS}
# In place of some of these, where documents have no sentiment.
WITHOUT_MOODS = {"en": i18n_en.WITHOUT_MOODS, "zh": i18n_zh.WITHOUT_MOODS}
WORDS = {"en": i18n_en.WORDS, "zh": i18n_zh.WORDS}
_MONTHS = "January February March April May June July August September October November December".split()
_WEEKDAYS = {
    "en": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(),
    "zh": "星期一 星期二 星期三 星期四 星期五 星期六 星期日".split(),
}


def days_text(first: date, last: date, lang: str) -> str:
    """Return a span of days in words, as in "Sunday, 22 November 2026" or "16 to 22 November 2026", or as Chinese writes it.

    Args:
        first: First day.
        last: Last day, that day included.
        lang: Language of the page, en or zh.
    """
    if lang == "zh":
        begin = f"{first.year}年{first.month}月{first.day}日"
        if first == last:
            return f"{begin} {_WEEKDAYS['zh'][first.weekday()]}"
        year = "" if first.year == last.year else f"{last.year}年"
        return f"{begin}至{year}{last.month}月{last.day}日"
    end = f"{last.day} {_MONTHS[last.month - 1]} {last.year}"
    if first == last:
        return f"{_WEEKDAYS['en'][first.weekday()]}, {end}"
    if first.year != last.year:
        return f"{first.day} {_MONTHS[first.month - 1]} {first.year} to {end}"
    return f"{first.day}{'' if first.month == last.month else f' {_MONTHS[first.month - 1]}'} to {end}"


def day_short(day: date, lang: str) -> str:
    """Return a day without its year, as in 22 Nov, or as Chinese writes it.

    Args:
        day: The day.
        lang: Language of the page, en or zh.
    """
    return f"{day.month}月{day.day}日" if lang == "zh" else f"{day.day} {_MONTHS[day.month - 1][:3]}"
