"""Run calls in a transformers model: generated text, and log-probabilities of given answers.

On a CPU, batching gains nothing in prefill but much in decoding, and most prompts share a prefix with an earlier one: a
previous turn, or another question about the same judgment. So prompts are prefilled one by one, in depth-first order of
their prefix tree (`legalrr.backbones.local.prefix_cache`), each from its longest cached prefix. Their states are
stacked with left padding, and the library's `generate` decodes the answers as a batch. Without a prefix cache,
`generate` does everything on the padded prompts: the slow reference that the tests compare with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from legalrr.backbones.local.cache import stack, unstack
from legalrr.backbones.local.checkpoint import answer_ends
from legalrr.backbones.local.decode import decode
from legalrr.backbones.local.page_images import Vision
from legalrr.backbones.local.prefill import PrefixReader, TokenizedPrompt, compare_answers, follow, tokenize_call
from legalrr.backbones.local.prefix_cache import Prefixes, branch_points, walk
from legalrr.backbones.local.weights import memory, torch_settings
from legalrr.backbones.sampling import CardSampling
from legalrr.errors import UserError
from legalrr.protocols import Abilities, Call, Reply
from legalrr.records import FinishReason, Page


class TransformersEngine:
    """The engine of `TransformersBackbone`.

    Args:
        tokenizer: a fast tokenizer with a chat template.
        context: maximum number of tokens in the model.
        load_model: return the model, in evaluation mode on its device; called at the first call.
        thinking_tokens: tokens allowed before an answer, in addition to its own.
        card: sampling settings; None: greedy decoding.
        seed: seed of sampling.
        batch_tokens: maximum number of tokens of padded prompts and answers in a decoding batch.
        prefill_chunk: tokens per forward pass of a prefill.
        prefix_cache_bytes: memory of the prefix cache; 0: none.
        token_bytes: memory of the state of one token.
        worthwhile: minimum share of a prompt that must be cached for its state to be used.
        matmul_precision: precision of float32 products, see `torch.set_float32_matmul_precision`.
        threads: threads of torch on the CPU; None: unchanged.
        option: config path of the backbone, for messages.
        vision: image handling of the model; None: text only.
    """

    def __init__(
        self,
        *,
        tokenizer: PreTrainedTokenizerBase,
        context: int,
        load_model: Callable[[], PreTrainedModel],
        thinking_tokens: int,
        card: CardSampling | None,
        seed: int,
        batch_tokens: int,
        prefill_chunk: int,
        prefix_cache_bytes: int,
        token_bytes: int,
        worthwhile: float,
        matmul_precision: str,
        threads: int | None,
        option: str,
        vision: Vision | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        # Thoughts are dropped from later turns, so prompt and answer share the context with at most one.
        self.context = context - thinking_tokens
        at_once = thinking_tokens == 0
        self.can = Abilities(logprobs=at_once, structured=at_once, images=vision is not None, seed=card is not None)
        self.prefixes = Prefixes(prefix_cache_bytes)
        self.holds = prefix_cache_bytes // max(1, token_bytes)
        self.tokens_read = 0
        """Prompt tokens that were computed so far."""
        self._reader = PrefixReader(self.prefixes, chunk=prefill_chunk, worthwhile=worthwhile)
        self._load_model = load_model
        self._thinking_tokens = thinking_tokens
        self._card = card
        self._seed = seed
        self._batch_tokens = batch_tokens
        self._matmul_precision = matmul_precision
        self._threads = threads
        self._option = option
        self._vision = vision

    @cached_property
    def model(self) -> PreTrainedModel:
        """The model, loaded on first use, without the sampling settings of its publisher."""
        model = self._load_model()
        ends = answer_ends(model.generation_config, self.tokenizer, option=self._option)
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

    @contextmanager
    def running(self) -> Iterator[PreTrainedModel]:
        """See `legalrr.protocols.OpenEngine`."""
        model = self.model
        with torch_settings(self._matmul_precision, self._threads), memory(self._option):
            yield model

    def generate(self, calls: Sequence[Call]) -> Iterator[list[tuple[str, Reply]]]:
        """See `legalrr.protocols.Engine`; `new_tokens` counts thoughts and the end-of-answer token."""
        for call in calls:
            if call.max_new_tokens < 1:
                raise ValueError(f"call {call.key} leaves no room for an answer: max_new_tokens={call.max_new_tokens}")
            if call.choices and not self.can.structured:
                raise UserError(
                    "a model that thinks before it answers cannot be restricted to given answers",
                    where=f"{self._option}.thinking_tokens",
                    cure="let it write its answers (predict.scoring=generate)",
                )
        asked, refused = self._prepare(calls)
        if refused:
            yield refused
        for batch in self._batches(asked):
            yield self._answer(batch, self._write if self.prefixes.capacity else self._write_obviously)
        self._reader.rest()

    def compare(self, calls: Sequence[Call]) -> Iterator[list[tuple[str, Reply]]]:
        """See `legalrr.protocols.Engine`; the log-probability of an answer is the sum over its tokens."""
        if not self.can.logprobs:
            raise UserError(
                "a model that thinks before it answers has no log-probabilities of an immediate answer",
                where=f"{self._option}.thinking_tokens",
                cure="let it write its answers (predict.scoring=generate)",
            )
        asked, refused = self._prepare(calls)
        if refused:
            yield refused
        for one in asked:
            yield self._answer([one], self._weigh if self.prefixes.capacity else self._weigh_obviously)
        self._reader.rest()

    def _prepare(self, calls: Sequence[Call]) -> tuple[list[TokenizedPrompt], list[tuple[str, Reply]]]:
        """Return the prompts to answer, in prefill order, and replies to calls that exceed the context."""
        asked, refused = [], []
        for call in calls:
            one = tokenize_call(
                call,
                self.tokenizer,
                thinking_tokens=self._thinking_tokens,
                option=self._option,
                vision=self._vision,
            )
            if len(one.ids) + one.new > self.context + self._thinking_tokens:
                refused.append((call.key, _unwritten(one, "overflow")))
            else:
                asked.append(one)
        # Use cached states before newer ones evict them; without cached states this sorts by length.
        left = [len(one.ids) - self.prefixes.held(one.ids) for one in asked]
        ordered = [asked[place] for place in walk([one.ids for one in asked], left)]
        branches = branch_points([one.ids for one in ordered])
        return [replace(one, branches=at) for one, at in zip(ordered, branches, strict=True)], refused

    def _batches(self, asked: Sequence[TokenizedPrompt]) -> Iterator[list[TokenizedPrompt]]:
        batch: list[TokenizedPrompt] = []
        for one in asked:
            grown = [*batch, one]
            if batch and len(grown) * max(len(o.ids) + o.new for o in grown) > self._batch_tokens:
                yield batch
                grown = [one]
            batch = grown
        if batch:
            yield batch

    def _answer(
        self,
        batch: Sequence[TokenizedPrompt],
        answer: Callable[[PreTrainedModel, Sequence[TokenizedPrompt]], list[Reply]],
    ) -> list[tuple[str, Reply]]:
        model = self.model
        started = time.perf_counter()
        with torch.inference_mode(), torch_settings(self._matmul_precision, self._threads), memory(self._option):
            replies = answer(model, batch)
        seconds = (time.perf_counter() - started) / len(batch)
        return [(one.call.key, replace(reply, seconds=seconds)) for one, reply in zip(batch, replies, strict=True)]

    def _write(self, model: PreTrainedModel, batch: Sequence[TokenizedPrompt]) -> list[Reply]:
        """Generate answers after prefilling each prompt separately, from its longest cached prefix."""
        # The last token of a prompt is left to the batch: computing it yields the first token of the answer.
        alone = len(batch) == 1
        readings = [
            self._reader.read(
                model,
                one.ids[:-1],
                branches=one.branches,
                room=len(one.ids) + one.new if alone else 0,
                pictures=one.pictures,
            )
            for one in batch
        ]
        cached = [reading.cached for reading in readings]
        self.tokens_read += sum(len(one.ids) - held for one, held in zip(batch, cached, strict=True))
        begun = [reading.state for reading in readings]
        cache = readings[0].cache if alone else stack(model.config, begun, 1 + max(one.new for one in batch))
        del readings
        answers = decode(model, batch, cache, card=self._card, seed=self._seed)
        width = max(len(one.ids) for one in batch)
        for row, (one, answer) in enumerate(zip(batch, answers, strict=True)):
            # A conversation that ends here would evict states that others continue from.
            if not one.call.final:
                # The last token of an answer was generated but not computed.
                read = one.ids + answer[:-1]
                self.prefixes.add(unstack(cache, row, read, end=width + len(answer) - 1, begun=begun[row]))
        return [self._written(*parts) for parts in zip(batch, answers, cached, strict=True)]

    def _write_obviously(self, model: PreTrainedModel, batch: Sequence[TokenizedPrompt]) -> list[Reply]:
        """Generate answers with `generate` alone, on the padded prompts."""
        self.tokens_read += sum(len(one.ids) for one in batch)
        answers = decode(model, batch, None, card=self._card, seed=self._seed)
        return [self._written(one, answer, 0) for one, answer in zip(batch, answers, strict=True)]

    def _written(self, one: TokenizedPrompt, answer: list[int], cached_tokens: int) -> Reply:
        return Reply(
            text=self.tokenizer.decode(answer, skip_special_tokens=True),
            finish_reason="stop" if answer[-1] in self.model.generation_config.eos_token_id else "length",
            prompt_tokens=len(one.ids),
            cached_tokens=cached_tokens,
            new_tokens=len(answer),
            seconds=0.0,
        )

    def _weigh(self, model: PreTrainedModel, batch: Sequence[TokenizedPrompt]) -> list[Reply]:
        """Compute log-probabilities of answers from one state of the prompt."""
        (one,) = batch
        reading = self._reader.read(model, one.ids, branches=one.branches, anew=1, pictures=one.pictures)
        self.tokens_read += len(one.ids) - reading.cached
        self.prefixes.add(reading.state)
        logprobs = follow(model, reading, list(one.answers.values()))
        return [_unwritten(one, "stop", reading.cached, dict(zip(one.answers, logprobs, strict=True)))]

    def _weigh_obviously(self, model: PreTrainedModel, batch: Sequence[TokenizedPrompt]) -> list[Reply]:
        """Compute log-probabilities of answers, with prompt and answer computed again for each."""
        (one,) = batch
        self.tokens_read += len(one.ids) * len(one.answers)
        logprobs = compare_answers(model, one.ids, list(one.answers.values()), one.pictures)
        return [_unwritten(one, "stop", 0, dict(zip(one.answers, logprobs, strict=True)))]


def _unwritten(
    one: TokenizedPrompt,
    finish_reason: FinishReason,
    cached_tokens: int = 0,
    logprobs: Mapping[str, float] | None = None,
) -> Reply:
    return Reply(
        text="",
        finish_reason=finish_reason,
        prompt_tokens=len(one.ids),
        cached_tokens=cached_tokens,
        new_tokens=0,
        seconds=0.0,
        logprobs=logprobs,
    )
