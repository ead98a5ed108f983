"""The page on which questions are asked, in a real browser: in both languages, on a phone, by keyboard, hostile documents."""

import time

import pytest

from models.runtime.labels import LabelSet
from pipeline.ask.index import build_index
from pipeline.store.local import LocalStore
from tests.browser.webdriver import MISSING, browser
from tests.support.asking import DOCUMENTS, make_index, serving
from tests.support.report_data import document, write_output

pytestmark = pytest.mark.skipif(
    MISSING is not None, reason=f"{MISSING} is not installed: apt-get install chromium chromium-driver"
)
TAB, ENTER, ESCAPE = "\ue004", "\ue007", "\ue00c"
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> Mallory Stone runs the company Evil & Sons."
TEXT = "return (document.querySelector(arguments[0]) || {}).textContent"
SOON_S = 20


@pytest.fixture(scope="module")
def tab():
    with browser() as made:
        yield made


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    answers = make_index(tmp_path_factory.mktemp("world"), [*DOCUMENTS, ("h1", HOSTILE, "<b>forum</b>", "en")])
    with serving(answers, threads=1) as port:
        yield f"http://127.0.0.1:{port}/"


def opened(tab, url):
    tab.open(url)
    seen(tab, "select[name=source] option:nth-child(2)")


def seen(tab, selector):
    """The text of what is there soon."""
    until = time.monotonic() + SOON_S
    while (text := tab.run(TEXT, selector)) is None:
        assert time.monotonic() < until, f"no {selector}: {tab.run('return document.body.innerText')}"
        time.sleep(0.05)
    return text


def asked(tab, question):
    tab.run("document.getElementById('result').replaceChildren(); document.getElementById('question').value = ''")
    tab.type("#question", question + ENTER)


def test_a_question_is_answered_in_its_sentence_with_its_place(tab, url):
    opened(tab, url)
    asked(tab, "How many jobs did Volta Energy cut?")
    assert seen(tab, "#best .answer").startswith("300")
    assert seen(tab, "#best mark") == "300"
    assert seen(tab, "#best .passage").startswith("Volta Energy cut 300 jobs at its plant")
    place = seen(tab, "#best .place")
    assert "news" in place
    assert "2026" in place
    assert tab.log() == []


def test_nothing_answers_and_then_the_nearest_passages_are_shown(tab, url):
    opened(tab, url)
    asked(tab, "Which planet is the harbour of Cork on?")
    assert "Nothing here answers" in seen(tab, "#none")
    assert "harbour of Cork" in seen(tab, "#passages article .passage")


def test_a_question_that_counts_is_a_table_with_its_sql(tab, url):
    opened(tab, url)
    asked(tab, "Which people are mentioned most?")
    assert "Anna Berg" in seen(tab, "#table tbody")
    assert "select" in seen(tab, "#table pre")


def test_filters_come_from_the_tags_and_hold(tab, url):
    opened(tab, url)
    sources = tab.run("return [...document.querySelectorAll('select[name=source] option')].map(one => one.value)")
    assert sources[:2] == ["", "news"]
    assert "PER:anna berg" in tab.run("return [...document.querySelectorAll('#entities option')].map(one => one.value)")
    tab.run(
        "document.querySelector('details.filters').open = true; document.querySelector('select[name=source]').value = 'forum'"
    )
    asked(tab, "How many jobs did Volta Energy cut, and when did the tram open?")
    seen(tab, "#passages article, #best")
    places = tab.run("return [...document.querySelectorAll('.place')].map(one => one.textContent)")
    assert places
    assert all("forum" in place for place in places)


def test_classes_of_an_own_model_are_filtered_by_and_called_as_they_are(tab, tmp_path):
    texts = {"complaint": "The harbour of Cork was closed.", "praise": "The new tram in Porto is lovely."}
    rows = [document(kind, "2026-11-01T08:00:00", (), kind, text=text, classes=(*texts,)) for kind, text in texts.items()]
    write_output(tmp_path / "out", [rows], labels=LabelSet(("PRODUCT",), (*texts,)))
    build_index(LocalStore(tmp_path / "out"), tmp_path / "answers", embedder=None)
    with serving(tmp_path / "answers", threads=1) as port:
        opened(tab, f"http://127.0.0.1:{port}/")
        kinds = tab.run("return [...document.querySelectorAll('select[name=sentiment] option')].map(one => one.value)")
        assert sorted(kinds) == ["", *texts]
        tab.run("document.querySelector('select[name=sentiment]').value = 'praise'")
        asked(tab, "Which planet is the tram on?")
        assert "praise" in seen(tab, "#passages article .place, #best .place")
        assert tab.log() == []


def test_what_documents_hold_is_text_and_never_run(tab, url):
    opened(tab, url)
    asked(tab, "Who runs the company Evil & Sons?")
    assert seen(tab, "#best .answer").startswith("Mallory Stone")
    assert "<script>alert(1)</script>" in seen(tab, "#best .passage")
    assert tab.run("return document.querySelectorAll('#result img, #result script, #result b').length") == 0
    assert tab.log() == []


def test_it_speaks_chinese_and_remembers_it(tab, url):
    opened(tab, url)
    tab.click("#language")
    assert seen(tab, "#submit") == "提问"
    opened(tab, url)
    assert seen(tab, "#submit") == "提问"
    asked(tab, "Which planet has the most moons?")
    assert "没有回答" in seen(tab, "#none")
    tab.click("#language")
    assert "Nothing here" in seen(tab, "#none")


def test_by_keyboard_alone(tab, url):
    opened(tab, url)
    tab.run("document.getElementById('question').blur()")
    tab.press("/")
    assert tab.run("return document.activeElement.id") == "question"
    tab.press(*"Who leads the central bank?", ENTER)
    assert seen(tab, "#best .answer").startswith("Anna Berg")
    tab.press(ESCAPE)
    assert tab.run("return document.getElementById('question').value") == ""


def test_on_a_phone_nothing_is_cut_off(tab, url):
    tab.phone(360, 740)
    try:
        opened(tab, url)
        asked(tab, "Who bought Halden Motors?")
        seen(tab, "#best")
        assert tab.run("return document.documentElement.scrollWidth <= window.innerWidth")
        assert tab.run("return document.getElementById('submit').getBoundingClientRect().right <= window.innerWidth")
    finally:
        tab.command("Emulation.clearDeviceMetricsOverride", {})


def test_a_service_with_tokens_asks_for_one(tab, tmp_path):
    file = tmp_path / "tokens"
    file.write_text("anna abcdefghijklmnop\n")
    with serving(make_index(tmp_path), threads=1, tokens=file) as port:
        tab.open(f"http://127.0.0.1:{port}/")
        until = time.monotonic() + SOON_S
        while tab.run("return document.getElementById('login').hidden"):
            assert time.monotonic() < until
            time.sleep(0.05)
        tab.type("#token", "abcdefghijklmnop" + ENTER)
        seen(tab, "select[name=source] option:nth-child(2)")
        asked(tab, "Who leads the central bank?")
        assert seen(tab, "#best .answer").startswith("Anna Berg")
    tab.log()
