"""Which calls are in one batch of the engine, and that answers do not depend on it."""

import pytest

from legalrr.backbones.sampling import CardSampling
from legalrr.conversations import CallList
from legalrr.protocols import Call

TEXTS = ("a", "The appeal is about a wall.", "x" * 90, "Was the order made in time? " * 3, "é § 12(1)")


def ask(text, new=12):
    return Call(key=text, messages=({"role": "user", "content": text},), max_new_tokens=new)


def batches_of(engine, calls):
    """Return the batches of calls that wait together, without answering them."""
    waiting, _ = engine._tokenize(calls)
    made = []
    while waiting:
        made.append(engine._next_prompts(waiting))
        chosen = {prompt.call.key for prompt in made[-1]}
        waiting = [prompt for prompt in waiting if prompt.call.key not in chosen]
    return made


@pytest.mark.parametrize(("limit", "batches"), [(None, 1), (1, 5), (100_000, 1)])
def test_a_batch_computes_no_more_prompt_tokens_than_allowed(fresh, tiny, limit, batches):
    made = batches_of(fresh(tiny, batch_prefill=limit), [ask(text) for text in TEXTS])
    assert len(made) == batches
    assert sorted(prompt.call.key for batch in made for prompt in batch) == sorted(TEXTS)


def test_the_memory_of_new_states_closes_a_batch(fresh, tiny):
    engine = fresh(tiny)
    calls = [ask(text) for text in TEXTS]
    (whole,) = batches_of(engine, calls)
    needed = [(prompt.uncached + prompt.new) for prompt in whole]
    engine.batch_states = sum(needed[:2])
    assert [prompt.call.key for prompt in batches_of(engine, calls)[0]] == [prompt.call.key for prompt in whole[:2]]
    engine.batch_states = 1
    assert [len(batch) for batch in batches_of(engine, calls)] == [1] * len(calls)


def test_prompts_join_those_under_way_within_the_limits_of_a_batch(fresh, tiny):
    engine = fresh(tiny)
    (whole,) = batches_of(engine, [ask(text) for text in TEXTS])
    running, left = whole[:2], whole[2:]

    def joining():
        return {prompt.call.key for prompt in engine._next_prompts(left, running)}

    assert joining() == {prompt.call.key for prompt in left}
    engine.batch_states = sum((prompt.uncached + prompt.new) for prompt in whole)
    assert 0 < len(joining()) <= len(left)
    engine.batch_states = 1
    assert not joining()
    engine.batch_states, engine._batch_prefill = None, max(len(prompt.ids) for prompt in left)
    assert 0 < len(joining()) < len(left)
    assert len(engine._next_prompts(left)) < len(left)


class Stream:
    """Queue that gives one call for each answer, and all at once at first."""

    def __init__(self, first, then):
        self.first, self.then = first, list(then)
        self.answered = 0

    def take(self, room=None):
        taken, self.first = [*self.first, *self.then[: self.answered]], []
        self.then, self.answered = self.then[self.answered :], 0
        return taken


@pytest.mark.parametrize("fields", [{}, {"batch_tokens": 1}, {"memory_gb": 3.0}])
def test_prompts_that_join_a_batch_do_not_change_its_answers(fresh, tiny, reference, fields):
    texts = [f"{text} {number}" for number in range(3) for text in TEXTS]
    calls = [ask(text, new=3 + number % 7) for number, text in enumerate(texts)]
    queue, got, rows = Stream(calls[:4], calls[4:]), {}, set()
    engine = fresh(tiny, **fields)
    engine.model.register_forward_pre_hook(lambda _, __, given: rows.add(len(given["input_ids"])), with_kwargs=True)
    for batch in engine.answer(queue):
        got.update(batch)
        queue.answered += len(batch)
    assert {key: reply.text for key, reply in got.items()} == {call.key: reference.greedy(call) for call in calls}
    assert max(rows) == (1 if "batch_tokens" in fields else 4)


def test_samples_do_not_depend_on_the_prompts_that_join(fresh, tiny):
    card = CardSampling(temperature=1.0, presence_penalty=0.5)
    calls = [ask(text, new=4 + number) for number, text in enumerate(TEXTS)]
    together = fresh(tiny, decoding="card", card=card, seed=3)
    queue, got = Stream(calls[:2], calls[2:]), {}
    for batch in together.answer(queue):
        got.update(batch)
        queue.answered += len(batch)
    alone = fresh(tiny, decoding="card", card=card, seed=3, prefix_cache_gb=0.0, batch_tokens=1)
    answers = {key: reply for batch in alone.answer(CallList(calls)) for key, reply in batch}
    assert {k: r.text for k, r in got.items()} == {k: r.text for k, r in answers.items()}


def test_only_tokens_that_must_be_computed_close_a_batch(fresh, tiny):
    document = "The wall stood on the boundary. " * 6
    calls = [ask(f"{document}{question}") for question in ("Why?", "When?", "Who?")]
    engine = fresh(tiny, batch_prefill=300)
    (batch,) = batches_of(engine, calls)
    assert batch[0].uncached == len(batch[0].ids) > 150
    assert all(prompt.uncached < 40 for prompt in batch[1:])
    list(engine.answer(CallList(calls[:1])))
    (batch,) = batches_of(engine, calls[1:])
    assert all(prompt.uncached < 40 for prompt in batch)
