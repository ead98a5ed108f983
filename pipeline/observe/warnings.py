"""Runs that look right and are not: what makes one doubtful, what is said of it, and which setting would help. Rules are data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pipeline.worker.tally import FILTERED

# Below so many documents a share says nothing, unless it is all of them.
FEW = 20


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is known of a run at its end.

    Attributes:
        model: Name of the model.
        id_column: Column of the id that was asked for; None or "" if none was, and the rules on ids are then not applied.
        time_column: Column of the time, as messages name it.
        time_asked: Whether the column of the time was asked for.
        files: Files of the input that hold documents, tagged by this run or before.
        rows_in: Documents read.
        rows_out: Documents tagged.
        filtered: Documents that were not meant to be tagged.
        counts: Sums over the parts of what was noticed, see `pipeline.worker.tally` and `BlockBuilder`.
        skipped: How many files are left alone, by reason; see `discover`.
        examples: Some of those files, by reason.
        looked_into: Files whose columns were looked into.
        lacking: Of the files looked into, those that lack a column that was asked for, by column.
    """

    model: str = "en"
    id_column: str | None = None
    time_column: str = "created_at"
    time_asked: bool = False
    files: int = 0
    rows_in: int = 0
    rows_out: int = 0
    filtered: int = 0
    counts: Mapping[str, int] = field(default_factory=Counter)
    skipped: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, Sequence[str]] = field(default_factory=dict)
    looked_into: int = 0
    lacking: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def languages(self) -> dict[str, int]:
        """Documents that were filtered, by language, the most first."""
        found = {key.removeprefix(FILTERED): count for key, count in self.counts.items() if key.startswith(FILTERED)}
        return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))


@dataclass(frozen=True, slots=True)
class Finding:
    """One warning.

    Attributes:
        code: Name of the rule.
        count: How many of `total` are doubtful.
        total: How many there are of what `text` speaks of.
        text: What is doubtful, in words.
        remedy: What to set, in words.
        examples: Some files that it is about.
    """

    code: str
    count: int
    total: int
    text: str
    remedy: str
    examples: tuple[str, ...] = ()

    def __str__(self) -> str:
        some = f" ({', '.join(self.examples)})" if self.examples else ""
        return f"{self.text}{some}; {self.remedy}"


@dataclass(frozen=True, slots=True)
class Rule:
    """When a run is doubtful, and what is said of it.

    Attributes:
        code: Name of the rule.
        share: Gives how many are doubtful, of how many, and from which share of them on this is said. Of fewer than FEW only all
            count.
        text: Says what is doubtful, given the facts and the two numbers.
        remedy: Says what to set.
        examples: Gives files that it is about; the first three are shown.
    """

    code: str
    share: Callable[[RunFacts], tuple[int, int, float]]
    text: Callable[[RunFacts, int, int], str]
    remedy: Callable[[RunFacts], str]
    examples: Callable[[RunFacts], Sequence[str]] = lambda facts: ()


def _left_alone(facts: RunFacts) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in sorted(facts.skipped.items()))


def _examples(*reasons: str) -> Callable[[RunFacts], Sequence[str]]:
    return lambda facts: [path for reason in reasons or facts.examples for path in facts.examples.get(reason, ())]


def _sum(facts: RunFacts, *reasons: str) -> int:
    return sum(facts.skipped.get(reason, 0) for reason in reasons)


def _read_by(facts: RunFacts) -> str:
    if {"en", "zh"}.intersection(facts.languages) and facts.model != "auto":
        return "--model auto reads English and Chinese, each text by its own model"
    return "no model reads these languages; --languages all has the nearest one tag them"


_OTHERS = ("other format", "no suffix that tells the format")
_ODD = ("no regular file", "link to nothing", "link in a circle", "name is not UTF-8", "name with . or .. between slashes")

RULES = (
    Rule(
        "no_files",
        lambda f: (int(not f.files), 1, 1.0),
        lambda f, n, of: "the input holds no file of documents" + (f"; left alone: {_left_alone(f)}" if f.skipped else ""),
        lambda f: "name other files, or give them a known format's name",
        _examples(),
    ),
    Rule(
        "other_formats",
        lambda f: (_sum(f, *_OTHERS) * (0 < f.files < _sum(f, *_OTHERS)), _sum(f, *_OTHERS), 0.0),
        lambda f, n, of: f"{n:,} files are left alone because their names tell no known format, more than the {f.files:,} others",
        lambda f: "rename them if they hold documents; --format says what those without a suffix are",
        _examples(*_OTHERS),
    ),
    Rule(
        "odd_files",
        lambda f: (_sum(f, *_ODD), _sum(f, *_ODD), 0.0),
        lambda f, n, of: f"{n:,} names in the input lead to no file that can be read",
        lambda f: "mend the links, rename the files, or move away what is no file",
        _examples(*_ODD),
    ),
    Rule(
        "lacking_columns",
        lambda f: (sum(map(bool, f.lacking.values())), sum(map(bool, f.lacking.values())), 0.0),
        lambda f, n, of: "; ".join(
            f"column {column!r} is not in {len(paths):,} of {f.looked_into:,} files that were looked into"
            for column, paths in f.lacking.items()
            if paths
        ),
        lambda f: "where it is the text's, their documents are dead letters; else they are tagged without it",
        lambda f: list(dict.fromkeys(path for paths in f.lacking.values() for path in paths))[:3],
    ),
    Rule(
        "filtered",
        lambda f: (f.filtered, f.rows_in, 0.5),
        lambda f, n, of: (
            f"{n:,} of {of:,} documents are filtered: {f.model} does not read their language ("
            + ", ".join(f"{language} {count:,}" for language, count in list(f.languages.items())[:5])
            + ")"
        ),
        _read_by,
    ),
    Rule(
        "undecodable",
        lambda f: (f.counts.get("undecodable_characters", 0), f.counts.get("characters", 0), 0.01),
        lambda f, n, of: f"{n:,} of {of:,} characters could not be decoded and are U+FFFD",
        lambda f: "the files are in another encoding than the one by which they are read: tell it, or convert them to UTF-8",
    ),
    Rule(
        "blank_texts",
        lambda f: (f.counts.get("blank_texts", 0), f.rows_in, 0.5),
        lambda f, n, of: f"{n:,} of {of:,} texts are blank",
        lambda f: "--text-column names the column of the text",
    ),
    Rule(
        "no_ids",
        lambda f: (f.counts.get("made_ids", 0) if f.id_column else 0, f.rows_out + f.filtered, 0.5),
        lambda f, n, of: f"{n:,} of {of:,} documents have no {f.id_column!r}: their ids are made of path and position",
        lambda f: "--id-column names the column of the id",
    ),
    Rule(
        "equal_ids",
        lambda f: (f.counts.get("equal_ids", 0) if f.id_column and f.rows_out > 1 else 0, f.rows_out, 0.1),
        lambda f, n, of: f"{n:,} of {of:,} documents share one id with others that were read together with them",
        lambda f: f"is {f.id_column!r} the id? --id-column names another column; without it ids are made of path and position",
    ),
    Rule(
        "unreadable_times",
        lambda f: (f.counts.get("unreadable_times", 0), f.rows_out + f.filtered, 0.1),
        lambda f, n, of: f"{n:,} of {of:,} documents have a {f.time_column!r} that is no time known here: they have none",
        lambda f: "--time-column names another column",
    ),
    Rule(
        "no_times",
        lambda f: (f.counts.get("null_times", 0) * f.time_asked * (not f.counts.get("unreadable_times", 0)), f.rows_out, 1.0),
        lambda f, n, of: f"no document has a time in {f.time_column!r}",
        lambda f: "--time-column names another column",
    ),
    Rule(
        "unlikely_times",
        lambda f: (f.counts.get("unlikely_times", 0), f.rows_out, 0.1),
        lambda f, n, of: f"{n:,} of {of:,} documents have a time before 1990 or after 2099",
        lambda f: f"is {f.time_column!r} the time, and read rightly? --time-column names another column",
    ),
)


def warnings_of(facts: RunFacts) -> list[Finding]:
    """Apply the rules to what is known of a run.

    Args:
        facts: Of the run, at its end.

    Returns:
        What is doubtful, in the order of RULES.
    """
    return list(_warned(facts))


def _warned(facts: RunFacts) -> Iterator[Finding]:
    for rule in RULES:
        count, total, least = rule.share(facts)
        if count and count >= least * total and (count == total or total >= FEW):
            yield Finding(
                rule.code, count, total, rule.text(facts, count, total), rule.remedy(facts), tuple(rule.examples(facts)[:3])
            )


def as_records(found: Sequence[Finding]) -> list[dict[str, Any]]:
    """Return warnings as a manifest keeps them, ready for JSON; `in_words` reads them.

    Args:
        found: As `warnings_of` gives them.
    """
    return [asdict(one) | {"examples": list(one.examples)} for one in found]


def in_words(record: Mapping[str, Any]) -> str:
    """Return one warning of a manifest as one line.

    Args:
        record: As `as_records` gives it.
    """
    return str(Finding(**{**record, "examples": tuple(record["examples"])}))
