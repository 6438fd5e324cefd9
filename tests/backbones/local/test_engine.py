"""The engine against two oracles: full forwards in float64 without any cache, and its own slow, obvious version."""

from dataclasses import replace

import pytest

from legalrr.backbones.local.backbone import TransformersBackbone, forget_engine
from legalrr.backbones.local.prefill import prefill_tokens
from legalrr.backbones.sampling import CardSampling
from legalrr.errors import UserError
from legalrr.protocols import Call, Engine

TEXTS = ("a", "The appeal is about a wall.", "x" * 90, "Was the order made in time? " * 3, "é § 12(1)")
ANSWERS = ("YES", "NO", "N", "YES, in part")


def fresh(folder, **fields):
    """An engine that has read nothing yet."""
    forget_engine()
    return TransformersBackbone(**({"name": "tiny", "model": str(folder)} | fields)).load()


def ask(text, key=None, new=12, answers=(), before=(), choices=()):
    messages = (*before, {"role": "user", "content": text})
    return Call(key=key or text, messages=messages, max_new_tokens=new, answers=answers, choices=choices)


def replies(batches):
    return {key: reply for batch in batches for key, reply in batch}


class Oracle:
    """The model in float64, every token from a forward over everything before it."""

    def __init__(self, folder):
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").double().eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)

    def ids(self, call):
        text = self.tokenizer.apply_chat_template(list(call.messages), tokenize=False, add_generation_prompt=True)
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def logprobs(self, ids):
        import torch

        with torch.inference_mode():
            return self.model(torch.tensor([ids]), use_cache=False).logits[0].log_softmax(-1)

    def written(self, call):
        ids, written = self.ids(call), []
        while len(written) < call.max_new_tokens and self.tokenizer.eos_token_id not in written:
            written.append(self.logprobs(ids + written)[-1].argmax().item())
        return written

    def chosen(self, call):
        """Token by token the most probable one of those that go on with a choice, or end where one is whole."""
        ids, written, end = self.ids(call), [], self.tokenizer.eos_token_id
        choices = [self.tokenizer(choice, add_special_tokens=False)["input_ids"] + [end] for choice in call.choices]
        while end not in written and len(written) < call.max_new_tokens:
            begun = [choice for choice in choices if choice[: len(written)] == written]
            allowed = sorted({choice[len(written)] for choice in begun})
            written.append(allowed[self.logprobs(ids + written)[-1][allowed].argmax().item()])
        return self.tokenizer.decode(written, skip_special_tokens=True), len(written)

    def greedy(self, call):
        return self.tokenizer.decode(self.written(call), skip_special_tokens=True)

    def weigh(self, call, answer):
        ids = self.ids(call)
        wanted = self.tokenizer(answer, add_special_tokens=False)["input_ids"]
        after = self.logprobs(ids + wanted)[len(ids) - 1 :]
        return sum(after[place, token].item() for place, token in enumerate(wanted))


@pytest.fixture(scope="module")
def oracle(tiny):
    return Oracle(tiny)


@pytest.mark.parametrize("batch_tokens", [1, 300, 100_000])
@pytest.mark.parametrize("prefix_cache_gb", [0.0, 1.0])
def test_greedy_text_is_the_oracles_for_any_batch_and_with_or_without_reuse(
    tiny, oracle, batch_tokens, prefix_cache_gb
):
    engine = fresh(tiny, batch_tokens=batch_tokens, prefix_cache_gb=prefix_cache_gb)
    calls = [ask(text) for text in TEXTS]
    assert isinstance(engine, Engine)
    for _ in range(2):
        got = replies(engine.generate(calls))
        assert {key: reply.text for key, reply in got.items()} == {call.key: oracle.greedy(call) for call in calls}
        assert all(
            reply.prompt_tokens == len(oracle.ids(call)) for call, reply in zip(calls, map(got.get, TEXTS), strict=True)
        )


@pytest.mark.parametrize("prefix_cache_gb", [0.0, 1.0])
def test_logprobs_of_answers_are_the_oracles(tiny, oracle, prefix_cache_gb):
    calls = [ask(text, answers=ANSWERS) for text in TEXTS]
    obvious = replies(fresh(tiny, prefix_cache_gb=0.0).compare(calls))
    got = replies(fresh(tiny, prefix_cache_gb=prefix_cache_gb).compare(calls))
    exact = {(call.key, answer): oracle.weigh(call, answer) for call in calls for answer in ANSWERS}
    # Whatever order sums are made in, float32 is off by about as much: twice what the obvious version is off by.
    tolerance = 2 * max(abs(obvious[key].logprobs[answer] - value) for (key, answer), value in exact.items())
    assert tolerance < 1e-3
    for (key, answer), value in exact.items():
        assert got[key].logprobs[answer] == pytest.approx(value, abs=tolerance, rel=0)
    assert all(reply.text == "" and reply.new_tokens == 0 for reply in got.values())


def test_answers_of_one_token_each_cost_no_second_forward(tiny, oracle):
    engine = fresh(tiny)
    call = ask("Is it so?", answers=("Y", "N"))
    forwards = []
    engine.model.register_forward_hook(lambda *_: forwards.append(None))
    reply = replies(engine.compare([call]))[call.key]
    assert len(forwards) == 1
    assert reply.logprobs == pytest.approx({answer: oracle.weigh(call, answer) for answer in call.answers}, abs=1e-4)


CHOICES = (("YES", "NO"), ("N", "NO", "NO, never"), ("é", "e"), ("only this",))


@pytest.fixture(scope="module")
def choosing(oracle):
    """Calls with choices, and the oracle's choice and its tokens."""
    calls = [ask(text, key=f"{text} {choices}", choices=choices) for text in TEXTS for choices in CHOICES]
    return [(call, *oracle.chosen(call)) for call in calls]


@pytest.mark.parametrize("batch_tokens", [1, 300, 100_000])
@pytest.mark.parametrize("prefix_cache_gb", [0.0, 1.0])
def test_a_choice_is_the_greedy_path_for_any_batch_with_or_without_reuse(
    tiny, oracle, choosing, batch_tokens, prefix_cache_gb
):
    engine = fresh(tiny, batch_tokens=batch_tokens, prefix_cache_gb=prefix_cache_gb)
    assert engine.can.structured
    free = ask("Was the order made in time?")
    got = replies(engine.generate([*(call for call, *_ in choosing), free]))
    for call, text, tokens in choosing:
        assert text in call.choices
        assert (got[call.key].text, got[call.key].new_tokens, got[call.key].finish_reason) == (text, tokens, "stop")
    assert got[free.key].text == oracle.greedy(free)


def test_a_choice_with_no_room_is_cut_off_and_no_other_text(tiny, oracle):
    call = ask("Was it?", new=3, choices=("certainly", "certainly not"))
    reply = replies(fresh(tiny).generate([call]))[call.key]
    assert (reply.text, reply.finish_reason, reply.new_tokens) == ("cer", "length", 3)


def test_nothing_asked_is_nothing_answered(tiny):
    assert list(fresh(tiny).generate([])) == []


def test_a_second_turn_pays_only_for_what_is_new(tiny, oracle):
    engine = fresh(tiny)
    first = ask("Facts. " * 20, key="1")
    answer = replies(engine.generate([first]))["1"]
    second = ask("And now?", key="2", before=(*first.messages, {"role": "assistant", "content": answer.text}))
    again = replies(engine.generate([second]))["2"]
    assert answer.cached_tokens == 0
    assert answer.prompt_tokens <= again.cached_tokens < again.prompt_tokens
    assert again.text == oracle.greedy(second)


def test_of_a_conversation_that_ends_nothing_is_kept_and_what_it_went_on_from_is(tiny, oracle):
    engine = fresh(tiny)
    first = ask("Facts. " * 20, key="1")
    answer = replies(engine.generate([first]))["1"]
    held = engine.prefixes.nbytes
    talk = (*first.messages, {"role": "assistant", "content": answer.text})
    last = replace(ask("YES or NO?", key="2", before=talk), final=True)
    assert replies(engine.generate([last]))["2"].text == oracle.greedy(last)
    assert engine.prefixes.nbytes == held
    assert replies(engine.generate([ask("And now?", key="3", before=talk)]))["3"].cached_tokens >= answer.prompt_tokens


def test_another_question_about_the_same_document_reuses_the_document(tiny, oracle):
    engine = fresh(tiny)
    document = "The wall stood on the boundary. " * 6
    list(engine.generate([ask(document + "Who built it?")]))
    other = ask(document + "YES or NO?", answers=("YES", "NO"))
    reply = replies(engine.compare([other]))[other.key]
    assert reply.cached_tokens > len(document)
    assert reply.logprobs["YES"] == pytest.approx(oracle.weigh(other, "YES"), abs=1e-4)


@pytest.mark.parametrize(("attention", "reused"), [("sdpa", False), ("split", True), ("eager", True)])
def test_a_short_common_beginning_is_read_anew_where_a_past_is_slow(tiny, attention, reused):
    engine = fresh(tiny, attention=attention)
    list(engine.generate([ask("a" * 10)]))
    assert bool(replies(engine.generate([ask("b" * 200)]))["b" * 200].cached_tokens) == reused


def test_what_calls_share_is_read_once_however_they_are_ordered_and_batched(tiny):
    document = "The wall stood on the boundary. "
    texts = [
        first + document * 2 + last for first in ("On appeal: ", "On revision: ") for last in ("Why?", "When?", "YES?")
    ]
    for batch_tokens in (1, 100_000):
        engine = fresh(tiny, batch_tokens=batch_tokens, prefix_cache_gb=1e-9)
        asked, _ = engine._prepare([ask(text, new=2) for text in texts[::2] + texts[1::2]])
        distinct = {tuple(one.ids[:length]) for one in asked for length in range(1, len(one.ids) + 1)}
        list(engine.generate([one.call for one in asked]))
        assert engine.tokens_read == len(distinct), "nothing is kept from call to call, so the tree alone does it"
        assert engine.prefixes.nbytes == 0


def test_without_a_prefix_cache_every_prompt_is_read(tiny):
    engine = fresh(tiny, prefix_cache_gb=0.0)
    got = replies(engine.generate([ask("a"), ask("ab")]))
    assert engine.tokens_read == sum(reply.prompt_tokens for reply in got.values())


def test_it_tells_how_many_tokens_it_can_hold(tiny):
    # 2 layers, 2 key-value heads of size 16, keys and values, 4 bytes each.
    assert fresh(tiny, prefix_cache_gb=1.0).holds == 10**9 // (2 * 2 * 16 * 2 * 4)
    assert fresh(tiny, prefix_cache_gb=0.0).holds == 0


def test_a_thought_has_room_of_its_own(tiny, oracle):
    engine = fresh(tiny, thinking_tokens=5, context=200)
    call = ask("one", new=3)
    longer = ask("one", new=8)
    reply = replies(engine.generate([call]))["one"]
    assert (reply.text, reply.new_tokens) == (oracle.greedy(longer), 8)
    assert engine.context == 195
    room = 195 - reply.prompt_tokens
    assert replies(engine.generate([ask("one", new=room)]))["one"].finish_reason != "overflow"
    assert replies(engine.generate([ask("one", new=room + 1)]))["one"].finish_reason == "overflow"


def test_a_model_that_thinks_compares_no_answers(tiny):
    engine = fresh(tiny, thinking_tokens=5)
    assert not engine.can.logprobs
    with pytest.raises(UserError, match=r"backbone\.thinking_tokens: .*no probability"):
        list(engine.compare([ask("a", answers=("Y",))]))


def test_a_model_that_thinks_is_held_to_no_choices(tiny):
    engine = fresh(tiny, thinking_tokens=5)
    assert not engine.can.structured
    with pytest.raises(UserError, match=r"backbone\.thinking_tokens: .*held to given answers"):
        list(engine.generate([ask("b"), ask("a", choices=("Y",))]))


CARD = CardSampling(temperature=1.5, top_p=0.9, top_k=30, presence_penalty=0.5)


def drawn(folder, calls, **fields):
    engine = fresh(folder, decoding="card", card=CARD, **fields)
    assert engine.can.seed
    return {key: reply.text for key, reply in replies(engine.generate(calls)).items()}


def test_what_is_drawn_depends_on_seed_and_call_and_on_nothing_beside(tiny, oracle):
    calls = [ask(text) for text in TEXTS]
    first = drawn(tiny, calls, seed=3)
    assert first == drawn(tiny, calls[::-1], seed=3, batch_tokens=1) == drawn(tiny, calls, seed=3, prefix_cache_gb=0.0)
    assert first != drawn(tiny, calls, seed=4)
    assert first != {call.key: oracle.greedy(call) for call in calls}
    chosen = [ask(text, choices=("YES", "NO, never", "NO")) for text in TEXTS]
    assert set(drawn(tiny, chosen, seed=3).values()) <= {"YES", "NO, never", "NO"}
    same = [ask("a", key=key) for key in "xyz"]
    assert len(set(drawn(tiny, same).values())) > 1
    assert not fresh(tiny).can.seed


def test_calls_with_much_held_go_first(tiny):
    engine = fresh(tiny, batch_tokens=1)
    long = ask("A long one. " * 20)
    list(engine.generate([long]))
    assert [key for batch in engine.generate([ask("Short."), long]) for key, _ in batch] == [long.key, "Short."]


def test_each_call_is_cut_off_at_its_own_limit(tiny, oracle):
    calls = [ask("one", new=3), ask("two", new=9)]
    got = replies(fresh(tiny).generate(calls))
    assert {key: (reply.new_tokens, reply.finish_reason) for key, reply in got.items()} == {
        "one": (3, "length"),
        "two": (9, "length"),
    }
    assert got["one"].text == oracle.greedy(calls[0])


@pytest.mark.parametrize("prefix_cache_gb", [0.0, 1.0])
def test_an_end_at_the_last_allowed_token_is_a_stop_and_one_later_a_cut(
    tiny, save_tiny, oracle, tmp_path, prefix_cache_gb
):
    call = ask("When does this end?", new=20)
    ids = oracle.written(call)
    place = max(place for place, token in enumerate(ids) if token not in ids[:place])
    folder = save_tiny(tmp_path / "ends", eos_token_id=[oracle.tokenizer.eos_token_id, ids[place]])
    engine = fresh(folder, prefix_cache_gb=prefix_cache_gb)
    calls = [ask(call.messages[0]["content"], key=str(new), new=new) for new in (place, place + 1, place + 5)]
    got = replies(engine.generate(calls))
    assert [(got[c.key].finish_reason, got[c.key].new_tokens) for c in calls] == [
        ("length", place),
        ("stop", place + 1),
        ("stop", place + 1),
    ]


@pytest.mark.parametrize("prefix_cache_gb", [0.0, 1.0])
def test_what_a_publisher_recommends_for_sampling_is_ignored(tiny, save_tiny, oracle, tmp_path, prefix_cache_gb):
    folder = save_tiny(
        tmp_path / "penalised", do_sample=True, temperature=9.0, top_k=3, repetition_penalty=5.0, max_new_tokens=2
    )
    call = ask("The appeal is about a wall.")
    got = replies(fresh(folder, prefix_cache_gb=prefix_cache_gb).generate([call]))
    assert got[call.key].text == oracle.greedy(call)


def test_a_prompt_starts_with_exactly_one_bos(tiny, oracle):
    engine = fresh(tiny)
    asked, _ = engine._prepare([ask("a")])
    assert asked[0].ids[0] == oracle.tokenizer.bos_token_id
    assert asked[0].ids.count(oracle.tokenizer.bos_token_id) == 1


def test_a_call_that_does_not_fit_is_an_overflow_and_is_not_run(tiny, monkeypatch):
    engine = fresh(tiny, context=64)
    fits = ask("a", key="fits", new=64 - len(engine._prepare([ask("a")])[0][0].ids))
    calls = [fits, ask("ab", key="too long", new=fits.max_new_tokens)]
    got = replies(engine.generate(calls))
    assert got["fits"].finish_reason == "length"
    assert (got["too long"].finish_reason, got["too long"].text, got["too long"].new_tokens) == ("overflow", "", 0)
    assert got["too long"].prompt_tokens == got["fits"].prompt_tokens + 1
    compared = replies(engine.compare([ask("x" * 60, answers=("YES",))]))
    assert [reply.finish_reason for reply in compared.values()] == ["overflow"]


def test_weights_are_loaded_at_the_first_call_only(tiny):
    engine = fresh(tiny)
    assert engine.token_ends("ab c") == [1, 2, 3, 4]
    assert "model" not in vars(engine)
    list(engine.generate([ask("a")]))
    assert "model" in vars(engine)


def test_a_character_of_several_tokens_ends_once_per_token(tiny):
    assert fresh(tiny).token_ends("é.") == [1, 1, 2]


def test_a_batch_is_yielded_before_the_next_one_is_run(tiny, monkeypatch):
    engine = fresh(tiny, batch_tokens=1)
    batches = engine.generate([ask("a"), ask("bb")])
    assert [key for key, _ in next(batches)] == ["a"]
    monkeypatch.setattr(engine.model, "generate", lambda *_, **__: pytest.fail("ran"))
    with pytest.raises(pytest.fail.Exception):
        next(batches)


def test_a_conversation_that_the_template_refuses_is_named(tiny):
    call = Call(key="k", messages=({"role": "tool", "content": "x"},), max_new_tokens=2)
    with pytest.raises(UserError, match=r"refuses this conversation \(tool\): no tools here"):
        list(fresh(tiny).generate([call]))


def test_no_room_for_an_answer_is_an_error(tiny):
    with pytest.raises(ValueError, match="call a leaves no room"):
        list(fresh(tiny).generate([ask("a", new=0)]))


def test_memory_that_ran_out_names_the_options(tiny, monkeypatch):
    engine = fresh(tiny)

    def exhausted(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(engine.model, "generate", exhausted)
    with pytest.raises(UserError, match=r"backbone: out of memory.*backbone\.batch_tokens"):
        list(engine.generate([ask("a")]))


def test_other_runtime_errors_pass(tiny, monkeypatch):
    engine = fresh(tiny)

    def broken(*_, **__):
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(engine.model, "generate", broken)
    with pytest.raises(RuntimeError, match="shapes differ"):
        list(engine.generate([ask("a")]))


def test_torchs_settings_are_put_back(tiny):
    import torch

    before = torch.get_float32_matmul_precision(), torch.get_num_threads()
    seen = []
    engine = fresh(tiny, matmul_precision="medium", threads=1)
    engine.model.register_forward_hook(
        lambda *_: seen.append((torch.get_float32_matmul_precision(), torch.get_num_threads()))
    )
    list(engine.generate([ask("a", new=1)]))
    assert set(seen) == {("medium", 1)}
    assert (torch.get_float32_matmul_precision(), torch.get_num_threads()) == before


def test_a_model_without_an_end_token_is_refused(tiny, save_tiny, tmp_path):
    import json

    folder = save_tiny(tmp_path / "endless", eos_token_id=None)
    for file in ("config.json", "tokenizer_config.json"):
        path = folder / file
        path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if not k.startswith("eos")}))
    with pytest.raises(UserError, match="which token ends an answer"):
        list(fresh(folder).generate([ask("a")]))


def test_reading_in_chunks_gives_the_same_state(tiny):
    import torch

    model = fresh(tiny).model
    ids = list(range(40))
    with torch.inference_mode():
        whole, parts = prefill_tokens(model, ids, chunk=100), prefill_tokens(model, ids, chunk=7)
    torch.testing.assert_close(parts.logits, whole.logits, rtol=1e-4, atol=1e-4)
    one, other = whole.state, parts.state
    for a, b in zip((*one.keys, *one.values), (*other.keys, *other.values), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_no_more_than_a_chunk_is_read_at_once(tiny):
    engine = fresh(tiny, prefill_chunk=16)
    widths = []
    engine.model.register_forward_hook(
        lambda *call: widths.append(call[2]["input_ids"].shape[1]), with_kwargs=True, prepend=True
    )
    ((_, reply),) = next(engine.generate([ask("x" * 50, new=2)]))
    assert max(widths) == 16
    assert sum(widths) == reply.prompt_tokens + reply.new_tokens - 1
