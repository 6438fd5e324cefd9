"""The engine's prefix cache: reuse across turns and calls, order of prefill, and chunks."""

from dataclasses import replace

import pytest

from legalrr.backbones.local.prefill import prefill_tokens
from legalrr.conversations import CallList
from legalrr.protocols import Call


def ask(text, key=None, new=12, answers=(), before=(), choices=()):
    messages = (*before, {"role": "user", "content": text})
    return Call(key=key or text, messages=messages, max_new_tokens=new, answers=answers, choices=choices)


def replies(batches):
    return {key: reply for batch in batches for key, reply in batch}


def test_a_second_turn_computes_only_new_tokens(fresh, tiny, reference):
    engine = fresh(tiny)
    first = ask("Facts. " * 20, key="1")
    answer = replies(engine.answer(CallList([first])))["1"]
    second = ask("And now?", key="2", before=(*first.messages, {"role": "assistant", "content": answer.text}))
    again = replies(engine.answer(CallList([second])))["2"]
    assert answer.cached_tokens == 0
    assert answer.prompt_tokens <= again.cached_tokens < again.prompt_tokens
    assert again.text == reference.greedy(second)


def test_a_final_turn_is_not_cached_but_its_prefix_stays(fresh, tiny, reference):
    engine = fresh(tiny)
    first = ask("Facts. " * 20, key="1")
    answer = replies(engine.answer(CallList([first])))["1"]
    held = engine.prefixes.nbytes
    talk = (*first.messages, {"role": "assistant", "content": answer.text})
    last = replace(ask("YES or NO?", key="2", before=talk), final=True)
    assert replies(engine.answer(CallList([last])))["2"].text == reference.greedy(last)
    assert engine.prefixes.nbytes == held
    assert (
        replies(engine.answer(CallList([ask("And now?", key="3", before=talk)])))["3"].cached_tokens
        >= answer.prompt_tokens
    )


def test_another_question_about_a_document_reuses_its_state(fresh, tiny, reference):
    engine = fresh(tiny)
    document = "The wall stood on the boundary. " * 6
    list(engine.answer(CallList([ask(document + "Who built it?")])))
    other = ask(document + "YES or NO?", answers=("YES", "NO"))
    reply = replies(engine.answer(CallList([other])))[other.key]
    assert reply.cached_tokens > len(document)
    assert reply.logprobs["YES"] == pytest.approx(reference.logprob(other, "YES"), abs=1e-4)


@pytest.mark.parametrize(("attention", "reused"), [("sdpa", False), ("split", True), ("eager", True)])
def test_a_short_cached_prefix_is_recomputed_if_attention_to_it_is_slow(fresh, tiny, attention, reused):
    engine = fresh(tiny, attention=attention)
    list(engine.answer(CallList([ask("a" * 10)])))
    assert bool(replies(engine.answer(CallList([ask("b" * 200)])))["b" * 200].cached_tokens) == reused


def test_shared_prefixes_are_computed_once_for_any_order_and_batch(fresh, tiny):
    document = "The wall stood on the boundary. "
    texts = [
        first + document * 2 + last for first in ("On appeal: ", "On revision: ") for last in ("Why?", "When?", "YES?")
    ]
    for batch_tokens in (1, 100_000):
        engine = fresh(tiny, batch_tokens=batch_tokens, prefix_cache_gb=1e-9)
        asked, _ = engine._tokenize([ask(text, new=2) for text in texts[::2] + texts[1::2]])
        distinct = {tuple(one.ids[:length]) for one in asked for length in range(1, len(one.ids) + 1)}
        list(engine.answer(CallList([one.call for one in asked])))
        assert engine.tokens_read == len(distinct), (
            "nothing is cached across calls, so the order of prompts must suffice"
        )
        assert engine.prefixes.nbytes == 0


def test_without_a_prefix_cache_every_prompt_is_computed(fresh, tiny):
    engine = fresh(tiny, prefix_cache_gb=0.0)
    got = replies(engine.answer(CallList([ask("a"), ask("ab")])))
    assert engine.tokens_read == sum(reply.prompt_tokens for reply in got.values())


def test_the_engine_reports_the_capacity_of_its_prefix_cache(fresh, tiny):
    # 2 layers, 2 key-value heads of size 16, keys and values, 4 bytes each.
    assert fresh(tiny, prefix_cache_gb=1.0).holds == 10**9 // (2 * 2 * 16 * 2 * 4)
    assert fresh(tiny, prefix_cache_gb=0.0).holds == 0


def test_calls_with_a_long_cached_prefix_go_first(fresh, tiny):
    engine = fresh(tiny, batch_tokens=1)
    long = ask("A long one. " * 20)
    list(engine.answer(CallList([long])))
    assert [key for batch in engine.answer(CallList([ask("Short."), long])) for key, _ in batch] == [long.key, "Short."]


def test_chunked_prefill_gives_the_same_state(fresh, tiny):
    import torch

    model = fresh(tiny).model
    ids = list(range(40))
    with torch.inference_mode():
        whole, parts = prefill_tokens(model, ids, chunk=100), prefill_tokens(model, ids, chunk=7)
    torch.testing.assert_close(parts.logits, whole.logits, rtol=1e-4, atol=1e-4)
    (one,), (other,) = whole.state.parts, parts.state.parts
    for a, b in zip((*one.keys, *one.values), (*other.keys, *other.values), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_a_forward_takes_no_more_than_a_chunk(fresh, tiny):
    engine = fresh(tiny, prefill_chunk=16)
    widths = []
    engine.model.register_forward_hook(
        lambda *call: widths.append(call[2]["input_ids"].shape[1]), with_kwargs=True, prepend=True
    )
    ((_, reply),) = next(engine.answer(CallList([ask("x" * 50, new=2)])))
    assert max(widths) == 16
    assert sum(widths) == reply.prompt_tokens + reply.new_tokens - 1
