"""Every family of models: prefix cache, chunks and batches do not change answers.

The oracle is the library's own model in float32 and eager attention, one prompt at a time, without padding and without
anything held, set to its context as the backbone sets it. The Gated KalmaNet layers of Qwen3 go by their definition.
"""

from dataclasses import replace

import pytest

from legalrr.backbones.local.checkpoint import model_class, open_config
from legalrr.backbones.local.gka_model import gka_modules
from legalrr.backbones.local.memory import set_context
from legalrr.conversations import CallList
from legalrr.protocols import Call

ATTENTIVE = ("qwen3_vl", "qwen3_vl_moe", "qwen3", "llama", "mistral", "phi3")
SLIDING = ("gemma3_text", "gemma3", "olmo3", "ministral", "llama4_text")
DELTA = ("qwen3_next", "qwen3_5_text", "qwen3_5", "qwen3_5_moe", "olmo_hybrid", "kimi_linear")
RECURRENT = (*DELTA, "bamba", "lfm2", "falcon_h1")
HYBRID = ("gka_llama", "gka_qwen3_vl", "hybrid_qwen3")
FAMILIES = (*ATTENTIVE, *SLIDING, *RECURRENT, *HYBRID)
JUDGMENT = "The wall stood on the boundary."
TEXTS = (JUDGMENT + "Who built it?", JUDGMENT + "Who built the wall?", "é § 12")
ANSWERS = ("YES", "NO", "N", "YES, in part")
NEW = 4
TOLERANCE = 1e-4


def ask(text, key=None, answers=(), before=()):
    return Call(
        key=key or text, messages=(*before, {"role": "user", "content": text}), max_new_tokens=NEW, answers=answers
    )


def replies(batches):
    return {key: reply for batch in batches for key, reply in batch}


class Oracle:
    def __init__(self, folder):
        from transformers import AutoTokenizer

        config = open_config(folder)
        set_context(config, None, option="backbone")
        auto = model_class(config, option="backbone")
        self.model = auto.from_pretrained(folder, config=config, attn_implementation="eager").eval()
        if config.model_type == "hybrid_qwen3":
            for layer in gka_modules(self.model):
                layer.config = replace(layer.config, backend="naive")
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.weights = {}
        self.texts = {text: self.greedy(ask(text)) for text in TEXTS}

    def ids(self, call):
        text = self.tokenizer.apply_chat_template(list(call.messages), tokenize=False, add_generation_prompt=True)
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def greedy(self, call):
        import torch

        ids = self.ids(call)
        written = self.model.generate(torch.tensor([ids]), max_new_tokens=NEW, do_sample=False)
        return self.tokenizer.decode(written[0, len(ids) :], skip_special_tokens=True)

    def weigh(self, call, answer):
        if (call.key, answer) not in self.weights:
            self.weights[call.key, answer] = self._weigh(self.ids(call), answer)
        return self.weights[call.key, answer]

    def _weigh(self, ids, answer):
        import torch

        wanted = self.tokenizer(answer, add_special_tokens=False)["input_ids"]
        with torch.inference_mode():
            logits = self.model(input_ids=torch.tensor([ids + wanted]), use_cache=False).logits[0]
        after = logits.log_softmax(-1)[len(ids) - 1 :]
        return sum(after[place, token].item() for place, token in enumerate(wanted))


@pytest.fixture(autouse=True)
def parts_of_any_length(monkeypatch):
    """Read what prompts share where it is, however short: the prompts of a tiny model would be copied."""
    monkeypatch.setattr("legalrr.backbones.local.cache.SHORT", 1)
    monkeypatch.setattr("legalrr.backbones.local.shared_prefix_attention.MIN_SHARED_TOKENS", 4)


@pytest.fixture(scope="module")
def oracle(family):
    known = {}

    def get(name):
        if name not in known:
            known[name] = Oracle(family(name))
        return known[name]

    return get


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("fields", [{"prefix_cache_gb": 0.0}, {"batch_tokens": 1}, {"prefill_chunk": 16}])
def test_text_equals_the_reference_with_and_without_cache_and_batches(fresh, family, oracle, name, fields):
    got = replies(fresh(family(name), **fields).answer(CallList([ask(text) for text in TEXTS])))
    assert {key: reply.text for key, reply in got.items()} == oracle(name).texts


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("fields", [{"prefix_cache_gb": 0.0}, {"prefill_chunk": 16}])
def test_logprobs_equal_the_reference_with_and_without_cache(fresh, family, oracle, name, fields):
    calls = [ask(text, answers=ANSWERS) for text in TEXTS]
    for key, reply in replies(fresh(family(name), **fields).answer(CallList(calls))).items():
        for answer in ("NO", "YES, in part"):
            assert reply.logprobs[answer] == pytest.approx(oracle(name).weigh(ask(key), answer), abs=TOLERANCE)


@pytest.mark.parametrize("name", ["qwen3_vl", "qwen3_vl_moe"])
def test_positions_do_not_depend_on_an_earlier_call(fresh, family, oracle, name):
    import torch

    engine = fresh(family(name), prefill_chunk=16)
    engine.model.model.rope_deltas = torch.full((5, 1), 17)
    got = replies(engine.answer(CallList([ask(text) for text in TEXTS])))
    assert {key: reply.text for key, reply in got.items()} == oracle(name).texts
    for key, reply in replies(engine.answer(CallList([ask(text, answers=ANSWERS) for text in TEXTS]))).items():
        assert reply.logprobs["YES"] == pytest.approx(oracle(name).weigh(ask(key), "YES"), abs=TOLERANCE)


@pytest.mark.parametrize("name", RECURRENT)
def test_a_state_excludes_what_a_batch_computed_after_the_end_of_its_answer(fresh, family, oracle, name):
    engine = fresh(family(name))
    calls = [replace(ask(text), max_new_tokens=new) for text, new in zip(TEXTS, (1, 2, NEW), strict=True)]
    prompts = {prompt.call.key: prompt.ids for prompt in engine._tokenize(calls)[0]}
    first = replies(engine.answer(CallList(calls)))
    longest = max(reply.new_tokens for reply in first.values())
    for key, ids in prompts.items():
        # The last token of a prompt is computed with the answer, and the last one of an answer not at all.
        (length,) = [len(state.ids) for state in engine.prefixes._states if list(state.ids[: len(ids) - 1]) == ids[:-1]]
        assert length == len(ids) - 1 + (longest if first[key].new_tokens == longest else 0)
    said = {key: {"role": "assistant", "content": reply.text} for key, reply in first.items()}
    second = [ask("And now?", key=call.key, before=(*call.messages, said[call.key])) for call in calls]
    got = replies(engine.answer(CallList(second)))
    assert {key: reply.text for key, reply in got.items()} == {call.key: oracle(name).greedy(call) for call in second}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_second_turn_continues_from_the_first_and_computes_no_token_twice(fresh, family, oracle, name):
    engine = fresh(family(name))
    calls = [ask(text) for text in TEXTS]
    prompts = [one.ids for one in engine._tokenize(calls)[0]]
    first = replies(engine.answer(CallList(calls)))
    assert engine.tokens_read == len({tuple(ids[:length]) for ids in prompts for length in range(1, len(ids) + 1)})
    before = {call.key: (*call.messages, {"role": "assistant", "content": first[call.key].text}) for call in calls}
    second = {key: ask("And now?", key=key, before=messages) for key, messages in before.items()}
    for key, reply in replies(engine.answer(CallList(list(second.values())))).items():
        assert reply.text == oracle(name).greedy(second[key])
        # An invalid UTF-8 byte is decoded to another one, so a quoted turn may have other tokens.
        assert reply.cached_tokens >= first[key].prompt_tokens - 1
