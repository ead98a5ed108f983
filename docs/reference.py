"""The reference pages that the code makes: `python docs/reference.py` writes them, and a test compares.

Settings come of the fields of the config models, the command line of the typer app, exit codes of the table of errors, columns of
the Arrow schemas, and the list of decisions of their first lines.
"""

from __future__ import annotations

import errno
import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import typer.main
from pydantic import BaseModel

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))  # as a script it would find another installation, or none
MADE = "made by python docs/reference.py, a test compares"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    names = list(head)
    lines = [names, ["---"] * len(names), *([cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def sentence(text: str) -> str:
    """A remedy as a sentence."""
    return f"{text[0].upper()}{text[1:]}."


# Settings: one section a model.

SECTIONS = (
    ("Tagging", "Keys at the top of the file of `textmill tag --config`, and of the table `[tag]` of a job.", "tag"),
    ("Cache", "Table `[cache]`, or `[tag.cache]` in a job. See [cache](cache.md).", "cache"),
    ("Storage", "Table `[store]`, or `[tag.store]` in a job. See [HDFS and S3](storage.md).", "store"),
    ("Nights", "Keys at the top of the file of `textmill nightly`, `watch` and `submit`. See [nightly](nightly.md).", "night"),
    ("Watching", "Table `[watch]` of a job.", "watch"),
    ("Submitting", "Table `[submit]` of a job.", "submit"),
)


def settings() -> str:
    """docs/settings.md."""
    from jobs.settings import settings_of
    from pipeline.cache.settings import CacheConfig
    from pipeline.config import TagConfig
    from pipeline.nightly.config import NightConfig, SubmitConfig, WatchConfig
    from pipeline.store.settings import StoreConfig

    models: dict[str, type[BaseModel]] = {
        "tag": TagConfig, "cache": CacheConfig, "store": StoreConfig, "night": NightConfig, "watch": WatchConfig,
        "submit": SubmitConfig,
    }  # fmt: skip
    parts = [
        "# Settings",
        f"<!-- {MADE} -->",
        "Settings come from a TOML file (`--config`), then from `--set KEY=VALUE`, then from options. The later one counts. A "
        "key that does not exist is an error that names it. `textmill init` writes a file with every key, what it means and its "
        "default, to begin with, and with `--nightly` a job; `conf/tag.toml` and `conf/nightly.toml` are shorter examples. "
        "`textmill config` shows the settings as a run would have them, and where each came from.",
    ]
    for title, about, key in SECTIONS:
        rows = [_row(one) for one in settings_of(models[key])]
        parts += [f"## {title}", about, table(("key", "type", "default", "what"), rows)]
    return "\n\n".join(parts) + "\n"


def _row(setting: Any) -> tuple[str, str, str, str]:
    from jobs.settings import kind_of, toml

    default = "" if setting.default is None else f"`{toml(setting.default)}`"
    kind = re.sub(r'"[^"]*"', r"`\g<0>`", kind_of(setting.field.annotation))
    return f"`{setting.key}`", kind, "required" if setting.field.is_required() else default, setting.field.description or ""


# The command line.


def command_line() -> str:
    """docs/command-line.md."""
    from jobs.cli import app

    verbs = [verb for name, one in typer.main.get_command(app).commands.items() for verb in _verbs(name, one)]  # type: ignore[attr-defined]
    parts = [
        "# Command line",
        f"<!-- {MADE} -->",
        "`textmill VERB --help` shows the same. `tag`, `report`, `nightly`, `submit`, `verify` and `bench` print their result as "
        "JSON on standard output. Notes and progress go to standard error. "
        "[Exit codes](exit-codes.md) mean the same for every verb.",
        table(("verb", "what it does"), ((_link(name), _first(one)) for name, one in verbs)),
    ]
    for name, one in verbs:
        parts += [f"## textmill {name}", *_about(one)]
    return "\n\n".join(parts) + "\n"


def _verbs(name: str, one: Any) -> Iterator[tuple[str, Any]]:
    if hasattr(one, "commands"):
        for inner, sub in one.commands.items():
            yield f"{name} {inner}", sub
    else:
        yield name, one


def _link(name: str) -> str:
    return f"[`{name}`](#textmill-{name.replace(' ', '-')})"


def _first(one: Any) -> str:
    return inspect.cleandoc(one.help).partition("\n\n")[0].replace("\n", " ")


def _about(one: Any) -> Iterator[str]:
    for paragraph in inspect.cleandoc(one.help).split("\n\n"):
        yield _as_code(paragraph.replace("\n", " "))
    shown = [param for param in one.params if not getattr(param, "hidden", False)]
    rows = [(_called(param), "required" if param.required else _default(param), _as_code(param.help or "")) for param in shown]
    if rows:
        yield table(("", "default", "what"), rows)


def _called(param: Any) -> str:
    name = param.opts[0] if param.param_type_name == "option" else (param.metavar or param.name.upper())
    return f"`{name} {param.metavar}`" if param.param_type_name == "option" and param.metavar else f"`{name}`"


def _default(param: Any) -> str:
    return "" if param.default in (None, False) else f"`{param.default}`"


def _as_code(text: str) -> str:
    """Words that Markdown would take for markup, or that are names of files, as code."""
    marked = ("*", "_", "/", "''", '"', "\\", "@", "<")
    words = []
    for word in text.split(" "):
        bare = word.rstrip(".,;:)")
        words.append(f"`{bare}`{word[len(bare) :]}" if any(one in bare for one in marked) else word)
    return " ".join(words)


# Exit codes, columns, formats, decisions: tables within pages.


def exit_codes() -> str:
    """Every error of the pipeline with its exit code and remedy."""
    from pipeline.errors import PipelineError
    from pipeline.exits import OTHERS, RAY, REMEDIES

    rows = [(str(kind.exit_code), f"`{kind.__name__}`", _doc(kind), sentence(remedy)) for kind, remedy in REMEDIES.items()
            if kind is not PipelineError]  # fmt: skip
    rows += [(str(one.code), f"`{kind.__name__}`", _doc(kind), sentence(one.remedy)) for kind, one in OTHERS.items()]
    rows += [(str(one.code), f"`ray.exceptions.{name}`", "What Ray raises.", sentence(one.remedy)) for name, one in RAY.items()]
    return table(("code", "error", "what it means", "remedy"), sorted(rows, key=lambda row: (int(row[0]), row[1])))


def _doc(kind: type[BaseException]) -> str:
    if kind.__module__ == "builtins":
        return {"MemoryError": "The memory is used up.", "KeyboardInterrupt": "Ctrl-C or SIGTERM."}.get(
            kind.__name__, "A package of an extra is not installed."
        )
    return inspect.cleandoc(kind.__doc__ or "").partition("\n")[0]


def system_errors() -> str:
    """The errors of the operating system that mean "try again"."""
    from pipeline.errors import FULL, TRANSIENT

    return ", ".join(f"`{errno.errorcode[one]}`" for one in sorted(TRANSIENT | FULL))


def tags_columns() -> str:
    """The columns of tags/."""
    from pipeline.contract import tags_schema

    return _schema(tags_schema((), keep_text=True))


def left_out_columns() -> str:
    """The columns of dead_letters/ and filtered/."""
    from pipeline.contract import LEFT_OUT

    return _schema(LEFT_OUT)


def reasons() -> str:
    """Why a document was left out."""
    from pipeline.contract import REASONS

    return table(("reason", "what it means"), ((f"`{name}`", text) for name, text in REASONS.items()))


# What a schema does not say of its own columns.
_COLUMNS = {
    "source": "where the document comes from, or null",
    "created_at": "the document's time, or null",
    "text": "the text; only with `--keep-text`",
}


def _schema(schema: pa.Schema) -> str:
    rows = []
    for field in schema:
        doc = (field.metadata or {}).get(b"doc", b"").decode() or _COLUMNS[field.name]
        rows.append((f"`{field.name}`", _arrow(field.type), doc))
    return table(("column", "type", "what"), rows)


def _arrow(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"list of {_arrow(kind.value_type)}"
    if pa.types.is_struct(kind):
        return "{" + ", ".join(f"{field.name}: {_arrow(field.type)}" for field in kind) + "}"
    return str(kind)


def formats() -> str:
    """The formats of input files, as in the README."""
    from pipeline.source.formats import formats_table

    return formats_table().rstrip()


def decisions() -> str:
    """The list of decisions."""
    pages = sorted((DOCS / "decisions").glob("0*.md"))
    titles = {page: page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ") for page in pages}
    return "\n".join(f"- [{page.name[:4]}]({page.name}) {title}" for page, title in titles.items())


PAGES = {"settings.md": settings, "command-line.md": command_line}
# Page -> name of the mark -> what stands between its marks.
PARTS = {
    "exit-codes.md": {"errors": exit_codes, "system errors": system_errors},
    "input.md": {"formats": formats},
    "output.md": {"tags": tags_columns, "left out": left_out_columns, "reasons": reasons},
    "decisions/index.md": {"decisions": decisions},
}


def pages() -> dict[Path, str]:
    """All pages that are made, or hold a part that is, as they should be."""
    found = {DOCS / name: make() for name, make in PAGES.items()}
    for name, parts in PARTS.items():
        text = (DOCS / name).read_text(encoding="utf-8")
        for mark, make in parts.items():
            begin, end = f"<!-- {mark}: {MADE} -->", f"<!-- end of {mark} -->"
            before, _, rest = text.partition(begin)
            text = f"{before}{begin}\n\n{make()}\n\n{end}{rest.partition(end)[2]}"
        found[DOCS / name] = text
    return found


if __name__ == "__main__":
    for page, text in pages().items():
        page.write_text(text, encoding="utf-8")
