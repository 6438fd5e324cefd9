"""Learning rates warm up and decay to 0, by steps or by time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.hybrids.training import RunClock, Schedule


@given(steps=st.integers(1, 50), warmup=st.integers(0, 20))
def test_by_steps_the_rate_is_positive_and_0_after_the_last_step(steps: int, warmup: int) -> None:
    schedule = Schedule(steps=steps, begun=0.0, until=None, warmup=warmup)
    assert all(0 < schedule.factor(step, 1e9) <= 1 for step in range(steps))
    assert schedule.factor(steps, 0.0) == 0
    assert schedule.fraction_done(steps, 0.0) == 1


def test_by_time_the_rate_falls_with_the_remaining_time() -> None:
    schedule = Schedule(steps=None, begun=100.0, until=300.0, warmup=3)
    assert [schedule.factor(step, 100.0) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert schedule.factor(10, 250.0) == pytest.approx(0.25)
    assert schedule.fraction_done(0, 300.0) == schedule.fraction_done(0, 900.0) == 1


def test_the_earlier_of_both_limits_counts() -> None:
    schedule = Schedule(steps=10, begun=0.0, until=100.0, warmup=0)
    assert schedule.fraction_done(5, 10.0) == 0.5
    assert schedule.fraction_done(5, 80.0) == pytest.approx(0.8)


def test_a_stage_without_steps_or_time_is_done_at_once() -> None:
    assert Schedule(steps=0, begun=0.0, until=None, warmup=0).fraction_done(0, 0.0) == 1
    assert Schedule(steps=None, begun=50.0, until=40.0, warmup=0).fraction_done(0, 50.0) == 1


def test_the_clock_continues_from_the_time_before_an_interruption() -> None:
    assert RunClock(1000.0).seconds() >= 1000.0
