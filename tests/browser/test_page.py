"""The page in a real browser: it works without a network, searches and sorts, and is fit for phones, keyboards and printers."""

from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest

from models.runtime.labels import LabelSet
from pipeline.report.build import make_report
from tests.browser.webdriver import MISSING, browser
from tests.support.report_data import document, hostile_output, made_up, write_output

pytestmark = pytest.mark.skipif(
    MISSING is not None, reason=f"{MISSING} is not installed: apt-get install chromium chromium-driver"
)
DAY = date(2026, 11, 22)
TAB, ENTER = "\ue004", "\ue007"
NAMES = "return [...document.querySelectorAll('#table tbody th')].map(cell => cell.textContent)"


@pytest.fixture(scope="module")
def tab():
    with browser() as made:
        yield made


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    tmp = tmp_path_factory.mktemp("pages")
    rising = [document(f"v{n}", "2026-11-22T08:00:00", [("Volta Energy", "ORG")], "negative") for n in range(20)]
    output = write_output(tmp / "out", [made_up(900, names=60) + rising])
    made = {lang: make_report(str(output), DAY, DAY, str(tmp / lang), lang) for lang in ("en", "zh")}
    made["hostile"] = make_report(str(hostile_output(tmp / "hostile_out")), DAY, DAY, str(tmp / "hostile"))
    labels = LabelSet(("PRODUCT", "constructor"), ("complaint", "praise"))
    own = [
        document(
            f"o{n}", "2026-11-22T08:00:00", [(f"Volta {n % 8}", labels.entities[n % 2])], labels.sentiments[n % 3 == 0],
            classes=labels.sentiments,
        )
        for n in range(90)
    ]  # fmt: skip
    own_output = write_output(tmp / "own_out", [own], labels=labels)
    made["own"] = make_report(str(own_output), DAY, DAY, str(tmp / "own"))
    return {name: Path(report.page) for name, report in made.items()}


def column(tab, number):
    return tab.run(
        "return [...document.querySelectorAll('#table tbody tr')].map(row => row.cells[arguments[0]].textContent)", number
    )


@pytest.mark.parametrize("name", ["en", "zh", "hostile", "own"])
def test_it_runs_with_no_error_no_request_and_no_script_of_a_document(tab, pages, name):
    tab.open(pages[name])
    assert tab.run("return document.documentElement.dataset.ready") == "yes"
    assert tab.log() == [], "an error, or something that the content policy refused"
    assert tab.run("return performance.getEntriesByType('resource').length") == 0
    assert tab.run("return document.querySelectorAll('img, iframe, script[src], link[rel=stylesheet]').length") == 0
    assert tab.run("return document.scripts.length") == 2
    if name == "hostile":
        assert any(cell.startswith("<script>alert(1)</script>") for cell in tab.run(NAMES))


def test_search_finds_by_typing_and_the_type_narrows_it(tab, pages):
    tab.open(pages["en"])
    every = tab.run("return JSON.parse(document.getElementById('data').textContent).rows.length")
    assert len(tab.run(NAMES)) == 50 < every
    assert tab.run("return document.getElementById('found').textContent") == f"50 of {every}"
    tab.type("#search", "VOLTA")
    assert tab.run(NAMES) == ["Volta Energy"]
    assert tab.run("return document.getElementById('found').textContent") == "1 of 1"
    tab.run("const s = document.getElementById('search'); s.value = ''; s.dispatchEvent(new Event('input'))")
    tab.click("#kind option[value=ORG]")
    assert tab.run(NAMES) == ["Volta Energy"]
    tab.click("#kind option[value=LOC]")
    assert tab.run(NAMES)
    assert all(name.lower().startswith("town") for name in tab.run(NAMES))


def test_own_classes_stand_in_place_of_sentiment_and_own_types_narrow_the_search(tab, pages):
    tab.open(pages["own"])
    assert tab.run("return [...document.querySelectorAll('#classes .name')].map(e => e.textContent)") == ["complaint", "praise"]
    assert "negative" not in tab.run("return document.body.innerText").lower()
    heads = tab.run("return [...document.querySelectorAll('#table thead button')].map(e => e.textContent)")
    assert heads == ["Entity", "Type", "Documents", "Mentions", "Rise"]
    assert tab.run("return [...document.querySelector('#table tbody tr').cells].map(e => e.dataset.name || '')") == [
        *("", "", "Documents", "Mentions", "Rise", ""),
    ]
    tab.click("#kind option[value=constructor]")
    assert {*column(tab, 1)} == {"constructor"}
    tab.click("#table thead th:nth-child(4) button")
    assert len(column(tab, 3)) == len(tab.run(NAMES)) > 1


def test_headings_sort_by_click_and_by_keyboard(tab, pages):
    tab.open(pages["en"])
    counts = [int(text.replace(",", "")) for text in column(tab, 2)]
    assert counts == sorted(counts, reverse=True)
    assert column(tab, 0)[0] == "Volta Energy"
    tab.click("#table thead th:nth-child(3) button")
    counts = [int(text.replace(",", "")) for text in column(tab, 2)]
    assert counts == sorted(counts)
    tab.run("document.querySelector('#table thead th:nth-child(1) button').focus()")
    tab.press(ENTER)
    assert tab.run(NAMES) == sorted(tab.run(NAMES), key=lambda name: tab_key(name))
    assert tab.run("return document.querySelector('#table thead th').getAttribute('aria-sort')") == "ascending"
    tab.click("#table thead th:nth-child(7) button")
    assert column(tab, 0)[0] == "Volta Energy"
    assert column(tab, 6)[:2] == ["new", "–"]
    tab.click("#more")
    assert len(tab.run(NAMES)) > 50


def tab_key(name):
    """As the browser compares: case last, digits as letters."""
    return name.casefold()


def test_all_can_be_reached_by_keyboard_and_has_a_name(tab, pages):
    tab.open(pages["en"])
    tab.press(TAB)
    assert tab.run("return document.activeElement.className") == "skip"
    assert tab.run("return document.documentElement.lang") == "en"
    nameless = """return [...document.querySelectorAll('svg[role=img], [role=region], nav')]
            .filter(e => !e.getAttribute('aria-label')).length
        + [...document.querySelectorAll('input, select')].filter(e => !e.labels.length).length
        + [...document.querySelectorAll('button, a')].filter(e => !e.textContent.trim()).length"""
    assert tab.run(nameless) == 0
    levels = tab.run("return [...document.querySelectorAll('h1,h2,h3,h4')].map(h => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    tab.run("document.querySelector('.entity summary').focus()")
    tab.press(ENTER)
    assert tab.run("return document.querySelector('.entity').open")
    assert tab.run("return document.querySelector('.entity .ids code').textContent") == "v0"


CONTRAST = """
const parts = color => color.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255);
const line = v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
const light = color => { const [r, g, b] = parts(color).map(line); return .2126 * r + .7152 * g + .0722 * b; };
const back = e => {
  for (; e; e = e.parentElement) {
    const color = getComputedStyle(e).backgroundColor;
    if (!/, 0\\)$/.test(color)) return color;
  }
  return 'rgb(255,255,255)';
};
const bad = new Set();
for (const e of document.querySelectorAll('body *')) {
  const own = [...e.childNodes].some(node => node.nodeType === 3 && node.data.trim());
  if (e.closest('svg') || !own || !e.offsetParent) continue;
  const [a, b] = [light(getComputedStyle(e).color), light(back(e))].sort((x, y) => y - x);
  if ((a + .05) / (b + .05) < 4.5) bad.add(e.tagName + '.' + e.className + ' ' + e.textContent.slice(0, 20));
}
return [...bad];
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_the_contrast_of_wcag_aa(tab, pages, scheme):
    tab.command("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    tab.open(pages["en"])
    assert tab.run(CONTRAST) == []
    tab.command("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize("lang", ["en", "zh", "own"])
@pytest.mark.parametrize(("width", "height"), [(360, 740), (390, 844), (768, 1024), (1280, 900)])
def test_nothing_is_wider_than_the_screen(tab, pages, lang, width, height):
    tab.phone(width, height)
    tab.open(pages[lang])
    wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert tab.run(wide) <= 0
    assert tab.screenshot().startswith(b"\x89PNG")
    tab.command("Emulation.clearDeviceMetricsOverride", {})


def test_it_prints(tab, pages):
    tab.open(pages["zh"])
    pdf = tab.pdf()
    assert pdf.startswith(b"%PDF")
    assert len(pdf) > 20_000


def test_without_script_the_page_still_shows_its_numbers(tab, pages):
    tab.command("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        tab.open(pages["en"])
        assert tab.find("#table tbody tr:nth-child(50)")
        assert tab.find(".panel svg rect")
    finally:
        tab.command("Emulation.setScriptExecutionDisabled", {"value": False})
