import pytest

from legalrr.errors import UserError
from legalrr.roles import BUILD, SEVEN, Scheme, scheme

both = pytest.mark.parametrize("roles", [BUILD, SEVEN], ids=lambda s: s.name)


def test_schemes_have_thirteen_and_seven_roles() -> None:
    assert (len(BUILD.roles), len(SEVEN.roles)) == (13, 7)


@both
def test_codes_and_headings_are_unique(roles: Scheme) -> None:
    assert len({r.code for r in roles.roles}) == len({r.heading for r in roles.roles}) == len(roles.roles)


@both
def test_decisive_shown_undefined_and_written_roles_belong_to_the_scheme(roles: Scheme) -> None:
    codes = {r.code for r in roles.roles}
    assert roles.decisive | set(roles.order) | roles.undefined | {roles.written} <= codes
    assert set(roles.aliases.values()) <= codes


@both
def test_no_decisive_role_is_shown_under_r_and_the_generated_one_is_decisive(roles: Scheme) -> None:
    assert not roles.decisive & set(roles.order)
    assert roles.written in roles.decisive


def test_hidden_roles_are_those_of_the_study() -> None:
    assert {"ANALYSIS", "STA", "RPC", "RATIO"} == BUILD.decisive
    assert {"STA", "RATIO", "RPC"} == SEVEN.decisive


def test_order_under_r_is_that_of_the_study() -> None:
    assert BUILD.order == ("PREAMBLE", "FAC", "RLC", "ISSUE", "PRE_RELIED", "ARG_PETITIONER", "ARG_RESPONDENT")
    assert SEVEN.order == ("FAC", "RLC", "PRE", "ARG")


def test_r_drops_none_and_precedents_not_relied_upon() -> None:
    assert {r.code for r in BUILD.roles} - BUILD.decisive - set(BUILD.order) == {"NONE", "PRE_NOT_RELIED"}


@both
def test_every_spelling_maps_to_its_code(roles: Scheme) -> None:
    for role in roles.roles:
        assert roles.code(role.code, where="x") == role.code
        assert role.code in roles
        assert roles.role(role.code) is role
    for alias, code in roles.aliases.items():
        assert roles.code(alias, where="x") == code


@both
def test_unknown_role_raises_with_the_known_ones(roles: Scheme) -> None:
    with pytest.raises(UserError, match=r"a\.txt:3: unknown role 'FACTUAL' .*FAC, RLC"):
        roles.code("FACTUAL", where="a.txt:3")
    assert "FACTUAL" not in roles
    with pytest.raises(KeyError):
        roles.role("FACTUAL")


def test_scheme_is_found_by_name_and_an_unknown_one_raises() -> None:
    assert scheme("build") is BUILD
    assert scheme("seven") is SEVEN
    with pytest.raises(UserError, match=r"j1: unknown role scheme 'eight'.*'build'.*'seven'"):
        scheme("eight", where="j1")
