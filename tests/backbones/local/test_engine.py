"""The engine against two references: forwards in float64 without a cache, and its own slow version."""

import time

import pytest

from legalrr.backbones.sampling import CardSampling
from legalrr.conversations import CallList
from legalrr.errors import UserError
from legalrr.protocols import Call, Engine

TEXTS = ("a", "The appeal is about a wall.", "x" * 90, "Was the order made in time? " * 3, "é § 12(1)")
ANSWERS = ("YES", "NO", "N", "YES, in part")


def ask(text, key=None, new=12, answers=(), before=(), choices=()):
    messages = (*before, {"role": "user", "content": text})
    return Call(key=key or text, messages=messages, max_new_tokens=new, answers=answers, choices=choices)


def replies(batches):
    return {key: reply for batch in batches for key, reply in batch}


@pytest.mark.parametrize("batch_tokens", [1, 300, 100_000])
@pytest.mark.parametrize("prefix_cache_gb", [0.0, 1.0])
def test_greedy_text_equals_the_reference_for_any_batch_and_prefix_cache(
    fresh, tiny, reference, batch_tokens, prefix_cache_gb
):
    engine = fresh(tiny, batch_tokens=batch_tokens, prefix_cache_gb=prefix_cache_gb)
    calls = [ask(text) for text in TEXTS]
    assert isinstance(engine, Engine)
    for _ in range(2):
        got = replies(engine.answer(CallList(calls)))
        assert {key: reply.text for key, reply in got.items()} == {call.key: reference.greedy(call) for call in calls}
        assert all(
            reply.prompt_tokens == len(reference.ids(call))
            for call, reply in zip(calls, map(got.get, TEXTS), strict=True)
        )


@pytest.mark.parametrize("prefix_cache_gb", [0.0, 1.0])
def test_logprobs_of_answers_equal_the_reference(fresh, tiny, reference, prefix_cache_gb):
    calls = [ask(text, answers=ANSWERS) for text in TEXTS]
    slow = replies(fresh(tiny, prefix_cache_gb=0.0).answer(CallList(calls)))
    got = replies(fresh(tiny, prefix_cache_gb=prefix_cache_gb).answer(CallList(calls)))
    exact = {(call.key, answer): reference.logprob(call, answer) for call in calls for answer in ANSWERS}
    # The order of sums changes float32 errors little: twice the error of the slow version.
    tolerance = 2 * max(abs(slow[key].logprobs[answer] - value) for (key, answer), value in exact.items())
    assert tolerance < 1e-3
    for (key, answer), value in exact.items():
        assert got[key].logprobs[answer] == pytest.approx(value, abs=tolerance, rel=0)
    assert all(reply.text == "" and reply.new_tokens == 0 for reply in got.values())


def test_answers_of_one_token_need_no_second_forward(fresh, tiny, reference):
    engine = fresh(tiny)
    call = ask("Is it so?", answers=("Y", "N"))
    forwards = []
    engine.model.register_forward_hook(lambda *_: forwards.append(None))
    reply = replies(engine.answer(CallList([call])))[call.key]
    assert len(forwards) == 1
    assert reply.logprobs == pytest.approx(
        {answer: reference.logprob(call, answer) for answer in call.answers}, abs=1e-4
    )


CHOICES = (("YES", "NO"), ("N", "NO", "NO, never"), ("é", "e"), ("only this",))


@pytest.fixture(scope="module")
def choosing(reference):
    """Calls with choices, and the choice and number of tokens of the reference."""
    calls = [ask(text, key=f"{text} {choices}", choices=choices) for text in TEXTS for choices in CHOICES]
    return [(call, *reference.choice(call)) for call in calls]


@pytest.mark.parametrize("batch_tokens", [1, 300, 100_000])
@pytest.mark.parametrize("prefix_cache_gb", [0.0, 1.0])
def test_a_choice_is_the_greedy_path_for_any_batch_and_prefix_cache(
    fresh, tiny, reference, choosing, batch_tokens, prefix_cache_gb
):
    engine = fresh(tiny, batch_tokens=batch_tokens, prefix_cache_gb=prefix_cache_gb)
    assert engine.can.structured
    free = ask("Was the order made in time?")
    got = replies(engine.answer(CallList([*(call for call, *_ in choosing), free])))
    for call, text, tokens in choosing:
        assert text in call.choices
        assert (got[call.key].text, got[call.key].new_tokens, got[call.key].finish_reason) == (text, tokens, "stop")
    assert got[free.key].text == reference.greedy(free)


def test_a_choice_longer_than_the_limit_is_cut_off(fresh, tiny, reference):
    call = ask("Was it?", new=3, choices=("certainly", "certainly not"))
    reply = replies(fresh(tiny).answer(CallList([call])))[call.key]
    assert (reply.text, reply.finish_reason, reply.new_tokens) == ("cer", "length", 3)


def test_no_calls_give_no_replies(fresh, tiny):
    assert list(fresh(tiny).answer(CallList([]))) == []


def test_a_thought_does_not_count_towards_the_answer(fresh, tiny, reference):
    engine = fresh(tiny, thinking_tokens=5, context=200)
    call = ask("one", new=3)
    longer = ask("one", new=8)
    reply = replies(engine.answer(CallList([call])))["one"]
    assert (reply.text, reply.new_tokens) == (reference.greedy(longer), 8)
    assert engine.context == 195
    room = 195 - reply.prompt_tokens
    assert replies(engine.answer(CallList([ask("one", new=room)])))["one"].finish_reason != "overflow"
    assert replies(engine.answer(CallList([ask("one", new=room + 1)])))["one"].finish_reason == "overflow"


def test_a_thinking_model_cannot_compare_answers(fresh, tiny):
    engine = fresh(tiny, thinking_tokens=5)
    assert not engine.can.logprobs
    with pytest.raises(UserError, match=r"backbone\.thinking_tokens: .*no log-probabilities"):
        list(engine.answer(CallList([ask("a", answers=("Y",))])))


def test_a_thinking_model_cannot_be_restricted_to_choices(fresh, tiny):
    engine = fresh(tiny, thinking_tokens=5)
    assert not engine.can.structured
    with pytest.raises(UserError, match=r"backbone\.thinking_tokens: .*restricted to given answers"):
        list(engine.answer(CallList([ask("b"), ask("a", choices=("Y",))])))


CARD = CardSampling(temperature=1.5, top_p=0.9, top_k=30, presence_penalty=0.5)


def sampled(fresh, folder, calls, **fields):
    engine = fresh(folder, decoding="card", card=CARD, **fields)
    assert engine.can.seed
    return {key: reply.text for key, reply in replies(engine.answer(CallList(calls))).items()}


def test_samples_depend_on_seed_and_call_only(fresh, tiny, reference):
    calls = [ask(text) for text in TEXTS]
    first = sampled(fresh, tiny, calls, seed=3)
    assert (
        first
        == sampled(fresh, tiny, calls[::-1], seed=3, batch_tokens=1)
        == sampled(fresh, tiny, calls, seed=3, prefix_cache_gb=0.0)
    )
    assert first != sampled(fresh, tiny, calls, seed=4)
    assert first != {call.key: reference.greedy(call) for call in calls}
    chosen = [ask(text, choices=("YES", "NO, never", "NO")) for text in TEXTS]
    assert set(sampled(fresh, tiny, chosen, seed=3).values()) <= {"YES", "NO, never", "NO"}
    same = [ask("a", key=key) for key in "xyz"]
    assert len(set(sampled(fresh, tiny, same).values())) > 1
    assert not fresh(tiny).can.seed


def test_each_call_is_cut_off_at_its_own_limit(fresh, tiny, reference):
    calls = [ask("one", new=3), ask("two", new=9)]
    got = replies(fresh(tiny).answer(CallList(calls)))
    assert {key: (reply.new_tokens, reply.finish_reason) for key, reply in got.items()} == {
        "one": (3, "length"),
        "two": (9, "length"),
    }
    assert got["one"].text == reference.greedy(calls[0])


@pytest.mark.parametrize("prefix_cache_gb", [0.0, 1.0])
def test_an_end_token_at_the_limit_is_a_stop_and_after_it_a_cut(
    fresh, tiny, save_tiny, reference, tmp_path, prefix_cache_gb
):
    call = ask("When does this end?", new=20)
    ids = reference.tokens(call)
    place = max(place for place, token in enumerate(ids) if token not in ids[:place])
    folder = save_tiny(tmp_path / "ends", eos_token_id=[reference.tokenizer.eos_token_id, ids[place]])
    engine = fresh(folder, prefix_cache_gb=prefix_cache_gb)
    calls = [ask(call.messages[0]["content"], key=str(new), new=new) for new in (place, place + 1, place + 5)]
    got = replies(engine.answer(CallList(calls)))
    assert [(got[c.key].finish_reason, got[c.key].new_tokens) for c in calls] == [
        ("length", place),
        ("stop", place + 1),
        ("stop", place + 1),
    ]


@pytest.mark.parametrize("prefix_cache_gb", [0.0, 1.0])
def test_sampling_settings_of_the_publisher_are_ignored(fresh, tiny, save_tiny, reference, tmp_path, prefix_cache_gb):
    folder = save_tiny(
        tmp_path / "penalised", do_sample=True, temperature=9.0, top_k=3, repetition_penalty=5.0, max_new_tokens=2
    )
    call = ask("The appeal is about a wall.")
    got = replies(fresh(folder, prefix_cache_gb=prefix_cache_gb).answer(CallList([call])))
    assert got[call.key].text == reference.greedy(call)


def test_a_prompt_starts_with_exactly_one_bos(fresh, tiny, reference):
    engine = fresh(tiny)
    asked, _ = engine._tokenize([ask("a")])
    assert asked[0].ids[0] == reference.tokenizer.bos_token_id
    assert asked[0].ids.count(reference.tokenizer.bos_token_id) == 1


def test_a_call_that_does_not_fit_is_an_overflow_and_is_not_run(fresh, tiny, monkeypatch):
    engine = fresh(tiny, context=64)
    fits = ask("a", key="fits", new=64 - len(engine._tokenize([ask("a")])[0][0].ids))
    calls = [fits, ask("ab", key="too long", new=fits.max_new_tokens)]
    got = replies(engine.answer(CallList(calls)))
    assert got["fits"].finish_reason == "length"
    assert (got["too long"].finish_reason, got["too long"].text, got["too long"].new_tokens) == ("overflow", "", 0)
    assert got["too long"].prompt_tokens == got["fits"].prompt_tokens + 1
    compared = replies(engine.answer(CallList([ask("x" * 60, answers=("YES",))])))
    assert [reply.finish_reason for reply in compared.values()] == ["overflow"]


def test_weights_are_loaded_at_the_first_call_only(fresh, tiny):
    engine = fresh(tiny)
    assert engine.token_ends("ab c") == [1, 2, 3, 4]
    assert "model" not in vars(engine)
    list(engine.answer(CallList([ask("a")])))
    assert "model" in vars(engine)


def test_a_character_of_several_tokens_ends_once_per_token(fresh, tiny):
    assert fresh(tiny).token_ends("é.") == [1, 1, 2]


def test_a_batch_is_yielded_before_the_next_one_is_run(fresh, tiny, monkeypatch):
    engine = fresh(tiny, batch_tokens=1)
    batches = engine.answer(CallList([ask("a"), ask("bb")]))
    assert [key for key, _ in next(batches)] == ["a"]
    monkeypatch.setattr(engine.model, "generate", lambda *_, **__: pytest.fail("ran"))
    with pytest.raises(pytest.fail.Exception):
        next(batches)


def test_a_conversation_that_the_template_rejects_is_named(fresh, tiny):
    call = Call(key="k", messages=({"role": "tool", "content": "x"},), max_new_tokens=2)
    with pytest.raises(UserError, match=r"rejects this conversation \(tool\): no tools here"):
        list(fresh(tiny).answer(CallList([call])))


def test_no_room_for_an_answer_is_an_error(fresh, tiny):
    with pytest.raises(ValueError, match="call a leaves no room"):
        list(fresh(tiny).answer(CallList([ask("a", new=0)])))


def test_out_of_memory_names_the_options(fresh, tiny, monkeypatch):
    engine = fresh(tiny)

    def exhausted(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(engine.model, "generate", exhausted)
    with pytest.raises(UserError, match=r"backbone: out of memory.*backbone\.batch_tokens"):
        list(engine.answer(CallList([ask("a")])))


def test_other_runtime_errors_pass(fresh, tiny, monkeypatch):
    engine = fresh(tiny)

    def broken(*_, **__):
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(engine.model, "generate", broken)
    with pytest.raises(RuntimeError, match="shapes differ"):
        list(engine.answer(CallList([ask("a")])))


def test_torchs_settings_are_restored(fresh, tiny):
    import torch

    before = torch.get_float32_matmul_precision(), torch.get_num_threads()
    seen = []
    engine = fresh(tiny, matmul_precision="medium", threads=1)
    engine.model.register_forward_hook(
        lambda *_: seen.append((torch.get_float32_matmul_precision(), torch.get_num_threads()))
    )
    list(engine.answer(CallList([ask("a", new=1)])))
    assert set(seen) == {("medium", 1)}
    assert (torch.get_float32_matmul_precision(), torch.get_num_threads()) == before


def test_a_model_without_an_end_token_is_refused(fresh, tiny, save_tiny, tmp_path):
    import json

    folder = save_tiny(tmp_path / "endless", eos_token_id=None)
    for file in ("config.json", "tokenizer_config.json"):
        path = folder / file
        path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if not k.startswith("eos")}))
    with pytest.raises(UserError, match="a token that ends an answer"):
        list(fresh(folder).answer(CallList([ask("a")])))


def test_each_answer_of_a_batch_is_yielded_when_it_ends(fresh, tiny, reference):
    """The engine has run no more steps than the answer has tokens; the longer ones continue unchanged."""
    engine = fresh(tiny)
    engine.least_steps = 1
    calls = [ask(text, new=new) for text, new in zip(TEXTS, (9, 3, 14, 3, 1), strict=True)]
    sizes = {call.key: len(reference.tokens(call)) for call in calls}
    steps = []

    def note(_, __, given):
        steps.append(given["input_ids"].shape)

    engine.model.register_forward_pre_hook(note, with_kwargs=True)
    got = {}
    for batch in engine.answer(CallList(calls)):
        assert {sizes[key] for key, _ in batch} == {sum(tokens == 1 for _, tokens in steps)}
        got.update(batch)
    assert {key: reply.text for key, reply in got.items()} == {call.key: reference.greedy(call) for call in calls}
    assert {key: reply.new_tokens for key, reply in got.items()} == sizes
    assert len(set(sizes.values())) >= 3
    # What was computed for a short answer in the steps of the longer ones is not cached.
    again = [ask("And?", key=f"{call.key} 2", before=(*call.messages, said(got[call.key]))) for call in calls]
    seconds = replies(engine.answer(CallList(again)))
    assert {key: reply.text for key, reply in seconds.items()} == {call.key: reference.greedy(call) for call in again}
    assert all(seconds[f"{call.key} 2"].cached_tokens >= got[call.key].prompt_tokens for call in calls)


def said(reply):
    return {"role": "assistant", "content": reply.text}


def test_the_seconds_of_a_batch_sum_to_no_more_than_its_time(fresh, tiny):
    engine = fresh(tiny)
    list(engine.answer(CallList([ask("warm")])))
    begun = time.perf_counter()
    got = replies(
        engine.answer(CallList([ask(text, new=new) for text, new in zip(TEXTS, (9, 3, 14, 3, 1), strict=True)]))
    )
    assert all(reply.seconds > 0 for reply in got.values())
    assert sum(reply.seconds for reply in got.values()) <= time.perf_counter() - begun
