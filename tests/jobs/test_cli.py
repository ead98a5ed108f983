"""The command line: what people see, and what other tools read."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from pipeline.signals import handling_signals
from pipeline.sink.layout import CLAIM
from pipeline.store.claim import holder
from pipeline.store.local import LocalStore
from tests.support import ROOT

TEXTMILL = [sys.executable, "-c", "from jobs.cli import main; main()"]


def textmill(*args: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*TEXTMILL, *map(str, args)], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done


def test_help_of_every_verb():
    text = textmill("--help").stdout
    for verb in (
        "tag",
        "show",
        "report",
        "try",
        "models",
        "evaluate",
        "compress",
        "bench",
        "doctor",
        "nightly",
        "watch",
        "submit",
    ):
        assert verb in text
        assert "Usage" in textmill(verb, "--help").stdout


@pytest.mark.parametrize("locale", [{}, {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
def test_names_and_arguments_are_utf8_whatever_the_locale_is(tmp_path, locale):
    def ran(*args):
        env = {"PATH": os.defpath, "LC_ALL": "C", "PYTHONPATH": str(ROOT), **locale}
        done = subprocess.run([sys.executable, "-m", "jobs", *args], capture_output=True, check=False, cwd=tmp_path, env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode()

    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "上海.jsonl").write_text('{"text": "李雷昨天在上海见了韩梅梅。"}\n', encoding="utf-8")
    assert json.loads(ran("tag", "in", "out", "--model", "zh"))["rows_out"] == 1
    assert "韩梅梅" in ran("try", "李雷昨天在上海见了韩梅梅。")


def test_tag_then_show_then_duckdb(tmp_path):
    out = tmp_path / "out"
    done = textmill("tag", "examples/documents/posts.jsonl", out, "--id-column", "id", "--model", "en-fast")
    summary = json.loads(done.stdout)
    assert (summary["rows_out"], summary["dead_letters"]) == (330, 4)
    assert json.loads(Path(summary["manifest"]).read_text())["run"] == summary["run"]
    shown = textmill("show", out).stdout
    assert "out/tags" in shown.replace("\n", "")
    query = f"select count(*), count(distinct id), sum(len(entities)) from '{out}/tags/*.parquet'"
    rows, ids, entities = duckdb.sql(query).fetchall()[0]
    assert rows == ids == 330
    assert entities > 300
    named = f"select entity.text from (select unnest(entities) as entity from '{out}/tags/*.parquet') group by 1"
    assert len(duckdb.sql(named).fetchall()) > 20
    again = textmill("tag", "examples/documents/posts.jsonl", out, "--id-column", "id", "--model", "en-fast")
    assert json.loads(again.stdout)["status"] == "nothing to do"
    assert "--retag" in textmill("tag", "examples/documents/posts.jsonl", out, code=2).stderr


def test_words_of_documents_are_no_markup(tmp_path):
    source = tmp_path / "a.jsonl"
    source.write_text(json.dumps({"id": "[/r/news]", "text": "Angela Merkel visited Paris."}) + "\n")
    textmill("tag", source, tmp_path / "out", "--id-column", "id", "--model", "en-fast")
    assert "[/r/news]" in textmill("show", tmp_path / "out").stdout
    assert "Paris" in textmill("try", "In Paris \x1b[2J [/x] \udcff", "--words", "--model", "en-fast").stdout


def test_a_bench_without_texts_says_so_before_it_starts(tmp_path):
    (tmp_path / "month=2012-01").mkdir()
    done = textmill("bench", "fleet", tmp_path, code=2)
    assert "holds no *.jsonl" in done.stderr


def test_doctor(tmp_path):
    told = textmill("doctor", tmp_path / "out").stdout.replace("\n", "")
    assert "a rename overwrites nothing" in told
    assert "model en-fast: finds" in told
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("x")
    assert "wrong" in textmill("doctor", tmp_path / "file", code=2).stdout


def test_a_job_file_with_settings_over_it(tmp_path):
    job = tmp_path / "job.toml"
    job.write_text(f'sources = ["examples/documents/posts.jsonl"]\noutput = "{tmp_path}/out"\nmodel = "en"\nid_column = "id"\n')
    done = textmill(
        "tag",
        "--config",
        job,
        "--set",
        "split_tokens=2000",
        "--set",
        "keep=['kind']",
        "--set",
        "absent_columns=allow",
        "--model",
        "en-fast",
    )
    assert json.loads(done.stdout)["parts"] > 3
    notes = [json.loads(line)["text"] for line in done.stderr.splitlines()]
    assert notes[0].startswith("plan-000001: 1 files")
    assert "limits the run" in notes[-1]
    job.write_text("sources = 7\n")
    assert "sources" in textmill("tag", "--config", job, code=2).stderr


def test_try_and_models():
    assert "Paris" in textmill("try", "Angela Merkel visited Paris.", "--model", "en-fast").stdout
    assert "en-fast" in textmill("models").stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("tag", "absent.jsonl", "out-x"), "absent.jsonl"),
        (("tag", "examples", "examples/out"), "inside the input"),
        (("tag", "examples/documents/posts.jsonl", "out-x", "--model", "nobody"), "nobody"),
        (("tag", "examples/documents/posts.jsonl", "out-x", "--keep", "words"), "keep words"),
        (("tag", "examples/documents/posts.jsonl", "out-x", "--set", "modell=en"), "modell"),
        (("tag", "examples/documents/posts.jsonl", "out-x", "--workers", "-1"), "workers"),
        (("tag", "--config", "absent.toml"), "absent.toml"),
        (("tag", "examples/documents/posts.jsonl"), "folder for the output"),
        (("evaluate", "en-fast", "--data-dir", "absent"), "--data-dir"),
        (("compress", "absent.toml", "--data-dir", "x"), "no such recipe"),
    ],
)
def test_errors_say_what_to_do(args, message):
    error = textmill(*args, code=2).stderr
    assert message in error
    assert "Traceback" not in error
    assert not (ROOT / "out-x").exists()


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, 0), (signal.SIGTERM, 0), (signal.SIGINT, 1)])
def test_a_stopped_run_leaves_no_half_part(tmp_path, number, workers):
    source, out = tmp_path / "in.jsonl", tmp_path / "out"
    text = "Ms Keller flew from Oslo to Lyon. " * 8
    source.write_text("".join(json.dumps({"text": f"{text}{i}"}) + "\n" for i in range(60_000)))
    command = [*TEXTMILL, "tag", str(source), str(out), "--model", "en-fast", "--threads", "1", "--workers", str(workers)]
    command += ["--split-tokens", "10000000"]
    run = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert run.stderr is not None
    try:
        # Ray has its own lines there.
        assert any('"event": "progress"' in line for line in run.stderr)
        os.kill(run.pid, signal.SIGUSR1)
        assert any("limits the run" in line for line in run.stderr)
        began = time.monotonic()
        os.kill(run.pid, number)
        _, error = run.communicate(timeout=60)
    finally:
        run.kill()
    # Far less than a block takes: the batches of a block are looked at, too.
    assert time.monotonic() - began < 10
    assert run.returncode == 130, error
    assert "stopped" in error
    assert "Traceback" not in error
    assert not list((out / "tags").glob("*"))
    assert not list((out / "_staging").rglob("*.parquet"))
    assert json.loads(next((out / "_runs").glob("*[0-9a-f].json")).read_text())["status"] == "stopped"
    assert holder(LocalStore(out), CLAIM) is None


def test_a_signal_breaks_no_lock_and_a_second_one_ends_the_process():
    before = signal.getsignal(signal.SIGINT)
    with handling_signals() as stop:
        stop.check()
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            stop.check()
    assert signal.getsignal(signal.SIGINT) is before
    twice = """
import os, signal, time
from pipeline.signals import handling_signals
with handling_signals():
    os.kill(os.getpid(), signal.SIGTERM)
    print("goes on", flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)
"""
    done = subprocess.run([sys.executable, "-c", twice], capture_output=True, text=True, timeout=30, cwd=ROOT)
    assert (done.returncode, done.stdout) == (130, "goes on\n")


def test_an_output_without_a_name_is_no_folder():
    assert "output" in textmill("tag", "examples/documents/posts.jsonl", "", code=2).stderr
