"""textmill tag INPUT... OUTPUT."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from jobs.options import with_settings
from jobs.summaries import AsJson, show, tagged
from pipeline.config import TagConfig, load_config


@with_settings(
    TagConfig,
    skip=("sources", "output", "priorities", "absent_columns", "only", "cache", "store"),
    named={"column_names": ("--columns", "A,B,C"), "retag_files": ("--retag-files", "GLOB")},
    joined=("column_names",),
)
def tag(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT... OUTPUT",
            help="Input files, folders or globs, or - for standard input; then the output folder. All may be hdfs:// or s3:// "
            "URLs. Formats: JSON, CSV, TSV, text, WARC, Parquet, Arrow, ORC, Avro, zip, tar. Text may be compressed (.gz, .zst, "
            ".bz2, .xz, .lz4, .snappy). A --config file may name input and output instead.",
            show_default=False,
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file of settings. Its keys are these options, with _ for -.")] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set one key, also table.key. May be repeated.")
    ] = None,
    as_json: AsJson = False,
    **settings: Any,
) -> None:
    """Tag documents into Parquet.

    The same command goes on where an earlier run stopped. It tags new files and skips those that are done. A document that
    cannot be read or tagged becomes a dead letter with its file, position and reason. SIGUSR1 makes a run print which stage
    limits it. Exit codes: 0 done, 2 wrong settings, 3 try again later, 4 do not try again, 130 stopped.
    """
    from pipeline.errors import ConfigError
    from pipeline.observe.safe_stderr import safe_stderr
    from pipeline.run.run import tag_documents

    safe_stderr()
    flags = {key: value for key, value in settings.items() if value is not None}
    if "column_names" in flags:
        flags["column_names"] = flags["column_names"].split(",")
    if paths:
        if len(paths) < 2:
            raise ConfigError(f"{paths[0]}: name the input, and behind it the folder for the output")
        flags |= {"sources": paths[:-1], "output": paths[-1]}
    # What libraries print (Ray tells of dead workers so) must not get into the result.
    with redirect_stdout(sys.stderr):
        options = load_config(config, sets or (), flags)
        result = tag_documents(options)
    show(asdict(result), tagged(result, str(options.output)), as_json)
