"""Batches that an engine forms, and their seconds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.plan.schedule import Phase, Scheduler, forecast
from legalrr.plan.speed import AnswerLengths, Work, fit_speed, given_speed
from legalrr.plan.walk import PlannedCall, Walked


def planned(key: str, fresh: int, limit: int, after: str | None = None, **more: int) -> PlannedCall:
    known = {"tokens": fresh, "quoted": 0, "fresh_quoted": 0} | more
    return PlannedCall(
        key=key,
        after=after,
        fresh=fresh,
        limit=limit,
        stored=False,
        written=None,
        too_long=False,
        maybe_too_long=False,
        error=False,
        **known,
    )


FIRST = Walked(
    steps=(
        (planned("a", 100, 10), planned("b", 10, 30, tokens=110)),
        (planned("a2", 5, 20, "a", tokens=130), planned("compared", 1, 0, "b", tokens=100)),
    )
)
SECOND = Walked(steps=((planned("other", 200, 10),),))


def phases(**limits: int) -> list[Phase]:
    return list(Scheduler(**({"group": 2} | limits)).phases([FIRST, SECOND], AnswerLengths(), 1.0))


def joined(**limits: int) -> list[list[str]]:
    return [[call.key for call in phase.joined] for phase in phases(**limits)]


def test_a_later_turn_joins_when_the_answer_before_it_ends() -> None:
    found = phases()
    assert [[call.key for call in phase.joined] for phase in found] == [["a", "b", "other"], ["a2"], ["compared"]]
    assert [(phase.rows, phase.steps) for phase in found] == [(3, 10), (2, 20), (0, 0)]


def test_batches_keep_the_limits_of_the_engine() -> None:
    assert joined(batch_tokens=300) == [["a", "b"], ["a2"], ["compared"], ["other"]]
    assert joined(batch_prefill=105) == [["a"], ["a2", "b"], [], ["compared"], ["other"]]
    assert joined(batch_states=160) == [["a", "b"], ["a2"], ["compared"], ["other"]]
    assert joined(group=1) == [["a", "b"], ["a2"], ["compared"], ["other"]]
    assert joined(holds=300) == [["a", "b"], ["a2"], ["compared"], ["other"]]


def test_a_batch_runs_at_least_so_many_steps() -> None:
    assert [(phase.rows, phase.steps) for phase in phases(least_steps=25)] == [(3, 25), (2, 20), (0, 0)]


@given(
    st.lists(st.lists(st.tuples(st.integers(1, 200), st.integers(0, 20)), min_size=1, max_size=4), max_size=6),
    st.integers(1, 3),
    st.none() | st.integers(50, 400),
    st.integers(1, 5),
)
def test_every_call_is_read_once_and_written_to_its_end(judgments, group, limit, least) -> None:
    walked = [
        Walked(
            steps=tuple(
                (planned(f"{one}.{turn}", fresh, new, f"{one}.{turn - 1}" if turn else None),)
                for turn, (fresh, new) in enumerate(turns)
            )
        )
        for one, turns in enumerate(judgments)
    ]
    scheduler = Scheduler(group=group, batch_tokens=limit, batch_prefill=limit, batch_states=limit, least_steps=least)
    found = list(scheduler.phases(walked, AnswerLengths(), 1.0))
    calls = [call.key for phase in found for call in phase.joined]
    assert sorted(calls) == sorted(call.key for one in walked for step in one.steps for call in step)
    assert all(
        calls.index(f"{one}.{turn}") > calls.index(f"{one}.{turn - 1}")
        for one, turns in enumerate(judgments)
        for turn in range(1, len(turns))
    )
    written = sum(phase.rows * phase.steps for phase in found)
    assert written >= sum(new for turns in judgments for _, new in turns)


def test_states_that_rows_share_are_read_once() -> None:
    # 110 distinct tokens of the first judgment, whose prompts begin alike, 200 of the second, and half of 10 steps.
    assert phases()[0].seen == 100 + 10 + 200 + 3 * 5
    # The second turn alone has all of its prompt, and beside "b" its own tokens: 105 and the answer before.
    assert phases()[1].seen == 10 + 10 + (105 + 10) + 2 * 10
    unshared = Scheduler(group=2, cached=False).phases([FIRST, SECOND], AnswerLengths(), 1.0)
    assert next(unshared).seen == 100 + 110 + 200 + 3 * 5


def test_without_a_cache_whole_prompts_are_read() -> None:
    call = planned("a", 10, 5, tokens=100, quoted=20, fresh_quoted=8)
    assert Scheduler(group=1).read(call, 0.5) == 14
    assert Scheduler(group=1, cached=False).read(call, 0.5) == 110


def test_a_model_that_takes_no_time_has_no_infinite_duration() -> None:
    works = [Work(rows=1, read=n, attended=n * n / 2, steps=1, seen=n) for n in (256, 1024, 4096)]
    speed = fit_speed([(work, 0.0) for work in works], load=0.0, seconds=0.0)
    assert forecast(speed, [FIRST, SECOND], Scheduler(group=1), AnswerLengths(), 1.0).seconds < 1e-6


def test_seconds_are_those_of_reading_and_writing() -> None:
    numbers = (0.0, 1e-3, 0.0, 0.02, 0.001, 0.0)
    works = [
        Work(rows=rows, read=read, attended=read**2 / 2, steps=steps, seen=read)
        for rows, read, steps in (
            (1, 100, 1),
            (1, 900, 1),
            (1, 500, 12),
            (4, 500, 12),
            (2, 700, 5),
            (1, 200, 7),
            (3, 90, 9),
        )
    ]
    speed = fit_speed(
        [(work, sum(a * b for a, b in zip(numbers, work.terms(), strict=True))) for work in works],
        load=5.0,
        seconds=1.0,
    )
    # 316 tokens read, 10 steps of three rows, 20 of two, and one for the compared answers.
    expected = 5.0 + 0.316 + 10 * 0.022 + 20 * 0.021 + 0.02
    assert abs(forecast(speed, [FIRST, SECOND], Scheduler(group=2), AnswerLengths(), 1.0).seconds - expected) < 0.01


def test_a_given_speed_counts_tokens() -> None:
    found = forecast(given_speed(100.0, 10.0), [FIRST, SECOND], Scheduler(group=2), AnswerLengths(), 1.0)
    # 316 tokens read; 10 + 30 + 20 + 10 written, and one for the compared answers.
    assert found.seconds == pytest.approx(3.16 + 7.0 + 0.1)
    assert found.idle == 0


@given(st.lists(st.integers(1, 500), min_size=1, max_size=30), st.integers(1, 6), st.integers(1, 4))
def test_workers_share_the_judgments(lengths, workers, group) -> None:
    """No worker waits while judgments are left, so no schedule is longer than the mean and one judgment."""
    walked = [Walked(steps=((planned(str(number), length, 10),),)) for number, length in enumerate(lengths)]
    speed = given_speed(1.0, 1.0)
    one, many = (forecast(speed, walked, Scheduler(group=group), AnswerLengths(), 1.0, workers=n) for n in (1, workers))
    assert one.seconds == pytest.approx(sum(lengths) + 10 * len(lengths))
    assert one.seconds / workers <= many.seconds + 1e-6
    assert many.seconds <= one.seconds / workers + group * (max(lengths) + 10) + 1e-6
    assert many.idle == pytest.approx(1 - one.seconds / (workers * many.seconds), abs=1e-9)
