import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.errors import OneLineFormatter, UserError, one_line, printable, printable_lines

ESCAPES = "\x1b[31m\x1b]8;;http://x\x07\x9b2J\x00\x7f"


def test_control_characters_become_pictures_and_ordinary_text_stays():
    assert printable(ESCAPES) == "␛[31m␛]8;;http://x␇\ufffd2J␀␡"
    assert printable("a\tb\r\nc") == "a\tb\r\nc"
    assert one_line("a\tb\r\nc\u2028d\u202e") == "a␉b␍␊c␤d\ufffd"
    assert one_line("Ram Lal v. राज्य – 𝒜\u200d\xa0") == "Ram Lal v. राज्य – 𝒜\u200d\xa0"
    assert printable_lines("a\r\nb\tc") == "a␍\nb␉c"


@given(st.text(st.characters(exclude_categories=[])))
def test_any_text_is_replaced_one_for_one_and_is_one_line(text):
    made = one_line(text)
    assert len(made) == len(printable(text)) == len(text)
    assert len(made.splitlines()) <= 1
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in made)
    made.encode("utf-8")


def test_an_error_has_no_control_characters_in_its_message():
    error = UserError(f"unknown {ESCAPES}\nlegalrr: forged", where="a\x1b[2J.csv", cure="see \x07")
    assert str(error) == "a␛[2J.csv: unknown ␛[31m␛]8;;http://x␇ 2J␀␡ legalrr: forged (see ␇)".replace(
        "␇ 2J", "␇\ufffd2J"
    )


@pytest.mark.parametrize("text", [f"skipped {ESCAPES}", "skipped\n[2026][legalrr][ERROR] forged"])
def test_a_message_of_the_log_is_one_line(text):
    record = logging.LogRecord("legalrr", logging.INFO, "file", 1, "%s", (text,), None)
    made = OneLineFormatter("%(levelname)s %(message)s").format(record)
    assert made == f"INFO {one_line(text)}"


def test_a_traceback_in_the_log_keeps_its_lines():
    try:
        raise ValueError("x")
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    record = logging.LogRecord("legalrr", logging.ERROR, "file", 1, "failed", (), info)
    assert OneLineFormatter("%(message)s").format(record).startswith("failed\nTraceback")
