"""Tests of the page in a browser: mouse, keys and addresses work, and nothing is requested from outside."""

import json

import chromium
import pytest

from legalrr.report.compare import read_report
from legalrr.report.sweep import write_page
from legalrr.score.explanation import score_explanations
from legalrr.score.overlap import Meteor, Rouge

from .conftest import HOSTILE, enrich

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(chromium.missing()), reason=chromium.missing() or "Chromium is here"),
]
LABEL = f"D/R {HOSTILE}".replace("\ud800", "")
GOLD = "AAAAAADDDDDD"


@pytest.fixture(scope="module")
def driver():
    """One browser for all tests of this file."""
    with chromium.chromium() as driver:
        yield driver


@pytest.fixture
def page(sweep):
    """Three arms, one with a hostile label, on judgments with hostile texts and ids."""
    enrich(sweep.cell(0, answers="AAADDDDDDAAA", gold=GOLD), id_of=hostile_id)
    enrich(sweep.cell(1, "dr", "AAAAADDDDDA-", gold=GOLD, label=LABEL), layout="study", id_of=hostile_id)
    enrich(sweep.cell(2, "d", GOLD, gold=GOLD, row={"p_allowed": 0.75}), id_of=hostile_id)
    (sweep.folder / "0" / "scores.json").unlink()
    rescore(sweep)
    return write_page(read_report([sweep.folder]), [sweep.folder], sweep.folder)


def hostile_id(id: str) -> str:
    return f"{id} {HOSTILE}".replace("\ud800", "")


def rescore(sweep) -> None:
    """Replace the stored scores, which belong to the old ids, with empty ones that are computed again."""
    for number in range(3):
        (sweep.folder / str(number) / "scores.json").write_text("{}")


@pytest.fixture
def opened(driver, page):
    """Function that opens an address of the page; checks afterwards that there were no requests and no errors."""
    chromium.requests(driver)
    driver.get_log("browser")
    visited = {"about:blank"}

    def at(fragment: str = "", of=page):
        visited.add(of.as_uri())
        chromium.open_page(driver, of, fragment)
        return driver

    yield at
    assert driver.get_log("browser") == []
    requested = {address.split("#")[0] for address in chromium.requests(driver)}
    assert requested <= visited
    assert driver.execute_script("return window.planted === undefined && !document.querySelector('img, iframe, base')")


def ready(driver, case: str, cell: int) -> None:
    """Wait until a judgment is shown."""
    chromium.wait(driver, f"document.querySelector('.reader').dataset.ready === {json.dumps(f'{case} {cell}')}")


def choose(driver, label: str, option: str) -> None:
    """Choose an option above the list of judgments."""
    from selenium.webdriver.support.select import Select

    path = f"//div[@class='browser']//label[starts-with(., '{label} ')]/select"
    Select(driver.find_element("xpath", path)).select_by_visible_text(option)


def column(driver, name: str) -> list[str]:
    """Return a column of the table of results."""
    script = """
        const table = document.querySelector("#results table");
        const at = [...table.tHead.rows[0].cells].findIndex((head) => head.textContent === arguments[0]);
        return [...table.tBodies[0].rows].map((row) => row.cells[at].textContent);
    """
    return driver.execute_script(script, name)


def test_column_heads_sort_a_table(opened) -> None:
    driver = opened()
    before = column(driver, "Accuracy")
    head = driver.find_element("xpath", "//section[@id='results']//button[text()='Accuracy']")
    for order, expected in (
        ("descending", sorted(before, reverse=True)),
        ("ascending", sorted(before)),
        (None, before),
    ):
        head.click()
        assert column(driver, "Accuracy") == expected
        assert head.find_element("xpath", "..").get_attribute("aria-sort") == order


def test_an_address_opens_a_judgment_and_an_arm(opened) -> None:
    from urllib.parse import urlencode

    case = hostile_id("case-4")
    driver = opened("#" + urlencode({"case": case, "arm": "dr"}))
    ready(driver, case, 1)
    text = driver.execute_script("return document.querySelector('.reader').textContent")
    assert "<script>window.planted = 1</script></script><img src=x" in text
    assert "␀␇␛[31m␡\ufffd" in text
    assert "הערעור נדחה" in text
    assert text.count("hidden, its role reveals the outcome") == 0
    hidden = driver.find_element("css selector", ".reader del")
    assert hidden.get_attribute("data-heading").endswith("hidden, its role reveals the outcome")
    assert hidden.text.strip() == "The appeal is allowed."
    # The verdict follows a character that JavaScript counts twice.
    assert driver.find_element("css selector", ".reader mark").text == "YES"
    assert "Turn: analysis" in text


def test_prompts_are_shown_in_full(opened) -> None:
    from urllib.parse import urlencode

    case = hostile_id("case-0")
    driver = opened("#" + urlencode({"case": case, "arm": "plain"}))
    ready(driver, case, 0)
    driver.find_element("css selector", ".message .document summary").click()
    chromium.wait(driver, "document.querySelector('.message .document .text')")
    words = driver.execute_script("return document.querySelectorAll('.message.user .words')[0].textContent")
    assert words.startswith('The judgment:\n"""\n')
    assert "The appellant sold a horse. It was lame." in words
    assert words.endswith('"""\n\nWrite the Analysis.')


def test_keys_move_between_judgments_and_arms(opened) -> None:
    from selenium.webdriver import ActionChains, Keys

    driver = opened()
    ids = driver.execute_script("return JSON.parse(document.getElementById('data').textContent).collections[0].ids")
    press = lambda *keys: ActionChains(driver).send_keys(*keys).perform()  # noqa: E731
    press("j")
    ready(driver, ids[0], 0)
    press("j", "j")
    ready(driver, ids[2], 0)
    press("k")
    ready(driver, ids[1], 0)
    press("l")
    chromium.wait(driver, f"document.querySelector('.reader').dataset.ready !== {json.dumps(f'{ids[1]} 0')}")
    press("h")
    ready(driver, ids[1], 0)
    assert "case=" in driver.current_url
    press("/", "case-7", Keys.ESCAPE)
    assert driver.execute_script("return document.querySelectorAll('.line').length") == 1
    driver.find_element("css selector", ".list").send_keys(Keys.HOME)
    ready(driver, hostile_id("case-7"), 0)


def test_the_list_filters_judgments_that_only_one_arm_gets_right(opened) -> None:
    driver = opened()
    choose(driver, "Arm", "d")
    choose(driver, "Where", "only the arm is right")
    assert driver.find_element("css selector", ".browser .note").text == "6 of 12 judgments"


def test_an_unknown_judgment_gives_a_message(opened) -> None:
    driver = opened("#case=nobody&arm=dr")
    assert driver.find_element("css selector", ".status").text == "No judgment nobody is in this report."


def test_labels_and_names_show_as_text(opened) -> None:
    driver = opened()
    names = driver.execute_script(
        "return [...document.querySelectorAll('#results tbody th bdi')].map((n) => n.textContent)"
    )
    assert any("<script>window.planted" in name for name in names)
    assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")


def table_of(driver, section: str, number: int = 0) -> list[list[str]]:
    """Return a table of a section, with its head first."""
    script = """
        const table = document.querySelectorAll(`#${arguments[0]} table`)[arguments[1]];
        return [...table.rows].map((row) => [...row.cells].map((cell) => cell.innerText));
    """
    return driver.execute_script(script, section, number)


def test_explanations_and_repeated_runs_have_sections_if_present(opened, another) -> None:
    for number in range(2):
        stages = {"backbone": {"class": "x", "fields": {"seed": number}}}
        another.explain(another.cell(number, answers="AAADDDDDDAAA", stages=stages), ["analysis"], 1)
        another.explain(another.cell(2 + number, "c", stages=stages), ["analysis", "ratio"], 3)
    for metric in (Rouge(), Meteor()):
        list(score_explanations([another.folder / str(number) for number in range(4)], metric))
    driver = opened(of=write_page(read_report([another.folder]), [another.folder], another.folder))
    heads, plain, c = table_of(driver, "explanations")
    assert heads[:4] == ["Arm", "Words", "Words of the court", "ROUGE-1"]
    assert (plain[1:3], c[1:3]) == (["5", "9"], ["7", "9"])
    heads, c = table_of(driver, "explanations", 1)
    assert "p " in c[heads.index("ROUGE-1")]
    assert "F1, words stemmed by Porter" in driver.find_element("css selector", "#explanations .note").text
    assert len(driver.find_elements("css selector", "#explanations table")) == 3
    heads, plain, c = table_of(driver, "repeats")
    assert c[heads.index("Runs")] == "2"
    runs = driver.find_elements("css selector", "#repeats .runs")
    assert [len(one.get_attribute("textContent").split()) for one in runs] == [2, 2]
    assert len(driver.find_elements("css selector", "#explanations figure svg[role=img]")) == 2
    assert column(driver, "Run") == ["1", "1", "2", "2"]
    opened()
    assert not driver.find_elements("css selector", "#explanations, #repeats, a[href='#explanations']")


def test_figures_are_in_their_sections_in_the_colours_of_the_page(opened) -> None:
    driver = opened()
    script = "return [...document.querySelectorAll('figure')].map((one) => one.closest('section').id + ' ' + one.id)"
    assert driver.execute_script(script) == [
        "compared figure-macro-f1",
        "compared figure-differences",
        "effects figure-effects-0",
    ]
    assert not driver.find_elements("css selector", "#figures")
    script = """
        const [use, text] = ["use", "text"].map((name) => document.querySelector(`#figure-macro-f1 ${name}`));
        return [getComputedStyle(use).fill, getComputedStyle(text).fill, getComputedStyle(document.body).color];
    """
    colours = {}
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        dot, text, ink = driver.execute_script(script)
        assert text == ink
        colours[scheme] = (dot, text)
    assert colours["light"][0] != colours["dark"][0]
    assert colours["light"][1] != colours["dark"][1]
    driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "light"}]}
    )


def test_the_figure_of_effects_follows_the_choice(opened, another) -> None:
    from selenium.webdriver.support.select import Select

    for number, backbone in enumerate(("small", "large")):
        another.cell(2 * number, answers="AAADDDDDDAAA", backbone=backbone)
        another.cell(2 * number + 1, "d", backbone=backbone)
    driver = opened(of=write_page(read_report([another.folder]), [another.folder], another.folder))
    shown = lambda: [one.get_attribute("id") for one in driver.find_elements("css selector", "#effects figure")]  # noqa: E731
    assert shown() == ["figure-effects-2"]
    choice = Select(driver.find_element("css selector", "#effects select"))
    choice.select_by_visible_text("large")
    assert shown() == ["figure-effects-1"]
    choice.select_by_index(0)
    assert shown() == ["figure-effects-2"]
    assert table_of(driver, "effects")[1][0] == "D"


def test_it_prints(opened) -> None:
    driver = opened()
    assert chromium.pdf(driver).startswith(b"%PDF-")
