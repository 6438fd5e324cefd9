"""vLLM itself, on a CPU, against the transformers engine: the packaged model, in float32.

`make test-vllm` makes the environment that this needs.
"""

from dataclasses import replace
from importlib.util import find_spec

import pytest
from hydra import compose, initialize_config_dir

from legalrr.backbones.engine_choice import build_backbone
from legalrr.backbones.local.backbone import TransformersBackbone, forget_engine
from legalrr.backbones.sampling import CardSampling
from legalrr.backbones.thinking import Thoughts
from legalrr.backbones.vllm import VLLMBackbone
from legalrr.conversations import CallList
from legalrr.paths import root
from legalrr.protocols import Call

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vllm is not installed (make test-vllm)"),
]
CONTEXT = 2048
TOLERANCE = 2e-4
"""Of a log-probability. Both sum float32 products in orders of their own, over 30 layers: ten times the greatest
difference seen in the answers that are compared below, 1.9e-5."""
DOCUMENT = "The tenant paid no rent for a year. The landlord sued, and lost in both courts below. " * 12
ANSWERS = ("YES", "NO", "NO, never", "Nobody knows")


CHOSEN = ("backbone=smollm2", "engine=vllm", f"backbone.context={CONTEXT}")


@pytest.fixture(scope="module")
def far(shipped):
    """The vLLM engine, shared by cells with the same backbone."""
    with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
        return build_backbone(compose("config", list(CHOSEN)).backbone, VLLMBackbone).load()


@pytest.fixture(scope="module")
def near(shipped):
    forget_engine()
    return TransformersBackbone(name="near", model=shipped, context=CONTEXT).load()


def ask(question, **fields):
    messages = ({"role": "user", "content": f"{DOCUMENT}\n\n{question}"},)
    return Call(key=question, messages=messages, max_new_tokens=12, **fields)


def replies(batches):
    return {key: reply for batch in batches for key, reply in batch}


QUESTIONS = ("Who sued?", "Should the appeal be allowed? Answer YES or NO.", "What is a lease?")


def test_a_sweep_gives_the_answers_of_the_transformers_engine(far, sweep, tmp_path):
    arms = ("plain", "c", "direct_choose", "direct_compare")
    by_vllm = sweep(tmp_path / "far", arms, *CHOSEN)
    here = sweep(tmp_path / "near", arms, "backbone=smollm2", f"backbone.context={CONTEXT}")
    # A choice may be generated in other tokens, and so differ.
    free = [key for key in here if key[0] != "direct_choose"]
    kept = ("name", "text", "finish_reason", "prompt_tokens")
    assert {key: [[turn[name] for name in kept] for turn in by_vllm[key]] for key in free} == {
        key: [[turn[name] for name in kept] for turn in here[key]] for key in free
    }
    for key, turns in by_vllm.items():
        for turn, other in zip(turns, here[key], strict=True):
            assert turn["logprobs"] == (other["logprobs"] and pytest.approx(other["logprobs"], abs=TOLERANCE))
    assert {turns[-1]["text"] for (arm, _), turns in by_vllm.items() if arm == "direct_choose"} <= {"YES", "NO"}
    # A later turn starts with the previous one, and arms with and without the chain share the first.
    assert all(turn["cached_tokens"] > 0 for (arm, _), turns in by_vllm.items() if arm == "c" for turn in turns[1:])


def test_free_answers_equal_those_of_the_transformers_engine(far, near):
    calls = [ask(question) for question in QUESTIONS]
    got, wanted = replies(far.answer(CallList(calls))), replies(near.answer(CallList(calls)))
    assert {key: (reply.text, reply.finish_reason) for key, reply in got.items()} == {
        key: (reply.text, reply.finish_reason) for key, reply in wanted.items()
    }


def spelled(near, call):
    """The greedy path among all tokens that spell a choice, with an end token after a complete one."""
    import torch

    (one,), _ = near._tokenize([call])
    texts = near.tokenizer.batch_decode([[token] for token in range(len(near.tokenizer))])
    end = near.tokenizer.eos_token_id
    said, written = "", []
    while end not in written:
        rests = [choice.removeprefix(said) for choice in call.choices if choice.startswith(said)]
        allowed = [token for token, text in enumerate(texts) if text and any(rest.startswith(text) for rest in rests)]
        allowed += [end] if "" in rests else []
        with torch.inference_mode():
            scores = near.model(torch.tensor([one.ids + written])).logits[0, -1]
        written.append(allowed[scores[allowed].argmax().item()])
        said += "" if written[-1] == end else texts[written[-1]]
    return said


def test_a_choice_may_be_generated_in_any_tokens_that_spell_it(far, near):
    sets = (("YES", "NO"), ("NO", "NO, never"), ("It is so.", "It is not so.", "Is it?"))
    calls = [
        replace(ask(question, choices=choices), key=f"{question} {choices}")
        for question in QUESTIONS
        for choices in sets
    ]
    got = replies(far.answer(CallList(calls)))
    assert {key: reply.text for key, reply in got.items()} == {call.key: spelled(near, call) for call in calls}
    assert {reply.finish_reason for reply in got.values()} == {"stop"}


def test_logprobs_equal_those_of_transformers_and_of_one_whole_prefill(far, near):
    from vllm import SamplingParams

    calls = [ask(question, answers=ANSWERS) for question in QUESTIONS]
    got, wanted = replies(far.answer(CallList(calls))), replies(near.answer(CallList(calls)))
    for call in calls:
        assert got[call.key].logprobs == pytest.approx(wanted[call.key].logprobs, abs=TOLERANCE)
    (one,), _ = far._tokenize(calls[:1])
    whole = far.llm.generate(
        [{"prompt_token_ids": one.ids + ids} for ids in one.answers.values()],
        SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=0),
        use_tqdm=False,
    )
    for (answer, ids), output in zip(one.answers.items(), whole, strict=True):
        read = output.prompt_logprobs[-len(ids) :]
        total = sum(place[token].logprob for place, token in zip(read, ids, strict=True))
        assert got[one.call.key].logprobs[answer] == pytest.approx(total, abs=TOLERANCE)


def test_a_cached_prefix_is_not_computed_again(far):
    first, second = ask("When was that?"), ask("Where was that?")
    list(far.answer(CallList([first])))
    reply = replies(far.answer(CallList([second])))[second.key]
    # vLLM caches whole blocks, of 128 tokens on a CPU.
    assert reply.prompt_tokens - 2 * 128 <= reply.cached_tokens < reply.prompt_tokens
    assert reply.cached_tokens % 128 == 0


def test_samples_depend_on_the_seed_and_not_on_the_batch(far):
    calls = [ask(question) for question in QUESTIONS]

    def drawn(seed, some):
        engine = type(far)(
            thoughts=Thoughts(template=far.template, tokens=0),
            context=CONTEXT,
            start=lambda: far.llm,
            ends=far._ends,
            holds=None,
            card=CardSampling(temperature=1.0, top_k=40),
            seed=seed,
            option="backbone",
        )
        return {key: reply.text for key, reply in replies(engine.answer(CallList(some))).items()}

    together = drawn(1, calls)
    assert together == {key: text for call in calls for key, text in drawn(1, [call]).items()}
    assert together != drawn(2, calls)
