"""Run calls in a transformers model: generated text, and log-probabilities of given answers.

On a CPU, batching gains nothing in prefill but much in decoding, and most prompts share a prefix with an earlier one: a
previous turn, or another question about the same judgment. So prompts are prefilled one by one, in depth-first order of
their prefix tree (`legalrr.backbones.local.prefix_cache`), each from its longest cached prefix, which is not copied.
The library's `generate` decodes the answers as a batch over their states (`legalrr.backbones.local.cache`); each is
yielded when it ends, so that it can be stored. Without a prefix cache, `generate` does everything on the padded
prompts: the slow reference that the tests compare with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property

import torch
from transformers import DynamicCache, GenerationConfig, PreTrainedModel

from legalrr.backbones.local.cache import append_answer, extract_state, require_prefixes_read, snapshot, stack_states
from legalrr.backbones.local.checkpoint import end_tokens
from legalrr.backbones.local.decode import decode
from legalrr.backbones.local.memory import trim_heap
from legalrr.backbones.local.page_images import Vision
from legalrr.backbones.local.prefill import (
    Prefiller,
    PrefillResult,
    TokenizedPrompt,
    answer_logprobs,
    answer_logprobs_reference,
    tokenize_call,
    tokenize_calls,
)
from legalrr.backbones.local.prefix_cache import PrefixCache, State, branch_points, depth_first_order, uncached_lengths
from legalrr.backbones.local.weights import catch_out_of_memory, torch_settings
from legalrr.backbones.sampling import CardSampling
from legalrr.backbones.thinking import Thoughts
from legalrr.errors import UserError
from legalrr.protocols import Abilities, Call, CallQueue, Reply
from legalrr.records import Page

Replies = list[tuple[TokenizedPrompt, Reply]]
MAX_ROOM = 512
"""Maximum number of tokens of an answer that the state of its prompt has memory for; a longer one is copied with it."""
Answer = Callable[[PreTrainedModel, Sequence[TokenizedPrompt]], Iterator[Replies]]


class TransformersEngine:
    """The engine of `TransformersBackbone`.

    Args:
        thoughts: how the model thinks, with its chat template.
        context: maximum number of tokens in the model.
        load_model: return the model, in evaluation mode on its device; called at the first call.
        card: sampling settings; None: greedy decoding.
        seed: seed of sampling.
        batch_tokens: maximum number of tokens of padded prompts and answers in a decoding batch.
        batch_prefill: maximum number of prompt tokens to compute for a batch of several; None: no limit.
        prefill_chunk: tokens per forward pass of a prefill.
        prefix_cache_bytes: memory of the prefix cache; 0: none.
        batch_bytes: memory of the states of a batch that are not in the prefix cache; None: no limit. A single prompt
            may need more.
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
        thoughts: Thoughts,
        context: int,
        load_model: Callable[[], PreTrainedModel],
        card: CardSampling | None,
        seed: int,
        batch_tokens: int,
        batch_prefill: int | None,
        prefill_chunk: int,
        prefix_cache_bytes: int,
        batch_bytes: int | None,
        token_bytes: int,
        min_cached_share: float,
        matmul_precision: str,
        threads: int | None,
        option: str,
        vision: Vision | None = None,
    ) -> None:
        self.template = thoughts.template
        self.tokenizer = thoughts.template.tokenizer
        # Thoughts are dropped from later turns, so prompt and answer share the context with at most one.
        self.context = context - thoughts.tokens
        at_once = thoughts.tokens == 0
        self.can = Abilities(logprobs=at_once, structured=at_once, images=vision is not None, seed=card is not None)
        self.prefixes = PrefixCache(prefix_cache_bytes)
        self.holds = prefix_cache_bytes // max(1, token_bytes)
        self.tokens_read = 0
        """Prompt tokens that were computed so far."""
        self._unrepeated: int | None = None
        """Tokens at the end of a prompt that its next turn does not repeat, the same for all; None: not known yet."""
        self._prefiller = Prefiller(self.prefixes, chunk=prefill_chunk, min_cached_share=min_cached_share)
        self._load_model = load_model
        self._thoughts = thoughts
        self._card = card
        self._seed = seed
        self._batch_tokens = batch_tokens
        self._batch_prefill = batch_prefill
        self._token_bytes = token_bytes
        self._batch_bytes = batch_bytes
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
        tokens = self._thoughts.tokens
        return tokenize_call(call, self.template, thinking_tokens=tokens, option=self._option, vision=self._vision).ids

    @contextmanager
    def running(self) -> Iterator[PreTrainedModel]:
        """See `legalrr.protocols.OpenEngine`."""
        model = self.model
        with torch_settings(self._matmul_precision, self._threads), catch_out_of_memory(self._option):
            yield model

    def answer(self, queue: CallQueue) -> Iterator[list[tuple[str, Reply]]]:
        """See `legalrr.protocols.Engine`; `new_tokens` counts thoughts and the end-of-answer token.

        The log-probability of an answer to compare is the sum over its tokens. Every batch is chosen from all calls
        that wait, so that later turns of one judgment and first turns of another are generated together.
        """
        waiting: list[TokenizedPrompt] = []
        while True:
            prompts, overflows = self._tokenize(queue.take())
            waiting += prompts
            if overflows:
                yield overflows
            elif not waiting:
                break
            else:
                batch = self._next_batch(waiting)
                chosen = {prompt.call.key for prompt in batch}
                waiting = [prompt for prompt in waiting if prompt.call.key not in chosen]
                yield from self._run(batch)
                if self._batch_bytes is not None:
                    trim_heap()
        self._prefiller.release()

    def _run(self, batch: Sequence[TokenizedPrompt]) -> Iterator[list[tuple[str, Reply]]]:
        if batch[0].answers:
            return self._answer(batch, self._compare if self.prefixes.capacity else self._compare_reference)
        return self._answer(batch, self._generate if self.prefixes.capacity else self._generate_reference)

    def _tokenize(self, calls: Sequence[Call]) -> tuple[list[TokenizedPrompt], list[tuple[str, Reply]]]:
        """Return the prompts to answer, and replies to calls that exceed the context."""
        goes_on = next((call for call in calls if not call.final and not call.pages), None)
        if self._unrepeated is None and goes_on is not None:
            whole, repeated = self.template.tokenize(goes_on.messages), self.template.repeated_length(goes_on.messages)
            self._unrepeated = len(whole) - repeated
        return tokenize_calls(
            calls,
            self.template,
            thinking_tokens=self._thoughts.tokens,
            context=self.context + self._thoughts.tokens,
            can=self.can,
            option=self._option,
            vision=self._vision,
        )

    def _next_batch(self, waiting: Sequence[TokenizedPrompt]) -> list[TokenizedPrompt]:
        """Choose the prompts to answer next: one whose answers are compared, or a batch to generate."""
        compared = [prompt for prompt in waiting if prompt.answers]
        ordered = self._ordered(compared or waiting)
        if compared:
            return ordered[:1]
        batch = ordered[:1]
        for prompt in ordered[1:]:
            if not self._fits([*batch, prompt]):
                break
            batch.append(prompt)
        return batch

    def _fits(self, batch: Sequence[TokenizedPrompt]) -> bool:
        """Whether several prompts are within the limits of a batch."""
        fresh = sum(prompt.uncached for prompt in batch)
        return (
            len(batch) * max(len(prompt.ids) + prompt.new for prompt in batch) <= self._batch_tokens
            and (self._batch_prefill is None or fresh <= self._batch_prefill)
            and (
                self._batch_bytes is None
                or (fresh + sum(prompt.new for prompt in batch)) * self._token_bytes <= self._batch_bytes
            )
        )

    def _ordered(self, prompts: Sequence[TokenizedPrompt]) -> list[TokenizedPrompt]:
        """Return prompts in prefill order, with the lengths at which later ones diverge and their uncached tokens."""
        # Use cached states before newer ones evict them; without cached states this sorts by length.
        uncached = [len(prompt.ids) - self.prefixes.cached_length(prompt.ids) for prompt in prompts]
        ordered = [prompts[place] for place in depth_first_order([prompt.ids for prompt in prompts], uncached)]
        branches = branch_points([prompt.ids for prompt in ordered])
        fresh = uncached_lengths([prompt.ids for prompt in ordered], self.prefixes)
        return [
            # Recurrent layers are copied where the next turn leaves the prompt too.
            replace(prompt, branches=(*at, len(prompt.ids) - (self._unrepeated or 0)), uncached=length)
            for prompt, at, length in zip(ordered, branches, fresh, strict=True)
        ]

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
        results, seconds = [], []
        for prompt in batch:
            started = time.perf_counter()
            # A single prompt is continued in the memory of its state; of a batch, answers are appended at the end.
            room = prompt.new if len(batch) == 1 else 0 if prompt.call.final else min(prompt.new, MAX_ROOM)
            results.append(
                self._prefiller.prefill(
                    model,
                    prompt.ids[:-1],
                    branches=prompt.branches,
                    room=len(prompt.ids) + room,
                    pictures=prompt.pictures,
                )
            )
            seconds.append(time.perf_counter() - started)
        cached = [result.cached for result in results]
        self.tokens_read += sum(
            len(prompt.ids) - cached_length for prompt, cached_length in zip(batch, cached, strict=True)
        )
        started = time.perf_counter()
        cache = results[0].cache
        if len(batch) > 1:
            cache = stack_states(model.config, [r.state for r in results], 1 + max(prompt.new for prompt in batch))
        answers: dict[int, list[int]] = {}
        for ended in decode(model, batch, cache, card=self._card, seed=self._seed, budget=self._thoughts.budget):
            require_prefixes_read(cache, self._option)
            # The answers under way share the time of a step.
            share = (time.perf_counter() - started) / (len(batch) - len(answers))
            seconds = [taken + share * (row not in answers) for row, taken in enumerate(seconds)]
            answers.update(ended)
            yield [
                (batch[row], replace(self._generated_reply(batch[row], answer, cached[row]), seconds=seconds[row]))
                for row, answer in ended.items()
            ]
            started = time.perf_counter()
        for row, prompt in enumerate(batch):
            # A conversation that ends here would evict states that others continue from.
            if not prompt.call.final:
                self.prefixes.add(
                    self._answered_state(batch, row, answer=answers[row], result=results[row], cache=cache)
                )

    @staticmethod
    def _answered_state(
        batch: Sequence[TokenizedPrompt],
        row: int,
        *,
        answer: list[int],
        result: PrefillResult,
        cache: DynamicCache,
    ) -> State:
        """Return the state after an answer; that of its prompt if recurrent layers have advanced beyond the answer."""
        # The last token of an answer was generated but not computed.
        ids = batch[row].ids + answer[:-1]
        end = max(len(prompt.ids) for prompt in batch) + len(answer) - 1
        snapshots = result.state.snapshots
        if snapshots and cache.get_seq_length() != end:
            return result.state
        if snapshots:
            snapshots += snapshot(cache, len(ids), row)
        if cache is not result.cache:
            append_answer(result.cache, cache, row, new=len(answer), end=end)
        return extract_state(result.cache, ids, snapshots)

    def _generate_reference(self, model: PreTrainedModel, batch: Sequence[TokenizedPrompt]) -> Iterator[Replies]:
        """Generate answers with `generate` alone, on the padded prompts."""
        started = time.perf_counter()
        self.tokens_read += sum(len(prompt.ids) for prompt in batch)
        for answers in decode(model, batch, None, card=self._card, seed=self._seed, budget=self._thoughts.budget):
            seconds = (time.perf_counter() - started) / len(batch)
            yield [
                (batch[row], replace(self._generated_reply(batch[row], answer, 0), seconds=seconds))
                for row, answer in answers.items()
            ]

    def _generated_reply(self, prompt: TokenizedPrompt, answer: list[int], cached_tokens: int) -> Reply:
        return prompt.reply(
            "stop" if answer[-1] in self.model.generation_config.eos_token_id else "length",
            text=self._thoughts.opening + self.tokenizer.decode(answer, skip_special_tokens=True),
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
