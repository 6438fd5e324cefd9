"""Cleaning of the text of a PDF."""

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.corpora.pdf_text import (
    clean_characters,
    join_pages,
    rejoin_divided_words,
    remove_running_lines,
    restore_title,
)

WORDS = ["ferry", "well-built", "non", "rain", "Rs. 12", "3", "14", "ill-", "Bridge", "OF", "(b)", "ram-", "a"]
LINES = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join)
PAGES = st.lists(st.lists(LINES, max_size=5).map("\n".join), min_size=1, max_size=9)
HARD = st.text(alphabet="ab1- \n\t\r\f\v\x02\xa0\xad\u200b\u2010\u2028\ufb01\ufffe", max_size=30)


def letters(text: str) -> str:
    """Return what cleaning must keep: all except white space, hyphens and page breaks."""
    return re.sub(r"[-\s]", "", text)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("one\r\ntwo\rthree\u2028four", "one\ntwo\nthree\nfour"),
        ("appel\ufffelant\nin\x02formed", "appel-\nlant\nin-\nformed"),
        ("o\ufb03ce \ufb01rst", "office first"),
        ("Rs.\xa0500\u2009only  now\t.", "Rs. 500 only now ."),
        ("soft\xadly, soft-\xad\nly, soft\xad \nly", "softly, soft-\nly, soft-\nly"),
        ("re\u2010open\u2011ed", "re-open-ed"),
        ("\ufeff\n\n zero\u200bwidth\x00 \n \n", "zerowidth"),
        ("\u0915\u094d\u200d\u0937 \u00bd \u2167", "\u0915\u094d\u200d\u0937 \u00bd \u2167"),
    ],
)
def test_characters_are_normalized(raw, clean):
    assert clean_characters(raw) == clean


@given(HARD)
def test_cleaning_is_idempotent(page):
    assert clean_characters(clean_characters(page)) == clean_characters(page)


@given(st.text(alphabet=st.characters(exclude_categories=["Cc", "Cf", "Cn", "Cs"]), max_size=40))
def test_cleaning_keeps_every_letter(page):
    plain = re.sub("[\ufb00-\ufb06\u2010\u2011]", "", page)
    assert letters(clean_characters(plain)) == letters(plain)


def body(count: int) -> list[str]:
    """Return pages of lines that occur once."""
    return [f"Facts {'i' * n} came first\nand then\nothers {'i' * n} followed" for n in range(1, count + 1)]


@pytest.mark.parametrize(
    "running",
    [
        lambda n: ["{}"],
        lambda n: [f"{n + 3}", "{}"],
        lambda n: ["{}", f"- {n} -"],
        lambda n: ["{}", f"Civil Appeal No. 46 of 2018 Page {n} of 20"],
        lambda n: ["THE LAW REPORTS", f"[2018] {n + 99}", "{}", "", "Downloaded from a shelf"],
        lambda n: [f"{n + 123} THE REPORTS" if n % 2 else f"Rain v. Bridge {n + 123}", "{}"],
        lambda n: ["{}", f"Page {n}"] if n > 1 else ["{}"],
        lambda n: [f"Opinion {'AB'[n > 9]} {n}", "{}"] if n in (7, 8, 9, 17, 18, 19) else ["{}"],
    ],
    ids=["none", "number", "footer", "page of", "both", "left and right", "not on the first", "opinions"],
)
def test_running_lines_are_removed(running):
    pages = body(20)
    printed = ["\n".join(running(n)).format(page) for n, page in enumerate(pages, start=1)]
    assert remove_running_lines(printed) == pages


def test_a_title_repeated_as_header_is_kept_on_the_first_page():
    printed = [f"{n}\nRain v. Bridge\n\n{page}" for n, page in enumerate(body(4), start=1)]
    left = remove_running_lines(printed)
    assert left == body(4)
    assert restore_title(printed, left) == [f"Rain v. Bridge\n\n{body(4)[0]}", *body(4)[1:]]
    assert restore_title(["Copy"] * 3, ["", "", ""]) == ["", "", ""]
    assert restore_title([], []) == []


@pytest.mark.parametrize(
    "pages",
    [
        ["one page\n1"],
        ["alone\n12", "without", "a number"],
        ["12\nx", "12 of\ny", "19\nz"],
        ["a\n(emphasis supplied)", "b\n(emphasis supplied)", *"cdefg"],
        ["v. A\nfoot", "v. A\nfoot"],
        [f"Order {'i' * n}\nHeard.\nNo merit.\nThe appeal\nis dismissed.\nNo costs." for n in range(5)],
        ["Every\nline\nof\nthis\npage"] * 3,
        [f"{'rain ' * 50}\n{'i' * n}" for n in range(1, 5)],
        [f"{'i' * n}\n{100000 + n}" for n in range(1, 5)],
    ],
    ids=[
        "one page",
        "one number",
        "no sequence",
        "too rare",
        "two pages",
        "standard-form orders",
        "copies",
        "too long",
        "no page number",
    ],
)
def test_lines_that_recur_too_rarely_are_kept(pages):
    assert remove_running_lines(pages) == pages


def test_pages_with_only_running_lines_become_empty():
    assert remove_running_lines(["Certified copy"] * 3) == ["", "", ""]
    assert remove_running_lines(["X v. Y\n1", "X v. Y\ntext\n2", "X v. Y\n3"]) == ["", "text", ""]
    assert remove_running_lines(["", ""]) == ["", ""]


@given(PAGES)
def test_only_lines_that_recur_on_another_page_are_removed(pages):
    left = remove_running_lines(pages)
    assert len(left) == len(pages)
    masked = [{re.sub(r"\d+", "#", line) for line in page.split("\n")} for page in pages]
    for page, (before, after) in enumerate(zip(pages, left, strict=True)):
        gone = Counter(before.split("\n")) - Counter(after.split("\n"))
        others = set().union(*masked[:page], *masked[page + 1 :])
        assert {re.sub(r"\d+", "#", line) for line in gone if line} <= others
        assert after in before


@given(PAGES)
def test_removing_running_lines_is_idempotent(pages):
    left = remove_running_lines(pages)
    assert remove_running_lines(left) == left


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("The appel-\nlant came.", "The appellant\ncame."),
        ("It was well-\nknown. A well-known ferry.", "It was well-known.\nA well-known ferry."),
        ("co-operate, co-operate, cooperate: co-\noperate", "co-operate, co-operate, cooperate: co-operate"),
        ("cooperate: co-\noperate", "cooperate: cooperate"),
        ("a set of things off: a set-\noff.", "a set of things off: a set-off."),
        ("non-\nbailable", "non-bailable"),
        ("an Anglo-\nIndian; 2001-\n02; A-\nX; e-\nmail", "an Anglo-Indian;\n2001-02;\nA-X;\ne-mail"),
        ("THE APPEL-\nLANT CAME", "THE APPELLANT\nCAME"),
        ("inter-\nnation-\nal law", "international\nlaw"),
        ("pre-\ntrial- and after", "pretrial- and\nafter"),
        ("a dash -\nand a range 5 -\n6, x-\n(y)", "a dash -\nand a range 5 -\n6, x-\n(y)"),
        ("appel-\n\nlant", "appel-\n\nlant"),
        ("son-in-\nlaw, son-in-law", "son-in-law,\nson-in-law"),
        ("cross-exami-\nnation", "cross-examination"),
    ],
)
def test_divided_words_are_rejoined(text, whole):
    assert rejoin_divided_words(text) == whole


@given(st.lists(LINES, max_size=8).map("\n".join))
def test_rejoining_keeps_every_letter_and_divides_no_word(text):
    whole = rejoin_divided_words(text)
    assert letters(whole) == letters(text)
    assert rejoin_divided_words(whole) == whole
    assert not re.search(r"\w-\n\w", whole)


def test_pages_are_joined_by_newlines():
    text, starts = join_pages(["One went", "on. Two", "", "came."])
    assert text == "One went\non. Two\ncame."
    assert starts == (0, 9, 17, 17)


def test_a_page_boundary_is_inside_a_word_divided_by_it():
    text, starts = join_pages(["The appel-", "lant came."])
    assert text == "The appellant\ncame."
    assert [text[: starts[1]], text[starts[1] :]] == ["The appel", "lant\ncame."]


def test_no_word_is_rejoined_across_an_unknown_page():
    assert join_pages(["The appel-", None, "lant came."]) == ("The appel-\n\nlant came.", (0, 12, 12))
    assert join_pages([None, "", "text", None]) == ("text", (0, 0, 0, 4))
    assert join_pages([]) == ("", (0,))


@given(PAGES)
def test_every_letter_is_on_its_page(pages):
    text, starts = join_pages(pages)
    assert len(starts) == len(pages)
    ends = [*starts[1:], len(text)]
    for page, start, end in zip(pages, starts, ends, strict=True):
        assert letters(text[start:end]) == letters(page)
