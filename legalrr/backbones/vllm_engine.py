"""Run calls in vLLM, which adds them to its running batch as they come, with its prefix caching.

Conversations are tokenized here, with the same chat template as in the transformers backbone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from vllm import SamplingParams
from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

from legalrr.backbones.local.prefill import TokenizedPrompt, tokenize_call, tokenize_calls
from legalrr.backbones.local.prefix_cache import depth_first_order
from legalrr.backbones.sampling import CardSampling, call_seed
from legalrr.backbones.thinking import Thoughts
from legalrr.errors import UserError
from legalrr.protocols import Abilities, Call, CallQueue, Reply
from legalrr.records import FinishReason

if TYPE_CHECKING:
    from vllm import LLM, RequestOutput

ENDS: Mapping[str, FinishReason] = {"stop": "stop", "length": "length"}


@dataclass
class _Asked:
    """A prompt under way."""

    prompt: TokenizedPrompt
    requests: int
    """Number of its requests."""
    started: float
    outputs: dict[tuple[int, ...], RequestOutput] = field(default_factory=dict)
    """Prefix of an answer -> output; of a generated answer, the empty prefix alone."""
    thought: list[int] = field(default_factory=list)
    """Tokens that an earlier request has generated, up to the budget of a thought, and those that close the thought."""
    cached: int = 0
    """Tokens of the prompt that the earlier request found in the prefix cache."""


@dataclass(frozen=True)
class _Request:
    """A request under way."""

    asked: _Asked
    prefix: tuple[int, ...]


class VLLMEngine:
    """The engine of `VLLMBackbone`.

    Args:
        thoughts: how the model thinks, with its chat template.
        context: maximum number of tokens in vLLM.
        start: return the vLLM object; called at the first call.
        ends: tokens that end an answer.
        holds: capacity of the KV cache, in tokens; None: unknown.
        card: sampling settings; None: greedy decoding.
        seed: seed of sampling.
        option: config path of the backbone, for messages.
    """

    def __init__(
        self,
        *,
        thoughts: Thoughts,
        context: int,
        start: Callable[[], LLM],
        ends: Sequence[int],
        holds: int | None,
        card: CardSampling | None,
        seed: int,
        option: str,
    ) -> None:
        self.template = thoughts.template
        self.tokenizer = thoughts.template.tokenizer
        # Thoughts are dropped from later turns, so prompt and answer share the context with at most one.
        self.context = context - thoughts.tokens
        at_once = thoughts.tokens == 0
        self.can = Abilities(logprobs=at_once, structured=at_once, images=False, seed=card is not None)
        self._planned = holds
        self._number = 0
        self._start = start
        self._ends = list(ends)
        self._thoughts = thoughts
        self._card = card
        self._seed = seed
        self._option = option

    @cached_property
    def llm(self) -> LLM:
        """The vLLM object, with the model."""
        return self._start()

    def token_ends(self, text: str) -> list[int]:
        """See `legalrr.protocols.Tokens`."""
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return [end for _, end in encoded["offset_mapping"]]

    def prompt_ids(self, call: Call) -> list[int]:
        """See `legalrr.protocols.PromptTokens`."""
        return tokenize_call(call, self.template, thinking_tokens=self._thoughts.tokens, option=self._option).ids

    @property
    def holds(self) -> int | None:
        """See `legalrr.protocols.Engine`; exact as soon as vLLM has started."""
        if "llm" not in self.__dict__:
            return self._planned
        cache = self.llm.llm_engine.vllm_config.cache_config
        return cache.num_gpu_blocks * cache.block_size if cache.num_gpu_blocks else self._planned

    def answer(self, queue: CallQueue) -> Iterator[list[tuple[str, Reply]]]:
        """See `legalrr.protocols.Engine`; `new_tokens` counts thoughts and the end-of-answer token.

        All calls that wait are given to vLLM, which adds them to its batch when it has room. A choice may be generated
        in any tokens that spell it, while the transformers backbone uses the tokens of its text alone; if choices are
        close, the two backbones may differ.

        Answers are compared by the log-probabilities of the possible next tokens after the prompt and after every
        prefix of an answer. `prompt_logprobs` would give the same numbers, but makes vLLM compute the whole prompt
        again.

        Raises:
            UserError: vLLM does not start or aborted an answer, or a model that thinks shall compare answers.
        """
        requests: dict[str, _Request] = {}
        # Seconds of an answer: its share of every step. The answers under way share the time of a step equally.
        elapsed = 0.0
        try:
            while True:
                prompts, overflows = self._tokenize(queue.take())
                if overflows:
                    yield overflows
                for prompt in prompts:
                    self._add(prompt, requests, elapsed)
                if not requests:
                    if overflows:
                        continue
                    return
                started = time.perf_counter()
                outputs = self.llm.llm_engine.step()
                elapsed += (time.perf_counter() - started) / len({id(one.asked) for one in requests.values()})
                replies = []
                for output in outputs:
                    if output.finished:
                        request = requests.pop(output.request_id)
                        request.asked.outputs[request.prefix] = output
                        if self._goes_on(request.asked, requests):
                            continue
                        if len(request.asked.outputs) == request.asked.requests:
                            replies.append(self._reply(request.asked, elapsed - request.asked.started))
                if replies:
                    yield replies
        finally:
            if requests:
                self.llm.llm_engine.abort_request(list(requests))

    def _tokenize(self, calls: Sequence[Call]) -> tuple[list[TokenizedPrompt], list[tuple[str, Reply]]]:
        """Return the calls to answer, sorted by shared prefixes, and replies to those that exceed the context."""
        prompts, overflows = tokenize_calls(
            calls,
            self.template,
            thinking_tokens=self._thoughts.tokens,
            context=self.context + self._thoughts.tokens,
            can=self.can,
            option=self._option,
        )
        order = depth_first_order([prompt.ids for prompt in prompts], [len(prompt.ids) for prompt in prompts])
        return [prompts[place] for place in order], overflows

    def _add(self, prompt: TokenizedPrompt, requests: dict[str, _Request], elapsed: float) -> None:
        """Give a prompt to vLLM: one request, or one per prefix of the answers to compare."""
        steps: list[tuple[tuple[int, ...], SamplingParams]] = [((), self._generation_params(prompt))]
        if prompt.answers:
            steps = [
                (tuple(prefix), _logprob_params(following))
                for prefix, following in _answer_prefixes(list(prompt.answers.values()))
            ]
        asked = _Asked(prompt=prompt, requests=len(steps), started=elapsed)
        for prefix, settings in steps:
            self._request(_Request(asked, prefix), [*prompt.ids, *prefix], settings, requests)

    def _request(
        self, request: _Request, ids: list[int], settings: SamplingParams, requests: dict[str, _Request]
    ) -> None:
        self._number += 1
        self.llm.llm_engine.add_request(str(self._number), {"prompt_token_ids": ids}, settings)
        requests[str(self._number)] = request

    def _goes_on(self, asked: _Asked, requests: dict[str, _Request]) -> bool:
        """Whether an answer has reached the budget of a thought: it is then closed, if still open, and goes on.

        vLLM has a budget of its own, which expects a thought to end in the very words that close it at the limit.
        """
        budget, prompt = self._thoughts.budget, asked.prompt
        if budget is None or prompt.answers or asked.thought:
            return False
        output = asked.outputs[()]
        if output.outputs[0].finish_reason != "length":
            return False
        tokens = list(output.outputs[0].token_ids)
        asked.thought = [*tokens, *(budget.closing if budget.is_open(tokens) else ())]
        asked.cached = output.num_cached_tokens or 0
        settings = self._generation_params(prompt, prompt.new - len(asked.thought))
        self._request(_Request(asked, ()), [*prompt.ids, *asked.thought], settings, requests)
        return True

    def _reply(self, asked: _Asked, seconds: float) -> tuple[str, Reply]:
        prompt = asked.prompt
        if prompt.answers:
            return prompt.call.key, _comparison_reply(prompt, asked.outputs, seconds)
        return prompt.call.key, self._generated_reply(asked, asked.outputs[()], seconds)

    def _generation_params(self, prompt: TokenizedPrompt, new: int | None = None) -> SamplingParams:
        """Return the settings of an answer of `new` tokens; None: those up to the budget of a thought, or all."""
        if new is None:
            new = prompt.new if self._thoughts.budget is None else self._thoughts.budget.tokens
        choices = list(prompt.call.choices)
        drawn: dict[str, Any] = {"temperature": 0.0}
        if self._card is not None:
            drawn = {**asdict(self._card), "seed": call_seed(self._seed, prompt.call.key)}
        return SamplingParams(
            **drawn,
            max_tokens=new,
            stop_token_ids=self._ends,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
            structured_outputs=StructuredOutputsParams(choice=choices) if choices else None,
        )

    def _generated_reply(self, asked: _Asked, output: RequestOutput, seconds: float) -> Reply:
        (answer,) = output.outputs
        if answer.finish_reason not in ENDS:
            raise UserError(
                f"vLLM ended an answer with {answer.finish_reason!r}, neither stop nor length",
                where=f"call {asked.prompt.call.key}",
                cure="see its log above; completed answers are stored: run the same command to resume",
            )
        tokens = [*asked.thought, *answer.token_ids]
        return asked.prompt.reply(
            ENDS[answer.finish_reason],
            text=self._thoughts.opening + self.tokenizer.decode(tokens, skip_special_tokens=True),
            cached_tokens=asked.cached if asked.thought else output.num_cached_tokens or 0,
            new_tokens=len(tokens),
            seconds=seconds,
        )


def _answer_prefixes(answers: Sequence[Sequence[int]]) -> list[tuple[list[int], list[int]]]:
    """Return every proper prefix of an answer, the empty one first, with the next tokens of the answers it begins."""
    following: dict[tuple[int, ...], set[int]] = {}
    for answer in answers:
        for place, token in enumerate(answer):
            following.setdefault(tuple(answer[:place]), set()).add(token)
    return [(list(prefix), sorted(following[prefix])) for prefix in sorted(following)]


def _logprob_params(following: Sequence[int]) -> SamplingParams:
    # vLLM reports log-probabilities only for generated tokens, so generate one.
    return SamplingParams(
        temperature=0.0,
        max_tokens=1,
        logprob_token_ids=list(following),
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def _comparison_reply(
    prompt: TokenizedPrompt, outputs_by_prefix: Mapping[tuple[int, ...], RequestOutput], seconds: float
) -> Reply:
    logprobs = {
        answer: sum(
            outputs_by_prefix[tuple(ids[:place])].outputs[0].logprobs[0][token].logprob
            for place, token in enumerate(ids)
        )
        for answer, ids in prompt.answers.items()
    }
    return prompt.reply(
        "stop", cached_tokens=outputs_by_prefix[()].num_cached_tokens or 0, seconds=seconds, logprobs=logprobs
    )
