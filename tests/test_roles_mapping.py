"""Table of role schemes: complete, consistent with schemes and readers, with every loss listed."""

import pytest
from omegaconf import OmegaConf

from legalrr.errors import UserError
from legalrr.paths import root
from legalrr.roles import BUILD, KINDS, SCHEMES, SEVEN, Loss, losses, mapping, roles_of

pairs = pytest.mark.parametrize(("source", "target"), [(a, b) for a in SCHEMES for b in SCHEMES])


def test_the_table_has_every_role_of_every_scheme():
    assert set(roles_of("build")) == {role.code for role in BUILD.roles}
    assert set(roles_of("seven")) == {role.code for role in SEVEN.roles}
    assert [len(roles_of(name)) for name in SCHEMES] == [13, 7, 13, 7]
    assert len(set(KINDS)) == len(KINDS)


@pairs
def test_every_role_becomes_one_of_the_target_or_none(source, target):
    found = mapping(source, target)
    assert tuple(found) == roles_of(source)
    assert {role for role in found.values() if role} <= set(roles_of(target))


@pytest.mark.parametrize("name", SCHEMES)
def test_a_scheme_maps_onto_itself_without_loss(name):
    assert mapping(name, name) == {role: role for role in roles_of(name)}
    assert losses(name, name) == ()


@pairs
def test_roles_that_do_not_round_trip_are_among_the_losses(source, target):
    there, back = mapping(source, target), mapping(target, source)
    told = {role for loss in losses(source, target) if loss.kind in ("dropped", "merged") for role in loss.source}
    for role, other in there.items():
        if other is None or back[other] != role:
            assert role in told


@pairs
def test_a_guess_agrees_with_the_mapping(source, target):
    for loss in losses(source, target):
        if loss.kind == "guessed":
            assert loss.target[0] == mapping(source, target)[loss.source[0]]
            assert len(loss.target) > 1


def test_losses_from_build_to_seven():
    assert set(losses("build", "seven")) == {
        Loss(kind="dropped", source=("ISSUE",), target=()),
        Loss(kind="dropped", source=("NONE",), target=()),
        Loss(kind="dropped", source=("PREAMBLE",), target=()),
        Loss(kind="merged", source=("ARG_PETITIONER", "ARG_RESPONDENT"), target=("ARG",)),
        Loss(kind="merged", source=("ANALYSIS", "RATIO"), target=("RATIO",)),
        Loss(kind="merged", source=("PRE_RELIED", "PRE_NOT_RELIED"), target=("PRE",)),
    }


def test_losses_are_described_in_words():
    words = [str(loss) for loss in losses("seven", "build")]
    assert "ARG: may be ARG_PETITIONER or ARG_RESPONDENT; ARG_PETITIONER is taken" in words
    assert "ISSUE: no role for it" in [str(loss) for loss in losses("build", "seven")]
    assert "ANALYSIS and RATIO: all become RATIO" in [str(loss) for loss in losses("build", "seven")]


def test_the_reader_of_legalseg_maps_as_the_table_does():
    node = OmegaConf.load(root() / "conf" / "corpus" / "legalseg.yaml")
    assert OmegaConf.to_container(node.roles) == mapping("legalseg", "build")


def test_an_unknown_scheme_is_named():
    with pytest.raises(UserError, match=r"unknown role scheme 'eight' .*build, seven, iltur, legalseg"):
        mapping("eight", "build")
    with pytest.raises(UserError, match="unknown role scheme 'eight'"):
        mapping("build", "eight")
