"""The night of docs/scale.md, worked out of unit costs: `python docs/measure/scale.py` prints the tables of that page.

Where each unit cost was measured is said beside it; `docs/measure/scale_units.py` measures those that docs/benchmarks.md lacks.
"""

from __future__ import annotations

from dataclasses import dataclass

DOCUMENTS = 10_000_000_000
WINDOW_S = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class Kind:
    """Documents of one kind.

    Attributes:
        share: Of all documents: chosen, not measured.
        size: Bytes of a document as a line of JSON.
        tokens: Tokens of a document.
        row: Bytes of its row in a part, without the text.
        speed: Tokens/s of a thread of an EPYC Zen 4, from text to table.
        card: The same of the CPU that the model's card names.
    """

    share: float
    size: float
    tokens: float
    row: float
    speed: float
    card: float


# Posts: 10,177,452 tokens in 130,809 posts in 189 s, two threads (benchmarks, Runs). News: scale_units.py. Chinese: metrics.json
# of `zh`, 68,218 tokens/s and 257.6 documents/s, and 137 documents/s on Zen 4 (benchmarks); a row as English has it, 5.57 bytes
# a token.
KINDS = {
    "English forum posts": Kind(0.60, 427, 77.8, 451, 53_886 / 2, 14_284 / 2),
    "English news": Kind(0.10, 1_034, 197.7, 1_032, 53_886 / 2, 14_284 / 2),
    "Chinese titles and news": Kind(0.30, 765, 264.8, 264.8 * 5.57, 137 * 264.8 / 2, 68_218 / 2),
}
# Predicted tokens of a split: the default, and what this page advises.
SPLIT_TOKENS = {"default": 1_000_000, "advised": 8_000_000}
SHARDS = 8
WORKERS = 10_000
# scale_units.py, for each split or part, in bytes or seconds of CPU.
PLAN_BYTES, SPLIT_BYTES, RESULT_BYTES, RECORD_PEAK = 4.75, 850, 1_930, 4_080
MANIFEST_BYTES, MANIFEST_S, FOOTER_S = 444, 11.2 / 100_000, 0.51e-3
# tests/scale/test_internet_scale.py counts these: calls that a part costs the NameNode, and those of them that change its names.
NAMENODE_CALLS, NAMENODE_CHANGES = 28, 11
# Documented limits: files of a folder of HDFS, and what a NameNode created in a second in 2010.
FOLDER_FILES, CREATES_S = 1_048_576, 5_600
# The policy, leases/s: the worst of all runs (benchmarks, Fleet).
LEASES_S = 40_000
# Reports (benchmarks): seconds of CPU of 10,000,000 documents; documents of a block; bytes of a partial of a block of posts,
# grown from 2,000 documents by the exponent 0.85 (scale_units.py).
REPORT_S, BLOCK, PARTIAL_BYTES = 197 / 10_000_000, 200_000, (149_568 + 84_502) * 100**0.85
CACHE_BYTES = 240 + 16
UNPACK_S = {"gzip": 220e6, "zstd": 720e6}


def total(of: str) -> float:
    """Sum an attribute of a document over the night.

    Args:
        of: Name of the attribute of `Kind`.
    """
    return DOCUMENTS * sum(float(getattr(kind, of)) * kind.share for kind in KINDS.values())


def core_hours(speed: str) -> float:
    """Hours of one thread that tagging takes.

    Args:
        speed: `speed` or `card`.
    """
    return DOCUMENTS / 3600 * sum(kind.share * kind.tokens / float(getattr(kind, speed)) for kind in KINDS.values())


def parts(splitting: str) -> int:
    """Number of splits, and so of parts.

    Args:
        splitting: A key of SPLIT_TOKENS.
    """
    return round(total("tokens") / SPLIT_TOKENS[splitting])


def night() -> list[tuple[str, str]]:
    """The rows of the first table."""
    hours, card = core_hours("speed"), core_hours("card")
    return [
        ("documents", f"{DOCUMENTS:,}"),
        ("input, lines of JSON", f"{total('size') / 1e12:.2f} TB"),
        ("tokens", f"{total('tokens') / 1e12:.2f} x 10^12"),
        ("output, without texts", f"{total('row') / 1e12:.2f} TB"),
        ("core-hours, EPYC Zen 4", f"{hours:,.0f}"),
        ("core-hours, CPUs of the cards", f"{card:,.0f}"),
        ("workers of one thread for 6 hours", f"{hours / 6:,.0f} and {card / 6:,.0f}"),
        ("machines of 192 cores", f"{hours / 6 / 192:.0f} and {card / 6 / 192:.0f}"),
        (f"hours with {WORKERS:,} workers", f"{hours / WORKERS:.1f} and {card / WORKERS:.1f}"),
    ]


def costs(splitting: str, shards: int = 1) -> list[tuple[str, str]]:
    """What one driver meets.

    Args:
        splitting: A key of SPLIT_TOKENS.
        shards: Outputs that share the night, with a driver each.
    """
    count = parts(splitting) / shards
    memory = count * (SPLIT_BYTES + RESULT_BYTES)
    return [
        ("splits, parts", f"{count:,.0f}"),
        ("of the files that a folder of HDFS may hold", f"{count / FOLDER_FILES:.0%}"),
        ("a part", f"{total('row') / parts(splitting) / 1e6:.1f} MB"),
        ("a split, seconds of a Zen 4 thread", f"{core_hours('speed') * 3600 / parts(splitting):.0f}"),
        ("plan", f"{count * PLAN_BYTES / 1e6:.1f} MB"),
        ("driver: splits and results, and at the end", f"{memory / 1e9:.1f} and {(memory + count * RECORD_PEAK) / 1e9:.1f} GB"),
        ("manifest", f"{count * MANIFEST_BYTES / 1e6:,.0f} MB, {count * MANIFEST_S:.0f} s"),
        ("footers read at the end, seconds of CPU", f"{count * FOOTER_S:.0f}"),
        ("leases/s over 6 hours, of those it can decide", f"{count / WINDOW_S:.1f}, {count / WINDOW_S / LEASES_S:.2%}"),
        ("NameNode calls/s, changes/s", f"{count * NAMENODE_CALLS / WINDOW_S:,.0f}, {count * NAMENODE_CHANGES / WINDOW_S:,.0f}"),
    ]


def report() -> list[tuple[str, str]]:
    """What is beside the tagging."""
    blocks, cached, size = DOCUMENTS / BLOCK, DOCUMENTS * CACHE_BYTES / 1e12, total("size")
    packed = [(f"planning packed files, {name}, hours of one thread", size / rate / 3600) for name, rate in UNPACK_S.items()]
    return [
        *((what, f"{hours:.1f}") for what, hours in packed),
        ("report, core-hours", f"{DOCUMENTS * REPORT_S / 3600:.0f}"),
        ("blocks of a report", f"{blocks:,.0f}"),
        ("partials of names that one process adds up", f"{blocks * PARTIAL_BYTES / 1e9:,.0f} GB"),
        ("Redis: new rows of a night, of seven nights", f"{cached:.1f} and {7 * cached:.1f} TB"),
        ("Redis: keys asked in a second", f"{DOCUMENTS / WINDOW_S:,.0f}"),
    ]


def tables() -> dict[str, str]:
    """The tables of docs/scale.md in Markdown, by name."""
    columns = [dict(costs("default")), dict(costs("advised")), dict(costs("advised", SHARDS))]
    names = "a driver", "1 output, splits of 1 million tokens", "1 output, 8 million", f"{SHARDS} outputs, 8 million"
    head = f"| {' | '.join(names)} |\n|---|---|---|---|\n"
    driver = head + "".join(f"| {key} | {' | '.join(one[key] for one in columns)} |\n" for key in columns[0])
    plain = {"night": night(), "beside": report()}
    made = {name: "| | |\n|---|---|\n" + "".join(f"| {key} | {value} |\n" for key, value in rows) for name, rows in plain.items()}
    return {**made, "driver": driver}


if __name__ == "__main__":
    print("\n".join(tables().values()))
