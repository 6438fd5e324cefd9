import gc

import pytest

from legalrr.report.load import gc_paused


@gc_paused()
def inside(depth: int) -> bool:
    """Whether anything is collected within calls of itself, `depth` deep."""
    return inside(depth - 1) or gc.isenabled() if depth else gc.isenabled()


def test_nothing_is_collected_while_it_lasts_and_as_before_afterwards() -> None:
    assert gc.isenabled()
    assert not inside(2)
    assert gc.isenabled()


def test_an_error_ends_it_too() -> None:
    with pytest.raises(KeyError), gc_paused():
        raise KeyError
    assert gc.isenabled()


def test_what_was_off_before_stays_off() -> None:
    gc.disable()
    try:
        assert not inside(1)
        assert not gc.isenabled()
    finally:
        gc.enable()
