"""The claims of the figure of the README."""

from pathlib import Path

import pytest

from gated_kalmanet import pictures, solver


def test_a_layer_that_solves_reads_back_more_than_one_that_adds_up() -> None:
    assert pictures.recall(96, 30, seeds=1) > pictures.recall(96, 0, seeds=1) + 0.1
    assert pictures.recall(8, 0, seeds=1) == 1


def test_the_largest_error_is_the_bound_and_cg_needs_half_the_products() -> None:
    chebyshev, cg = (dict(zip(pictures.STEPS, pictures.errors(name), strict=True)) for name in ("chebyshev", "cg"))
    for r, error in chebyshev.items():
        assert error == pytest.approx(solver.chebyshev_bound(r, 0.02), rel=1e-2)
    assert cg[15] <= 1.1 * chebyshev[30]


def test_the_picture_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "STORED", (2, 4))
    monkeypatch.setattr(pictures, "STEPS", (0, 3))
    pictures.main(tmp_path)
    first = (tmp_path / "gated_kalmanet.svg").read_bytes()
    assert b"<svg" in first
    pictures.main(tmp_path)
    assert (tmp_path / "gated_kalmanet.svg").read_bytes() == first
