"""The engine with a stand-in for vLLM 0.32, which answers with a full forward for every token."""

import os
import sys
from dataclasses import dataclass, replace
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import pytest

from legalrr.backbones import vllm as stage
from legalrr.backbones.local.backbone import TransformersBackbone
from legalrr.backbones.sampling import CardSampling, call_seed
from legalrr.backbones.thinking import CLOSING
from legalrr.backbones.vllm import VLLMBackbone
from legalrr.conversations import CallList
from legalrr.errors import UserError
from legalrr.protocols import Call, Engine, PromptTokens

TEXTS = ("a", "The appeal is about a wall.", "x" * 90, "é § 12(1)")
ANSWERS = ("YES", "NO", "N", "YES, in part")
BLOCK = 16


@dataclass
class SamplingParams:
    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    presence_penalty: float = 0.0
    seed: int | None = None
    stop_token_ids: list[int] | None = None
    detokenize: bool = True
    structured_outputs: object = None
    logprob_token_ids: list[int] | None = None
    output_kind: str | None = None


@dataclass
class StructuredOutputsParams:
    choice: list[str]


class VLLMError(Exception):
    pass


class LLM:
    """Always greedy, with a prefix cache of whole blocks."""

    started: list["LLM"]
    fails: Exception | None
    ends_with: str | None

    def __init__(self, **settings):
        from transformers import AutoModelForCausalLM, AutoTokenizer

        if self.fails is not None:
            raise self.fails
        self.settings = settings
        self.asked = []
        self.waiting = {}
        self.aborted = []
        self.read = set()
        self.llm_engine = self
        self.vllm_config = SimpleNamespace(cache_config=SimpleNamespace(num_gpu_blocks=8, block_size=BLOCK))
        self.started.append(self)
        if not settings["limit_mm_per_prompt"]:
            self.model = AutoModelForCausalLM.from_pretrained(settings["model"]).eval()
            self.tokenizer = AutoTokenizer.from_pretrained(settings["model"])

    def add_request(self, request_id, prompt, params):
        assert params.output_kind == "final only"
        self.asked.append((prompt, params))
        self.waiting[request_id] = (prompt["prompt_token_ids"], params)

    def step(self):
        """End the request that was added last, after an output of another that has not ended."""
        id, (ids, settings) = self.waiting.popitem()
        under_way = [SimpleNamespace(request_id=one, finished=False) for one in self.waiting][:1]
        return [*under_way, SimpleNamespace(**vars(self._answer(ids, settings)), request_id=id, finished=True)]

    def abort_request(self, request_ids):
        for one in request_ids:
            self.aborted.append(one)
            del self.waiting[one]

    def _answer(self, ids, settings):
        blocks = [tuple(ids[:end]) for end in range(BLOCK, len(ids), BLOCK)]
        cached = max((len(block) for block in blocks if block in self.read), default=0)
        self.read.update(blocks)
        generated, logprobs = [], []
        while len(generated) < settings.max_tokens and not {*generated} & {*(settings.stop_token_ids or ())}:
            scores = self._logprobs(ids + generated)
            allowed = self._allowed(settings, generated)
            token = scores.argmax().item() if allowed is None else max(allowed, key=lambda one: scores[one].item())
            asked = {*(settings.logprob_token_ids or ()), token}
            logprobs.append({one: SimpleNamespace(logprob=scores[one].item()) for one in asked})
            generated.append(token)
        ended = bool({*generated} & {*(settings.stop_token_ids or ())})
        reason = self.ends_with or ("stop" if ended else "length")
        output = SimpleNamespace(token_ids=tuple(generated), finish_reason=reason, logprobs=logprobs)
        return SimpleNamespace(outputs=[output], num_cached_tokens=cached or None)

    def _logprobs(self, ids):
        import torch

        with torch.inference_mode():
            return self.model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)

    def _allowed(self, settings, generated):
        if settings.structured_outputs is None:
            return None
        end = self.tokenizer.eos_token_id
        choices = [
            [*self.tokenizer(choice, add_special_tokens=False)["input_ids"], end]
            for choice in settings.structured_outputs.choice
        ]
        return {choice[len(generated)] for choice in choices if choice[: len(generated)] == generated}


@pytest.fixture(autouse=True)
def vllm(monkeypatch):
    """Replace vLLM by the stand-in."""
    modules = {
        "vllm": {"LLM": LLM, "SamplingParams": SamplingParams},
        "vllm.exceptions": {"VLLMError": VLLMError},
        "vllm.sampling_params": {
            "StructuredOutputsParams": StructuredOutputsParams,
            "RequestOutputKind": SimpleNamespace(FINAL_ONLY="final only"),
        },
        "vllm.model_executor.layers.quantization": {"QUANTIZATION_METHODS": ["fp8", "awq"]},
    }
    for name, content in modules.items():
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(LLM, "started", [], raising=False)
    monkeypatch.setattr(LLM, "fails", None, raising=False)
    monkeypatch.setattr(LLM, "ends_with", None, raising=False)
    for name in stage.QUIET_ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    engine = "legalrr.backbones.vllm_engine"
    # Later tests import the modules that use the stand-in's names again.
    monkeypatch.setitem(sys.modules, engine, ModuleType(engine))
    del sys.modules[engine]
    stage._engine.cache_clear()
    yield LLM
    stage._engine.cache_clear()


def backbone(folder, **fields):
    return VLLMBackbone(**({"name": "tiny", "model": str(folder), "dtype": "float32"} | fields))


def ask(text, key=None, new=12, **fields):
    return Call(key=key or text, messages=({"role": "user", "content": text},), max_new_tokens=new, **fields)


def replies(batches):
    return {key: reply for batch in batches for key, reply in batch}


@pytest.fixture(scope="module")
def near(tiny):
    """The transformers engine on the same model."""
    return TransformersBackbone(name="tiny", model=str(tiny)).load()


def test_answers_equal_those_of_the_transformers_engine(tiny, near, vllm):
    engine = backbone(tiny).load()
    assert isinstance(engine, Engine)
    calls = [ask(text) for text in TEXTS]
    calls += [ask(text, key=f"{text} held", choices=("YES", "N", "NO, never", "NO")) for text in TEXTS]
    far, here = replies(engine.answer(CallList(calls))), replies(near.answer(CallList(calls)))
    assert [dict(vars(far[call.key]), seconds=0, cached_tokens=0) for call in calls] == [
        dict(vars(here[call.key]), seconds=0, cached_tokens=0) for call in calls
    ]
    assert len(vllm.started) == 1
    assert len(vllm.started[0].asked) == len(calls)


class Queue:
    """Queue whose second call follows from the first answer; it notes how many requests are under way then."""

    def __init__(self, llm):
        self.llm = llm
        self.calls = [ask("first"), ask("other")]
        self.under_way = []

    def take(self, room=None):
        assert room is None
        taken, self.calls = self.calls, []
        return taken

    def follow(self):
        self.under_way.append(len(self.llm.started[0].waiting))
        self.calls.append(ask("next"))


def test_a_conversation_goes_on_while_another_is_under_way(tiny, vllm):
    queue, keys = Queue(vllm), []
    for batch in backbone(tiny).load().answer(queue):
        keys += [key for key, _ in batch]
        if len(keys) == 1:
            queue.follow()
    assert queue.under_way == [1]
    assert keys[1] == "next"
    assert sorted(keys) == ["first", "next", "other"]


def test_requests_under_way_are_aborted_when_the_answers_are_no_longer_wanted(tiny, vllm):
    answers = backbone(tiny).load().answer(CallList([ask(text) for text in TEXTS]))
    next(answers)
    answers.close()
    assert len(vllm.started[0].aborted) == len(TEXTS) - 1


def test_the_capacity_is_that_of_vllm_as_soon_as_it_has_started(tiny):
    engine = backbone(tiny).load()
    assert engine.holds is None
    list(engine.answer(CallList([ask("a")])))
    assert engine.holds == 8 * BLOCK


def test_prompts_are_tokenized_without_starting_vllm(tiny, near, vllm):
    engine, call = backbone(tiny).load(), ask("Is it so?")
    assert isinstance(engine, PromptTokens)
    assert engine.prompt_ids(call) == near.prompt_ids(call)
    assert vllm.started == []


def test_logprobs_equal_those_of_transformers_with_one_request_per_prefix(tiny, near, vllm):
    engine = backbone(tiny).load()
    calls = [ask(text, answers=ANSWERS) for text in TEXTS]
    far, here = replies(engine.answer(CallList(calls))), replies(near.answer(CallList(calls)))
    for call in calls:
        # Both compute in float32, with another order of sums for other chunks.
        assert far[call.key].logprobs == pytest.approx(here[call.key].logprobs, abs=1e-4)
        assert list(far[call.key].logprobs) == list(ANSWERS)
        assert (far[call.key].text, far[call.key].new_tokens, far[call.key].finish_reason) == ("", 0, "stop")
    asked = vllm.started[0].asked
    # "", Y, YE, YES, "YES,", ... and N: one token per byte.
    beginnings = {answer[:length] for answer in ANSWERS for length in range(len(answer))}
    assert len(asked) == len(TEXTS) * len(beginnings)
    assert {settings.max_tokens for _, settings in asked} == {1}


def test_cached_tokens_are_counted(tiny):
    engine = backbone(tiny).load()
    first, second = ask("The wall stood. " * 4 + "Why?"), ask("The wall stood. " * 4 + "Who?")
    assert replies(engine.answer(CallList([first])))[first.key].cached_tokens == 0
    assert replies(engine.answer(CallList([second])))[second.key].cached_tokens >= 64
    weighed = replies(engine.answer(CallList([replace(first, answers=ANSWERS)])))[first.key]
    assert 64 <= weighed.cached_tokens < weighed.prompt_tokens


def test_calls_with_a_common_prefix_are_adjacent(tiny, vllm):
    engine = backbone(tiny).load()
    texts = [f"{first} {last}" for last in ("Why?", "Who?") for first in ("On appeal: " * 3, "On revision: " * 3)]
    list(engine.answer(CallList([ask(text, new=1) for text in texts])))
    prompts = [tuple(prompt["prompt_token_ids"]) for prompt, _ in vllm.started[0].asked]
    assert [prompt[:40] for prompt in prompts[::2]] == [prompt[:40] for prompt in prompts[1::2]]


def test_greedy_ignores_the_card_and_each_sample_has_its_own_seed(tiny, vllm):
    card = CardSampling(temperature=0.7, top_p=0.8, top_k=20, presence_penalty=1.5)
    calls = [ask("a"), ask("b")]
    greedy = backbone(tiny, card=card).load()
    assert not greedy.can.seed
    list(greedy.answer(CallList(calls)))
    drawing = backbone(tiny, card=card, decoding="card", seed=3).load()
    assert drawing.can.seed
    list(drawing.answer(CallList(calls)))
    (plain, _), (drawn, other) = ([settings for _, settings in llm.asked] for llm in vllm.started)
    end = drawing.tokenizer.eos_token_id
    held = {"max_tokens": 12, "stop_token_ids": [end], "detokenize": False, "output_kind": "final only"}
    assert plain == SamplingParams(temperature=0.0, **held)
    settings = {"temperature": 0.7, "top_p": 0.8, "top_k": 20, "presence_penalty": 1.5}
    assert {drawn.seed, other.seed} == {call_seed(3, "a"), call_seed(3, "b")}
    assert drawn == SamplingParams(**settings, seed=drawn.seed, **held)


def test_a_call_that_does_not_fit_is_an_overflow_and_is_not_sent(tiny, vllm):
    engine = backbone(tiny, context=64).load()
    assert engine.context == 64
    tokens = replies(engine.answer(CallList([ask("a", new=1)])))["a"].prompt_tokens
    fits = ask("a", key="fits", new=64 - tokens)
    got = replies(engine.answer(CallList([fits, ask("ab", new=fits.max_new_tokens)])))
    assert {key: reply.finish_reason == "overflow" for key, reply in got.items()} == {"fits": False, "ab": True}
    assert (got["ab"].text, got["ab"].new_tokens, got["ab"].prompt_tokens) == ("", 0, tokens + 1)
    compared = replies(engine.answer(CallList([ask("x" * 60, answers=("YES",))])))
    assert [(reply.finish_reason, reply.logprobs) for reply in compared.values()] == [("overflow", None)]
    assert len(vllm.started[0].asked) == 2
    assert list(engine.answer(CallList([]))) == list(engine.answer(CallList([]))) == []


def test_thoughts_have_their_own_tokens_and_exclude_choices_and_comparison(tiny, vllm):
    engine = backbone(tiny, thinking_tokens=5, context=200).load()
    assert engine.context == 195
    assert replies(engine.answer(CallList([ask("one", new=3)])))["one"].new_tokens == 8
    assert (engine.can.logprobs, engine.can.structured) == (False, False)
    for refused in (
        engine.answer(CallList([ask("a", answers=("Y",))])),
        engine.answer(CallList([ask("a", choices=("Y",))])),
    ):
        with pytest.raises(UserError, match=r"^backbone\.thinking_tokens: .*predict\.scoring=generate"):
            list(refused)
    with pytest.raises(UserError, match=r"^backbone\.thinking_tokens: thinking_tokens is 512"):
        backbone(tiny, thinking_tokens=512).load()


def test_no_room_for_an_answer_is_an_error(tiny):
    with pytest.raises(ValueError, match="call a leaves no room"):
        list(backbone(tiny).load().answer(CallList([ask("a", new=0)])))


def test_an_answer_that_vllm_aborted_is_an_error(tiny, vllm, monkeypatch):
    monkeypatch.setattr(vllm, "ends_with", "abort")
    with pytest.raises(UserError, match=r"^call a: vLLM ended an answer with 'abort'"):
        list(backbone(tiny).load().answer(CallList([ask("a")])))


def test_every_end_token_is_passed_to_vllm(save_tiny, tmp_path, vllm):
    folder = save_tiny(tmp_path / "ends", eos_token_id=[7, 258])
    end = backbone(folder).load().tokenizer.eos_token_id
    list(backbone(folder).load().answer(CallList([ask("a")])))
    (folder / "generation_config.json").unlink()
    stage._engine.cache_clear()
    list(backbone(folder).load().answer(CallList([ask("a")])))
    assert [llm.asked[0][1].stop_token_ids for llm in vllm.started] == [sorted({7, 258, end}), [end]]


def test_vllm_starts_at_the_first_call_as_configured_without_publisher_defaults(tiny, vllm, monkeypatch):
    monkeypatch.setenv("VLLM_LOGGING_LEVEL", "INFO")
    chosen = {"quantization": "fp8", "tensor_parallel": 2, "gpu_memory_utilization": 0.5, "kv_cache_gb": 1.5}
    engine = backbone(tiny, **chosen, context=256, enforce_eager=True).load()
    assert engine.token_ends("ab é") == [1, 2, 3, 4, 4]
    # 2 layers, 2 key-value heads of size 16, keys and values, 4 bytes each; on 2 accelerators.
    assert engine.holds == 2 * 1_500_000_000 // (2 * 2 * 16 * 2 * 4)
    assert vllm.started == []
    list(engine.answer(CallList([ask("a", new=1)])))
    assert vllm.started[0].settings == {
        "model": str(tiny),
        "trust_remote_code": False,
        "dtype": "float32",
        "quantization": "fp8",
        "max_model_len": 256,
        "hf_overrides": {},
        "tensor_parallel_size": 2,
        "gpu_memory_utilization": 0.5,
        "kv_cache_memory_bytes": 1_500_000_000,
        "enforce_eager": True,
        "enable_prefix_caching": True,
        "limit_mm_per_prompt": {},
        "generation_config": "vllm",
    }
    assert (os.environ["VLLM_NO_USAGE_STATS"], os.environ["VLLM_LOGGING_LEVEL"]) == ("1", "INFO")


def test_qwen3_vl_has_no_images_and_extends_its_context_with_yarn(family, vllm):
    folder = family("qwen3_vl")
    for context in (None, 524288):
        engine = backbone(folder, context=context).load()
        assert engine.holds is None
        assert engine.llm.settings["quantization"] is engine.llm.settings["kv_cache_memory_bytes"] is None
    native, longer = (llm.settings for llm in vllm.started)
    assert native["limit_mm_per_prompt"] == longer["limit_mm_per_prompt"] == {"image": 0, "video": 0}
    assert (native["hf_overrides"], native["max_model_len"]) == ({}, 262144)
    changed = longer["hf_overrides"]["text_config"]
    assert changed["max_position_embeddings"] == longer["max_model_len"] == 524288
    rope = {key: changed["rope_parameters"][key] for key in ("rope_type", "factor", "original_max_position_embeddings")}
    assert rope == {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 262144}
    assert changed["rope_parameters"]["mrope_section"] == [4, 2, 2]
    with pytest.raises(UserError, match=r"^backbone\.context: .*exceeds the native length"):
        backbone(folder, context=300000).load()


@pytest.mark.parametrize("error", [RuntimeError("no memory"), ValueError("no memory"), VLLMError("no memory")])
def test_options_that_may_help_vllm_to_start_are_named(tiny, vllm, monkeypatch, error):
    monkeypatch.setattr(vllm, "fails", error)
    with pytest.raises(UserError, match=r"^backbone: vLLM cannot start .*no memory .*backbone\.gpu_memory_utilization"):
        list(backbone(tiny).load().answer(CallList([ask("a")])))


def test_an_unsupported_quantization_is_refused_by_name(tiny):
    with pytest.raises(
        UserError, match=r"^backbone\.quantization: unsupported vLLM quantization 'int9' .use none, fp8, awq"
    ):
        backbone(tiny, quantization="int9").load()


def test_equal_backbones_share_one_engine(tiny):
    first = backbone(tiny).load()
    assert backbone(tiny).load() is first
    assert backbone(tiny, context=64).load() is not first


def test_a_budget_of_thoughts_gives_the_answers_of_the_transformers_engine(save_thinking):
    switch = "<think>{% if not enable_thinking %}</think>{% endif %}"
    folder = save_thinking("{% for m in messages %}{{ m['content'] }}{% endfor %}" + switch)
    options = {"name": "m", "model": str(folder), "dtype": "float32", "thinking": "budget", "thinking_tokens": 6}
    kinds = (VLLMBackbone(**options), TransformersBackbone(**options))
    far, near = (replies(kind.load().answer(CallList([ask(text, new=4) for text in TEXTS]))) for kind in kinds)
    for key, reply in near.items():
        assert replace(far[key], seconds=0.0, cached_tokens=0) == replace(reply, seconds=0.0, cached_tokens=0)
    assert any(CLOSING in reply.text for reply in near.values())
