"""Fit of a speed, lengths of answers, and batches."""

import itertools

import pytest

from legalrr.plan.speed import AnswerLengths, Scheduler, Work, fit_speed, predict_seconds, written_share
from legalrr.plan.walk import PlannedCall, Walked

NUMBERS = (0.01, 1e-3, 1e-7, 0.02, 0.001, 1e-6, 3e-6)


def planned(tokens: int, fresh: int, limit: int, **more: int) -> PlannedCall:
    known = {"quoted": 0, "fresh_quoted": 0} | more
    return PlannedCall(
        tokens=tokens,
        fresh=fresh,
        limit=limit,
        stored=False,
        written=None,
        too_long=False,
        maybe_too_long=False,
        error=False,
        **known,
    )


def works() -> list[Work]:
    reads = [Work(rows=1, read=n, attended=n * n / 2, steps=1, width=n) for n in (256, 1024, 4096)]
    steps = [Work(rows=r, read=0, attended=0, steps=12, width=w) for r, w in itertools.product((1, 2, 4), (256, 2048))]
    return reads + steps


def test_the_numbers_of_exact_times_are_found() -> None:
    measured = [(work, sum(a * b for a, b in zip(NUMBERS, work.terms(), strict=True))) for work in works()]
    speed = fit_speed(measured, load=1.0, seconds=2.0)
    assert speed.error == pytest.approx(0, abs=1e-6)
    other = Work(rows=3, read=700, attended=700 * 900, steps=40, width=1500)
    assert speed.time(other) == pytest.approx(sum(a * b for a, b in zip(NUMBERS, other.terms(), strict=True)))
    assert speed.prefill == pytest.approx(1024 / (0.01 + 1.024 + 1024**2 / 2 * 1e-7))
    assert speed.decode == pytest.approx(1 / (0.02 + 1024e-6))


def test_a_model_that_takes_no_time_has_no_infinite_duration() -> None:
    speed = fit_speed([(work, 0.0) for work in works()], load=0.0, seconds=0.0)
    batches = [(planned(100, 100, 10),)]
    assert predict_seconds(speed, batches, Scheduler(group=1), AnswerLengths(), 1.0) < 1e-6


def test_the_longest_of_several_answers_is_expected_longer() -> None:
    lengths = AnswerLengths()
    for length in (10, 20, 30, 40):
        lengths.add(50, length)
    assert lengths.mean(50) == 25
    assert lengths.longest([50]) == pytest.approx(25)
    # Two draws of four: P(max <= 10, 20, 30, 40) = 1/16, 4/16, 9/16, 1.
    assert lengths.longest([50, 50]) == pytest.approx((10 + 3 * 20 + 5 * 30 + 7 * 40) / 16)
    assert lengths.longest([50, 8]) == pytest.approx(25)
    assert AnswerLengths(thoughts=100).longest([50]) == 150
    assert written_share({50: 3}, lengths) == pytest.approx(0.5)


def test_batches_keep_the_limits_of_the_engine() -> None:
    first = Walked(steps=((planned(100, 100, 10), planned(110, 10, 10)), (planned(130, 5, 10), planned(100, 1, 0))))
    second = Walked(steps=((planned(200, 200, 10),),))

    def rows(**limits: int) -> list[list[int]]:
        scheduler = Scheduler(**({"group": 2} | limits))
        return [[call.tokens for call in batch] for batch in scheduler.batches([first, second])]

    assert rows() == [[100, 110, 200], [100], [130]]
    assert rows(batch_tokens=300) == [[100, 110], [200], [100], [130]]
    assert rows(batch_prefill=105) == [[100], [110], [200], [100], [130]]
    assert rows(group=1) == [[100, 110], [100], [130], [200]]
    assert rows(holds=300) == [[100, 110], [100], [130], [200]]


def test_without_a_cache_whole_prompts_are_read() -> None:
    call = planned(100, 10, 5, quoted=20, fresh_quoted=8)
    assert Scheduler(group=1).read(call, 0.5) == 14
    assert Scheduler(group=1, cached=False).read(call, 0.5) == 110
