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
            help="Files, folders or globs of JSON, CSV, TSV, text, Parquet, Arrow, ORC, Avro, zip or tar, text also packed "
            "(.gz, .zst, .bz2, .xz, .lz4, .snappy), or - for standard input; last the folder for tags/, dead_letters/, filtered/ "
            "and the plans; all of them also as hdfs:// or s3:// URLs. A --config may name them instead.",
            show_default=False,
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with the settings below, - written as _.")] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One setting; may be repeated.")] = None,
    text_column: Annotated[
        str | None,
        typer.Option(help="Column of the text (text); a.b is b within a; title,body are joined, as are lists of strings."),
    ] = None,
    text_separator: Annotated[str | None, typer.Option(help="What joins them; a line's end.")] = None,
    id_column: Annotated[
        str | None, typer.Option(help="Column of the id; id, where there is one. Where it is empty, or '': path@position.")
    ] = None,
    time_column: Annotated[
        str | None,
        typer.Option(help="Column of the time; the first of created_at, timestamp, date, time, created_utc."),
    ] = None,
    time_format: Annotated[
        str | None, typer.Option(help="How times are written (strptime; or s, ms, us, ns since 1970); any form with one reading.")
    ] = None,
    time_from: Annotated[
        str | None, typer.Option(help="What tells the time: column (default), folder (dt=2026-11-20) or name (of the file).")
    ] = None,
    source_column: Annotated[str | None, typer.Option(help="Column of the source; source.")] = None,
    keep: Annotated[list[str] | None, typer.Option(help="Carry this column through; may be repeated.")] = None,
    keep_text: Annotated[bool | None, typer.Option("--keep-text", help="Write the text beside its tags.")] = None,
    documents: Annotated[str | None, typer.Option(help="What a document of a .txt file is: line (default) or file.")] = None,
    encoding: Annotated[
        str | None,
        typer.Option(help="Of text files: auto, by each file's beginning, or a name such as gb18030; a mark goes first."),
    ] = None,
    delimiter: Annotated[str | None, typer.Option(help="Between the fields of CSV and TSV; auto, told by the header.")] = None,
    quote: Annotated[str | None, typer.Option(help='Round the fields of CSV; ".')] = None,
    escape: Annotated[
        str | None, typer.Option(help="Before quotes in the fields of CSV; auto, told by the first records.")
    ] = None,
    column_names: Annotated[
        str | None, typer.Option("--columns", metavar="A,B,C", help="Names of the columns of CSV and TSV without a header.")
    ] = None,
    null: Annotated[str | None, typer.Option(help="A field of CSV or TSV that is no value; \\\\N.")] = None,
    json_path: Annotated[str | None, typer.Option(help="Where in each JSON document the records are, as data.items.")] = None,
    format: Annotated[
        str | None, typer.Option(help="Of files and pipes whose names end in no known suffix: jsonl, csv, tsv, text, ...")
    ] = None,
    clean: Annotated[str | None, typer.Option(help="html: remove tags and entities before the model reads; no.")] = None,
    languages: Annotated[
        str | None, typer.Option(help="known: filter texts in a language that no model reads (default); all: tag them too.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="en (default), en-fast, zh, auto (by each text's language) or a folder.")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="auto (default), openvino or torch.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Ray actors; 0, if not given, is this process, or with --address all CPUs there.")
    ] = None,
    address: Annotated[str | None, typer.Option(help="A Ray cluster: auto, the one that runs here, or its address.")] = None,
    servers: Annotated[
        int | None, typer.Option(help="Actors that compute for all workers; if not given one for each GPU of the cluster.")
    ] = None,
    no_workers_s: Annotated[
        float | None,
        typer.Option(help="End (exit 3) when no Ray worker has been alive for so many seconds (600: an autoscaler has time)."),
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of each worker; all CPUs, shared, or 1 with --address.")] = None,
    priority: Annotated[
        float | None,
        typer.Option(help="1 goes before what has waited less than half an hour longer. See conf/tag.toml."),
    ] = None,
    look_s: Annotated[
        float | None, typer.Option(help="Seconds between looks for new files while the run lasts (60); 0: never.")
    ] = None,
    split_tokens: Annotated[int | None, typer.Option(help="Predicted tokens of a part; 1000000.")] = None,
    dead_letter_share: Annotated[float | None, typer.Option(help="Stop (exit 4) when more than this share (0.1) ...")] = None,
    dead_letter_count: Annotated[int | None, typer.Option(help="... and more than this many (100) are dead letters.")] = None,
    failed_files_share: Annotated[
        float | None, typer.Option(help="Fail (exit 4) when more than this share of the files could not be read whole (0).")
    ] = None,
    retag_files: Annotated[
        list[str] | None,
        typer.Option("--retag-files", metavar="GLOB", help="Tag files anew whose path below the input matches; may be repeated."),
    ] = None,
    retry_dead_letters: Annotated[
        bool | None, typer.Option("--retry-dead-letters", help="Tag the files anew of which there are dead letters.")
    ] = None,
    retag: Annotated[
        bool | None,
        typer.Option("--retag", help="Tag everything anew, as another model or changed files need; the old tags stay till then."),
    ] = None,
) -> None:
    """Tag documents into Parquet.

    What an earlier run into the same OUTPUT has tagged is not read again; what it began is finished. A document that cannot be
    read or tagged becomes a dead letter with file, position and reason. Exit codes: 0 done, 2 wrong settings, 3 try again
    later, 4 do not try again, 130 stopped. SIGUSR1 makes a run say which stage limits it.
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
