"""A causal language model of transformers that answers calls: greedy text, and log-probabilities of given answers.

On a CPU a batch brings nothing while a prompt is read but much while an answer is written, and most prompts begin with
what another one has read already: an earlier turn, another question about the same judgment. So each prompt is read
alone, from the longest beginning that `Prefixes` holds; the states are stacked, padded on the left, and the library's
own `generate` writes the answers together. Without a prefix cache, `generate` does everything on the padded prompts:
the slow, obvious version, which the tests hold the fast one against.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from legalrr.backbones import states
from legalrr.backbones.numerics import memory, settings
from legalrr.backbones.prefixes import Prefixes
from legalrr.backbones.states import State
from legalrr.errors import UserError
from legalrr.protocols import Abilities, Call, Reply
from legalrr.records import FinishReason

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, StaticCache

WORTHWHILE = 0.25
"""Share of a prompt that must be held for its state to be used. What follows a state is read under an explicit mask,
and torch's CPU kernel then computes the upper triangle too: where little is held, reading all anew is quicker."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A call as the model reads it."""

    call: Call
    """What was asked."""
    ids: list[int]
    """Tokens of the conversation under the chat template, up to where the answer starts."""
    answers: Mapping[str, list[int]]
    """Tokens of each answer to compare."""
    new: int
    """Tokens that may follow: `max_new_tokens`, or the longest answer."""


class TransformersEngine:
    """The engine of `TransformersBackbone`.

    Args:
        tokenizer: a fast tokenizer with a chat template.
        context: tokens that prompt and answer may take together.
        load_model: gives the model, in evaluation mode on its device; called at the first call.
        batch_tokens: tokens of padded prompts and answers that are written together.
        prefix_cache_bytes: memory of the prefix cache; 0: none.
        matmul_precision: of float32 products, for `torch.set_float32_matmul_precision`.
        threads: threads of torch on the CPU; None: as they are.
        option: config path of the backbone, for messages.
    """

    can = Abilities(logprobs=True, structured=False, images=False, seed=False)

    def __init__(
        self,
        *,
        tokenizer: PreTrainedTokenizerBase,
        context: int,
        load_model: Callable[[], PreTrainedModel],
        batch_tokens: int,
        prefix_cache_bytes: int,
        matmul_precision: str,
        threads: int | None,
        option: str,
    ) -> None:
        self.tokenizer = tokenizer
        self.context = context
        self.prefixes = Prefixes(prefix_cache_bytes)
        self._load_model = load_model
        self._batch_tokens = batch_tokens
        self._matmul_precision = matmul_precision
        self._threads = threads
        self._option = option

    @cached_property
    def model(self) -> PreTrainedModel:
        """The model, loaded on first use and without the sampling settings that its publisher recommends."""
        from transformers import GenerationConfig

        model = self._load_model()
        ends = model.generation_config.eos_token_id
        ends = {ends} if isinstance(ends, int) else set(ends or [])
        ends = sorted(ends | ({self.tokenizer.eos_token_id} - {None}))
        if not ends:
            raise UserError(
                "the model does not say which token ends an answer",
                where=f"{self._option}.model",
                cure="add eos_token_id to its generation_config.json",
            )
        # generate() takes whatever a passed configuration leaves open from the model's own: temperature, penalties.
        model.generation_config = GenerationConfig(do_sample=False, eos_token_id=ends, pad_token_id=ends[0])
        return model

    def token_ends(self, text: str) -> list[int]:
        """See `legalrr.protocols.Tokens`."""
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return [end for _, end in encoded["offset_mapping"]]

    def generate(self, calls: Sequence[Call]) -> Iterator[list[tuple[str, Reply]]]:
        """See `legalrr.protocols.Engine`; `new_tokens` counts the token that ends an answer."""
        for call in calls:
            if call.max_new_tokens < 1:
                raise ValueError(f"call {call.key} leaves no room for an answer: max_new_tokens={call.max_new_tokens}")
        asked, refused = self._prepare(calls)
        if refused:
            yield refused
        for batch in self._batches(asked):
            yield self._answer(batch, self._write if self.prefixes.capacity else self._write_obviously)

    def compare(self, calls: Sequence[Call]) -> Iterator[list[tuple[str, Reply]]]:
        """See `legalrr.protocols.Engine`; an answer's log-probability is the sum over its tokens."""
        asked, refused = self._prepare(calls)
        if refused:
            yield refused
        for one in asked:
            yield self._answer([one], self._weigh if self.prefixes.capacity else self._weigh_obviously)

    def _prepare(self, calls: Sequence[Call]) -> tuple[list[Asked], list[tuple[str, Reply]]]:
        """Calls to answer, those with the least to read first, and replies to those that do not fit the context."""
        asked, refused = [], []
        for call in calls:
            ids = self._encode(call)
            answers = {answer: self.tokenizer(answer, add_special_tokens=False)["input_ids"] for answer in call.answers}
            new = max(map(len, answers.values())) if answers else call.max_new_tokens
            if len(ids) + new > self.context:
                refused.append((call.key, _unwritten(ids, "overflow")))
            else:
                asked.append(Asked(call=call, ids=ids, answers=answers, new=new))
        # What is held is used before newer states push it out; where nothing is held this sorts by length.
        asked.sort(key=lambda one: len(one.ids) - self.prefixes.held(one.ids))
        return asked, refused

    def _encode(self, call: Call) -> list[int]:
        from jinja2 import TemplateError

        try:
            return self.tokenizer.apply_chat_template(
                [dict(message) for message in call.messages],
                tokenize=True,
                add_generation_prompt=True,
                return_dict=False,
                tokenizer_kwargs={"verbose": False},
            )
        except TemplateError as error:
            roles = ", ".join(message["role"] for message in call.messages)
            raise UserError(
                f"the chat template refuses this conversation ({roles}): {error}",
                where=f"{self._option}.model",
                cure="choose prompts without what it refuses, or another model",
            ) from error

    def _batches(self, asked: Sequence[Asked]) -> Iterator[list[Asked]]:
        batch: list[Asked] = []
        for one in asked:
            grown = [*batch, one]
            if batch and len(grown) * max(len(o.ids) + o.new for o in grown) > self._batch_tokens:
                yield batch
                grown = [one]
            batch = grown
        if batch:
            yield batch

    def _answer(
        self, batch: Sequence[Asked], answer: Callable[[PreTrainedModel, Sequence[Asked]], list[Reply]]
    ) -> list[tuple[str, Reply]]:
        import torch

        model = self.model
        started = time.perf_counter()
        with torch.inference_mode(), settings(self._matmul_precision, self._threads), memory(self._option):
            replies = answer(model, batch)
        seconds = (time.perf_counter() - started) / len(batch)
        return [(one.call.key, replace(reply, seconds=seconds)) for one, reply in zip(batch, replies, strict=True)]

    def _write(self, model: PreTrainedModel, batch: Sequence[Asked]) -> list[Reply]:
        """Answers after reading each prompt alone, from what is held."""
        # The last token of a prompt is left to the batch: reading it gives the first token of the answer.
        begun = [self._read(model, one.ids[:-1]) for one in batch]
        room = 1 + max(one.new for one in batch)
        cache = states.stack(model, [state for state, _ in begun], room)
        replies = []
        for row, (one, answer) in enumerate(zip(batch, self._generate(model, batch, cache), strict=True)):
            # The last token of an answer was written but not read.
            read = one.ids + answer[:-1]
            end = max(len(other.ids) for other in batch) + len(answer) - 1
            self.prefixes.add(states.unstack(cache, row, read, end))
            replies.append(self._written(model, one, answer, cached_tokens=begun[row][1]))
        return replies

    def _write_obviously(self, model: PreTrainedModel, batch: Sequence[Asked]) -> list[Reply]:
        """Answers by `generate` alone, on the padded prompts."""
        answers = self._generate(model, batch, None)
        return [self._written(model, one, ids, cached_tokens=0) for one, ids in zip(batch, answers, strict=True)]

    def _generate(
        self, model: PreTrainedModel, batch: Sequence[Asked], cache: StaticCache | None
    ) -> Iterator[list[int]]:
        """Tokens of each answer, with the one that ends it; `cache` holds all but the last token of each prompt."""
        import torch

        generation = model.generation_config
        gaps = [max(len(other.ids) for other in batch) - len(one.ids) for one in batch]
        ids = [[generation.pad_token_id] * gap + one.ids for gap, one in zip(gaps, batch, strict=True)]
        mask = [[0] * gap + [1] * len(one.ids) for gap, one in zip(gaps, batch, strict=True)]
        written = model.generate(
            torch.tensor(ids, device=model.device),
            attention_mask=torch.tensor(mask, device=model.device),
            max_new_tokens=max(one.new for one in batch),
            past_key_values=cache,
            disable_compile=True,
        )
        for gap, one, row in zip(gaps, batch, written.tolist(), strict=True):
            answer = row[gap + len(one.ids) :][: one.new]
            ends = (place for place, token in enumerate(answer, start=1) if token in generation.eos_token_id)
            yield answer[: next(ends, None)]

    def _written(self, model: PreTrainedModel, one: Asked, answer: list[int], *, cached_tokens: int) -> Reply:
        return Reply(
            text=self.tokenizer.decode(answer, skip_special_tokens=True),
            finish_reason="stop" if answer[-1] in model.generation_config.eos_token_id else "length",
            prompt_tokens=len(one.ids),
            cached_tokens=cached_tokens,
            new_tokens=len(answer),
            seconds=0.0,
        )

    def _weigh(self, model: PreTrainedModel, batch: Sequence[Asked]) -> list[Reply]:
        """Log-probabilities of answers, all from one state of the prompt."""
        (one,) = batch
        before, cached = self._read(model, one.ids[:-1])
        state, logits = states.read(model, one.ids, before)
        self.prefixes.add(state)
        logprobs = states.follow(model, state, logits, list(one.answers.values()))
        return [_unwritten(one.ids, "stop", cached, dict(zip(one.answers, logprobs, strict=True)))]

    def _weigh_obviously(self, model: PreTrainedModel, batch: Sequence[Asked]) -> list[Reply]:
        """Log-probabilities of answers, prompt and answer read anew for each."""
        import torch

        (one,) = batch
        logprobs = {}
        for answer, ids in one.answers.items():
            inputs = torch.tensor([one.ids + ids], device=model.device)
            logits = model(input_ids=inputs, use_cache=False, logits_to_keep=len(ids) + 1).logits[0, :-1]
            chosen = logits.float().log_softmax(-1).gather(1, inputs[0, len(one.ids) :, None])
            logprobs[answer] = chosen.sum().item()
        return [_unwritten(one.ids, "stop", 0, logprobs)]

    def _read(self, model: PreTrainedModel, ids: list[int]) -> tuple[State, int]:
        """The state of `ids`, which is kept, and how many of them were held before."""
        held = self.prefixes.longest(ids)
        if held is not None and len(held.ids) == len(ids):
            return held, len(ids)
        if held is not None and len(held.ids) < WORTHWHILE * len(ids):
            held = None
        state, _ = states.read(model, ids, held)
        self.prefixes.add(state)
        return state, 0 if held is None else len(held.ids)


def _unwritten(
    ids: list[int],
    finish_reason: FinishReason,
    cached_tokens: int = 0,
    logprobs: Mapping[str, float] | None = None,
) -> Reply:
    return Reply(
        text="",
        finish_reason=finish_reason,
        prompt_tokens=len(ids),
        cached_tokens=cached_tokens,
        new_tokens=0,
        seconds=0.0,
        logprobs=logprobs,
    )
