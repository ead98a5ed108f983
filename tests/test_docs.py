"""The documentation says what the code does: pages that the code makes, links, files, the Python API, the site itself."""

import re
import subprocess
import sys
from configparser import ConfigParser
from importlib import import_module
from importlib.util import find_spec
from urllib.parse import unquote

import pytest

from docs.reference import DOCS, pages
from tests.support import ROOT

LINK = re.compile(r"!?\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
OURS = r"^ *from ((?:models|pipeline|jobs)[\w.]*) import (\([^)]*\)|[\w, ]+)$"
TEXTS = (
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    *(f"docs/{page.relative_to(DOCS)}" for page in DOCS.rglob("*.md")),
)


def test_pages_that_the_code_makes_are_as_it_makes_them():
    for page, text in pages().items():
        assert page.read_text(encoding="utf-8") == text, f"{page.name}: run python docs/reference.py"


@pytest.mark.parametrize("text", TEXTS)
def test_links_lead_somewhere(text):
    for link in LINK.findall((ROOT / text).read_text(encoding="utf-8")):
        if "://" not in link:
            assert (ROOT / text).parent.joinpath(unquote(link)).exists(), link


def test_the_readme_is_short_and_its_pictures_are_light():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 150
    for picture in (DOCS / "images").iterdir():
        assert picture.stat().st_size < 250_000, picture
        assert b"cdnjs" not in picture.read_bytes(), f"{picture} loads from another server"


def test_files_that_the_architecture_names_are_there():
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:jobs|models|pipeline|tests|docs)/[\w./]+|textmill_\w+\.py)`", text)
    assert len(named) > 80
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_python_page_and_the_packages_name_the_same():
    text = (DOCS / "python.md").read_text(encoding="utf-8")
    import models

    documented = set(re.findall(r"`models\.(\w+)(?:\(|`)", text)) - {"errors"}
    assert documented == set(models.__all__)
    for path in re.findall(r"`((?:pipeline|models)\.[\w.]+)(?:\(|`)", text):
        where, _, name = path.rpartition(".")
        assert hasattr(import_module(where), name) or import_module(path), path


@pytest.mark.parametrize("text", [*TEXTS, *(f"docs/{path.relative_to(DOCS)}" for path in sorted(DOCS.rglob("*.py")))])
def test_what_pages_and_scripts_import_is_there(text):
    """Of a page the examples, of a script all that it takes from us: measuring takes too long to be tested."""
    found = re.findall(OURS, (ROOT / text).read_text(encoding="utf-8"), re.MULTILINE)
    for where, names in found:
        for name in re.findall(r"(\w+)(?: as \w+)?", re.sub(r"#.*", "", names.strip("()"))):
            assert hasattr(import_module(where), name) or find_spec(f"{where}.{name}"), f"{where}.{name}"


def test_packages_ship_that_they_are_typed():
    config = ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    for package in ("jobs", "models", "pipeline"):
        assert (ROOT / package / "py.typed").is_file()
        assert "py.typed" in config["options.package_data"][package]
    assert f"version: {config['metadata']['version']}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_the_site_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path):
    pytest.importorskip("material")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for page in (tmp_path / "site").rglob("*.html"):
        html = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe)[^>]* src=\"(https?:[^\"]+)|<link[^>]*stylesheet[^>]*(https?:[^\"]+)", html)
        assert not loaded, (page, loaded)
    assert (tmp_path / "site" / "cards" / "en" / "front.png").is_file()
