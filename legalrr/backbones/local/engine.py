"""Run calls in a transformers model: generated text, and log-probabilities of given answers.

On a CPU, batching gains nothing in prefill but much in decoding, and most prompts share a prefix with an earlier one: a
previous turn, or another question about the same judgment. So prompts are prefilled one by one, in depth-first order of
their prefix tree (`legalrr.backbones.local.prefix_cache`), each from its longest cached prefix, which is not copied.
The library's `generate` decodes the answers as a batch over their states (`legalrr.backbones.local.cache`). When one
ends, it is yielded, so that it can be stored, and other prompts join the batch. Without a prefix cache, `generate` does
everything on the padded prompts: the slow reference that the tests compare with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from transformers import DynamicCache, GenerationConfig, PreTrainedModel

from legalrr.backbones.local.cache import append_answer, extract_state, require_prefixes_read, snapshot, stack_states
from legalrr.backbones.local.checkpoint import end_tokens
from legalrr.backbones.local.decode import OpenAnswer, decode
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
from legalrr.backbones.sampling import CardSampling, call_seed
from legalrr.backbones.thinking import Thoughts
from legalrr.errors import UserError
from legalrr.protocols import Abilities, Call, CallQueue, Reply
from legalrr.records import Page

Replies = list[tuple[TokenizedPrompt, Reply]]
MAX_ROOM = 512
"""Maximum number of tokens of an answer that the state of its prompt has memory for; a longer one is copied with it."""


@dataclass(eq=False, kw_only=True)
class _Row:
    """An answer under way, with the state of its conversation."""

    answer: OpenAnswer
    result: PrefillResult
    """Of its prompt; its cache has the tokens of the answer too."""
    state: State
    """State after all tokens but the last one."""
    seconds: float


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
        self.batch_states = None if batch_bytes is None else batch_bytes // max(1, token_bytes)
        """Maximum number of tokens in a batch that are not in the prefix cache; None: no limit."""
        self.least_steps = 4
        """Least number of tokens that a batch generates before prompts may join it, as building one takes time."""
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

        The log-probability of an answer to compare is the sum over its tokens. When an answer ends, prompts that wait
        take its place in the batch, later turns of a judgment before first turns of another.
        """
        waiting: list[TokenizedPrompt] = []
        running: list[_Row] = []
        while True:
            prompts, overflows = self._tokenize(queue.take())
            waiting += prompts
            if overflows:
                yield overflows
                continue
            if not waiting and not running:
                break
            chosen = self._next_prompts(waiting, [row.answer.prompt for row in running])
            keys = {prompt.call.key for prompt in chosen}
            waiting = [prompt for prompt in waiting if prompt.call.key not in keys]
            if chosen and chosen[0].answers:
                yield self._answer(self._compare if self.prefixes.capacity else self._compare_reference, chosen)
            elif not self.prefixes.capacity:
                yield self._answer(self._generate_reference, chosen)
            else:
                if replies := self._answer(self._generate, chosen, running):
                    yield replies
                running = [row for row in running if not row.answer.ended]
            if chosen and self.batch_states is not None:
                trim_heap()
        self._prefiller.release()

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

    def _next_prompts(
        self, waiting: Sequence[TokenizedPrompt], running: Sequence[TokenizedPrompt] = ()
    ) -> list[TokenizedPrompt]:
        """Choose the prompts to compute next: one whose answers are compared, or those that join a batch.

        Args:
            waiting: prompts to choose from.
            running: prompts whose answers are being generated.
        """
        compared = [prompt for prompt in waiting if prompt.answers]
        ordered = self._ordered(compared or waiting)
        if compared:
            return ordered[:1]
        chosen = [] if running else ordered[:1]
        for prompt in ordered[len(chosen) :]:
            if not self._fits([*running, *chosen, prompt], [*chosen, prompt]):
                break
            chosen.append(prompt)
        return chosen

    def _fits(self, batch: Sequence[TokenizedPrompt], joining: Sequence[TokenizedPrompt]) -> bool:
        """Whether several prompts, of which some join the others, are within the limits of a batch."""
        states = sum(prompt.uncached + prompt.new for prompt in batch)
        return (
            len(batch) * max(len(prompt.ids) + prompt.new for prompt in batch) <= self._batch_tokens
            and (self._batch_prefill is None or sum(prompt.uncached for prompt in joining) <= self._batch_prefill)
            and (self.batch_states is None or states <= self.batch_states)
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

    def _answer(
        self, answer: Callable[..., Replies], *arguments: Sequence[TokenizedPrompt] | list[_Row]
    ) -> list[tuple[str, Reply]]:
        """Call a method with the model; return its replies by the keys of their calls."""
        with (
            torch.inference_mode(),
            torch_settings(self._matmul_precision, self._threads),
            catch_out_of_memory(self._option),
        ):
            return [(prompt.call.key, reply) for prompt, reply in answer(self.model, *arguments)]

    def _generate(self, model: PreTrainedModel, joining: Sequence[TokenizedPrompt], running: list[_Row]) -> Replies:
        """Prefill prompts, add them to those whose answers are under way, and generate until an answer ends."""
        running += [self._begin(model, prompt) for prompt in joining]
        order = depth_first_order([row.answer.ids for row in running], [row.result.cached for row in running])
        running[:] = [running[place] for place in order]
        started = time.perf_counter()
        answers = [row.answer for row in running]
        cache = running[0].result.cache
        if len(running) > 1:
            new = 1 + max(answer.left for answer in answers)
            cache = stack_states(model.config, [row.state for row in running], min(new, MAX_ROOM))
        width = max(len(answer.ids) for answer in answers)
        counts = [len(answer.tokens) for answer in answers]
        steps = decode(model, answers, cache, card=self._card, budget=self._thoughts.budget, least=self.least_steps)
        require_prefixes_read(cache, self._option)
        replies: Replies = []
        # The answers under way share the time of a step.
        share = (time.perf_counter() - started) / len(running)
        for place, row in enumerate(running):
            row.seconds += share
            new = len(row.answer.tokens) - counts[place]
            if not row.answer.ended or not row.answer.prompt.call.final:
                self._advance(model, row, cache, place, new=new, end=width - 1 + new, whole=new == steps)
            if row.answer.ended:
                if not row.answer.prompt.call.final:
                    self.prefixes.add(row.state)
                reply = self._generated_reply(row.answer.prompt, row.answer.tokens, row.result.cached)
                replies.append((row.answer.prompt, replace(reply, seconds=row.seconds)))
        return replies

    def _begin(self, model: PreTrainedModel, prompt: TokenizedPrompt) -> _Row:
        """Prefill a prompt, from its longest cached prefix.

        Its last token is left to the batch: computing it yields the first token of the answer.
        """
        started = time.perf_counter()
        result = self._prefiller.prefill(
            model,
            prompt.ids[:-1],
            branches=prompt.branches,
            room=len(prompt.ids) + min(prompt.new, MAX_ROOM),
            pictures=prompt.pictures,
        )
        self.tokens_read += len(prompt.ids) - result.cached
        answer = OpenAnswer(prompt=prompt, generator=self._generator(prompt))
        return _Row(answer=answer, result=result, state=result.state, seconds=time.perf_counter() - started)

    def _generator(self, prompt: TokenizedPrompt) -> torch.Generator | None:
        """Return what draws the samples of an answer; None for greedy decoding."""
        return None if self._card is None else torch.Generator().manual_seed(call_seed(self._seed, prompt.call.key))

    def _advance(
        self, model: PreTrainedModel, row: _Row, cache: DynamicCache, place: int, *, new: int, end: int, whole: bool
    ) -> None:
        """Set the state of a row after `new` more tokens; that of its prompt if recurrent layers are beyond them.

        Args:
            model: the model.
            row: the row.
            cache: cache of the batch.
            place: index of the row in the batch.
            new: number of tokens that were generated, as many as were computed: the last one is not, the one before is.
            end: one past the position of the last computed token in the batch.
            whole: whether the batch has not gone on after these.
        """
        result = row.result
        snapshots = result.state.snapshots
        if snapshots and not whole:
            row.state = result.state
            return
        ids = row.answer.ids[:-1]
        if snapshots:
            snapshots += snapshot(cache, len(ids), place)
        if cache is not result.cache:
            append_answer(result.cache, cache, place, new=new, end=end)
        row.state = extract_state(result.cache, ids, snapshots)

    def _generate_reference(self, model: PreTrainedModel, batch: Sequence[TokenizedPrompt]) -> Replies:
        """Generate answers with `generate` alone, on the padded prompts."""
        started = time.perf_counter()
        self.tokens_read += sum(len(prompt.ids) for prompt in batch)
        answers = [OpenAnswer(prompt=prompt, generator=self._generator(prompt)) for prompt in batch]
        decode(model, answers, None, card=self._card, budget=self._thoughts.budget)
        seconds = (time.perf_counter() - started) / len(batch)
        return [
            (answer.prompt, replace(self._generated_reply(answer.prompt, answer.tokens, 0), seconds=seconds))
            for answer in answers
        ]

    def _generated_reply(self, prompt: TokenizedPrompt, answer: list[int], cached_tokens: int) -> Reply:
        return prompt.reply(
            "stop" if answer[-1] in self.model.generation_config.eos_token_id else "length",
            text=self._thoughts.opening + self.tokenizer.decode(answer, skip_special_tokens=True),
            cached_tokens=cached_tokens,
            new_tokens=len(answer),
        )

    def _compare(self, model: PreTrainedModel, batch: Sequence[TokenizedPrompt]) -> Replies:
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
        return [(prompt, prompt.reply("stop", cached_tokens=result.cached, seconds=seconds, logprobs=named))]

    def _compare_reference(self, model: PreTrainedModel, batch: Sequence[TokenizedPrompt]) -> Replies:
        """Compute log-probabilities of answers, with prompt and answer computed again for each."""
        started = time.perf_counter()
        (prompt,) = batch
        self.tokens_read += len(prompt.ids) * len(prompt.answers)
        logprobs = answer_logprobs_reference(model, prompt.ids, list(prompt.answers.values()), prompt.pictures)
        named = dict(zip(prompt.answers, logprobs, strict=True))
        return [(prompt, prompt.reply("stop", seconds=time.perf_counter() - started, logprobs=named))]
