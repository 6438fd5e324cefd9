"""Run calls in a transformers model: generated text, and log-probabilities of given answers.

On a CPU, batching gains nothing in prefill but much in decoding, and most prompts share a prefix with an earlier one: a
previous turn, or another question about the same judgment. So prompts are prefilled one by one, in depth-first order of
their prefix tree (`legalrr.backbones.local.prefix_cache`), each from its longest cached prefix. Their states are
stacked with left padding, and the library's `generate` decodes the answers as a batch; each is yielded when it ends,
so that it can be stored. Without a prefix cache,
`generate` does everything on the padded prompts: the slow reference that the tests compare with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property

import torch
from transformers import GenerationConfig, PreTrainedModel

from legalrr.backbones.chat_template import ChatTemplate
from legalrr.backbones.local.cache import stack_states, unstack_state
from legalrr.backbones.local.checkpoint import end_tokens
from legalrr.backbones.local.decode import decode
from legalrr.backbones.local.memory import check_generated, thinking_error
from legalrr.backbones.local.page_images import Vision
from legalrr.backbones.local.prefill import (
    Prefiller,
    TokenizedPrompt,
    answer_logprobs,
    answer_logprobs_reference,
    tokenize_call,
)
from legalrr.backbones.local.prefix_cache import PrefixCache, branch_points, depth_first_order, uncached_lengths
from legalrr.backbones.local.weights import catch_out_of_memory, torch_settings
from legalrr.backbones.sampling import CardSampling
from legalrr.errors import UserError
from legalrr.protocols import Abilities, Call, Reply
from legalrr.records import Page

Replies = list[tuple[TokenizedPrompt, Reply]]
Answer = Callable[[PreTrainedModel, Sequence[TokenizedPrompt]], Iterator[Replies]]


class TransformersEngine:
    """The engine of `TransformersBackbone`.

    Args:
        template: the chat template, of a fast tokenizer.
        context: maximum number of tokens in the model.
        load_model: return the model, in evaluation mode on its device; called at the first call.
        thinking_tokens: tokens allowed before an answer, in addition to its own.
        card: sampling settings; None: greedy decoding.
        seed: seed of sampling.
        batch_tokens: maximum number of tokens of padded prompts and answers in a decoding batch.
        batch_prefill: maximum number of prompt tokens to compute for a batch of several; None: no limit.
        prefill_chunk: tokens per forward pass of a prefill.
        prefix_cache_bytes: memory of the prefix cache; 0: none.
        token_bytes: memory of the state of one token.
        min_cached_share: minimum share of a prompt that must be cached for its state to be used.
        matmul_precision: precision of float32 products, see `torch.set_float32_matmul_precision`.
        threads: threads of torch on the CPU; None: unchanged.
        option: config path of the backbone, for messages.
        vision: image handling of the model; None: text only.
    """

    def __init__(
        self,
        *,
        template: ChatTemplate,
        context: int,
        load_model: Callable[[], PreTrainedModel],
        thinking_tokens: int,
        card: CardSampling | None,
        seed: int,
        batch_tokens: int,
        batch_prefill: int | None,
        prefill_chunk: int,
        prefix_cache_bytes: int,
        token_bytes: int,
        min_cached_share: float,
        matmul_precision: str,
        threads: int | None,
        option: str,
        vision: Vision | None = None,
    ) -> None:
        self.template = template
        self.tokenizer = template.tokenizer
        # Thoughts are dropped from later turns, so prompt and answer share the context with at most one.
        self.context = context - thinking_tokens
        at_once = thinking_tokens == 0
        self.can = Abilities(logprobs=at_once, structured=at_once, images=vision is not None, seed=card is not None)
        self.prefixes = PrefixCache(prefix_cache_bytes)
        self.holds = prefix_cache_bytes // max(1, token_bytes)
        self.tokens_read = 0
        """Prompt tokens that were computed so far."""
        self._prefiller = Prefiller(self.prefixes, chunk=prefill_chunk, min_cached_share=min_cached_share)
        self._load_model = load_model
        self._thinking_tokens = thinking_tokens
        self._card = card
        self._seed = seed
        self._batch_tokens = batch_tokens
        self._batch_prefill = batch_prefill
        self._matmul_precision = matmul_precision
        self._threads = threads
        self._option = option
        self._vision = vision

    @cached_property
    def model(self) -> PreTrainedModel:
        """The model, loaded on first use, without the sampling settings of its publisher."""
        model = self._load_model()
        ends = end_tokens(model.generation_config, self.tokenizer, option=self._option)
        # generate() fills what a passed configuration leaves open from the model's own: temperature, penalties.
        model.generation_config = GenerationConfig(do_sample=False, eos_token_id=ends, pad_token_id=ends[0])
        return model

    def token_ends(self, text: str) -> list[int]:
        """See `legalrr.protocols.Tokens`."""
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return [end for _, end in encoded["offset_mapping"]]

    def page_tokens(self, page: Page) -> int:
        """See `legalrr.protocols.PageTokens`; raises UserError for a text-only model."""
        if self._vision is None:
            raise UserError("this model reads no images", where=f"{self._option}.model", cure="set corpus.input=text")
        return self._vision.page_tokens(page)

    def tokenise(self, text: str) -> list[int]:
        """See `legalrr.protocols.OpenEngine`."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return ids

    def prompt_ids(self, call: Call) -> list[int]:
        """See `legalrr.protocols.PromptTokens`."""
        return self._tokenize(call).ids

    @contextmanager
    def running(self) -> Iterator[PreTrainedModel]:
        """See `legalrr.protocols.OpenEngine`."""
        model = self.model
        with torch_settings(self._matmul_precision, self._threads), catch_out_of_memory(self._option):
            yield model

    def generate(self, calls: Sequence[Call]) -> Iterator[list[tuple[str, Reply]]]:
        """See `legalrr.protocols.Engine`; `new_tokens` counts thoughts and the end-of-answer token."""
        check_generated(calls, self.can, option=self._option)
        prompts, overflows = self._prepare(calls)
        if overflows:
            yield overflows
        for batch in self._batches(prompts):
            yield from self._answer(batch, self._generate if self.prefixes.capacity else self._generate_reference)
        self._prefiller.release()

    def compare(self, calls: Sequence[Call]) -> Iterator[list[tuple[str, Reply]]]:
        """See `legalrr.protocols.Engine`; the log-probability of an answer is the sum over its tokens."""
        if not self.can.logprobs:
            raise thinking_error("has no log-probabilities of an immediate answer", option=self._option)
        prompts, overflows = self._prepare(calls)
        if overflows:
            yield overflows
        for prompt in prompts:
            yield from self._answer([prompt], self._compare if self.prefixes.capacity else self._compare_reference)
        self._prefiller.release()

    def _tokenize(self, call: Call) -> TokenizedPrompt:
        return tokenize_call(
            call, self.template, thinking_tokens=self._thinking_tokens, option=self._option, vision=self._vision
        )

    def _prepare(self, calls: Sequence[Call]) -> tuple[list[TokenizedPrompt], list[tuple[str, Reply]]]:
        """Return the prompts to answer, in prefill order, and replies to calls that exceed the context."""
        prompts, overflows = [], []
        for call in calls:
            prompt = self._tokenize(call)
            if len(prompt.ids) + prompt.new > self.context + self._thinking_tokens:
                overflows.append((call.key, prompt.reply("overflow")))
            else:
                prompts.append(prompt)
        # Use cached states before newer ones evict them; without cached states this sorts by length.
        uncached = [len(prompt.ids) - self.prefixes.cached_length(prompt.ids) for prompt in prompts]
        ordered = [prompts[place] for place in depth_first_order([prompt.ids for prompt in prompts], uncached)]
        branches = branch_points([prompt.ids for prompt in ordered])
        fresh = uncached_lengths([prompt.ids for prompt in ordered], self.prefixes)
        return [
            replace(prompt, branches=at, uncached=length)
            for prompt, at, length in zip(ordered, branches, fresh, strict=True)
        ], overflows

    def _batches(self, prompts: Sequence[TokenizedPrompt]) -> Iterator[list[TokenizedPrompt]]:
        batch: list[TokenizedPrompt] = []
        for prompt in prompts:
            grown = [*batch, prompt]
            if batch and (
                len(grown) * max(len(p.ids) + p.new for p in grown) > self._batch_tokens
                or (self._batch_prefill is not None and sum(p.uncached for p in grown) > self._batch_prefill)
            ):
                yield batch
                grown = [prompt]
            batch = grown
        if batch:
            yield batch

    def _answer(self, batch: Sequence[TokenizedPrompt], answer: Answer) -> Iterator[list[tuple[str, Reply]]]:
        """Yield the replies to a batch, those of answers that end together at once."""
        replies = answer(self.model, batch)
        while True:
            # Whoever receives the replies runs outside of these contexts.
            with (
                torch.inference_mode(),
                torch_settings(self._matmul_precision, self._threads),
                catch_out_of_memory(self._option),
            ):
                found = next(replies, None)
            if found is None:
                return
            yield [(prompt.call.key, reply) for prompt, reply in found]

    def _generate(self, model: PreTrainedModel, batch: Sequence[TokenizedPrompt]) -> Iterator[Replies]:
        """Generate answers after prefilling each prompt separately, from its longest cached prefix."""
        # The last token of a prompt is left to the batch: computing it yields the first token of the answer.
        single = len(batch) == 1
        results, seconds = [], []
        for prompt in batch:
            started = time.perf_counter()
            results.append(
                self._prefiller.prefill(
                    model,
                    prompt.ids[:-1],
                    branches=prompt.branches,
                    room=len(prompt.ids) + prompt.new if single else 0,
                    pictures=prompt.pictures,
                )
            )
            seconds.append(time.perf_counter() - started)
        cached = [result.cached for result in results]
        self.tokens_read += sum(
            len(prompt.ids) - cached_length for prompt, cached_length in zip(batch, cached, strict=True)
        )
        started = time.perf_counter()
        states = [result.state for result in results]
        cache = (
            results[0].cache if single else stack_states(model.config, states, 1 + max(prompt.new for prompt in batch))
        )
        del results
        answers: dict[int, list[int]] = {}
        for ended in decode(model, batch, cache, card=self._card, seed=self._seed):
            # The answers under way share the time of a step.
            share = (time.perf_counter() - started) / (len(batch) - len(answers))
            seconds = [taken + share * (row not in answers) for row, taken in enumerate(seconds)]
            answers.update(ended)
            yield [
                (batch[row], replace(self._generated_reply(batch[row], answer, cached[row]), seconds=seconds[row]))
                for row, answer in ended.items()
            ]
            started = time.perf_counter()
        width = max(len(prompt.ids) for prompt in batch)
        for row, prompt in enumerate(batch):
            # A conversation that ends here would evict states that others continue from.
            if not prompt.call.final:
                # The last token of an answer was generated but not computed.
                read = prompt.ids + answers[row][:-1]
                end = width + len(answers[row]) - 1
                self.prefixes.add(unstack_state(cache, row, read, end=end, start_state=states[row]))

    def _generate_reference(self, model: PreTrainedModel, batch: Sequence[TokenizedPrompt]) -> Iterator[Replies]:
        """Generate answers with `generate` alone, on the padded prompts."""
        started = time.perf_counter()
        self.tokens_read += sum(len(prompt.ids) for prompt in batch)
        for answers in decode(model, batch, None, card=self._card, seed=self._seed):
            seconds = (time.perf_counter() - started) / len(batch)
            yield [
                (batch[row], replace(self._generated_reply(batch[row], answer, 0), seconds=seconds))
                for row, answer in answers.items()
            ]

    def _generated_reply(self, prompt: TokenizedPrompt, answer: list[int], cached_tokens: int) -> Reply:
        return prompt.reply(
            "stop" if answer[-1] in self.model.generation_config.eos_token_id else "length",
            text=self.tokenizer.decode(answer, skip_special_tokens=True),
            cached_tokens=cached_tokens,
            new_tokens=len(answer),
        )

    def _compare(self, model: PreTrainedModel, batch: Sequence[TokenizedPrompt]) -> Iterator[Replies]:
        """Compute log-probabilities of answers from one state of the prompt."""
        started = time.perf_counter()
        (prompt,) = batch
        result = self._prefiller.prefill(
            model, prompt.ids, branches=prompt.branches, recompute=1, pictures=prompt.pictures
        )
        self.tokens_read += len(prompt.ids) - result.cached
        self.prefixes.add(result.state)
        logprobs = answer_logprobs(model, result, list(prompt.answers.values()))
        named = dict(zip(prompt.answers, logprobs, strict=True))
        seconds = time.perf_counter() - started
        yield [(prompt, prompt.reply("stop", cached_tokens=result.cached, seconds=seconds, logprobs=named))]

    def _compare_reference(self, model: PreTrainedModel, batch: Sequence[TokenizedPrompt]) -> Iterator[Replies]:
        """Compute log-probabilities of answers, with prompt and answer computed again for each."""
        started = time.perf_counter()
        (prompt,) = batch
        self.tokens_read += len(prompt.ids) * len(prompt.answers)
        logprobs = answer_logprobs_reference(model, prompt.ids, list(prompt.answers.values()), prompt.pictures)
        named = dict(zip(prompt.answers, logprobs, strict=True))
        yield [(prompt, prompt.reply("stop", seconds=time.perf_counter() - started, logprobs=named))]
