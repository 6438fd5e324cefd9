"""Leases: a judgment is at one worker, and goes to another one when that ends."""

from hypothesis import given
from hypothesis import strategies as st

from legalrr.protocols import Call
from legalrr.workers.leases import Leases


def call(judgment: str, number: int = 0) -> Call:
    return Call(key=f"{judgment}{number}", messages=({"role": "user", "content": "?"},), about=judgment)


def keys(asked: dict[str, list[Call]]) -> dict[str, list[str]]:
    return {worker: [one.key for one in calls] for worker, calls in asked.items()}


def leases(*workers: str, most: int = 2) -> Leases:
    made = Leases(most)
    for worker in workers:
        made.join(worker)
    return made


def test_all_calls_about_a_judgment_go_to_the_worker_with_the_fewest() -> None:
    found = leases("one", "two")
    found.add([call("a", 0), call("a", 1), call("b", 0), call("c", 0)])
    assert keys(found.assign()) == {"one": ["a0", "a1", "c0"], "two": ["b0"]}
    assert found.answer("one", "a0")
    # The next turn, although the other worker has fewer judgments.
    found.add([call("a", 2)])
    assert keys(found.assign()) == {"one": ["a2"]}


def test_judgments_wait_while_every_worker_has_as_many_as_it_may() -> None:
    found = leases("one", most=1)
    found.add([call("a"), call("b")])
    assert keys(found.assign()) == {"one": ["a0"]}
    found.join("two")
    assert keys(found.assign()) == {"two": ["b0"]}
    assert found.open == 2


def test_calls_wait_for_the_first_worker() -> None:
    found = leases()
    found.add([call("a")])
    assert found.assign() == {}
    found.join("one")
    assert keys(found.assign()) == {"one": ["a0"]}


def test_a_worker_that_ends_loses_its_unanswered_calls_to_the_others() -> None:
    found = leases("one", "two")
    found.add([call("a", 0), call("a", 1), call("b", 0)])
    found.assign()
    assert found.answer("one", "a0")
    assert found.leave("one") == []
    assert keys(found.assign()) == {"two": ["a1"]}
    assert not found.answer("one", "a1")
    assert found.answer("two", "a1")
    assert not found.answer("two", "a1")
    assert found.open == 1


def test_a_call_that_ends_worker_after_worker_is_asked_alone_and_then_given_up() -> None:
    found = leases("one")
    found.add([call("a", 0), call("a", 1)])
    for worker in ("one", "two"):
        found.join(worker)
        assert keys(found.assign()) == {worker: ["a0", "a1"]}
        assert found.leave(worker) == []
    found.join("three")
    found.add([call("b")])
    assert keys(found.assign()) == {"three": ["a0"]}
    assert found.answer("three", "a0")
    assert keys(found.assign()) == {"three": ["a1"]}
    assert [one.key for one in found.leave("three")] == ["a1"]
    found.join("four")
    assert keys(found.assign()) == {"four": ["b0"]}


def test_a_call_that_is_asked_alone_waits_for_a_worker_to_end_its_judgments() -> None:
    found = leases("one")
    found.add([call("a")])
    for _ in range(2):
        found.join("one")
        found.assign()
        found.leave("one")
    found.join("one")
    found.add([call("b")])
    # The suspect is first; a judgment that has come meanwhile waits.
    assert keys(found.assign()) == {"one": ["a0"]}
    found.join("two")
    assert keys(found.assign()) == {"two": ["b0"]}
    found.answer("one", "a0")
    found.add([call("c")])
    assert keys(found.assign()) == {"one": ["c0"]}


@given(st.lists(st.sampled_from(["add", "join", "leave", "answer", "assign"]), max_size=60), st.integers(1, 3))
def test_every_call_is_at_one_worker_and_none_is_lost(steps: list[str], most: int) -> None:
    found = Leases(most)
    workers: list[str] = []
    under_way: dict[str, str] = {}
    about: dict[str, str] = {}
    closed = 0
    for number, step in enumerate(steps):
        if step == "add":
            one = call(f"j{len(about) // 2}", number)
            about[one.key] = one.about
            found.add([one])
        elif step == "join":
            workers.append(f"w{number}")
            found.join(workers[-1])
        elif step == "leave" and workers:
            worker = workers.pop(0)
            given_up = {one.key for one in found.leave(worker)}
            assert given_up <= {key for key, at in under_way.items() if at == worker}
            under_way = {key: at for key, at in under_way.items() if at != worker}
            closed += len(given_up)
        elif step == "answer" and under_way:
            key = next(iter(under_way))
            assert found.answer(under_way.pop(key), key)
            closed += 1
        elif step == "assign":
            for worker, calls in found.assign().items():
                assert worker in workers
                assert not {one.key for one in calls} & set(under_way)
                under_way |= {one.key: worker for one in calls}
        assert found.open == len(about) - closed
        for worker in workers:
            assert len({about[key] for key, at in under_way.items() if at == worker}) <= most
