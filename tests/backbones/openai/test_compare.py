"""Comparing answers by echoed log-probabilities, and a server against the same model in process."""

from dataclasses import replace

import pytest

from legalrr.backbones.echo import EchoBackbone
from legalrr.backbones.local.backbone import TransformersBackbone
from legalrr.backbones.openai.backbone import OpenAIBackbone
from legalrr.conversations import CallList
from legalrr.errors import UserError
from legalrr.protocols import Call

CALLS = [
    Call(key=f"k{number}", messages=({"role": "user", "content": f"Matter {number}: YES or NO?"},), max_new_tokens=16)
    for number in range(6)
]


def backbone(server, **options):
    return OpenAIBackbone(**({"name": "mock", "model": "m", "base_url": server.url, "context": 8192} | options))


def listed(batches):
    return [pair for batch in batches for pair in batch]


def compared(*answers):
    messages = ({"role": "system", "content": "A judge."}, {"role": "user", "content": "Is it so?"})
    return [Call(key="q", messages=messages, answers=answers)]


@pytest.fixture
def local(tiny):
    return TransformersBackbone(name="tiny", model=str(tiny)).load()


def weigh(tiny):
    """Function (token ids) that returns the log-probability of each but the first, from one forward."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny).eval()

    def weighed(ids):
        with torch.inference_mode():
            logits = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        return [logits[place, token].item() for place, token in enumerate(ids[1:])]

    return weighed


def test_echoed_logprobs_equal_those_in_process(serve, waits, tiny, local):
    server = serve(EchoBackbone().load(), weigh=weigh(tiny))
    engine = backbone(server, logprobs="echo", tokenizer=str(tiny), context=512).load()
    calls = compared("YES", "NO", " certainly not")
    ((_, far),), ((_, near),) = listed(engine.answer(CallList(calls))), listed(local.answer(CallList(calls)))
    # Both compute in float32, with another order of sums for other chunks.
    assert far.logprobs == pytest.approx(near.logprobs, abs=1e-4)
    assert list(far.logprobs) == ["YES", "NO", " certainly not"]
    assert (far.prompt_tokens, far.new_tokens, far.finish_reason) == (near.prompt_tokens, 0, "stop")


def test_compared_answers_beyond_the_context_are_not_sent(serve, tiny):
    server = serve(EchoBackbone().load(), weigh=weigh(tiny))
    engine = backbone(server, logprobs="echo", tokenizer=str(tiny), context=10).load()
    ((_, reply),) = listed(engine.answer(CallList(compared("YES"))))
    assert (reply.finish_reason, reply.logprobs, server.asked) == ("overflow", None, [])


def test_a_server_without_echo_is_an_error(serve, tiny):
    short = {"index": 0, "finish_reason": "length", "text": "x", "logprobs": {"token_logprobs": [-1.0]}}
    usage = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
    for choice in (short, short | {"logprobs": None}):
        server = serve(
            EchoBackbone().load(), lambda body, c=choice: lambda h: h.reply(200, {"choices": [c], "usage": usage})
        )
        engine = backbone(server, logprobs="echo", tokenizer=str(tiny), context=512).load()
        with pytest.raises(UserError, match=r"^call q: .*log-probabilities.*predict.scoring=generate"):
            listed(engine.answer(CallList(compared("YES"))))


def test_comparing_without_logprobs_is_refused_by_name(serve):
    engine = backbone(serve(EchoBackbone().load())).load()
    with pytest.raises(UserError, match=r"^backbone.logprobs: .*predict.scoring=generate"):
        listed(engine.answer(CallList(compared("YES"))))


def test_answers_of_a_server_equal_those_in_process(serve, waits, local):
    server = serve(local)
    calls = [replace(call, max_new_tokens=4) for call in CALLS]
    far = dict(listed(backbone(server, context=512).load().answer(CallList(calls))))
    near = dict(listed(local.answer(CallList(calls))))
    for key, reply in far.items():
        assert (reply.text, reply.finish_reason) == (near[key].text, near[key].finish_reason)
