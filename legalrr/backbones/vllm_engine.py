"""Run calls in vLLM: all conversations of a turn as one batch, with vLLM's prefix caching.

Conversations are tokenized here, with the same chat template as in the transformers backbone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

from vllm import SamplingParams
from vllm.sampling_params import StructuredOutputsParams

from legalrr.backbones.chat_template import ChatTemplate
from legalrr.backbones.local.memory import check_generated, thinking_error
from legalrr.backbones.local.prefill import TokenizedPrompt, tokenize_call
from legalrr.backbones.local.prefix_cache import depth_first_order
from legalrr.backbones.sampling import CardSampling, call_seed
from legalrr.errors import UserError
from legalrr.protocols import Abilities, Call, Reply
from legalrr.records import FinishReason

if TYPE_CHECKING:
    from vllm import LLM, RequestOutput

ENDS: Mapping[str, FinishReason] = {"stop": "stop", "length": "length"}


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
        self.holds = holds
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

    def prompt_ids(self, call: Call) -> list[int]:
        """See `legalrr.protocols.PromptTokens`."""
        return tokenize_call(call, self.template, thinking_tokens=self._thinking_tokens, option=self._option).ids

    def generate(self, calls: Sequence[Call]) -> Iterator[list[tuple[str, Reply]]]:
        """See `legalrr.protocols.Engine`; `new_tokens` counts thoughts and the end-of-answer token.

        A choice may be generated in any tokens that spell it, while the transformers backbone uses the tokens of its
        text alone; if choices are close, the two backbones may differ.

        Raises:
            UserError: vLLM does not start, or aborted an answer.
        """
        check_generated(calls, self.can, option=self._option)
        prompts, overflows = self._prepare(calls)
        if overflows:
            yield overflows
        if prompts:
            outputs, seconds = self._run([(prompt.ids, self._generation_params(prompt)) for prompt in prompts])
            yield [
                (prompt.call.key, self._generated_reply(prompt, output, seconds / len(prompts)))
                for prompt, output in zip(prompts, outputs, strict=True)
            ]

    def compare(self, calls: Sequence[Call]) -> Iterator[list[tuple[str, Reply]]]:
        """See `legalrr.protocols.Engine`; the log-probability of an answer is the sum over its tokens.

        Requests the log-probabilities of the possible next tokens after the prompt and after every prefix of an answer.
        `prompt_logprobs` would give the same numbers, but makes vLLM compute the whole prompt again.

        Raises:
            UserError: vLLM does not start, or the model thinks before it answers.
        """
        if not self.can.logprobs:
            raise thinking_error("has no log-probabilities of an immediate answer", option=self._option)
        prompts, overflows = self._prepare(calls)
        if overflows:
            yield overflows
        if prompts:
            steps = [
                (prompt, prefix, following)
                for prompt in prompts
                for prefix, following in _answer_prefixes(list(prompt.answers.values()))
            ]
            outputs, seconds = self._run(
                [(prompt.ids + prefix, _logprob_params(following)) for prompt, prefix, following in steps]
            )
            outputs_by_prefix: dict[str, dict[tuple[int, ...], RequestOutput]] = {}
            for (prompt, prefix, _), output in zip(steps, outputs, strict=True):
                outputs_by_prefix.setdefault(prompt.call.key, {})[tuple(prefix)] = output
            yield [
                (prompt.call.key, _comparison_reply(prompt, outputs_by_prefix[prompt.call.key], seconds / len(prompts)))
                for prompt in prompts
            ]

    def _prepare(self, calls: Sequence[Call]) -> tuple[list[TokenizedPrompt], list[tuple[str, Reply]]]:
        """Return the calls to answer, sorted by shared prefixes, and replies to those that exceed the context."""
        prompts, overflows = [], []
        for call in calls:
            prompt = tokenize_call(call, self.template, thinking_tokens=self._thinking_tokens, option=self._option)
            if len(prompt.ids) + prompt.new > self.context + self._thinking_tokens:
                overflows.append((call.key, prompt.reply("overflow")))
            else:
                prompts.append(prompt)
        order = depth_first_order([prompt.ids for prompt in prompts], [len(prompt.ids) for prompt in prompts])
        return [prompts[place] for place in order], overflows

    def _run(self, requests: Sequence[tuple[list[int], SamplingParams]]) -> tuple[list[RequestOutput], float]:
        """Run requests of token ids and settings; return the outputs in order, and the seconds taken."""
        llm = self.llm
        started = time.perf_counter()
        outputs = llm.generate(
            [{"prompt_token_ids": ids} for ids, _ in requests], [settings for _, settings in requests], use_tqdm=False
        )
        return outputs, time.perf_counter() - started

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
    return SamplingParams(temperature=0.0, max_tokens=1, logprob_token_ids=list(following), detokenize=False)


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
