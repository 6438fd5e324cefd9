"""Run calls in vLLM: all conversations of a turn as one batch, with vLLM's prefix caching.

Conversations are tokenized here, with the same chat template as in the transformers backbone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from vllm import SamplingParams
from vllm.sampling_params import StructuredOutputsParams

from legalrr.backbones.local.memory import check_generated, thinking_error
from legalrr.backbones.local.prefill import TokenizedPrompt, tokenize_call
from legalrr.backbones.local.prefix_cache import depth_first_order
from legalrr.backbones.sampling import CardSampling, call_seed
from legalrr.backbones.thinking import ThoughtBudget, Thoughts
from legalrr.errors import UserError
from legalrr.protocols import Abilities, Call, Reply
from legalrr.records import FinishReason

if TYPE_CHECKING:
    from vllm import LLM, RequestOutput

ENDS: Mapping[str, FinishReason] = {"stop": "stop", "length": "length"}


@dataclass(frozen=True, kw_only=True)
class _Written:
    """What vLLM has written after a prompt."""

    tokens: list[int]
    finish_reason: FinishReason
    cached: int
    """Tokens of the prompt that were in its prefix cache."""


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
        self.holds = holds
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
            written = [_read_output(prompt, output) for prompt, output in zip(prompts, outputs, strict=True)]
            if self._thoughts.budget is not None:
                written, more = self._answer_thoughts(prompts, written, self._thoughts.budget)
                seconds += more
            yield [
                (prompt.call.key, self._generated_reply(prompt, answer, seconds / len(prompts)))
                for prompt, answer in zip(prompts, written, strict=True)
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

    def _answer_thoughts(
        self, prompts: Sequence[TokenizedPrompt], written: Sequence[_Written], budget: ThoughtBudget
    ) -> tuple[list[_Written], float]:
        """Continue answers that have reached the budget of a thought, after closing those that are still open.

        vLLM has a budget of its own, which expects a thought to end in the very words that close it at the limit.

        Returns:
            All answers, in order, and the seconds taken.
        """
        answers, going_on = list(written), [row for row, one in enumerate(written) if one.finish_reason == "length"]
        if not going_on:
            return answers, 0.0
        requests = []
        for row in going_on:
            tokens = [*written[row].tokens, *(budget.closing if budget.is_open(written[row].tokens) else ())]
            answers[row] = replace(written[row], tokens=tokens)
            params = self._generation_params(prompts[row], prompts[row].new - len(tokens))
            requests.append((prompts[row].ids + tokens, params))
        outputs, seconds = self._run(requests)
        for row, output in zip(going_on, outputs, strict=True):
            rest = _read_output(prompts[row], output)
            answers[row] = replace(
                answers[row], tokens=answers[row].tokens + rest.tokens, finish_reason=rest.finish_reason
            )
        return answers, seconds

    def _prepare(self, calls: Sequence[Call]) -> tuple[list[TokenizedPrompt], list[tuple[str, Reply]]]:
        """Return the calls to answer, sorted by shared prefixes, and replies to those that exceed the context."""
        prompts, overflows = [], []
        for call in calls:
            prompt = tokenize_call(call, self.template, thinking_tokens=self._thoughts.tokens, option=self._option)
            if len(prompt.ids) + prompt.new > self.context + self._thoughts.tokens:
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
            structured_outputs=StructuredOutputsParams(choice=choices) if choices else None,
        )

    def _generated_reply(self, prompt: TokenizedPrompt, answer: _Written, seconds: float) -> Reply:
        return prompt.reply(
            answer.finish_reason,
            text=self._thoughts.opening + self.tokenizer.decode(answer.tokens, skip_special_tokens=True),
            cached_tokens=answer.cached,
            new_tokens=len(answer.tokens),
            seconds=seconds,
        )


def _read_output(prompt: TokenizedPrompt, output: RequestOutput) -> _Written:
    (answer,) = output.outputs
    if answer.finish_reason not in ENDS:
        raise UserError(
            f"vLLM ended an answer with {answer.finish_reason!r}, neither stop nor length",
            where=f"call {prompt.call.key}",
            cure="see its log above; completed answers are stored: run the same command to resume",
        )
    return _Written(
        tokens=list(answer.token_ids), finish_reason=ENDS[answer.finish_reason], cached=output.num_cached_tokens or 0
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
