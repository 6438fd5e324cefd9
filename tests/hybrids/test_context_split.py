"""The held-out part shares neither judgments nor near-duplicates with the training part."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.errors import UserError
from legalrr.hybrids.context import hold_out
from legalrr.records import Judgment

from .conftest import judgments

MANY = judgments(40, words=30)


def ids(part: tuple[Judgment, ...]) -> set[str]:
    return {judgment.id for judgment in part}


@given(seed=st.integers(0, 99), share=st.floats(0.2, 0.8), order=st.permutations(range(40)))
def test_the_draw_depends_on_seed_and_ids_but_not_on_order(seed: int, share: float, order: list[int]) -> None:
    found, again = hold_out(MANY, share, seed), hold_out([MANY[i] for i in order], share, seed)
    assert found == again
    assert ids(found.training) | ids(found.held_out) == ids(tuple(MANY))
    assert not ids(found.training) & ids(found.held_out)


@given(seed=st.integers(0, 99))
def test_a_larger_share_holds_out_a_superset(seed: int) -> None:
    assert ids(hold_out(MANY, 0.3, seed).held_out) <= ids(hold_out(MANY, 0.6, seed).held_out)


@pytest.mark.parametrize("seed", range(8))
def test_near_duplicates_and_judgments_of_one_group_stay_together(seed: int) -> None:
    twin = replace(MANY[0], id="twin", text=MANY[0].text + " and an end of its own")
    pair = [replace(MANY[i], id=f"pair-{i}", text=f"{MANY[i].text[:40]} {i}", group="pair") for i in (1, 2, 3)]
    chained = replace(twin, id="chained", group="pair")
    found = hold_out([*MANY, twin, *pair, chained], 0.5, seed)
    together = {"case-0", "twin", "pair-1", "pair-2", "pair-3", "chained"}
    assert together <= ids(found.training) or together <= ids(found.held_out)


def test_a_share_that_leaves_a_part_empty_is_refused() -> None:
    with pytest.raises(UserError, match=r"held_out.share: of 2 judgments, none is held out"):
        hold_out(MANY[:2], 1e-9, 0)
    with pytest.raises(UserError, match="none is left to train on"):
        hold_out(MANY[:2], 1 - 1e-9, 0)
    with pytest.raises(UserError, match="of 0 judgments"):
        hold_out([replace(MANY[0], text=" ")], 0.5, 0)
