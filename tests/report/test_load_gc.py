import gc

import pytest

from legalrr.report.load import gc_paused


@gc_paused()
def inside(depth: int) -> bool:
    """Return whether the collector is enabled in any of `depth` nested calls."""
    return inside(depth - 1) or gc.isenabled() if depth else gc.isenabled()


def test_gc_is_paused_inside_and_restored_afterwards() -> None:
    assert gc.isenabled()
    assert not inside(2)
    assert gc.isenabled()


def test_an_error_restores_gc() -> None:
    with pytest.raises(KeyError), gc_paused():
        raise KeyError
    assert gc.isenabled()


def test_disabled_gc_stays_disabled() -> None:
    gc.disable()
    try:
        assert not inside(1)
        assert not gc.isenabled()
    finally:
        gc.enable()
