"""The file that `textmill init` writes: whole, told in the models' words, and no line of it is a trap."""

import re

import pytest
from pydantic import BaseModel, Field

from jobs.cli import main
from jobs.job_file import job_file
from jobs.settings import Setting, kind_of, settings_of, tables_of, toml
from pipeline.config import TagConfig, load_config
from pipeline.errors import ConfigError
from pipeline.nightly.config import NightConfig, load_night
from pipeline.source.discover import discover
from pipeline.store.settings import TOKEN_ENV
from tests.support import ROOT

MODELS = {"tag": (TagConfig, load_config), "nightly": (NightConfig, load_night)}
TABLE, KEY, COMMENTED = re.compile(r"\[([\w.]+)\]"), re.compile(r"(\w+) = "), re.compile(r"#(\w+) = ")


def init(*arguments, code=0):
    with pytest.raises(SystemExit) as stopped:
        main(["init", *map(str, arguments)])
    assert stopped.value.code == code


@pytest.fixture(params=MODELS)
def written(request, tmp_path, monkeypatch, capsys):
    """The file, its model and its loader."""
    monkeypatch.delenv(TOKEN_ENV, raising=False)
    init(tmp_path / "job.toml", *(["--nightly"] if request.param == "nightly" else []))
    said = capsys.readouterr().out
    assert ("textmill nightly" if request.param == "nightly" else "textmill tag --config") in said
    return tmp_path / "job.toml", *MODELS[request.param]


def all_settings(model):
    return {one.key: one for path, table in tables_of(model) for one in settings_of(table, path)}


def commented(text):
    """Line number, from 0, and key of each setting that can be uncommented."""
    table = ""
    for number, line in enumerate(text.splitlines()):
        if found := TABLE.fullmatch(line):
            table = f"{found[1]}."
        elif found := COMMENTED.match(line):
            yield number, table + found[1]


def default_of(model):
    tag = TagConfig(sources=("examples/documents",), output="out/documents")
    return tag if model is TagConfig else NightConfig(tag=tag)


def flat(config, path=()):
    """Key -> value of all settings."""
    found = {}
    for name in type(config).model_fields:
        value = getattr(config, name)
        found |= flat(value, (*path, name)) if isinstance(value, BaseModel) else {".".join((*path, name)): value}
    return found


def test_as_it_is_the_file_gives_every_setting_its_default(written):
    path, model, load = written
    assert load(path) == default_of(model)


def test_its_example_is_there(written):
    path, model, load = written
    config = load(path)
    sources = (config if model is TagConfig else config.tag).sources
    assert [len(discover([str(ROOT / source)]).files) for source in sources] == [2]


def test_any_line_uncommented_changes_nothing_or_only_its_own_setting(written):
    path, model, load = written
    lines, known, usual = path.read_text().splitlines(), all_settings(model), flat(default_of(model))
    seen = []
    for number, key in commented(path.read_text()):
        changed = [*lines]
        changed[number] = changed[number].removeprefix("#")
        path.write_text("\n".join(changed))
        found = flat(load(path))
        if known[key].default is None:
            assert {other for other in usual if found[other] != usual[other]} == {key}, "an example differs from no value"
        else:
            assert found == usual, key
        seen.append(key)
    assert len(seen) == len(set(seen)) > 40


def test_all_defaults_uncommented_at_once_are_the_defaults(written):
    path, model, load = written
    lines, known = path.read_text().splitlines(), all_settings(model)
    for number, key in commented(path.read_text()):
        if known[key].default is not None:
            lines[number] = lines[number].removeprefix("#")
    path.write_text("\n".join(lines))
    assert load(path) == default_of(model)


def test_every_setting_is_told_in_the_words_of_its_model(written):
    path, model, _ = written
    text = path.read_text()
    in_lines = {key for _, key in commented(text)}
    words = re.sub(r"\n# ", " ", text)
    for key, setting in all_settings(model).items():
        assert setting.field.description in words, key
        if key not in in_lines and not setting.field.is_required():
            assert f"# {setting.path[-1]}, of type " in text, key
            assert setting.default is None
    assert max(map(len, text.splitlines())) <= 130


def test_what_must_be_given_stands_first_and_nothing_else_is_given(written):
    path, model, _ = written
    text = path.read_text()
    assert [found[1] for line in text.splitlines() if (found := KEY.match(line))] == ["sources", "output"]
    before = text.partition("sources = ")[0].rpartition("[tag]" if model is NightConfig else "\n\n")[2]
    assert not COMMENTED.search(before)


def test_a_token_of_the_environment_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setenv(TOKEN_ENV, "s3cr3t-token")
    init(tmp_path / "job.toml")
    assert "s3cr3t" not in (tmp_path / "job.toml").read_text()


def test_a_file_that_exists_stays_unless_forced(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "textmill.toml").write_text("mine")
    init(code=2)
    assert "textmill.toml: exists already" in capsys.readouterr().err
    assert (tmp_path / "textmill.toml").read_text() == "mine"
    init("--force")
    assert load_config(tmp_path / "textmill.toml") == default_of(TagConfig)


@pytest.mark.parametrize(("name", "options", "why"), [("no/job.toml", (), "no folder no"), (".", ("--force",), "is a folder")])
def test_a_file_that_cannot_be_is_refused(tmp_path, monkeypatch, capsys, name, options, why):
    monkeypatch.chdir(tmp_path)
    init(name, *options, code=2)
    assert why in capsys.readouterr().err


def test_a_mistake_in_an_uncommented_line_is_told_with_its_key(tmp_path):
    path = tmp_path / "job.toml"
    init(path)
    path.write_text(path.read_text().replace("#min_score = 0.4", "min_score = 4"))
    with pytest.raises(ConfigError, match="min_score"):
        load_config(path)


def test_a_required_setting_without_an_example_is_a_mistake_of_ours():
    class Poor(BaseModel):
        needed: str = Field(description="what is needed")

    with pytest.raises(ValueError, match="needed: must be given"):
        job_file(Poor)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (0.4, "0.4"),
        ('a"b\\\n\x7fé', '"a\\"b\\\\\\n\\u007fé"'),
        ((("a", 1),), '[["a", 1]]'),
        ({}, "{}"),
        ({"a-b": 1.0, "*x*": "y"}, '{ a-b = 1.0, "*x*" = "y" }'),
    ],
)
def test_values_are_toml(value, text):
    assert toml(value) == text


def test_types_are_in_the_words_of_toml():
    kinds = {name: kind_of(Setting((name,), field).field.annotation) for name, field in TagConfig.model_fields.items()}
    assert (kinds["sources"], kinds["threads"], kinds["only"], kinds["priorities"]) == (
        "array of strings", "integer", "array", "table",
    )  # fmt: skip
    assert kinds["clean"] == '"no" or "html"'
