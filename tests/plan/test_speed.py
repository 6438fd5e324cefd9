"""Fit of a speed, and lengths of answers."""

import itertools

import pytest

from legalrr.plan.speed import AnswerLengths, Work, fit_speed, written_share

NUMBERS = (0.01, 1e-3, 1e-7, 0.02, 0.001, 1e-6)


def works() -> list[Work]:
    reads = [Work(rows=1, read=n, attended=n * n / 2, steps=1, seen=n) for n in (256, 1024, 4096)]
    steps = [Work(rows=r, read=0, attended=0, steps=12, seen=w) for r, w in itertools.product((1, 2, 4), (256, 2048))]
    return reads + steps


def test_the_numbers_of_exact_times_are_found() -> None:
    measured = [(work, sum(a * b for a, b in zip(NUMBERS, work.terms(), strict=True))) for work in works()]
    speed = fit_speed(measured, load=1.0, seconds=2.0)
    assert speed.error == pytest.approx(0, abs=1e-6)
    other = Work(rows=3, read=700, attended=700 * 900, steps=40, seen=1500)
    assert speed.time(other) == pytest.approx(sum(a * b for a, b in zip(NUMBERS, other.terms(), strict=True)))
    assert speed.prefill == pytest.approx(1024 / (0.01 + 1.024 + 1024**2 / 2 * 1e-7))
    assert speed.decode == pytest.approx(1 / (0.02 + 1024e-6))


def test_answers_are_spread_over_the_known_lengths() -> None:
    lengths = AnswerLengths()
    for length in (40, 10, 30, 20):
        lengths.add(50, length)
    assert lengths.mean(50) == 25
    drawn = [lengths.spread(50, number) for number in range(1000)]
    assert set(drawn) == {10, 20, 30, 40}
    assert sum(drawn) / len(drawn) == pytest.approx(25, rel=0.01)
    assert AnswerLengths(thoughts=100).spread(50, 3) == 150
    assert written_share({50: 3}, lengths) == pytest.approx(0.5)
