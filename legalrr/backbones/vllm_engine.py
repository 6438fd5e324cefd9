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

from legalrr.backbones.chat_template import ChatTemplate
from legalrr.backbones.local.memory import check_generated, thinking_error
from legalrr.backbones.local.prefill import TokenizedPrompt, tokenize_call
from legalrr.backbones.local.prefix_cache import depth_first_order
from legalrr.backbones.sampling import CardSampling, call_seed
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


@dataclass(frozen=True)
class _Request:
    """A request under way."""

    asked: _Asked
    prefix: tuple[int, ...]


class VLLMEngine:
    """The engine of `VLLMBackbone`.

    Args:
        template: the chat template, of a fast tokenizer.
        context: maximum number of tokens in vLLM.
        start: return the vLLM object; called at the first call.
        ends: tokens that end an answer.
        holds: capacity of the KV cache, in tokens; None: unknown.
        thinking_tokens: tokens allowed before an answer, in addition to its own.
        card: sampling settings; None: greedy decoding.
        seed: seed of sampling.
        option: config path of the backbone, for messages.
    """

    def __init__(
        self,
        *,
        template: ChatTemplate,
        context: int,
        start: Callable[[], LLM],
        ends: Sequence[int],
        holds: int | None,
        thinking_tokens: int,
        card: CardSampling | None,
        seed: int,
        option: str,
    ) -> None:
        self.template = template
        self.tokenizer = template.tokenizer
        # Thoughts are dropped from later turns, so prompt and answer share the context with at most one.
        self.context = context - thinking_tokens
        at_once = thinking_tokens == 0
        self.can = Abilities(logprobs=at_once, structured=at_once, images=False, seed=card is not None)
        self._planned = holds
        self._number = 0
        self._start = start
        self._ends = list(ends)
        self._thinking_tokens = thinking_tokens
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
                        if len(request.asked.outputs) == request.asked.requests:
                            replies.append(self._reply(request.asked, elapsed - request.asked.started))
                if replies:
                    yield replies
        finally:
            if requests:
                self.llm.llm_engine.abort_request(list(requests))

    def _tokenize(self, calls: Sequence[Call]) -> tuple[list[TokenizedPrompt], list[tuple[str, Reply]]]:
        """Return the calls to answer, sorted by shared prefixes, and replies to those that exceed the context."""
        if any(call.answers for call in calls) and not self.can.logprobs:
            raise thinking_error("has no log-probabilities of an immediate answer", option=self._option)
        check_generated([call for call in calls if not call.answers], self.can, option=self._option)
        prompts, overflows = [], []
        for call in calls:
            prompt = tokenize_call(call, self.template, thinking_tokens=self._thinking_tokens, option=self._option)
            if len(prompt.ids) + prompt.new > self.context + self._thinking_tokens:
                overflows.append((call.key, prompt.reply("overflow")))
            else:
                prompts.append(prompt)
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
            self._number += 1
            self.llm.llm_engine.add_request(str(self._number), {"prompt_token_ids": [*prompt.ids, *prefix]}, settings)
            requests[str(self._number)] = _Request(asked, prefix)

    def _reply(self, asked: _Asked, seconds: float) -> tuple[str, Reply]:
        prompt = asked.prompt
        if prompt.answers:
            return prompt.call.key, _comparison_reply(prompt, asked.outputs, seconds)
        return prompt.call.key, self._generated_reply(prompt, asked.outputs[()], seconds)

    def _generation_params(self, prompt: TokenizedPrompt) -> SamplingParams:
        choices = list(prompt.call.choices)
        drawn: dict[str, Any] = {"temperature": 0.0}
        if self._card is not None:
            drawn = {**asdict(self._card), "seed": call_seed(self._seed, prompt.call.key)}
        return SamplingParams(
            **drawn,
            max_tokens=prompt.new,
            stop_token_ids=self._ends,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
            structured_outputs=StructuredOutputsParams(choice=choices) if choices else None,
        )

    def _generated_reply(self, prompt: TokenizedPrompt, output: RequestOutput, seconds: float) -> Reply:
        (answer,) = output.outputs
        if answer.finish_reason not in ENDS:
            raise UserError(
                f"vLLM ended an answer with {answer.finish_reason!r}, neither stop nor length",
                where=f"call {prompt.call.key}",
                cure="see its log above; completed answers are stored: run the same command to resume",
            )
        return prompt.reply(
            ENDS[answer.finish_reason],
            text=self.tokenizer.decode(list(answer.token_ids), skip_special_tokens=True),
            cached_tokens=output.num_cached_tokens or 0,
            new_tokens=len(answer.token_ids),
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
