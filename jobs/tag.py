"""textmill tag INPUT... OUTPUT"""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer


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
    text_column: Annotated[
        str | None,
        typer.Option(help="Column of the text. Default: text. a.b is b within a. title,body joins two columns."),
    ] = None,
    text_separator: Annotated[
        str | None, typer.Option(help="Text between joined columns, or between the strings of a list. Default: a line break.")
    ] = None,
    id_column: Annotated[
        str | None,
        typer.Option(help="Column of the id. Default: id. Documents without an id get path@position; with '' all of them do."),
    ] = None,
    time_column: Annotated[
        str | None,
        typer.Option(
            help="Column of the time. Default: the first of created_at, timestamp, date, time, created_utc. '' is none."
        ),
    ] = None,
    time_format: Annotated[
        str | None,
        typer.Option(help="A strptime format, or s, ms, us, ns since 1970. Default: every form that has only one reading."),
    ] = None,
    time_from: Annotated[
        str | None, typer.Option(help="Where the time is: column (default), folder (dt=2026-11-20) or name (of the file).")
    ] = None,
    source_column: Annotated[str | None, typer.Option(help="Column of the source. Default: source.")] = None,
    keep: Annotated[list[str] | None, typer.Option(help="Copy this column to the output, as strings. May be repeated.")] = None,
    keep_text: Annotated[bool | None, typer.Option("--keep-text", help="Write the text beside its tags.")] = None,
    documents: Annotated[str | None, typer.Option(help="What one document of a .txt file is: line (default) or file.")] = None,
    encoding: Annotated[
        str | None,
        typer.Option(help="Encoding of text files, such as gb18030. Default: auto, detected for each file."),
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="Delimiter of CSV and TSV, one character. Default: auto, detected from the header.")
    ] = None,
    quote: Annotated[str | None, typer.Option(help="Quote character of CSV; '' is none. Default: \".")] = None,
    escape: Annotated[
        str | None,
        typer.Option(help="Escape character before quotes in CSV; '' is none. Default: auto, detected from the first records."),
    ] = None,
    column_names: Annotated[
        str | None, typer.Option("--columns", metavar="A,B,C", help="Column names of CSV and TSV files without a header.")
    ] = None,
    null: Annotated[str | None, typer.Option(help="Field of CSV or TSV that stands for no value. Default: \\N.")] = None,
    json_path: Annotated[
        str | None, typer.Option(help="Where the records are within each JSON document, for example data.items.")
    ] = None,
    format: Annotated[
        str | None, typer.Option(help="Format of files and pipes without a known suffix: jsonl, csv, tsv, text, ...")
    ] = None,
    clean: Annotated[
        str | None, typer.Option(help="html removes tags and entities before the model reads the text. Default: no.")
    ] = None,
    languages: Annotated[
        str | None, typer.Option(help="known (default) filters texts in a language that no model reads. all tags them too.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="en (default), en-fast, zh, auto (each text by the model of its language), or a folder.")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="Engine that runs the model: auto (default), openvino or torch.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Number of Ray workers. Default: 0, this process; with --address all CPUs of the cluster.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster to run on: auto (the one that runs on this machine) or HOST:PORT.")
    ] = None,
    servers: Annotated[
        int | None,
        typer.Option(
            help="Number of engine servers. They run the model for all workers. Default: one for each GPU of the cluster."
        ),
    ] = None,
    no_workers_s: Annotated[
        float | None,
        typer.Option(help="End with exit code 3 when no Ray worker has been alive for so many seconds. Default: 600."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads of each worker. Default: all CPUs, shared by the workers; 1 with --address.")
    ] = None,
    priority: Annotated[
        float | None,
        typer.Option(help="A split of priority 1 overtakes those that have waited up to half an hour longer. Default: 0."),
    ] = None,
    look_s: Annotated[
        float | None, typer.Option(help="Seconds between looks for new files during the run. Default: 60. 0 never looks.")
    ] = None,
    split_tokens: Annotated[
        int | None, typer.Option(help="Predicted tokens of one part of the output. Default: 1000000.")
    ] = None,
    dead_letter_share: Annotated[
        float | None,
        typer.Option(help="Stop with exit code 4 when the share of dead letters is above this (default 0.1) ..."),
    ] = None,
    dead_letter_count: Annotated[int | None, typer.Option(help="... and their number is above this (default 100).")] = None,
    failed_files_share: Annotated[
        float | None, typer.Option(help="Fail with exit code 4 when more than this share of the files is damaged. Default: 0.")
    ] = None,
    retag_files: Annotated[
        list[str] | None,
        typer.Option(
            "--retag-files", metavar="GLOB", help="Tag the files again whose path below the input matches. May be repeated."
        ),
    ] = None,
    retry_dead_letters: Annotated[
        bool | None, typer.Option("--retry-dead-letters", help="Tag the files again that have dead letters.")
    ] = None,
    retag: Annotated[
        bool | None,
        typer.Option(
            "--retag", help="Tag everything again, as another model needs. The old tags stay until all new ones are there."
        ),
    ] = None,
) -> None:
    """Tag documents into Parquet.

    The same command goes on where an earlier run stopped. It tags new files and skips those that are done. A document that
    cannot be read or tagged becomes a dead letter with its file, position and reason. SIGUSR1 makes a run print which stage
    limits it. Exit codes: 0 done, 2 wrong settings, 3 try again later, 4 do not try again, 130 stopped.
    """
    given = dict(locals())
    from pipeline.config import load_config
    from pipeline.errors import ConfigError
    from pipeline.observe.safe_stderr import safe_stderr
    from pipeline.run.run import tag_documents

    safe_stderr()
    flags: dict[str, Any] = {
        key: value for key, value in given.items() if value is not None and key not in ("paths", "config", "sets")
    }
    if column_names is not None:
        flags["column_names"] = column_names.split(",")
    if paths:
        if len(paths) < 2:
            raise ConfigError(f"{paths[0]}: name the input, and behind it the folder for the output")
        flags |= {"sources": paths[:-1], "output": paths[-1]}
    # What libraries print (Ray tells of dead workers so) must not get into the result.
    with redirect_stdout(sys.stderr):
        result = tag_documents(load_config(config, sets or (), flags))
    print(json.dumps(asdict(result), indent=1))
