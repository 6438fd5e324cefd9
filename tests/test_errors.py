import pickle

import pytest

from legalrr.errors import UserError


def test_message_is_one_line_with_where_what_and_cure() -> None:
    error = UserError("unknown\nrole  'FACTS'", where="a.txt:3", cure="use FAC")
    assert str(error) == "a.txt:3: unknown role 'FACTS' (use FAC)"


@pytest.mark.parametrize(
    ("where", "cure", "message"), [("", "", "wrong"), ("x", "", "x: wrong"), ("", "mend it", "wrong (mend it)")]
)
def test_message_omits_empty_parts(where: str, cure: str, message: str) -> None:
    assert str(UserError("wrong", where=where, cure=cure)) == message


def test_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(UserError("wrong", where="x", cure="mend it")))
    assert (error.what, error.where, error.cure) == ("wrong", "x", "mend it")
    assert str(error) == "x: wrong (mend it)"


def test_a_message_quotes_the_ends_of_long_values():
    error = UserError(f"label '{'x' * 9000}y'", where=f"a.csv:2, judgment {'z' * 9000}", cure=f"write {'c' * 9000}")
    assert len(str(error)) < 1400
    assert str(error).startswith("a.csv:2, judgment zz")
    assert "xy'" in str(error)
    assert str(UserError(error.what, where=error.where, cure=error.cure)) == str(error)
