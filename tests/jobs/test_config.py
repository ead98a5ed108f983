"""`textmill config`: the settings that a run would have, each with its origin, and no secret among them."""

import json
import sys

import pytest
from pydantic import SecretStr

from jobs.cli import main
from jobs.masking import MASK, masked
from jobs.origins import VARIABLES, lines_of
from pipeline.store.settings import TOKEN_ENV

FILE = """\
# a comment
sources = [
    "data/a",  # one
    "data/b",
]
output = "out"
id_column = "id"
text_column = "text"

[cache]
local_mb = 8
[store]
retry_s = 5
"""
DEFAULT = {"value": "auto", "from": "default"}


@pytest.fixture(autouse=True)
def nothing_in_the_environment(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in sum(VARIABLES.values(), ()):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def said(capsys):
    """What the verb prints on standard output and standard error."""

    def run(*arguments, code=0):
        with pytest.raises(SystemExit) as stopped:
            main(["config", *arguments])
        printed = capsys.readouterr()
        assert stopped.value.code == code, printed.err
        return printed

    return run


@pytest.fixture
def settings(said):
    return lambda *arguments: json.loads(said(*arguments).out)


@pytest.fixture
def file(tmp_path):
    (tmp_path / "my.toml").write_text(FILE)
    return "my.toml"


def test_each_setting_has_its_origin(settings, file):
    found = settings("--config", file, "--set", "cache.ttl_s=60", "--set", "output=elsewhere")
    assert found["sources"] == {"value": ["data/a", "data/b"], "from": "file", "file": file, "line": 2}
    assert found["output"] == {"value": "elsewhere", "from": "--set"}
    assert found["id_column"] == {"value": "id", "from": "file", "file": file, "line": 7}
    assert found["cache.local_mb"] == {"value": 8.0, "from": "file", "file": file, "line": 11}
    assert found["cache.ttl_s"] == {"value": 60, "from": "--set"}
    assert found["store.retry_s"] == {"value": 5.0, "from": "file", "file": file, "line": 13}
    assert found["engine"] == DEFAULT
    assert found["time_column"] == {"value": None, "from": "default"}


def test_without_a_file_all_is_default_and_what_must_be_given_is_not_given(settings):
    found = settings()
    assert found.pop("sources") == found.pop("output") == {"value": None, "from": "not given"}
    assert {one["from"] for one in found.values()} == {"default"}
    assert settings("--changed") == {}


def test_a_table_that_is_set_whole_takes_the_place_of_the_files(settings, file):
    found = settings("--config", file, "--set", "cache={ttl_s=60}")
    assert found["cache.local_mb"] == {"value": 32.0, "from": "default"}
    assert found["cache.ttl_s"] == {"value": 60, "from": "--set"}


def test_a_table_of_the_file_to_which_a_key_is_set_has_both_origins(settings, tmp_path):
    (tmp_path / "my.toml").write_text('[priorities]\n"*a*" = 1.0\n')
    found = settings("--config", "my.toml", "--set", "priorities.*b*=2.0")["priorities"]
    assert found == {"value": {"*a*": 1.0, "*b*": 2.0}, "from": "--set", "file": "my.toml", "line": 1}


def test_changed_shows_what_differs_from_the_default(settings, file):
    found = settings("--config", file, "--changed", "--set", "engine=auto", "--set", "workers=2")
    assert {*found} == {"sources", "output", "id_column", "workers", "cache.local_mb", "store.retry_s"}


def test_variables_of_the_environment_are_named(settings, monkeypatch, tmp_path):
    monkeypatch.setenv("HADOOP_USER_NAME", "ann")
    monkeypatch.setenv("HADOOP_HOME", "/opt/hadoop")
    monkeypatch.setenv(TOKEN_ENV, "s3cr3t")
    found = settings("--changed")
    assert found == {
        "store.user": {"value": "ann", "from": "environment", "variable": "HADOOP_USER_NAME"},
        "store.hadoop_conf": {"value": "/opt/hadoop/etc/hadoop", "from": "environment", "variable": "HADOOP_HOME"},
        "store.token": {"value": MASK, "from": "environment", "variable": TOKEN_ENV},
    }
    (tmp_path / "my.toml").write_text('[store]\nuser = "bob"\n')
    assert settings("--config", "my.toml")["store.user"] == {"value": "bob", "from": "file", "file": "my.toml", "line": 2}


NIGHT = """\
since = 2026-11-01
metrics_url = "http://robot:pass/word@gateway:9091"
[tag]
sources = ["s3://bucket/a"]
output = "out"
store.token = "s3cr3t"
[tag.cache]
ttl_s = 5
[watch]
redis = "redis://:s3cr3t@host:6379/0?password=s3cr3t"
[submit.env]
API_TOKEN = "s3cr3t"
LANG = "C"
"""


def test_a_job_of_nights_with_its_secrets_masked(said, tmp_path, monkeypatch):
    (tmp_path / "job.toml").write_text(NIGHT)
    printed = said("--nightly", "--config", "job.toml", "--changed").out
    assert "s3cr3t" not in printed
    found = {key: (one["value"], one["from"], one["line"]) for key, one in json.loads(printed).items()}
    assert found == {
        "tag.sources": (["s3://bucket/a"], "file", 4),
        "tag.output": ("out", "file", 5),
        "tag.store.token": (MASK, "file", 6),
        "tag.cache.ttl_s": (5, "file", 8),
        "since": ("2026-11-01", "file", 1),
        "metrics_url": (f"http://{MASK}@gateway:9091", "file", 2),
        "watch.redis": (f"redis://{MASK}@host:6379/0?password={MASK}", "file", 10),
        "submit.env": ({"API_TOKEN": MASK, "LANG": "C"}, "file", 11),
    }
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    assert "s3cr3t" not in said("--nightly", "--config", "job.toml").out


def test_a_terminal_gets_a_table(said, file, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    rows = said("--config", file, "--set", "model=[red]zh", "--set", "cache.ttl_s=5").out.splitlines()
    cells = {line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")[2:4]] for line in rows if "│" in line}
    assert cells["sources"] == ['["data/a", "data/b"]', "my.toml:2"]
    assert cells["model"] == ['"[red]zh"', "--set"]
    assert cells["engine"] == ['"auto"', "default"]
    assert cells["null"] == ['"\\\\N"', "default"]
    assert "every setting has its default" in said("--changed").out
    assert json.loads(said("--json", "--changed", "--set", "workers=2").out) == {"workers": {"value": 2, "from": "--set"}}


@pytest.mark.parametrize(
    ("text", "arguments", "why"),
    [
        ("sourcez = 1", (), "my.toml: sourcez: Extra inputs are not permitted"),
        ("a = ", (), "my.toml: not TOML"),
        (FILE, ("--set", "min_score=4"), "min_score: Input should be less than or equal to 1"),
        (FILE, ("--set", "x"), "write --set key=value"),
        (FILE, ("--nightly",), "my.toml: tag: write a table [tag]"),
        (FILE, ("--nightly", "--set", "zone=UTC"), "textmill nightly takes no --set"),
        ('[cache]\nredis_url = "redis://:s3cr3t@host"', (), "not in the address"),
    ],
)
def test_mistakes_are_told_by_the_loader(said, tmp_path, text, arguments, why):
    (tmp_path / "my.toml").write_text(text)
    printed = said("--config", "my.toml", *arguments, code=2)
    assert why in printed.err
    assert "s3cr3t" not in printed.err
    assert printed.out == ""


@pytest.mark.parametrize(("arguments", "why"), [(("--nightly",), "needs the file"), (("--config", "."), "no such file")])
def test_a_file_that_is_not_there_is_told(said, arguments, why):
    assert why in said(*arguments, code=2).err


def test_lines_of_every_form_of_toml():
    text = '''
"quoted key" = 1
a.b.c = 2
inline = { x = 1, "y" = [1, 2] }
many = [
  [1,
   2],
  # ] no end
  [3], ]
text = """
[no.table]
no_key = 1
"""

[ table . "sub" ]  # told
key = "]"
[[rows]]
id = 1
'''
    assert lines_of(text) == lines_of(text.replace("\n", "\r\n")) == {
        ("quoted key",): 2,
        ("a",): 3, ("a", "b"): 3, ("a", "b", "c"): 3,
        ("inline",): 4, ("inline", "x"): 4, ("inline", "y"): 4,
        ("many",): 5,
        ("text",): 10,
        ("table",): 15, ("table", "sub"): 15, ("table", "sub", "key"): 16,
        ("rows",): 17, ("rows", "id"): 18,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("redis://:p@ss@host:6379/0", f"redis://{MASK}@host:6379/0"),
        ("redis://:pa/ss@host/0", f"redis://{MASK}@host/0"),
        ("https://token@host/a@b", f"https://{MASK}@host/a@b"),
        ("hdfs://host:8020/data/a@b", "hdfs://host:8020/data/a@b"),
        ("https://host/x?a=1&access_token=abc&b=2", f"https://host/x?a=1&access_token={MASK}&b=2"),
        (("data/?.jsonl", "s3://u:p@host/x"), ["data/?.jsonl", f"s3://{MASK}@host/x"]),
        ({"AWS_SECRET_ACCESS_KEY": "abc", "LANG": "C"}, {"AWS_SECRET_ACCESS_KEY": MASK, "LANG": "C"}),
        ({"*keynote*": 2.0}, {"*keynote*": 2.0}),
        (SecretStr("abc"), MASK),
        (None, None),
    ],
)
def test_secrets_are_masked_and_nothing_else(value, shown):
    assert masked(value) == shown
